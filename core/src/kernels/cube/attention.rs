//! The middle of attention's gradient: between the products with queries and values and those back, scores become shares and
//! the gradients of shares those of scores, in one pass a row.

use burn::backend::TensorMetadata as _;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::rows::{Rows, address, largest_of_units, like, sum_lanes, sum_units};
use super::storage;

/// See [`causal_shares`](super::super::FusedGradients::causal_shares).
#[expect(clippy::cast_possible_truncation, reason = "a scale is meant to be f32")]
pub(super) fn causal_shares(scores: CubeTensor, dp: CubeTensor, scale: f64) -> (CubeTensor, CubeTensor) {
    let (scores, dp) = (into_contiguous(scores), into_contiguous(dp));
    let (rows, shares, dz) = (Rows::of(&scores), like(&scores), like(&scores));
    let [_, _, tokens, keys] = scores.shape().dims::<4>();
    let (cubes, cube) = rows.grid();
    // SAFETY: rows and vectors are counted from the tensors' shapes, which are the same.
    unsafe {
        shares_and_gradient::launch_unchecked(
            &scores.client.clone(),
            cubes,
            cube,
            address(&[&scores]),
            rows.vector,
            scores.into_buffer_arg(),
            dp.into_buffer_arg(),
            shares.clone().into_buffer_arg(),
            dz.clone().into_buffer_arg(),
            rows.count,
            tokens,
            keys - tokens,
            scale as f32,
            rows.vectors,
            rows.units,
            storage(&shares),
        );
    }
    (shares, dz)
}

/// `exp` of those of eight keys or fewer that a token sees; 0 of the rest.
#[cube]
fn exponentials<N: Size>(scores: Vector<f32, N>, first: usize, seen: usize, largest: f32) -> Vector<f32, N> {
    let mut exponentials = Vector::<f32, N>::new(0.0f32);
    #[unroll]
    for lane in 0..N::value() {
        if first + lane < seen {
            exponentials.insert(lane, (scores.extract(lane) - largest).exp());
        }
    }
    exponentials
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn shares_and_gradient<F: Float, N: Size>(
    scores: &[Vector<F, N>],
    dp: &[Vector<F, N>],
    shares: &mut [Vector<F, N>],
    dz: &mut [Vector<F, N>],
    rows: usize,
    tokens: usize,
    before: usize,
    scale: f32,
    #[comptime] vectors: usize,
    #[comptime] units: usize,
    #[define(F)] _dtype: ElemType,
) {
    let scales = Vector::<f32, N>::new(scale);
    let mut row = CUBE_POS;
    while row < rows {
        let from = row * vectors;
        let seen = before + row % tokens + 1;
        // The first key is seen by every token.
        let mut largest = scale * f32::cast_from(scores[from].extract(0usize));
        let mut i = UNIT_POS as usize;
        while i < vectors {
            let score = Vector::<f32, N>::cast_from(scores[from + i]) * scales;
            #[unroll]
            for lane in 0..N::value() {
                if i * N::value() + lane < seen {
                    largest = max(largest, score.extract(lane));
                }
            }
            i += units;
        }
        let largest = largest_of_units(largest, units);
        let mut sum = Vector::<f32, N>::new(0.0f32);
        let mut along = Vector::<f32, N>::new(0.0f32);
        let mut i = UNIT_POS as usize;
        while i < vectors {
            let score = Vector::<f32, N>::cast_from(scores[from + i]) * scales;
            let e = exponentials::<N>(score, i * N::value(), seen, largest);
            sum += e;
            along += e * Vector::<f32, N>::cast_from(dp[from + i]);
            i += units;
        }
        let sum = sum_units(sum_lanes::<N>(sum), units);
        let along = Vector::<f32, N>::new(sum_units(sum_lanes::<N>(along), units) / sum);
        let recip = Vector::<f32, N>::new(1.0f32 / sum);
        let mut i = UNIT_POS as usize;
        while i < vectors {
            let score = Vector::<f32, N>::cast_from(scores[from + i]) * scales;
            let share = exponentials::<N>(score, i * N::value(), seen, largest) * recip;
            let across = Vector::<f32, N>::cast_from(dp[from + i]) - along;
            shares[from + i] = Vector::<F, N>::cast_from(share);
            dz[from + i] = Vector::<F, N>::cast_from(share * across * scales);
            i += units;
        }
        row += CUBE_COUNT;
    }
}
