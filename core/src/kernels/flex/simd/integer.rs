//! The product with a packed matrix in whole numbers: activations in 16 bits, weights as they are packed.
//!
//! WebAssembly multiplies eight pairs of 16-bit numbers and adds neighbours in one instruction, where of f32 it multiplies
//! four and adds in another; it has no fused multiply-add that every browser knows. Each group of 32 activations gets a scale
//! of its own, `max|x| / 32767`, so `|x - code·scale| <= scale / 2`: two bits finer than f16 at the group's largest value, and
//! far finer than the weights. Sums of a group are exact: `32767 · 127 · 32 < 2^31`.
//!
//! A stripe of 64 outputs is unpacked once and used for all rows.

use super::lanes::{
    f32x4_abs, f32x4_add, f32x4_convert_i32x4, f32x4_max, f32x4_mul, f32x4_nearest, f32x4_splat, floats,
    i8x16_splat, i8x16_sub, i16x8_extend_high_i8x16, i16x8_extend_low_i8x16, i16x8_narrow_i32x4, i32x4_add,
    i32x4_dot_i16x8, i32x4_shuffle, i32x4_splat, i32x4_trunc_sat_f32x4, largest, u8x16_shr, v128, v128_and,
    v128_load, v128_load32_splat, v128_store,
};
use super::{OCTET, TILE_ROWS};
use crate::quant::pack::half_of;
use crate::quant::{BLOCK_ROWS, Bits, GROUP};

const LARGEST: f32 = 32767.0;

/// Numbers of one group of an octet of columns, in pairs along the input: `[16, 8, 2]`.
const OCTET_CODES: usize = GROUP * OCTET;

/// Rows of activations in 16 bits.
pub(in super::super) struct Rows {
    rows: usize,
    groups: usize,
    /// `[rows, groups, 32]`, zeros beyond the width.
    codes: Vec<i16>,
    /// `[rows, groups]`.
    scales: Vec<f32>,
}

impl Rows {
    /// Of `x`, `[rows, width]`.
    pub(in super::super) fn of(x: &[f32], width: usize) -> Self {
        let (rows, groups) = (x.len() / width, width.div_ceil(GROUP));
        let mut codes = vec![0; rows * groups * GROUP];
        let mut scales = Vec::with_capacity(rows * groups);
        for (x, codes) in x.chunks_exact(width).zip(codes.chunks_exact_mut(groups * GROUP)) {
            for (x, codes) in x.chunks(GROUP).zip(codes.as_chunks_mut::<GROUP>().0) {
                scales.push(match x.as_array::<GROUP>() {
                    Some(x) => quantise(x, codes),
                    None => {
                        let mut padded = [0.0; GROUP];
                        padded[..x.len()].copy_from_slice(x);
                        quantise(&padded, codes)
                    }
                });
            }
        }
        Self { rows, groups, codes, scales }
    }

    /// `x·Wᵀ`, `[rows, d_out]`, added to `out`.
    ///
    /// # Panics
    /// If `words` are not those of a matrix of `d_out` outputs for rows of this width, or `out` is of another size.
    pub(in super::super) fn add_product(&self, words: &[u32], d_out: usize, bits: Bits, out: &mut [f32]) {
        let stripe_words = self.groups * bits.block_words();
        assert_eq!(words.len(), d_out.div_ceil(BLOCK_ROWS) * stripe_words, "the words of a matrix");
        assert_eq!(out.len(), self.rows * d_out, "one value for each row and output");
        let mut stripe = Stripe::new(self.groups);
        for (words, first) in words.chunks_exact(stripe_words).zip((0..).step_by(BLOCK_ROWS)) {
            stripe.unpack(words, bits);
            for octet in 0..(d_out - first).min(BLOCK_ROWS).div_ceil(OCTET) {
                let from = first + octet * OCTET;
                let columns = from..d_out.min(from + OCTET);
                let mut row = 0;
                while row + TILE_ROWS <= self.rows {
                    self.add_tile::<TILE_ROWS>(row, &stripe, octet, &mut out[row * d_out..], d_out, &columns);
                    row += TILE_ROWS;
                }
                while row < self.rows {
                    self.add_tile::<1>(row, &stripe, octet, &mut out[row * d_out..], d_out, &columns);
                    row += 1;
                }
            }
        }
    }

    /// Adds `R` rows of an octet of columns to `out`, whose first row is the tile's.
    #[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
    fn add_tile<const R: usize>(
        &self,
        row: usize,
        stripe: &Stripe,
        octet: usize,
        out: &mut [f32],
        d_out: usize,
        columns: &std::ops::Range<usize>,
    ) {
        let of_rows = row * self.groups..(row + R) * self.groups;
        let codes = &self.codes[of_rows.start * GROUP..of_rows.end * GROUP];
        let (panel, scales) = stripe.octet(octet);
        let sums = tile::<R>(codes, &self.scales[of_rows], panel, scales, self.groups);
        for (out, sums) in out.chunks_mut(d_out).zip(sums) {
            for (out, sum) in out[columns.clone()].iter_mut().zip(floats(sums)) {
                *out += sum;
            }
        }
    }
}

