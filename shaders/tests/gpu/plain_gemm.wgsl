// y = x·Wᵀ of dense f32: the plain tiled product the packed one is measured against.
//
// Tiles of 32 by 32, 64 threads with 4 by 4 sums each, steps of 32 along K. Sizes are multiples of 32.

struct Params { rows: u32, cols: u32, inner: u32, spare: u32 }

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>; // [M, K/4]
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>; // [N, K/4]
@group(0) @binding(2) var<storage, read_write> y: array<f32>; // [M, N]
@group(0) @binding(3) var<uniform> p: Params;

var<workgroup> sh_x: array<vec4<f32>, 256>; // [8, 32]
var<workgroup> sh_w: array<vec4<f32>, 256>; // [8, 32]

@compute @workgroup_size(8, 8)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_id) id: vec3<u32>) {
    let t = id.y * 8u + id.x;
    var sums: array<vec4<f32>, 4>;
    for (var k0 = 0u; k0 < p.inner / 4u; k0 += 8u) {
        for (var i = t; i < 256u; i += 64u) {
            sh_x[i] = x[(tile.y * 32u + (i & 31u)) * (p.inner / 4u) + k0 + (i >> 5u)];
            sh_w[i] = w[(tile.x * 32u + (i & 31u)) * (p.inner / 4u) + k0 + (i >> 5u)];
        }
        workgroupBarrier();
        for (var k = 0u; k < 8u; k++) {
            let w0 = sh_w[k * 32u + id.x];
            let w1 = sh_w[k * 32u + id.x + 8u];
            let w2 = sh_w[k * 32u + id.x + 16u];
            let w3 = sh_w[k * 32u + id.x + 24u];
            for (var i = 0u; i < 4u; i++) {
                let a = sh_x[k * 32u + id.y + i * 8u];
                sums[i] += vec4<f32>(dot(a, w0), dot(a, w1), dot(a, w2), dot(a, w3));
            }
        }
        workgroupBarrier();
    }
    for (var i = 0u; i < 4u; i++) {
        let at = (tile.y * 32u + id.y + i * 8u) * p.cols + tile.x * 32u + id.x;
        y[at] = sums[i].x;
        y[at + 8u] = sums[i].y;
        y[at + 16u] = sums[i].z;
        y[at + 24u] = sums[i].w;
    }
}
