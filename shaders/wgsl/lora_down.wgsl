// Z = x·Aᵀ, each row with the A of its own adapter; a row without an adapter gets zeros. With NORM it is the norm of x that is
// multiplied, y = x / sqrt(mean(x²) + eps) · gain, which is kept as well.
//
// Eight rows and eight columns of Z for each workgroup of 64. Thread (slice, row) walks every eighth vector of K, so
// neighbours read neighbouring vectors; the eight slices of a sum meet in workgroup memory, those of the squares with NORM
// among them: every tile of columns adds up its own, and the first one writes y.
//
// Dispatch: x = C / 8, y = ceil(M / 8).
#if F16
enable f16;
#endif

struct Params {
    rows: u32,     // M
    cols: u32,     // C, a multiple of 8
    inner: u32,    // K
    stacks: u32,   // S, how many adapters A has
#if NORM
    eps: f32,
    spare: u32,
#endif
}

#if VEC
@group(0) @binding({next}) var<storage, read> x: array<vec4<{elem}>>; // [M, K/4]
#else
@group(0) @binding({next}) var<storage, read> x: array<{elem}>; // [M, K]
#endif
#if NORM
@group(0) @binding({next}) var<storage, read> gain: array<{elem}>; // [K]
#endif
@group(0) @binding({next}) var<storage, read> a: array<vec4<{elem}>>; // [S, C, ceil(K/4)], zeros beyond K
@group(0) @binding({next}) var<storage, read> adapters: array<u32>; // [M] adapter of a row; S or more is none
#if NORM
@group(0) @binding({next}) var<storage, read_write> y: array<{elem}>; // [M, K]
#endif
@group(0) @binding({next}) var<storage, read_write> z: array<{elem}>; // [M, C]
@group(0) @binding({next}) var<uniform> p: Params;

const WG_SIZE = 64u;

var<workgroup> sh_sums: array<f32, 512>; // [8 columns, 8 rows, 8 slices]
#if NORM
var<workgroup> sh_squares: array<f32, 64>; // [8 rows, 8 slices]
#endif

#include rows

#if NORM
fn gain_at(k4: u32) -> vec4<f32> {
    let k = 4u * k4;
    let last = p.inner - 1u;
    return vec4<f32>(f32(gain[k]), f32(gain[min(k + 1u, last)]), f32(gain[min(k + 2u, last)]), f32(gain[min(k + 3u, last)]));
}
#endif

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let slice = t & 7u;
    let row = tile.y * 8u + (t >> 3u);
    let live_row = min(row, p.rows - 1u);
    let adapter = adapters[live_row];
    let some = adapter < p.stacks;
    let k4s = (p.inner + 3u) / 4u;
    let first = (select(0u, adapter, some) * p.cols + tile.x * 8u) * k4s;
#for j 8
    var c{j} = 0.0;
#endfor
#if NORM
    var squares = 0.0;
#endif
    for (var k4 = slice; k4 < k4s; k4 += 8u) {
#if NORM
        let plain = x_at(live_row, k4);
        squares += dot(plain, plain);
        let four = plain * gain_at(k4);
#else
        let four = x_at(live_row, k4);
#endif
#for j 8
        c{j} += dot(four, vec4<f32>(a[first + {j}u * k4s + k4]));
#endfor
    }
#for j 8
    sh_sums[{j}u * 64u + t] = c{j};
#endfor
#if NORM
    sh_squares[t] = squares;
#endif
    workgroupBarrier();
#if NORM
    var all_squares = 0.0;
#for j 8
    all_squares += sh_squares[(t & 56u) + {j}u];
#endfor
    let factor = inverseSqrt(all_squares / f32(p.inner) + p.eps);
    if (tile.x == 0u && row < p.rows) {
        for (var k = slice; k < p.inner; k += 8u) {
            let four = x_at(row, k / 4u);
            y[row * p.inner + k] = {elem}(four[k & 3u] * factor) * gain[k];
        }
    }
#endif
    // Now thread (slice, row) adds up column `slice` of its row.
    let at = slice * 64u + (t & 56u);
    var sum = 0.0;
#for j 8
    sum += sh_sums[at + {j}u];
#endfor
    if (row < p.rows) {
#if NORM
        sum *= factor;
#endif
        z[row * p.cols + tile.x * 8u + slice] = {elem}(select(0.0, sum, some));
    }
}
