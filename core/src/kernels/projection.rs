//! A layer's product with its weight, and with the low-rank updates beside it: `y = x·Wᵀ + (x·Aᵀ)·Bᵀ`. Hu et al. 2021, arXiv
//! 2106.09685.
//!
//! Several updates are one pair of products: their `A` one above the other, their `B`, scaled, side by side. Training keeps
//! `x` and `x·Aᵀ`, and nothing where neither weight nor update is trained. Gradients, `d` being that of the result:
//! `dx = d·W + (d·B)·A`, `dA = (d·B)ᵀ·x`, `dB = dᵀ·(x·Aᵀ)`, and `dW = dᵀ·x`, which of a frozen `W` is never formed.

#[cfg(feature = "fusion")]
use burn::backend::Shape;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch};
use burn::tensor::Tensor;

use super::anatomy::{Kind, told};
use super::{FusedGradients, FusedOps};

/// `x·Wᵀ`.
///
/// # Shapes
/// - `x`: `[N, d_in]`
/// - `weight`: `[d_out, d_in]`
/// - result: `[N, d_out]`
#[must_use]
pub fn projection(x: Tensor<2>, weight: Tensor<2>) -> Tensor<2> {
    told(Kind::Product, || {
        Tensor::from_dispatch(Dispatch::projection(x.into_dispatch(), weight.into_dispatch()))
    })
}

/// `x·Wᵀ + (x·Aᵀ)·Bᵀ`.
///
/// # Shapes
/// - `x`: `[N, d_in]`
/// - `weight`: `[d_out, d_in]`
/// - `a`: `[R, d_in]`
/// - `b`: `[d_out, R]`
/// - result: `[N, d_out]`
#[must_use]
pub fn adapted_projection(x: Tensor<2>, weight: Tensor<2>, a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    told(Kind::Product, || {
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        Tensor::from_dispatch(Dispatch::adapted_projection(x, weight, a.into_dispatch(), b.into_dispatch()))
    })
}

/// `a·b`, as a gradient is taken through a projection: `dx = d·W`. Of a device without autodiff.
///
/// # Shapes
/// - `a`: `[N, K]`
/// - `b`: `[K, M]`
/// - result: `[N, M]`
#[must_use]
pub fn plain_product(a: Tensor<2>, b: Tensor<2>) -> Tensor<2> {
    Tensor::from_dispatch(Dispatch::product(a.into_dispatch(), b.into_dispatch()))
}

/// Shape of `x·Wᵀ`.
#[cfg(feature = "fusion")]
pub(super) fn shape(x: &Shape, weight: &Shape) -> Shape {
    Shape::from(vec![x[0], weight[0]])
}

/// Shape of `a·b`.
#[cfg(feature = "fusion")]
pub(super) fn product_shape(a: &Shape, b: &Shape) -> Shape {
    Shape::from(vec![a[0], b[1]])
}

pub(super) fn reference<B: Backend>(x: FloatTensor<B>, weight: FloatTensor<B>) -> FloatTensor<B> {
    B::linear(x, B::float_transpose(weight), None)
}

