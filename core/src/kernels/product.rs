//! The product of rows with a weight that is not trained: `y = x·Wᵀ`, and of the gradient `d` of `y`, `dx = d·W`. Nothing but
//! the weight itself is kept for it. Nine tenths of a step are these two products, so on an NVIDIA GPU they may take
//! cuBLASLt's way (`cublas.rs`) instead of Burn's.

#[cfg(feature = "fusion")]
use burn::backend::Shape;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch};
use burn::tensor::Tensor;

use super::FusedOps;
use super::anatomy::{Kind, told};

/// `x·weightᵀ`; `weight` gets no gradient.
///
/// # Shapes
/// - `x`: `[N, d_in]`
/// - `weight`: `[d_out, d_in]`
/// - result: `[N, d_out]`
#[must_use]
pub fn frozen_product(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    told(Kind::Product, || {
        Tensor::from_dispatch(Dispatch::frozen_product(x.into_dispatch(), weight.into_dispatch()))
    })
}

/// The gradient of `x` in [`frozen_product`], `grad·weight`, by itself: for measuring it.
///
/// # Shapes
/// - `grad`: `[N, d_out]`
/// - `weight`: `[d_out, d_in]`
/// - result: `[N, d_in]`
#[must_use]
pub fn frozen_product_backward(grad: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    let (grad, weight) = (grad.into_dispatch(), weight.into_dispatch());
    Tensor::from_dispatch(Dispatch::frozen_product_backward(grad, weight))
}

/// Shape of `x·weightᵀ`.
#[cfg(feature = "fusion")]
pub(super) fn forward_shape(x: &Shape, weight: &Shape) -> Shape {
    Shape::from(vec![x[0], weight[0]])
}

/// Shape of `grad·weight`.
#[cfg(feature = "fusion")]
pub(super) fn backward_shape(grad: &Shape, weight: &Shape) -> Shape {
    Shape::from(vec![grad[0], weight[1]])
}

pub(super) fn reference<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    B::float_matmul(x, B::float_transpose(weight))
}

pub(super) fn backward_reference<B: Backend>(grad: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    B::float_matmul(grad, weight)
}

#[cfg(feature = "autodiff")]
pub(super) mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
    use burn::backend::tensor::FloatTensor;

    use super::super::anatomy::{Kind, told};
    use super::super::{FusedGradients, FusedOps};

    #[derive(Debug)]
    struct FrozenProduct;

    impl<B: FusedOps> Backward<B, 1> for FrozenProduct {
        type State = FloatTensor<B>;

        fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
            let weight = ops.state;
            unary::<B, _>(ops.parents, ops.node, grads, |grad| {
                told(Kind::Product, || B::frozen_product_backward(grad, weight))
            });
        }
    }

    pub(in super::super) fn tracked<B: FusedOps + FusedGradients, C: CheckpointStrategy>(
        x: FloatTensor<Autodiff<B, C>>,
        weight: FloatTensor<Autodiff<B, C>>,
    ) -> FloatTensor<Autodiff<B, C>> {
        assert!(!weight.is_tracked(), "a weight that is trained has a gradient of its own");
        let (x, node) = x.into_parts();
        let weight = weight.into_primitive();
        match FrozenProduct.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::frozen_product(x, weight.clone());
                prep.finish(weight, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::frozen_product(x, weight)),
        }
    }
}
