// y = silu(gate)·up, element by element, with silu(g) = g / (1 + e^-g).
//
// Dispatch: x = min(ceil(n / 256), 65535), y for the rest.
#if F16
enable f16;
#endif

struct Params {
    len: u32,   // n
    spare_1: u32,
    spare_2: u32,
    spare_3: u32,
}

@group(0) @binding(0) var<storage, read> gate: array<{elem}>; // [n]
@group(0) @binding(1) var<storage, read> up: array<{elem}>; // [n]
@group(0) @binding(2) var<storage, read_write> y: array<{elem}>; // [n]
@group(0) @binding(3) var<uniform> p: Params;

const WG_SIZE = 64u;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let first = (tile.y * 65535u + tile.x) * 4u * WG_SIZE + t;
#for i 4
    if (first + {i}u * WG_SIZE < p.len) {
        let g = f32(gate[first + {i}u * WG_SIZE]);
        y[first + {i}u * WG_SIZE] = {elem}(g / (1.0 + exp(-g)) * f32(up[first + {i}u * WG_SIZE]));
    }
#endfor
}
