// y = x·Wᵀ of packed W (+ Z·Bᵀ of each row's adapter, + r with RESIDUAL) for few rows: the last token of each note, in the last layer.
//
// Reading W is all the work there is, so every word is read once and in order: a workgroup takes 64 columns, a block of
// the layout, and four rows; thread (column, slice) walks every fourth group of K, and the four slices of a sum meet in
// workgroup memory.
//
// Dispatch: x = ceil(N / 64), y = ceil(M / 4).
#if F16
enable f16;
#endif

#include product

const WG_SIZE = 256u;

var<workgroup> sh_sums: array<f32, 1024>; // [4 rows, 4 slices, 64 columns]

#include packed

#include rows

@compute @workgroup_size(WG_SIZE)
fn main(@builtin(workgroup_id) tile: vec3<u32>, @builtin(local_invocation_index) t: u32) {
    let column = t & 63u;
    let slice = t >> 6u;
    let row_0 = tile.y * 4u;
#for i 4
    var c{i} = 0.0;
    let from_{i} = min(row_0 + {i}u, p.rows - 1u);
#endfor
    for (var g = slice; g < p.blocks_k; g += 4u) {
        let block = (tile.x * p.blocks_k + g) * BLOCK_WORDS;
        let scale = scale_at(0u, block, column);
        let words = block + column * WORDS_A_ROW;
#for i 4
        var s{i} = 0.0;
#endfor
        // Words of the last group that lie beyond K hold zeros; x is not read there.
#if INT4
        for (var k = 0u; k < 4u; k++) {
            let k4 = g * 8u + 2u * k;
            let word = w[words + k];
            let low = codes_low(word);
            let high = codes_high(word);
            if (k4 * 4u < p.inner) {
#for i 4
                s{i} += dot(x_at(from_{i}, k4), low);
#endfor
            }
            if (k4 * 4u + 4u < p.inner) {
#for i 4
                s{i} += dot(x_at(from_{i}, k4 + 1u), high);
#endfor
            }
        }
#else
        for (var k = 0u; k < 8u; k++) {
            let k4 = g * 8u + k;
            if (k4 * 4u < p.inner) {
                let four = codes(w[words + k]);
#for i 4
                s{i} += dot(x_at(from_{i}, k4), four);
#endfor
            }
        }
#endif
#for i 4
        c{i} += s{i} * scale;
#endfor
    }
#for i 4
    sh_sums[{i}u * 256u + t] = c{i};
#endfor
    workgroupBarrier();
    // Now thread (column, slice) finishes row `slice`.
    let row = row_0 + slice;
    let n = tile.x * 64u + column;
    if (row >= p.rows || n >= p.cols) { return; }
    let at = slice * 256u + column;
    var sum = sh_sums[at] + sh_sums[at + 64u] + sh_sums[at + 128u] + sh_sums[at + 192u];
#if LORA
    let adapter = adapters[row];
    let tile_64 = p.rows + 2u * (row >> 6u);
    if (adapter >= adapters[tile_64] && adapter <= adapters[tile_64 + 1u]) {
        let z_from = row * (p.rank / 4u);
        let b_from = (adapter * p.cols + n) * (p.rank / 4u);
        for (var r4 = 0u; r4 < p.rank / 4u; r4++) {
            sum += dot(vec4<f32>(z[z_from + r4]), vec4<f32>(b[b_from + r4]));
        }
    }
#endif
#if RESIDUAL
    y[row * p.cols + n] = r[row * p.cols + n] + {elem}(sum);
#else
    y[row * p.cols + n] = {elem}(sum);
#endif
}
