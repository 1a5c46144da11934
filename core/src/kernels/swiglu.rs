//! The gated unit of LLaMA's feed-forward. Shazeer 2020, arXiv 2002.05202: `y = silu(g)·u`, `silu(g) = g·σ(g)`.
//!
//! Gradients, `d` being that of `y` and `s = σ(g)`: `dg = d·u·s·(1 + g·(1 - s))`, `du = d·g·s`.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch};
use burn::tensor::Tensor;

use super::FusedOps;
use super::anatomy::{Kind, told};

/// `silu(gate)·up`.
///
/// # Shapes
/// - `gate`, `up` and result: the same
#[must_use]
pub fn swiglu<const N: usize>(gate: Tensor<N>, up: Tensor<N>) -> Tensor<N> {
    told(Kind::Gate, || Tensor::from_dispatch(Dispatch::swiglu(gate.into_dispatch(), up.into_dispatch())))
}

pub(super) fn reference<B: Backend>(gate: FloatTensor<B>, up: FloatTensor<B>) -> FloatTensor<B> {
    B::float_mul(B::float_mul(gate.clone(), B::sigmoid(gate)), up)
}

pub(super) fn backward_reference<B: Backend>(
    gate: FloatTensor<B>,
    up: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let share = B::sigmoid(gate.clone());
    let silu = B::float_mul(gate, share.clone());
    // s·(1 + g·(1 - s)) = s + silu·(1 - s)
    let rest = B::float_add_scalar(B::float_neg(share.clone()), 1.0.into());
    let slope = B::float_add(share, B::float_mul(silu.clone(), rest));
    (B::float_mul(B::float_mul(grad.clone(), up), slope), B::float_mul(grad, silu))
}

#[cfg(feature = "autodiff")]
pub(super) mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::tensor::FloatTensor;

    use super::super::anatomy::{Kind, told};
    use super::super::{FusedGradients, FusedOps};

    #[derive(Debug)]
    struct SwiGlu;

    impl<B: FusedGradients> Backward<B, 2> for SwiGlu {
        type State = (FloatTensor<B>, FloatTensor<B>);

        fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
            let grad = grads.consume::<B>(&ops.node);
            let (gate, up) = ops.state;
            let gradients: [FloatTensor<B>; 2] =
                told(Kind::Gate, || B::swiglu_backward(gate, up, grad)).into();
            for (node, gradient) in ops.parents.into_iter().zip(gradients) {
                if let Some(node) = node {
                    grads.register::<B>(node.id, gradient);
                }
            }
        }
    }

    pub(in super::super) fn tracked<B: FusedOps + FusedGradients, C: CheckpointStrategy>(
        gate: FloatTensor<Autodiff<B, C>>,
        up: FloatTensor<Autodiff<B, C>>,
    ) -> FloatTensor<Autodiff<B, C>> {
        let (gate, gate_node) = gate.into_parts();
        let (up, up_node) = up.into_parts();
        match SwiGlu.prepare::<C>([gate_node, up_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::swiglu(gate.clone(), up.clone());
                prep.finish((gate, up), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::swiglu(gate, up)),
        }
    }
}
