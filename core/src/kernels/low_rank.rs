//! What a LoRA adds to the output of a layer: `y = s·(x·Aᵀ)·Bᵀ`. Hu et al. 2021, arXiv 2106.09685.
//!
//! Kept are `x`, the factors and `l = x·Aᵀ`, `r` values a row. Gradients, `d` being that of `y` and `e = s·d·B`:
//! `dx = e·A`, `dA = eᵀ·x`, `dB = s·dᵀ·l`.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch};
use burn::tensor::Tensor;

use super::FusedOps;
use super::anatomy::{Kind, told};

/// `scale·(x·aᵀ)·bᵀ`.
///
/// # Shapes
/// - `x`: `[N, d_in]`
/// - `a`: `[R, d_in]`
/// - `b`: `[d_out, R]`
/// - result: `[N, d_out]`
#[must_use]
pub fn low_rank(x: Tensor<2>, a: Tensor<2>, b: Tensor<2>, scale: f64) -> Tensor<2> {
    told(Kind::LowRank, || {
        let (x, a, b) = (x.into_dispatch(), a.into_dispatch(), b.into_dispatch());
        Tensor::from_dispatch(Dispatch::low_rank(x, a, b, scale))
    })
}

/// `x·aᵀ`.
fn inner<B: Backend>(x: FloatTensor<B>, a: FloatTensor<B>) -> FloatTensor<B> {
    B::float_matmul(x, B::float_transpose(a))
}

/// `scale·inner·bᵀ`; the scale goes over the narrow side.
fn outer<B: Backend>(inner: FloatTensor<B>, b: FloatTensor<B>, scale: f64) -> FloatTensor<B> {
    B::float_matmul(B::float_mul_scalar(inner, scale.into()), B::float_transpose(b))
}

pub(super) fn reference<B: Backend>(
    x: FloatTensor<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
    scale: f64,
) -> FloatTensor<B> {
    outer::<B>(inner::<B>(x, a), b, scale)
}

#[cfg(feature = "autodiff")]
pub(super) mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::Backend;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::tensor::FloatTensor;

    use super::super::anatomy::{Kind, told};
    use super::super::{FusedGradients, FusedOps};
    use super::{inner, outer};

    #[derive(Debug)]
    struct LowRank;

    #[derive(Debug, Clone)]
    struct State<B: Backend> {
        x: FloatTensor<B>,
        a: FloatTensor<B>,
        b: FloatTensor<B>,
        inner: FloatTensor<B>,
        scale: f64,
    }

    impl<B: Backend> Backward<B, 3> for LowRank {
        type State = State<B>;

        fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
            let grad = grads.consume::<B>(&ops.node);
            let State { x, a, b, inner, scale } = ops.state;
            let [for_x, for_a, for_b] = ops.parents;
            told(Kind::LowRank, || {
                if let Some(node) = for_b {
                    let inner = B::float_mul_scalar(inner, scale.into());
                    grads.register::<B>(node.id, B::float_matmul(B::float_transpose(grad.clone()), inner));
                }
                if for_x.is_none() && for_a.is_none() {
                    return;
                }
                let e = B::float_mul_scalar(B::float_matmul(grad, b), scale.into()); // [N, R]
                if let Some(node) = for_a {
                    grads.register::<B>(node.id, B::float_matmul(B::float_transpose(e.clone()), x));
                }
                if let Some(node) = for_x {
                    grads.register::<B>(node.id, B::float_matmul(e, a));
                }
            });
        }
    }

    pub(in super::super) fn tracked<B: FusedOps + FusedGradients, C: CheckpointStrategy>(
        x: FloatTensor<Autodiff<B, C>>,
        a: FloatTensor<Autodiff<B, C>>,
        b: FloatTensor<Autodiff<B, C>>,
        scale: f64,
    ) -> FloatTensor<Autodiff<B, C>> {
        let (x, x_node) = x.into_parts();
        let (a, a_node) = a.into_parts();
        let (b, b_node) = b.into_parts();
        match LowRank.prepare::<C>([x_node, a_node, b_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let inner = inner::<B>(x.clone(), a.clone());
                let y = outer::<B>(inner.clone(), b.clone(), scale);
                prep.finish(State { x, a, b, inner, scale }, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::low_rank(x, a, b, scale)),
        }
    }
}
