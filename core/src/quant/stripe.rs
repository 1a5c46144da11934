//! A product on a processor, straight from the packed words: what a kernel for one runs on each of its threads.

use super::layout::{BLOCK_ROWS, Bits, GROUP};
use super::pack::{half_of, read_codes};

/// Outputs summed at a time: as many as there are vector registers to hold them.
const LANES: usize = 32;

/// Adds `x·Wᵀ` for the 64 outputs of one row of blocks of `W` to `out`.
///
/// Each block is unpacked once, into 8 KiB, and used for every row of `x`; the whole matrix is never unpacked.
///
/// # Shapes
/// - `x`: `[rows, d_in]`
/// - `stripe`: words of one row of blocks
/// - `out`: `[rows, 64]`
///
/// # Panics
/// If the sizes do not fit each other.
#[inline]
pub fn add_stripe(x: &[f32], d_in: usize, stripe: &[u32], bits: Bits, out: &mut [f32]) {
    let block_words = bits.block_words();
    assert_eq!(stripe.len(), d_in.div_ceil(GROUP) * block_words, "one row of blocks");
    assert_eq!(x.len() / d_in * BLOCK_ROWS, out.len(), "64 outputs for each row of {d_in} values");
    let mut tile = [0.0_f32; GROUP * BLOCK_ROWS];
    for (g, block) in stripe.chunks_exact(block_words).enumerate() {
        unpack_across(block, bits, &mut tile);
        let columns = g * GROUP..d_in.min((g + 1) * GROUP);
        for (x, out) in x.chunks_exact(d_in).zip(out.chunks_exact_mut(BLOCK_ROWS)) {
            for (lanes, out) in out.chunks_exact_mut(LANES).enumerate() {
                let mut sums = [0.0_f32; LANES];
                sums.copy_from_slice(out);
                for (x, tile) in x[columns.clone()].iter().zip(tile.chunks_exact(BLOCK_ROWS)) {
                    let tile = &tile[lanes * LANES..][..LANES];
                    for (sum, weight) in sums.iter_mut().zip(tile) {
                        *sum += x * weight;
                    }
                }
                out.copy_from_slice(&sums);
            }
        }
    }
}

/// The values of a block, `[32, 64]`: those that one element of `x` is multiplied with lie side by side.
#[inline]
fn unpack_across(block: &[u32], bits: Bits, tile: &mut [f32; GROUP * BLOCK_ROWS]) {
    let (codes, scales) = block.split_at(BLOCK_ROWS * bits.code_words());
    for (r, words) in codes.chunks_exact(bits.code_words()).enumerate() {
        let scale = half_of(scales[r / 2], r % 2);
        for (k, code) in read_codes(words, bits).into_iter().enumerate() {
            tile[k * BLOCK_ROWS + r] = f32::from(code) * scale;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::layout::blocks;
    use super::super::pack::{pack, product};
    use super::*;

    #[test]
    fn stripes_make_up_the_reference_product() {
        for bits in [Bits::Four, Bits::Eight] {
            for [n, k] in [[1, 1], [65, 33], [128, 64], [70, 200]] {
                let wave = |count: usize, step: f32| -> Vec<f32> {
                    (0..count).map(|i| (i as f32 * step).sin()).collect()
                };
                let words = pack(&wave(n * k, 1.7), [n, k], bits).expect("finite");
                let x = wave(3 * k, 0.9);
                let expected = product(&x, &words, [n, k], bits);
                let stripe_words = blocks([n, k])[1] * bits.block_words();
                for (i, stripe) in words.chunks_exact(stripe_words).enumerate() {
                    let mut out = vec![1.0; 3 * BLOCK_ROWS];
                    add_stripe(&x, k, stripe, bits, &mut out);
                    for (row, out) in out.chunks_exact(BLOCK_ROWS).enumerate() {
                        for (r, value) in out.iter().enumerate() {
                            let place = i * BLOCK_ROWS + r;
                            let expected = if place < n { expected[row * n + place] } else { 0.0 };
                            assert!(
                                (value - 1.0 - expected).abs() < 1e-4,
                                "{bits:?} [{n}, {k}] {row} {place}"
                            );
                        }
                    }
                }
            }
        }
    }
}
