// The product of `matmul_packed.wgsl` without workgroup memory: for adapters that are programs.
//
// A software adapter runs invocations a few lanes wide; there a barrier is a switch of coroutines, and a load of workgroup
// memory costs what one of storage does, some fifty times a multiplication. So each invocation owns 8 rows by 32 columns and
// reads from storage what it needs: 3 loads for 64 multiply-adds.
//
// RESIDUAL, SWIGLU, QKV and LORA as there. With SWIGLU the columns are 16 of each matrix.
//
// Dispatch: x = ceil(N / 64), or ceil(F / 32) with SWIGLU; y = ceil(M / 64).
#if F16
enable f16;
#endif

#include product

const WG_SIZE = 16u;

#include packed

#include rows

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let row_0 = tile.y * 64u + (t >> 1u) * 8u;
#if SWIGLU
    let col_0 = tile.x * 32u + (t & 1u) * 16u;
    let w_row = col_0;
#else
    let col_0 = tile.x * 64u + (t & 1u) * 32u;
#if QKV
    let part = select(0u, 1u, col_0 >= p.segment_1) + select(0u, 1u, col_0 >= p.segment_2);
    let w_row = col_0 - select(0u, select(p.segment_1, p.segment_2, part == 2u), part > 0u);
#else
    let part = 0u;
    let w_row = col_0;
#endif
#endif
    if (row_0 >= p.rows || col_0 >= p.cols) { return; }
    let w_blocks = (w_row >> 6u) * p.blocks_k;
    let w_in = w_row & 63u;
#for i 8
    let from_{i} = min(row_0 + {i}u, p.rows - 1u);
#for h 4
#for j 8
    var c{h}_{i}_{j} = 0.0;
#endfor
#endfor
#endfor

    for (var g = 0u; g < p.blocks_k; g++) {
        let block = (w_blocks + g) * BLOCK_WORDS;
        let words = block + w_in * WORDS_A_ROW;
#for i 8
#for h 4
#for j 8
        var s{h}_{i}_{j} = 0.0;
#endfor
#endfor
#endfor
        // Words of the last group that lie beyond K hold zeros, or meet those of x.
        for (var k = 0u; k < WORDS_A_ROW; k++) {
#if INT4
            let k4 = g * 8u + 2u * k;
#for i 8
            let x{i} = x_in(from_{i}, k4);
            let u{i} = x_in(from_{i}, k4 + 1u);
#endfor
#else
            let k4 = g * 8u + k;
#for i 8
            let x{i} = x_in(from_{i}, k4);
#endfor
#endif
#for h 4
#for j 8
            {
#if SWIGLU
                let word = word_at({h}u / 2u, words + ({h}u % 2u * 8u + {j}u) * WORDS_A_ROW + k);
#else
                let word = word_at(part, words + ({h}u * 8u + {j}u) * WORDS_A_ROW + k);
#endif
#if INT4
                let l = codes_low(word);
                let m = codes_high(word);
#for i 8
                s{h}_{i}_{j} = fma(x{i}.x, l.x, fma(x{i}.y, l.y, fma(x{i}.z, l.z, fma(x{i}.w, l.w, fma(u{i}.x, m.x, fma(u{i}.y, m.y, fma(u{i}.z, m.z, fma(u{i}.w, m.w, s{h}_{i}_{j}))))))));
#endfor
#else
                let l = codes(word);
#for i 8
                s{h}_{i}_{j} = fma(x{i}.x, l.x, fma(x{i}.y, l.y, fma(x{i}.z, l.z, fma(x{i}.w, l.w, s{h}_{i}_{j}))));
#endfor
#endif
            }
#endfor
#endfor
        }
#for h 4
#for j 8
        {
#if SWIGLU
            let scale = scale_at({h}u / 2u, block, w_in + {h}u % 2u * 8u + {j}u);
#else
            let scale = scale_at(part, block, w_in + {h}u * 8u + {j}u);
#endif
#for i 8
            c{h}_{i}_{j} += s{h}_{i}_{j} * scale;
#endfor
        }
#endfor
#endfor
    }

#if LORA
    // More columns: for each adapter of this tile's rows, Z of those rows against that adapter's B.
    let first = adapters[p.rows + 2u * (row_0 >> 6u)];
    let last = adapters[p.rows + 2u * (row_0 >> 6u) + 1u];
    let r4s = p.rank / 4u;
#if SWIGLU
    let b_rows = 2u * p.cols;
#else
    let b_rows = p.cols;
#endif
    for (var s = first; s <= last; s++) {
#for i 8
        let mine_{i} = select(0.0, 1.0, adapters[from_{i}] == s);
#endfor
        if (mine_0 + mine_1 + mine_2 + mine_3 + mine_4 + mine_5 + mine_6 + mine_7 > 0.0) {
            for (var r4 = 0u; r4 < r4s; r4++) {
#if !SWIGLU
#for i 8
                let z_{i} = vec4<f32>(z[from_{i} * (p.z_cols / 4u) + part * r4s + r4]) * mine_{i};
#endfor
#endif
#for h 4
                {
#if SWIGLU
                let b_from = s * b_rows + {h}u / 2u * p.cols;
#for i 8
                let z_{i} = vec4<f32>(z[from_{i} * (p.z_cols / 4u) + {h}u / 2u * r4s + r4]) * mine_{i};
#endfor
#else
                let b_from = s * b_rows;
#endif
#for j 8
                {
#if SWIGLU
                    let n = min(col_0 + {h}u % 2u * 8u + {j}u, p.cols - 1u);
#else
                    let n = min(col_0 + {h}u * 8u + {j}u, p.cols - 1u);
#endif
                    let four = vec4<f32>(b[(b_from + n) * r4s + r4]);
#for i 8
                    c{h}_{i}_{j} += dot(z_{i}, four);
#endfor
                }
#endfor
                }
#endfor
            }
        }
    }
#endif

#for i 8
    if (row_0 + {i}u < p.rows) {
        let at = (row_0 + {i}u) * p.cols + col_0;
#if SWIGLU
#for j 8
        if (col_0 + {j}u < p.cols) { y[at + {j}u] = {elem}(c0_{i}_{j} / (1.0 + exp(-c0_{i}_{j})) * c2_{i}_{j}); }
        if (col_0 + 8u + {j}u < p.cols) { y[at + 8u + {j}u] = {elem}(c1_{i}_{j} / (1.0 + exp(-c1_{i}_{j})) * c3_{i}_{j}); }
#endfor
#else
#for h 4
#for j 8
#if RESIDUAL
        if (col_0 + {h}u * 8u + {j}u < p.cols) { y[at + {h}u * 8u + {j}u] = r[at + {h}u * 8u + {j}u] + {elem}(c{h}_{i}_{j}); }
#else
        if (col_0 + {h}u * 8u + {j}u < p.cols) { y[at + {h}u * 8u + {j}u] = {elem}(c{h}_{i}_{j}); }
#endif
#endfor
#endfor
#endif
    }
#endfor
}

// Four neighbours of x, zeros beyond K.
fn x_in(row: u32, k4: u32) -> vec4<f32> {
    return select(vec4<f32>(0.0), x_at(row, min(k4, (p.inner + 3u) / 4u - 1u)), k4 * 4u < p.inner);
}
