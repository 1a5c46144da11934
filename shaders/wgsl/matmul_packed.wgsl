// y = x·Wᵀ of packed W, plus Z·Bᵀ of each row's adapter: a stack of LoRA deltas as extra columns of the same product.
//
// Tiles of 64 rows by 64 columns, 64 threads, one step of K a group of 32. In loading, thread t brings row t of both
// tiles, dequantised once; in multiplying, thread (tx, ty) owns rows 8i+ty and columns 8j+tx, so neighbours read
// neighbouring vectors of workgroup memory. Sums are f32 whatever the tiles are.
//
// RESIDUAL adds r to y. SWIGLU multiplies a gate and an up projection: a tile is 32 columns of each, and y =
// silu(gate)·up. QKV multiplies three matrices, whose columns stand side by side in y, each padded to a multiple of 64.
//
// Dispatch: x = ceil(N / 64), or ceil(F / 32) with SWIGLU; y = ceil(M / 64).
#if F16
enable f16;
#endif

#include product

const WG_SIZE = 64u;

var<workgroup> sh_x: array<vec4<{elem}>, 512>; // [8, 64]: four neighbours of K, then a row
var<workgroup> sh_w: array<vec4<{elem}>, 512>; // [8, 64]

#include packed

fn x_at(row: u32, k4: u32) -> vec4<{elem}> {
#if VEC
    return x[row * (p.inner / 4u) + k4];
#else
    let k = 4u * k4;
    let at = row * p.inner;
    let last = p.inner - 1u;
    let four = vec4<{elem}>(x[at + min(k, last)], x[at + min(k + 1u, last)], x[at + min(k + 2u, last)], x[at + min(k + 3u, last)]);
    return select(vec4<{elem}>(0.0), four, vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(p.inner));
#endif
}

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let tx = t & 7u;
    let ty = t >> 3u;
    let row_0 = tile.y * 64u;
    // What this thread brings: a row of x, and a row of W.
    let x_row = row_0 + t;
    let x_live = x_row < p.rows;
    let x_from = min(x_row, p.rows - 1u);
#if SWIGLU
    let col_0 = tile.x * 32u;
    let part = t >> 5u;
    let w_row = col_0 + (t & 31u);
#else
    let col_0 = tile.x * 64u;
#if QKV
    let part = select(0u, 1u, col_0 >= p.segment_1) + select(0u, 1u, col_0 >= p.segment_2);
    let part_0 = select(0u, select(p.segment_1, p.segment_2, part == 2u), part > 0u);
    let w_row = col_0 - part_0 + t;
#else
    let part = 0u;
    let w_row = col_0 + t;
#endif
#endif
    let w_blocks = (w_row >> 6u) * p.blocks_k;
    let w_in = w_row & 63u;
#for i 8
#for j 8
    var c{i}_{j} = 0.0;
#endfor
#endfor

    for (var g = 0u; g < p.blocks_k; g++) {
#for k 8
        {
            let k4 = g * 8u + {k}u;
            let live = x_live && k4 * 4u < p.inner;
            sh_x[{k} * 64 + t] = select(vec4<{elem}>(0.0), x_at(x_from, select(0u, k4, live)), live);
        }
#endfor
        let block = (w_blocks + g) * BLOCK_WORDS;
        let scale = scale_at(part, block, w_in);
        let words = block + w_in * WORDS_A_ROW;
#if INT4
#for k 4
        let word_{k} = word_at(part, words + {k}u);
        sh_w[{k} * 128 + t] = vec4<{elem}>(codes_low(word_{k}) * scale);
        sh_w[{k} * 128 + 64 + t] = vec4<{elem}>(codes_high(word_{k}) * scale);
#endfor
#else
#for k 8
        sh_w[{k} * 64 + t] = vec4<{elem}>(codes(word_at(part, words + {k}u)) * scale);
#endfor
#endif
        workgroupBarrier();
        // Two vectors of K a turn: a sum is then touched half as often.
        for (var k = 0u; k < 4u; k++) {
            let at_x = k * 128u + ty;
            let at_w = k * 128u + tx;
#for i 8
            let w{i} = sh_w[at_w + {i}u * 8u];
            let v{i} = sh_w[at_w + 64u + {i}u * 8u];
#endfor
#for i 8
            let x{i} = sh_x[at_x + {i}u * 8u];
            let u{i} = sh_x[at_x + 64u + {i}u * 8u];
#for j 8
            c{i}_{j} += f32(dot(x{i}, w{j})) + f32(dot(u{i}, v{j}));
#endfor
#endfor
        }
        workgroupBarrier();
    }

