//! RMSNorm and the gradient of its input, a row read once or twice and written once.

use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::rows::{Rows, address, like, sum_lanes, sum_units};
use super::storage;

/// See [`rms_norm`](super::super::rms_norm::rms_norm).
pub(super) fn rms_norm(x: CubeTensor, gain: CubeTensor, eps: f64) -> CubeTensor {
    let (x, gain) = (into_contiguous(x), into_contiguous(gain));
    let (rows, y) = (Rows::of(&x), like(&x));
    let (cubes, cube) = rows.grid();
    // SAFETY: rows and vectors are counted from the tensors' shapes.
    unsafe {
        forward::launch_unchecked(
            &x.client.clone(),
            cubes,
            cube,
            address(&[&x]),
            rows.vector,
            x.into_buffer_arg(),
            gain.into_buffer_arg(),
            y.clone().into_buffer_arg(),
            rows.count,
            eps_f32(eps),
            rows.vectors,
            rows.units,
            storage(&y),
        );
    }
    y
}

/// Gradient of the input.
pub(super) fn x_backward(x: CubeTensor, gain: CubeTensor, grad: CubeTensor, eps: f64) -> CubeTensor {
    let (x, gain, grad) = (into_contiguous(x), into_contiguous(gain), into_contiguous(grad));
    let (rows, dx) = (Rows::of(&x), like(&x));
    let (cubes, cube) = rows.grid();
    // SAFETY: as above; `grad` has the shape of `x`.
    unsafe {
        backward::launch_unchecked(
            &x.client.clone(),
            cubes,
            cube,
            address(&[&x]),
            rows.vector,
            x.into_buffer_arg(),
            gain.into_buffer_arg(),
            grad.into_buffer_arg(),
            dx.clone().into_buffer_arg(),
            rows.count,
            eps_f32(eps),
            rows.vectors,
            rows.units,
            storage(&dx),
        );
    }
    dx
}

#[expect(clippy::cast_possible_truncation, reason = "an epsilon is meant to be f32")]
fn eps_f32(eps: f64) -> f32 {
    eps as f32
}

/// `1 / sqrt(mean(x²) + eps)` from the sum of squares of a row.
#[cube]
fn reciprocal(squares: f32, eps: f32, #[comptime] width: usize) -> f32 {
    let mean = squares / comptime!(width as f32).runtime();
    1.0f32 / (mean + eps).sqrt()
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn forward<F: Float, N: Size>(
    x: &[Vector<F, N>],
    gain: &[Vector<F, N>],
    y: &mut [Vector<F, N>],
    rows: usize,
    eps: f32,
    #[comptime] vectors: usize,
    #[comptime] units: usize,
    #[define(F)] _dtype: ElemType,
) {
    let mut row = CUBE_POS;
    while row < rows {
        let from = row * vectors;
        let mut squares = Vector::<f32, N>::new(0.0f32);
        let mut i = UNIT_POS as usize;
        while i < vectors {
            let value = Vector::<f32, N>::cast_from(x[from + i]);
            squares += value * value;
            i += units;
        }
        let squares = sum_units(sum_lanes::<N>(squares), units);
        let lanes = N::value();
        let width = comptime!(vectors * lanes);
        let scale = Vector::<f32, N>::new(reciprocal(squares, eps, width));
        let mut i = UNIT_POS as usize;
        while i < vectors {
            let value = Vector::<f32, N>::cast_from(x[from + i]);
            y[from + i] = Vector::<F, N>::cast_from(value * scale) * gain[i];
            i += units;
        }
        row += CUBE_COUNT;
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn backward<F: Float, N: Size>(
    x: &[Vector<F, N>],
    gain: &[Vector<F, N>],
    grad: &[Vector<F, N>],
    dx: &mut [Vector<F, N>],
    rows: usize,
    eps: f32,
    #[comptime] vectors: usize,
    #[comptime] units: usize,
    #[define(F)] _dtype: ElemType,
) {
    let mut row = CUBE_POS;
    while row < rows {
        let from = row * vectors;
        let mut squares = Vector::<f32, N>::new(0.0f32);
        let mut along = Vector::<f32, N>::new(0.0f32);
        let mut i = UNIT_POS as usize;
        while i < vectors {
            let value = Vector::<f32, N>::cast_from(x[from + i]);
            squares += value * value;
            along += value * Vector::<f32, N>::cast_from(grad[from + i] * gain[i]);
            i += units;
        }
        let squares = sum_units(sum_lanes::<N>(squares), units);
        let along = sum_units(sum_lanes::<N>(along), units);
        let lanes = N::value();
        let width = comptime!(vectors * lanes);
        let r = reciprocal(squares, eps, width);
        // x·r²·mean(d·g·x), without the x.
        let back = along * r * r / comptime!(width as f32).runtime();
        let (scale, back) = (Vector::<f32, N>::new(r), Vector::<f32, N>::new(back));
        let mut i = UNIT_POS as usize;
        while i < vectors {
            let value = Vector::<f32, N>::cast_from(x[from + i]);
            let scaled = Vector::<f32, N>::cast_from(grad[from + i] * gain[i]);
            dx[from + i] = Vector::<F, N>::cast_from((scaled - value * back) * scale);
            i += units;
        }
        row += CUBE_COUNT;
    }
}
