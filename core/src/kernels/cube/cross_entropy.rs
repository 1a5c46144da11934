//! The loss of a block of logits and its gradient, which takes their place: a row of the vocabulary is read three times and
//! written once, whatever number format it has.

use burn::backend::{DType, Shape};
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;

use super::rows::{Rows, address, largest_lane, largest_of_units, like, sum_lanes, sum_units};
use super::storage;

/// See [`losses_and_excess`](super::super::FusedGradients::losses_and_excess).
pub(super) fn losses_and_excess(logits: CubeTensor, targets: CubeTensor) -> (CubeTensor, CubeTensor) {
    let (logits, targets) = (into_contiguous(logits), into_contiguous(targets));
    let (rows, excess) = (Rows::of(&logits), like(&logits));
    let (client, device) = (logits.client.clone(), logits.device.clone());
    let losses =
        empty_device_contiguous_dtype(client.clone(), device, Shape::from(vec![rows.count]), DType::F32);
    let dtypes = [storage(&logits), storage(&targets)];
    let (cubes, cube) = rows.grid();
    // SAFETY: rows and vectors are counted from the shape of the logits; of targets there is one a row, each below the
    // width.
    unsafe {
        loss_of_rows::launch_unchecked(
            &client,
            cubes,
            cube,
            address(&[&logits]),
            rows.vector,
            logits.into_buffer_arg(),
            targets.into_buffer_arg(),
            losses.clone().into_buffer_arg(),
            excess.clone().into_buffer_arg(),
            rows.count,
            rows.vectors,
            rows.units,
            dtypes,
        );
    }
    (losses, excess)
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn loss_of_rows<F: Float, I: Int, N: Size>(
    logits: &[Vector<F, N>],
    targets: &[I],
    losses: &mut [f32],
    excess: &mut [Vector<F, N>],
    rows: usize,
    #[comptime] vectors: usize,
    #[comptime] units: usize,
    #[define(F, I)] _dtypes: [ElemType; 2],
) {
    let mut row = CUBE_POS;
    while row < rows {
        let from = row * vectors;
        let mut largest = f32::cast_from(logits[from].extract(0usize));
        let mut i = UNIT_POS as usize;
        while i < vectors {
            largest = max(largest, largest_lane::<N>(Vector::<f32, N>::cast_from(logits[from + i])));
            i += units;
        }
        let largest = largest_of_units(largest, units);
        let above = Vector::<f32, N>::new(largest);
        let mut sum = Vector::<f32, N>::new(0.0f32);
        let mut i = UNIT_POS as usize;
        while i < vectors {
            sum += (Vector::<f32, N>::cast_from(logits[from + i]) - above).exp();
            i += units;
        }
        let sum = sum_units(sum_lanes::<N>(sum), units);
        let target = u32::cast_from(targets[row]) as usize;
        let recip = Vector::<f32, N>::new(1.0f32 / sum);
        let mut i = UNIT_POS as usize;
        while i < vectors {
            let logit = Vector::<f32, N>::cast_from(logits[from + i]);
            let mut share = (logit - above).exp() * recip;
            #[unroll]
            for lane in 0..N::value() {
                if i * N::value() + lane == target {
                    losses[row] = sum.ln() + largest - logit.extract(lane);
                    share.insert(lane, share.extract(lane) - 1.0f32);
                }
            }
            excess[from + i] = Vector::<F, N>::cast_from(share);
            i += units;
        }
        row += CUBE_COUNT;
    }
}
