//! Packing and unpacking on the processor: the reference that every kernel is held against.

use half::f16;

use super::group::Group;
use super::layout::{BLOCK_ROWS, Bits, GROUP, SCALE_WORDS, blocks, row_words};
use super::moments::Moments;

/// Packs `values` (`[d_out, d_in]`, row-major). Stripes of 64 rows are packed independently: the words of several stripes,
/// one after the other, are those of the whole.
///
/// None if a value is not finite, or so large that its scale is none in f16 (from 458,000 in int4, 8.3 million in int8).
///
/// # Panics
/// If there is not one value for each place.
#[must_use]
pub fn pack(values: &[f32], shape: [usize; 2], bits: Bits) -> Option<Vec<u32>> {
    pack_for(values, shape, bits, None)
}

/// The same, for a layer whose inputs are known: codes and scales are chosen for the least error of its outputs on them. A
/// value may then lie more than half a step from its code, to make up for others.
///
/// # Panics
/// As [`pack`], and if the inputs are of another width.
#[must_use]
pub fn pack_for(values: &[f32], shape: [usize; 2], bits: Bits, inputs: Option<&Moments>) -> Option<Vec<u32>> {
    let [d_out, d_in] = shape;
    assert_eq!(values.len(), d_out * d_in, "one value for each place of {d_out} by {d_in}");
    let [row_blocks, groups] = blocks(shape);
    let moments = inputs.and_then(Moments::means);
    let of_group = |g: usize| moments.as_ref().map(|moments| &moments[g * GROUP * GROUP..][..GROUP * GROUP]);
    assert!(
        moments.as_ref().is_none_or(|all| all.len() == groups * GROUP * GROUP),
        "inputs of {d_in} values"
    );
    let block_words = bits.block_words();
    let mut words = vec![0_u32; row_blocks * groups * block_words];
    let pack_block = |place: usize, block: &mut [u32]| {
        let (i, g) = (place / groups, place % groups);
        let (codes, scales) = block.split_at_mut(BLOCK_ROWS * bits.code_words());
        for (r, codes) in codes.chunks_exact_mut(bits.code_words()).enumerate() {
            let row = i * BLOCK_ROWS + r;
            let columns = g * GROUP..d_in.min((g + 1) * GROUP);
            let group = if row < d_out { &values[row * d_in..][columns] } else { &[] };
            let group = match of_group(g) {
                Some(moments) => Group::fit(group, bits, moments)?,
                None => Group::round(group, bits)?,
            };
            write_codes(&group.codes, bits, codes);
            scales[r / 2] |= u32::from(group.scale.to_bits()) << (16 * (r % 2));
        }
        Some(())
    };
    // A browser never packs; elsewhere a large model is waited for.
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = (row_blocks * groups).div_ceil(threads).max(SHARE_BLOCKS);
    let pack_share = |(n, blocks): (usize, &mut [u32])| {
        let mut blocks = blocks.chunks_exact_mut(block_words).enumerate();
        blocks.try_for_each(|(place, block)| pack_block(n * share + place, block))
    };
    let mut shares = words.chunks_mut(share * block_words).enumerate();
    if shares.len() <= 1 {
        shares.try_for_each(pack_share)?;
    } else {
        let pack_share = &pack_share;
        std::thread::scope(|scope| {
            let threads: Vec<_> = shares.map(|share| scope.spawn(move || pack_share(share))).collect();
            // All are waited for, whatever the first says.
            let packed: Vec<_> =
                threads.into_iter().map(|t| t.join().expect("packing does not panic")).collect();
            packed.into_iter().collect::<Option<()>>()
        })?;
    }
    Some(words)
}

/// Blocks that are worth a thread.
const SHARE_BLOCKS: usize = 64;

/// The values `[d_out, d_in]` that `words` stand for.
///
/// # Panics
/// If `words` are not those of a matrix of this shape.
#[must_use]
pub fn unpack(words: &[u32], shape: [usize; 2], bits: Bits) -> Vec<f32> {
    let [d_out, d_in] = shape;
    let [row_blocks, groups] = blocks(shape);
    let block_words = bits.block_words();
    assert_eq!(words.len(), row_blocks * groups * block_words, "the words of a matrix of {d_out} by {d_in}");
    let mut values = vec![0.0; d_out * d_in];
    for (place, block) in words.chunks_exact(block_words).enumerate() {
        let (i, g) = (place / groups, place % groups);
        let columns = g * GROUP..d_in.min((g + 1) * GROUP);
        for r in 0..BLOCK_ROWS.min(d_out - i * BLOCK_ROWS) {
            let row = &mut values[(i * BLOCK_ROWS + r) * d_in..][columns.clone()];
            let scale = half_of(block[BLOCK_ROWS * bits.code_words() + r / 2], r % 2);
            let codes = read_codes(&block[r * bits.code_words()..][..bits.code_words()], bits);
            for (value, code) in row.iter_mut().zip(codes) {
                *value = f32::from(code) * scale;
            }
        }
    }
    values
}