pub(super) fn adapted_reference<B: Backend>(
    x: FloatTensor<B>,
    weight: FloatTensor<B>,
    a: FloatTensor<B>,
    b: FloatTensor<B>,
) -> FloatTensor<B> {
    let low = reference::<B>(x.clone(), a);
    B::float_add(reference::<B>(x, weight), reference::<B>(low, b))
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

    /// Kind of a product with a weight.
    fn kind(is_trained: bool) -> Kind {
        if is_trained { Kind::TrainedProduct } else { Kind::Product }
    }

    #[derive(Debug)]
    struct Projection;

    impl<B: FusedGradients> Backward<B, 2> for Projection {
        /// The input, if the weight is trained, and the weight.
        type State = (Option<FloatTensor<B>>, FloatTensor<B>);

        fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
            let grad = grads.consume::<B>(&ops.node);
            let (x, weight) = ops.state;
            let [for_x, for_weight] = ops.parents;
            told(kind(x.is_some()), || {
                if let (Some(node), Some(x)) = (for_weight, x) {
                    grads.register::<B>(node.id, B::product(B::float_transpose(grad.clone()), x));
                }
                if let Some(node) = for_x {
                    grads.register::<B>(node.id, B::product(grad, weight));
                }
            });
        }
    }

    pub(in super::super) fn tracked<B: FusedOps + FusedGradients, C: CheckpointStrategy>(
        x: FloatTensor<Autodiff<B, C>>,
        weight: FloatTensor<Autodiff<B, C>>,
    ) -> FloatTensor<Autodiff<B, C>> {
        let trains_weight = weight.is_tracked();
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        match Projection.prepare::<C>([x_node, weight_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = told(kind(trains_weight), || B::projection(x.clone(), weight.clone()));
                prep.finish((trains_weight.then_some(x), weight), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::projection(x, weight)),
        }
    }

    #[derive(Debug)]
    struct AdaptedProjection;

    /// What a backward pass needs of a forward pass.
    #[derive(Debug, Clone)]
    struct Kept<B: FusedGradients> {
        /// The input, if weight or `A` are trained.
        x: Option<FloatTensor<B>>,
        /// `x·Aᵀ`, if `B` is trained.
        low: Option<FloatTensor<B>>,
        weight: FloatTensor<B>,
        a: FloatTensor<B>,
        b: FloatTensor<B>,
    }

    impl<B: FusedGradients> Backward<B, 4> for AdaptedProjection {
        type State = Kept<B>;

        fn backward(self, ops: Ops<Self::State, 4>, grads: &mut Gradients, _: &mut Checkpointer) {
            let grad = grads.consume::<B>(&ops.node);
            let Kept { x, low, weight, a, b } = ops.state;
            let [for_x, for_weight, for_a, for_b] = ops.parents;
            let for_low = told(Kind::TrainedProduct, || {
                let across = B::float_transpose(grad.clone());
                if let (Some(node), Some(low)) = (for_b, low) {
                    grads.register::<B>(node.id, B::product(across.clone(), low));
                }
                if let (Some(node), Some(x)) = (for_weight, &x) {
                    grads.register::<B>(node.id, B::product(across, x.clone()));
                }
                let for_low = B::product(grad.clone(), b); // [N, R]
                if let (Some(node), Some(x)) = (for_a, x) {
                    grads.register::<B>(node.id, B::product(B::float_transpose(for_low.clone()), x));
                }
                for_low
            });
            if let Some(node) = for_x {
                let dx = told(Kind::Product, || B::product(grad, weight));
                let dx = told(Kind::TrainedProduct, || B::add_product(dx, for_low, a));
                grads.register::<B>(node.id, dx);
            }
        }
    }

    pub(in super::super) fn adapted<B: FusedOps + FusedGradients, C: CheckpointStrategy>(
        x: FloatTensor<Autodiff<B, C>>,
        weight: FloatTensor<Autodiff<B, C>>,
        a: FloatTensor<Autodiff<B, C>>,
        b: FloatTensor<Autodiff<B, C>>,
    ) -> FloatTensor<Autodiff<B, C>> {
        let (needs_x, needs_low) = (weight.is_tracked() || a.is_tracked(), b.is_tracked());
        let (x, x_node) = x.into_parts();
        let (weight, weight_node) = weight.into_parts();
        let (a, a_node) = a.into_parts();
        let (b, b_node) = b.into_parts();
        let nodes = [x_node, weight_node, a_node, b_node];
        match AdaptedProjection.prepare::<C>(nodes).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let low = told(Kind::TrainedProduct, || B::projection(x.clone(), a.clone()));
                let y = told(Kind::Product, || B::projection(x.clone(), weight.clone()));
                let y = told(Kind::TrainedProduct, || {
                    B::add_product(y, low.clone(), B::float_transpose(b.clone()))
                });
                let (x, low) = (needs_x.then_some(x), needs_low.then_some(low));
                prep.finish(Kept { x, low, weight, a, b }, y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::adapted_projection(x, weight, a, b)),
        }
    }
}