/// Codes of a group and its scale. What is not finite makes the scale so.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn quantise(x: &[f32; GROUP], codes: &mut [i16; GROUP]) -> f32 {
    let mut most = f32x4_splat(0.0);
    for four in 0..GROUP / 4 {
        // SAFETY: 32 numbers are eight vectors.
        most = f32x4_max(most, f32x4_abs(unsafe { v128_load(x.as_ptr().add(4 * four).cast()) }));
    }
    let most = largest(most);
    let factor = f32x4_splat(if most > 0.0 { LARGEST / most } else { 0.0 });
    for eight in 0..GROUP / 8 {
        // SAFETY: 32 numbers are eight vectors, and 32 codes four.
        unsafe {
            let from = x.as_ptr().add(8 * eight);
            let whole = |from: *const f32| {
                i32x4_trunc_sat_f32x4(f32x4_nearest(f32x4_mul(v128_load(from.cast()), factor)))
            };
            let both = i16x8_narrow_i32x4(whole(from), whole(from.add(4)));
            v128_store(codes.as_mut_ptr().add(8 * eight).cast(), both);
        }
    }
    most / LARGEST
}

/// One row of blocks, unpacked.
struct Stripe {
    groups: usize,
    /// `[8 octets, groups, 16 pairs, 8 columns, 2]`.
    codes: Vec<i16>,
    /// `[8 octets, groups, 8 columns]`.
    scales: Vec<f32>,
}

impl Stripe {
    fn new(groups: usize) -> Self {
        let columns = groups * BLOCK_ROWS;
        Self { groups, codes: vec![0; columns * GROUP], scales: vec![0.0; columns] }
    }

    fn unpack(&mut self, words: &[u32], bits: Bits) {
        for (g, block) in words.chunks_exact(bits.block_words()).enumerate() {
            let (codes, scales) = block.split_at(BLOCK_ROWS * bits.code_words());
            for (quad, codes) in codes.chunks_exact(4 * bits.code_words()).enumerate() {
                let place = (quad / 2) * self.groups + g;
                let into = &mut self.codes[place * OCTET_CODES..][..OCTET_CODES];
                unpack_quad(codes, bits, into, quad % 2);
            }
            for (r, pair) in (0..).step_by(2).zip(scales) {
                let place = (r / OCTET) * self.groups + g;
                let into = &mut self.scales[place * OCTET + r % OCTET..][..2];
                into.copy_from_slice(&[half_of(*pair, 0), half_of(*pair, 1)]);
            }
        }
    }

    fn octet(&self, octet: usize) -> (&[i16], &[f32]) {
        let size = self.groups * OCTET_CODES;
        let scales = self.groups * OCTET;
        (&self.codes[octet * size..][..size], &self.scales[octet * scales..][..scales])
    }
}

/// One group of four rows of a block: pair by pair the two codes of each, in the first or second half of an octet.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn unpack_quad(words: &[u32], bits: Bits, into: &mut [i16], half: usize) {
    assert!(words.len() == 4 * bits.code_words() && into.len() == OCTET_CODES && half < 2, "a quad");
    // SAFETY: a row's codes are two vectors of bytes (int8) or one of nibbles (int4).
    let rows: [[v128; 2]; 4] = std::array::from_fn(|row| unsafe {
        let from: *const v128 = words.as_ptr().add(row * bits.code_words()).cast();
        match bits {
            Bits::Eight => [v128_load(from), v128_load(from.add(1))],
            Bits::Four => {
                let nibbles = v128_load(from);
                let low = v128_and(nibbles, i8x16_splat(15));
                let high = u8x16_shr(nibbles, 4);
                let zero = i8x16_splat(8);
                [
                    i8x16_sub(i32x4_shuffle::<0, 4, 1, 5>(low, high), zero),
                    i8x16_sub(i32x4_shuffle::<2, 6, 3, 7>(low, high), zero),
                ]
            }
        }
    });
    for part in 0..4 {
        let wide: [v128; 4] = std::array::from_fn(|row| match part % 2 {
            0 => i16x8_extend_low_i8x16(rows[row][part / 2]),
            _ => i16x8_extend_high_i8x16(rows[row][part / 2]),
        });
        let [a, b, c, d] = wide; // each four pairs of one row
        let (ab, cd) = (i32x4_shuffle::<0, 4, 1, 5>(a, b), i32x4_shuffle::<0, 4, 1, 5>(c, d));
        let (ef, gh) = (i32x4_shuffle::<2, 6, 3, 7>(a, b), i32x4_shuffle::<2, 6, 3, 7>(c, d));
        let pairs = [
            i32x4_shuffle::<0, 1, 4, 5>(ab, cd),
            i32x4_shuffle::<2, 3, 6, 7>(ab, cd),
            i32x4_shuffle::<0, 1, 4, 5>(ef, gh),
            i32x4_shuffle::<2, 3, 6, 7>(ef, gh),
        ]; // each one pair of four rows
        for (pair, vector) in pairs.into_iter().enumerate() {
            let at = ((4 * part + pair) * 2 + half) * 8;
            // SAFETY: `into` holds 16 pairs of two halves of eight numbers.
            unsafe { v128_store(into.as_mut_ptr().add(at).cast(), vector) };
        }
    }
}