/// `x·Wᵀ` for rows `x` (`[rows, d_in]`) straight from the packed words, `[rows, d_out]`, summed in f64: slow and plain.
///
/// # Panics
/// If the sizes do not fit each other.
#[must_use]
pub fn product(x: &[f32], words: &[u32], shape: [usize; 2], bits: Bits) -> Vec<f32> {
    let [d_out, d_in] = shape;
    assert!(x.len().is_multiple_of(d_in), "rows of {d_in} values");
    let weight = unpack(words, shape, bits);
    let dot = |x: &[f32], w: &[f32]| x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w)).sum::<f64>();
    #[expect(clippy::cast_possible_truncation, reason = "results are f32")]
    let rows = x.chunks_exact(d_in).flat_map(|x| weight.chunks_exact(d_in).map(move |w| dot(x, w) as f32));
    let product: Vec<f32> = rows.collect();
    debug_assert_eq!(product.len(), x.len() / d_in * d_out, "one value for each row and output");
    product
}

/// Packs rows of `width` values one after the other, as a table that is read row by row. None as in [`pack`].
///
/// # Panics
/// If `values` are not whole rows.
#[must_use]
pub fn pack_rows(values: &[f32], width: usize) -> Option<Vec<u32>> {
    assert!(values.len().is_multiple_of(width), "rows of {width} values");
    let (groups, code_words) = (width.div_ceil(GROUP), Bits::Eight.code_words());
    let words = usize::try_from(row_words(width as u64)).expect("a row fits into memory");
    let mut table = vec![0_u32; values.len() / width * words];
    for (row, words) in values.chunks_exact(width).zip(table.chunks_exact_mut(words)) {
        let (codes, scales) = words.split_at_mut(groups * code_words);
        for (g, (group, codes)) in row.chunks(GROUP).zip(codes.chunks_exact_mut(code_words)).enumerate() {
            let group = Group::round(group, Bits::Eight)?;
            write_codes(&group.codes, Bits::Eight, codes);
            scales[g / 2] |= u32::from(group.scale.to_bits()) << (16 * (g % 2));
        }
    }
    Some(table)
}

/// Appends the `width` values of one row's words to `values`.
///
/// # Panics
/// If `words` are not those of a row of this width.
pub fn unpack_row(words: &[u32], width: usize, values: &mut Vec<f32>) {
    assert_eq!(words.len() as u64, row_words(width as u64), "the words of a row of {width} values");
    let (codes, scales) = words.split_at(width.div_ceil(GROUP) * Bits::Eight.code_words());
    for (g, codes) in codes.chunks_exact(Bits::Eight.code_words()).enumerate() {
        let scale = half_of(scales[g / 2], g % 2);
        let here = GROUP.min(width - g * GROUP);
        let codes = read_codes(codes, Bits::Eight).into_iter().take(here);
        values.extend(codes.map(|code| f32::from(code) * scale));
    }
}

/// Whether every scale of a packed matrix is finite and not negative, as [`pack`] writes them.
///
/// # Panics
/// If `words` are no whole blocks.
#[must_use]
pub fn scales_are_sound(words: &[u32], bits: Bits) -> bool {
    assert!(words.len().is_multiple_of(bits.block_words()), "whole blocks");
    let is_sound = |half: u32| half < 0x7c00; // the first f16 that is not finite; from 0x8000 on they are negative
    words.chunks_exact(bits.block_words()).all(|block| {
        let scales = &block[BLOCK_ROWS * bits.code_words()..];
        scales.iter().all(|word| is_sound(word & 0xffff) && is_sound(word >> 16))
    })
}

fn write_codes(codes: &[i8; GROUP], bits: Bits, words: &mut [u32]) {
    match bits {
        Bits::Four => {
            let nibble = |code: i8| u32::from((code + 8).cast_unsigned());
            for (word, eight) in words.iter_mut().zip(codes.chunks_exact(8)) {
                *word = (0..4).map(|j| (nibble(eight[j]) | nibble(eight[j + 4]) << 4) << (8 * j)).sum();
            }
        }
        Bits::Eight => {
            for (word, four) in words.iter_mut().zip(codes.chunks_exact(4)) {
                *word = u32::from_le_bytes([0, 1, 2, 3].map(|j| four[j].cast_unsigned()));
            }
        }
    }
}

