// The product of `matmul_packed.wgsl`, for adapters that are processors: SwiftShader, lavapipe.
//
// Such an adapter runs a few invocations as the lanes of a vector, and what it pays for is fetching: an address that
// differs by lane is fetched lane by lane, one that is a constant is fetched once. So a band of 16 rows of x lies in
// workgroup memory and is read at constant places by every thread, while thread t keeps its own two columns of W, dequantised
// in registers, and 32 sums. The columns are t and t + 64 of 128, or, with SWIGLU, gate and up of one.
//
// Dispatch: x = ceil(N / 128), or ceil(F / 64) with SWIGLU; y = ceil(M / 16).
#if F16
enable f16;
#endif

struct Params {
    rows: u32,      // M
    cols: u32,      // N, or F with SWIGLU
    inner: u32,     // K
    blocks_k: u32,  // ceil(K / 32)
    rank: u32,      // R, a multiple of 4
    z_cols: u32,    // columns of Z: R for each projection that shares x
    segment_1: u32, // first column of the second projection, a multiple of 64
    segment_2: u32, // first column of the third projection
}

#if VEC
@group(0) @binding(0) var<storage, read> x: array<vec4<{elem}>>; // [M, K/4]
#else
@group(0) @binding(0) var<storage, read> x: array<{elem}>; // [M, K]
#endif
@group(0) @binding(1) var<storage, read> w: array<u32>; // [N/64, K/32] blocks
#if LORA
@group(0) @binding(2) var<storage, read> z: array<vec4<{elem}>>; // [M, z_cols/4]
@group(0) @binding(3) var<storage, read> b: array<vec4<{elem}>>; // [S, N, R/4], scaled
@group(0) @binding(4) var<storage, read> adapters: array<u32>; // [M] adapter of a row, then [M/64, 2] first and last of a tile
@group(0) @binding(5) var<storage, read_write> y: array<{elem}>; // [M, cols]
@group(0) @binding(6) var<uniform> p: Params;
#else
@group(0) @binding(2) var<storage, read_write> y: array<{elem}>; // [M, cols]
@group(0) @binding(3) var<uniform> p: Params;
#endif

const WG_SIZE = 64u;

var<workgroup> sh_x: array<vec4<f32>, 128>; // [16 rows, 8]: a row, then four neighbours of K

#include packed

#include rows

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row_0 = tile.y * 16u;
#if SWIGLU
    let col_0 = tile.x * 64u + t;
    let tiles = (p.cols + 63u) / 64u;
    let blocks_0 = tile.x * p.blocks_k;
    let blocks_1 = (tile.x + tiles) * p.blocks_k;
#else
    let col_0 = tile.x * 128u + t;
    let col_1 = col_0 + 64u;
    let blocks_0 = tile.x * 2u * p.blocks_k;
    // Without a second column block the first is done twice and the second answer dropped.
    let blocks_1 = select(blocks_0, blocks_0 + p.blocks_k, tile.x * 128u + 64u < p.cols);
#endif
    // What this thread brings of x: a quarter of the vectors of two rows.
    let x_row = t >> 2u;
    let x_live = row_0 + x_row < p.rows;
    let x_from = min(row_0 + x_row, p.rows - 1u);
#for i 16
    var c{i}_0 = 0.0;
    var c{i}_1 = 0.0;