/// Sums of `R` rows and an octet of columns.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn tile<const R: usize>(
    codes: &[i16],
    code_scales: &[f32],
    panel: &[i16],
    scales: &[f32],
    groups: usize,
) -> [[v128; 2]; R] {
    assert!(codes.len() == R * groups * GROUP && code_scales.len() == R * groups, "rows of the tile");
    assert!(panel.len() == groups * OCTET_CODES && scales.len() == groups * OCTET, "an octet");
    let mut sums = [[f32x4_splat(0.0); 2]; R];
    for g in 0..groups {
        let mut whole = [[i32x4_splat(0); 2]; R];
        // SAFETY: the sizes above.
        unsafe {
            let x = codes.as_ptr().add(g * GROUP);
            let w = panel.as_ptr().add(g * OCTET_CODES);
            for turn in 0..GROUP / 8 {
                let (x, w) = (x.add(8 * turn), w.add(8 * OCTET * turn));
                for pair in 0..4 {
                    let w: *const v128 = w.add(2 * OCTET * pair).cast();
                    let (first, second) = (v128_load(w), v128_load(w.add(1)));
                    for (row, whole) in whole.iter_mut().enumerate() {
                        let x = v128_load32_splat(x.add(row * groups * GROUP + 2 * pair).cast());
                        whole[0] = i32x4_add(whole[0], i32x4_dot_i16x8(x, first));
                        whole[1] = i32x4_add(whole[1], i32x4_dot_i16x8(x, second));
                    }
                }
            }
            let w: *const v128 = scales.as_ptr().add(g * OCTET).cast();
            let scales = [v128_load(w), v128_load(w.add(1))];
            for (row, (sums, whole)) in sums.iter_mut().zip(whole).enumerate() {
                let x = v128_load32_splat(code_scales.as_ptr().add(row * groups + g).cast());
                for half in 0..2 {
                    let value = f32x4_mul(f32x4_convert_i32x4(whole[half]), f32x4_mul(scales[half], x));
                    sums[half] = f32x4_add(sums[half], value);
                }
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quant::{pack, product};

    fn wave(count: usize, step: f32) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * step).sin()).collect()
    }

    #[test]
    fn the_product_is_the_references_to_the_sixteenth_bit() {
        for bits in [Bits::Four, Bits::Eight] {
            for [rows, n, k] in [[1, 1, 1], [3, 65, 33], [4, 64, 64], [7, 131, 97], [9, 72, 288]] {
                let words = pack(&wave(n * k, 1.7), [n, k], bits).expect("finite");
                let x = wave(rows * k, 0.9);
                let expected = product(&x, &words, [n, k], bits);
                let mut out = vec![1.0; rows * n];
                Rows::of(&x, k).add_product(&words, n, bits, &mut out);
                // Half a step of x for each weight, as random as the signs of the two.
                let allowed = 4.0 * (k as f32).sqrt() * 0.5 / LARGEST;
                for (value, expected) in out.iter().zip(&expected) {
                    let difference = (value - 1.0 - expected).abs();
                    assert!(difference < allowed, "{bits:?} [{rows}, {n}, {k}]: {difference}");
                }
            }
        }
    }

    #[test]
    fn codes_are_within_half_a_step_and_what_is_not_finite_stays_so() {
        let mut x: [f32; GROUP] = std::array::from_fn(|i| ((i * 37 % 29) as f32 - 14.0) * 0.3);
        let mut codes = [0; GROUP];
        let scale = quantise(&x, &mut codes);
        for (x, code) in x.iter().zip(codes) {
            assert!((x - f32::from(code) * scale).abs() <= 0.51 * scale, "{x} and {code}");
        }
        assert_eq!(quantise(&[0.0; GROUP], &mut codes), 0.0);
        assert_eq!(codes, [0; GROUP]);
        for bad in [f32::NAN, f32::INFINITY] {
            x[17] = bad;
            assert!(!quantise(&x, &mut codes).is_finite(), "{bad}");
        }
    }
}
