//! Sharing rows out over threads, and sums that vectorise.

#[cfg(not(target_arch = "wasm32"))]
use rayon::prelude::*;

/// Values below which a thread of its own does not pay.
const VALUES_PER_TASK: usize = 16 * 1024;

/// Lanes of partial sums: what two 256-bit registers hold.
pub(super) const LANES: usize = 16;

/// Calls `f` with the number of the first row and a block of rows of `out`, each `width` values, on several threads.
pub(super) fn for_rows(out: &mut [f32], width: usize, f: impl Fn(usize, &mut [f32]) + Sync) {
    for_blocks(out, width, f);
}

fn for_blocks<T: Send>(out: &mut [T], width: usize, f: impl Fn(usize, &mut [T]) + Sync) {
    let rows = (VALUES_PER_TASK / width.max(1)).max(1);
    let block = (rows * width).max(1);
    #[cfg(not(target_arch = "wasm32"))]
    out.par_chunks_mut(block).enumerate().for_each(|(i, out)| f(i * rows, out));
    #[cfg(target_arch = "wasm32")]
    out.chunks_mut(block).enumerate().for_each(|(i, out)| f(i * rows, out));
}

/// What `f` makes of rows of zeros, `count` values in all; as [`for_rows`], and who fills a block clears it first.
pub(super) fn made(count: usize, width: usize, f: impl Fn(usize, &mut [f32]) + Sync) -> Vec<f32> {
    let mut out = Vec::with_capacity(count);
    for_blocks(&mut out.spare_capacity_mut()[..count], width, |row, block| {
        for value in block.iter_mut() {
            value.write(0.0);
        }
        // SAFETY: every value of the block has just been written.
        f(row, unsafe { block.assume_init_mut() });
    });
    // SAFETY: the blocks are all of the `count` values.
    unsafe { out.set_len(count) };
    out
}

/// As [`for_rows`] over two outputs of the same shape.
pub(super) fn for_row_pairs(
    first: &mut [f32],
    second: &mut [f32],
    width: usize,
    f: impl Fn(usize, &mut [f32], &mut [f32]) + Sync,
) {
    let rows = (VALUES_PER_TASK / width.max(1)).max(1);
    let block = (rows * width).max(1);
    #[cfg(not(target_arch = "wasm32"))]
    let pairs = first.par_chunks_mut(block).zip(second.par_chunks_mut(block));
    #[cfg(target_arch = "wasm32")]
    let pairs = first.chunks_mut(block).zip(second.chunks_mut(block));
    pairs.enumerate().for_each(|(i, (first, second))| f(i * rows, first, second));
}

/// `f` of each of `0..count`, on several threads, in order.
pub(super) fn map_tasks<R: Send>(count: usize, f: impl Fn(usize) -> R + Sync + Send) -> Vec<R> {
    #[cfg(not(target_arch = "wasm32"))]
    return (0..count).into_par_iter().map(f).collect();
    #[cfg(target_arch = "wasm32")]
    return (0..count).map(f).collect();
}

/// Sum of `f` over the places of two slices of one length, in an order that does not depend on the processor.
#[inline(always)]
pub(super) fn sum2(a: &[f32], b: &[f32], f: impl Fn(f32, f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (a_blocks, a_rest) = a.as_chunks::<LANES>();
    let (b_blocks, b_rest) = b.as_chunks::<LANES>();
    for (a, b) in a_blocks.iter().zip(b_blocks) {
        for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
            *lane += f(*a, *b);
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| f(*a, *b)).sum();
    lanes.iter().sum::<f32>() + rest
}

/// The largest value; NaN is passed over, and met again by whoever subtracts.
#[inline(always)]
pub(super) fn max(values: &[f32]) -> f32 {
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let (blocks, rest) = values.as_chunks::<LANES>();
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *lane = if *value > *lane { *value } else { *lane };
        }
    }
    lanes.iter().chain(rest).fold(f32::NEG_INFINITY, |max, value| if *value > max { *value } else { max })
}

/// Replaces each value by `f` of it and returns their sum.
#[inline(always)]
pub(super) fn map_sum(values: &mut [f32], f: impl Fn(f32) -> f32) -> f32 {
    let mut lanes = [0.0f32; LANES];
    let (blocks, rest) = values.as_chunks_mut::<LANES>();
    for block in blocks {
        for (lane, value) in lanes.iter_mut().zip(block) {
            *value = f(*value);
            *lane += *value;
        }
    }
    let mut sum = 0.0;
    for value in rest {
        *value = f(*value);
        sum += *value;
    }
    lanes.iter().sum::<f32>() + sum
}