#endfor

    for (var g = 0u; g < p.blocks_k; g++) {
        workgroupBarrier();
#for j 2
        {
            let k4 = g * 8u + (t & 3u) * 2u + {j}u;
            let live = x_live && k4 * 4u < p.inner;
            sh_x[t * 2u + {j}u] = select(vec4<f32>(0.0), x_at(x_from, select(0u, k4, live)), live);
        }
#endfor
        workgroupBarrier();
        let block_0 = (blocks_0 + g) * BLOCK_WORDS;
        let block_1 = (blocks_1 + g) * BLOCK_WORDS;
        let scale_0 = scale_at(block_0, t);
        let scale_1 = scale_at(block_1, t);
        let words_0 = block_0 + t * WORDS_A_ROW;
        let words_1 = block_1 + t * WORDS_A_ROW;
#if INT4
#for k 4
        {
            let word_0 = w[words_0 + {k}u];
            let word_1 = w[words_1 + {k}u];
            let low_0 = codes_low(word_0) * scale_0;
            let low_1 = codes_low(word_1) * scale_1;
            let high_0 = codes_high(word_0) * scale_0;
            let high_1 = codes_high(word_1) * scale_1;
#for i 16
            let x{i} = sh_x[{i} * 8 + 2 * {k}];
            let u{i} = sh_x[{i} * 8 + 2 * {k} + 1];
            c{i}_0 += dot(x{i}, low_0) + dot(u{i}, high_0);
            c{i}_1 += dot(x{i}, low_1) + dot(u{i}, high_1);
#endfor
        }
#endfor
#else
#for k 8
        {
            let w0 = codes(w[words_0 + {k}u]) * scale_0;
            let w1 = codes(w[words_1 + {k}u]) * scale_1;
#for i 16
            let x{i} = sh_x[{i} * 8 + {k}];
            c{i}_0 += dot(x{i}, w0);
            c{i}_1 += dot(x{i}, w1);
#endfor
        }
#endfor
#endif
    }

#if LORA
    let first = adapters[p.rows + 2u * (row_0 >> 6u)];
    let last = adapters[p.rows + 2u * (row_0 >> 6u) + 1u];
    let mine = select(0xffffffffu, adapters[x_from], x_live);
    let r4s = p.rank / 4u;
#if SWIGLU
    let b_rows = 2u * p.cols;
    let live_0 = col_0 < p.cols;
    let live_1 = live_0;
    let b_0 = select(0u, col_0, live_0);
    let b_1 = select(0u, p.cols + col_0, live_1);
    let z_0 = 0u;
    let z_1 = r4s;
#else
    let b_rows = p.cols;
    let live_0 = col_0 < p.cols;
    let live_1 = col_1 < p.cols;
    let b_0 = select(0u, col_0, live_0);
    let b_1 = select(0u, col_1, live_1);
    let z_0 = select(0u, r4s, col_0 >= p.segment_1) + select(0u, r4s, col_0 >= p.segment_2);
    let z_1 = select(0u, r4s, col_1 >= p.segment_1) + select(0u, r4s, col_1 >= p.segment_2);
#endif
    for (var s = first; s <= last; s++) {
        for (var r4 = 0u; r4 < r4s; r4++) {
            workgroupBarrier();
            // One thread a row for the first columns, one for the second.
            if ((t & 3u) < 2u) {
                let z_at = x_from * (p.z_cols / 4u) + select(z_0, z_1, (t & 1u) == 1u) + r4;
                sh_x[(t & 1u) * 16u + x_row] = select(vec4<f32>(0.0), vec4<f32>(z[z_at]), mine == s);
            }
            workgroupBarrier();
            let w0 = vec4<f32>(b[(s * b_rows + b_0) * r4s + r4]);
            let w1 = vec4<f32>(b[(s * b_rows + b_1) * r4s + r4]);
#for i 16
            c{i}_0 += dot(sh_x[{i}], w0);
            c{i}_1 += dot(sh_x[16 + {i}], w1);
#endfor
        }
    }
#endif

    if (col_0 >= p.cols) { return; }
    let to = row_0 * p.cols + col_0;
#for i 16
    if (row_0 + {i}u < p.rows) {
#if SWIGLU
        y[to + {i}u * p.cols] = {elem}(c{i}_0 / (1.0 + exp(-c{i}_0)) * c{i}_1);
#else
        y[to + {i}u * p.cols] = {elem}(c{i}_0);
        if (col_1 < p.cols) { y[to + {i}u * p.cols + 64u] = {elem}(c{i}_1); }
#endif
    }
#endfor
}
