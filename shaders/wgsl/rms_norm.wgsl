// y = x / sqrt(mean(x²) + eps) · gain.
//
// One row for each workgroup of 64; the sum of squares is f32 and meets in two steps of eight.
//
// Dispatch: x = min(M, 65535), y = ceil(M / 65535).
#if F16
enable f16;
#endif

struct Params {
    rows: u32,  // M
    inner: u32, // K
    eps: f32,
    spare: u32,
}

@group(0) @binding(0) var<storage, read> x: array<{elem}>; // [M, K]
@group(0) @binding(1) var<storage, read> gain: array<{elem}>; // [K]
@group(0) @binding(2) var<storage, read_write> y: array<{elem}>; // [M, K]
@group(0) @binding(3) var<uniform> p: Params;

const WG_SIZE = 64u;

var<workgroup> sh_squares: array<f32, 64>;
var<workgroup> sh_eights: array<f32, 8>;

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row = tile.y * 65535u + tile.x;
    let live = row < p.rows;
    let at = select(0u, row, live) * p.inner;
    var squares = 0.0;
    for (var k = t; k < p.inner; k += WG_SIZE) {
        let value = x[at + k];
        squares += f32(value) * f32(value);
    }
    sh_squares[t] = squares;
    workgroupBarrier();
    if (t < 8u) {
        var eight = 0.0;
#for i 8
        eight += sh_squares[t * 8u + {i}u];
#endfor
        sh_eights[t] = eight;
    }
    workgroupBarrier();
    var sum = 0.0;
#for i 8
    sum += sh_eights[{i}];
#endfor
    let factor = inverseSqrt(sum / f32(p.inner) + p.eps);
    if (live) {
        for (var k = t; k < p.inner; k += WG_SIZE) {
            let value = x[at + k];
            y[at + k] = {elem}(f32(value) * factor) * gain[k];
        }
    }
}
