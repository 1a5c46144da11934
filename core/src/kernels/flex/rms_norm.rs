//! RMSNorm by rows: one pass to measure a row, one to write it.

use burn::backend::flex::FlexTensor;

use super::rows::{for_rows, made, sum2};
use super::{contiguous, tensor, values, vectorised};

pub(super) fn forward(x: &FlexTensor, gain: &FlexTensor, eps: f64) -> FlexTensor {
    let (x, gain) = (x.to_contiguous(), gain.to_contiguous());
    let dims = x.layout().shape().to_vec();
    let (x, gain) = (values(&x), values(&gain));
    let width = gain.len();
    let out = made(x.len(), width, |row, out| {
        let x = &x[row * width..][..out.len()];
        norm_rows(x, gain, out, eps);
    });
    tensor(out, &dims)
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "the arithmetic is f32's")]
fn reciprocal(x: &[f32], eps: f64) -> f32 {
    let mean_square = sum2(x, x, |a, b| a * b) / x.len() as f32;
    1.0 / (mean_square + eps as f32).sqrt()
}

vectorised! {
    fn norm_rows(x: &[f32], gain: &[f32], out: &mut [f32], eps: f64) {
        for (x, out) in x.chunks_exact(gain.len()).zip(out.chunks_exact_mut(gain.len())) {
            let r = reciprocal(x, eps);
            for ((out, x), gain) in out.iter_mut().zip(x).zip(gain) {
                *out = x * r * gain;
            }
        }
    }
}

/// `grad` is written over where nothing else holds it.
pub(super) fn x_backward(x: &FlexTensor, gain: &FlexTensor, grad: FlexTensor, eps: f64) -> FlexTensor {
    let (x, gain, mut grad) = (x.to_contiguous(), gain.to_contiguous(), contiguous(grad));
    let (x, gain) = (values(&x), values(&gain));
    let width = gain.len();
    for_rows(grad.storage_mut::<f32>(), width, |row, grad| {
        let x = &x[row * width..][..grad.len()];
        norm_rows_backward(x, gain, grad, eps);
    });
    grad
}

vectorised! {
    fn norm_rows_backward(x: &[f32], gain: &[f32], grad: &mut [f32], eps: f64) {
        for (x, grad) in x.chunks_exact(gain.len()).zip(grad.chunks_exact_mut(gain.len())) {
            let r = reciprocal(x, eps);
            for (grad, gain) in grad.iter_mut().zip(gain) {
                *grad *= gain;
            }
            #[expect(clippy::cast_precision_loss, reason = "a row is far shorter than 2^24")]
            let along = r * r * sum2(grad, x, |a, b| a * b) / x.len() as f32;
            for (grad, x) in grad.iter_mut().zip(x) {
                *grad = r * (*grad - x * along);
            }
        }
    }
}