#if LORA
    // More columns: for each adapter of this tile's rows, Z of those rows against that adapter's B.
    let first = adapters[p.rows + 2u * tile.y];
    let last = adapters[p.rows + 2u * tile.y + 1u];
    let mine = select(0xffffffffu, adapters[x_from], x_live);
#if SWIGLU
    let b_rows = 2u * p.cols;
    let b_live = w_row < p.cols;
    let b_row = select(0u, w_row + part * p.cols, b_live);
#else
    let b_rows = p.cols;
    let b_live = col_0 + t < p.cols;
    let b_row = select(0u, col_0 + t, b_live);
#endif
    let r4s = p.rank / 4u;
    for (var s = first; s <= last; s++) {
        for (var r4 = 0u; r4 < r4s; r4++) {
#if SWIGLU
            // Gate and up share x but not Z: each has its own R columns, so each goes through the tile by itself.
            let z_live = mine == s;
            sh_x[t] = select(vec4<{elem}>(0.0), z[x_from * (p.z_cols / 4u) + r4], z_live);
            sh_x[64u + t] = select(vec4<{elem}>(0.0), z[x_from * (p.z_cols / 4u) + r4s + r4], z_live);
#else
            let z_at = x_from * (p.z_cols / 4u) + part * r4s + r4;
            sh_x[t] = select(vec4<{elem}>(0.0), z[z_at], mine == s);
#endif
            sh_w[t] = select(vec4<{elem}>(0.0), b[(s * b_rows + b_row) * r4s + r4], b_live);
            workgroupBarrier();
#for i 8
            let x{i} = sh_x[ty + {i}u * 8u];
#if SWIGLU
            let u{i} = sh_x[64u + ty + {i}u * 8u];
#endif
            let w{i} = sh_w[tx + {i}u * 8u];
#endfor
#for i 8
#for j 4
            c{i}_{j} += f32(dot(x{i}, w{j}));
#endfor
#if SWIGLU
            c{i}_4 += f32(dot(u{i}, w4));
            c{i}_5 += f32(dot(u{i}, w5));
            c{i}_6 += f32(dot(u{i}, w6));
            c{i}_7 += f32(dot(u{i}, w7));
#else
            c{i}_4 += f32(dot(x{i}, w4));
            c{i}_5 += f32(dot(x{i}, w5));
            c{i}_6 += f32(dot(x{i}, w6));
            c{i}_7 += f32(dot(x{i}, w7));
#endif
#endfor
            workgroupBarrier();
        }
    }
#endif

#for i 8
    if (row_0 + {i}u * 8u + ty < p.rows) {
        let at = (row_0 + {i}u * 8u + ty) * p.cols + col_0 + tx;
#if SWIGLU
        if (col_0 + tx < p.cols) { y[at] = {elem}(c{i}_0 / (1.0 + exp(-c{i}_0)) * c{i}_4); }
        if (col_0 + 8u + tx < p.cols) { y[at + 8u] = {elem}(c{i}_1 / (1.0 + exp(-c{i}_1)) * c{i}_5); }
        if (col_0 + 16u + tx < p.cols) { y[at + 16u] = {elem}(c{i}_2 / (1.0 + exp(-c{i}_2)) * c{i}_6); }
        if (col_0 + 24u + tx < p.cols) { y[at + 24u] = {elem}(c{i}_3 / (1.0 + exp(-c{i}_3)) * c{i}_7); }
#else
#for j 8
#if RESIDUAL
        if (col_0 + {j}u * 8u + tx < p.cols) { y[at + {j}u * 8u] = r[at + {j}u * 8u] + {elem}(c{i}_{j}); }
#else
        if (col_0 + {j}u * 8u + tx < p.cols) { y[at + {j}u * 8u] = {elem}(c{i}_{j}); }
#endif
#endfor
#endif
    }
#endfor
}