#[inline]
pub(super) fn read_codes(words: &[u32], bits: Bits) -> [i8; GROUP] {
    let mut codes = [0; GROUP];
    match bits {
        Bits::Four => {
            for (word, eight) in words.iter().zip(codes.chunks_exact_mut(8)) {
                for (j, byte) in word.to_le_bytes().into_iter().enumerate() {
                    eight[j] = (byte & 15).cast_signed() - 8;
                    eight[j + 4] = (byte >> 4).cast_signed() - 8;
                }
            }
        }
        Bits::Eight => {
            for (word, four) in words.iter().zip(codes.chunks_exact_mut(4)) {
                four.copy_from_slice(&word.to_le_bytes().map(u8::cast_signed));
            }
        }
    }
    codes
}

/// The f16 in the low (0) or high (1) half of a word.
#[inline]
pub(crate) fn half_of(word: u32, half: usize) -> f32 {
    let bytes = word.to_le_bytes();
    f16::from_le_bytes([bytes[2 * half], bytes[2 * half + 1]]).to_f32()
}

const _: () = assert!(SCALE_WORDS * 2 == BLOCK_ROWS, "one scale for each row of a block");

#[cfg(test)]
mod tests {
    use super::*;

    /// Values without a pattern, in ±1.
    fn noise(count: usize) -> Vec<f32> {
        let mut state = 1_u32;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn every_code_lies_where_the_figure_says() {
        // Row 1 of the second block down: value k·scale at k, with a scale of one half.
        let mut values = vec![0.0; 66 * 33];
        for k in 0..8 {
            values[65 * 33 + k] = (k as f32 - 3.0) * 0.5;
        }
        values[65 * 33 + 31] = 3.5; // code 7, the largest, fixes the scale
        values[65 * 33 + 32] = -7.0; // alone in its group
        let words = pack(&values, [66, 33], Bits::Four).expect("finite");
        assert_eq!(words.len(), 4 * 288);
        let block = &words[2 * 288..3 * 288];
        assert_eq!(block[4], 0xc8_b7_a6_95, "nibbles of row 1: low are elements 0 to 3, high 4 to 7");
        assert_eq!(block[7] >> 28, 7 + 8, "element 31 is the last nibble of the last word");
        let half = u32::from(f16::from_f32(0.5).to_bits());
        assert_eq!(block[256], half << 16, "row 1 in the high half, row 0 empty");
        let next = &words[3 * 288..];
        assert_eq!((next[4], next[256]), (0x8888_8881, u32::from(f16::ONE.to_bits()) << 16));

        values[65 * 33 + 31] = 63.5; // code 127
        let words = pack(&values, [66, 33], Bits::Eight).expect("finite");
        assert_eq!(words[2 * 544 + 8..][..2], [0x00_ff_fe_fd, 0x04_03_02_01], "two's complement, in order");
        assert_eq!(words[2 * 544 + 512], half << 16);
    }

    #[test]
    fn what_lies_on_a_grid_comes_back_exactly() {
        for bits in [Bits::Four, Bits::Eight] {
            let shape = [67, 45];
            let once = unpack(&pack(&noise(67 * 45), shape, bits).expect("finite"), shape, bits);
            let twice = unpack(&pack(&once, shape, bits).expect("finite"), shape, bits);
            assert_eq!(once, twice, "{bits:?}");
        }
    }

    #[test]
    fn the_product_is_that_of_the_unpacked_matrix() {
        let (shape, x) = ([5, 40], noise(2 * 40));
        let words = pack(&noise(200), shape, Bits::Four).expect("finite");
        let weight = unpack(&words, shape, Bits::Four);
        let by_hand: f32 = (0..40).map(|k| x[40 + k] * weight[3 * 40 + k]).sum();
        let product = product(&x, &words, shape, Bits::Four);
        assert_eq!(product.len(), 10);
        assert!((product[5 + 3] - by_hand).abs() < 1e-5, "{} and {by_hand}", product[8]);
    }

    #[test]
    fn rows_can_be_read_one_by_one() {
        let values = noise(3 * 65);
        let table = pack_rows(&values, 65).expect("finite");
        assert_eq!(table.len(), 3 * 26);
        let mut row = Vec::new();
        unpack_row(&table[2 * 26..], 65, &mut row);
        for (read, value) in row.iter().zip(&values[130..]) {
            assert!((read - value).abs() <= 0.5 / 127.0 * 1.001, "{read} and {value}");
        }
        assert_eq!(row.len(), 65);
    }

    #[test]
    fn what_f16_cannot_scale_is_refused() {
        for bad in [f32::NAN, f32::INFINITY, 1e9] {
            assert_eq!(pack(&[1.0, bad], [1, 2], Bits::Eight), None, "{bad}");
            assert_eq!(pack_rows(&[1.0, bad], 2), None, "{bad}");
        }
        let tiny = 2e-8; // below every f16
        let words = pack(&[tiny], [1, 1], Bits::Four).expect("finite");
        assert!(unpack(&words, [1, 1], Bits::Four)[0] <= 2.0 * tiny);
    }
}
