//! The gated unit, value by value.

use burn::backend::flex::FlexTensor;

use super::exp::sigmoid;
use super::rows::{for_row_pairs, made};
use super::{contiguous, tensor, values, vectorised};

pub(super) fn forward(gate: &FlexTensor, up: &FlexTensor) -> FlexTensor {
    let (gate, up) = (gate.to_contiguous(), up.to_contiguous());
    let dims = gate.layout().shape().to_vec();
    let (gate, up) = (values(&gate), values(&up));
    let out = made(gate.len(), 1, |from, out| {
        let part = from..from + out.len();
        gated(&gate[part.clone()], &up[part], out);
    });
    tensor(out, &dims)
}

vectorised! {
    fn gated(gate: &[f32], up: &[f32], out: &mut [f32]) {
        for ((out, gate), up) in out.iter_mut().zip(gate).zip(up) {
            *out = gate * sigmoid(*gate) * up;
        }
    }
}

/// `grad` is written over, and becomes the gradient of `up`, where nothing else holds it.
pub(super) fn backward(gate: &FlexTensor, up: &FlexTensor, grad: FlexTensor) -> (FlexTensor, FlexTensor) {
    let (gate, up, mut grad) = (gate.to_contiguous(), up.to_contiguous(), contiguous(grad));
    let dims = gate.layout().shape().to_vec();
    let (gate, up) = (values(&gate), values(&up));
    let mut for_gate = made(gate.len(), 1, |_, _| {});
    for_row_pairs(&mut for_gate, grad.storage_mut::<f32>(), 1, |from, for_gate, grad| {
        let part = from..from + grad.len();
        gated_backward(&gate[part.clone()], &up[part], for_gate, grad);
    });
    (tensor(for_gate, &dims), grad)
}

vectorised! {
    fn gated_backward(gate: &[f32], up: &[f32], for_gate: &mut [f32], grad: &mut [f32]) {
        for (((for_gate, grad), gate), up) in for_gate.iter_mut().zip(grad).zip(gate).zip(up) {
            let share = sigmoid(*gate);
            let silu = gate * share;
            *for_gate = *grad * up * (share + silu * (1.0 - share));
            *grad *= silu;
        }
    }
}
