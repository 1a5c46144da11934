//! RMSNorm. Zhang and Sennrich 2019, arXiv 1910.07467: `y = x·r·g` with `r = 1 / sqrt(mean(x²) + eps)`.
//!
//! Gradients, `d` being that of `y` and means running over a row:
//! `dx = r·(d·g - x·r²·mean(d·g·x))`, `dg = Σ_rows d·x·r`.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, FloatDType, Shape, TensorMetadata};
use burn::tensor::Tensor;

use super::FusedOps;
use super::anatomy::{Kind, told};

/// Divides each row by its root mean square, in f32, and scales by `gain`.
///
/// # Shapes
/// - `x` and result: `[.., width]`
/// - `gain`: `[width]`
#[must_use]
pub fn rms_norm<const N: usize>(x: Tensor<N>, gain: Tensor<1>, eps: f64) -> Tensor<N> {
    told(Kind::Norm, || {
        Tensor::from_dispatch(Dispatch::rms_norm(x.into_dispatch(), gain.into_dispatch(), eps))
    })
}

/// `1 / sqrt(mean(x²) + eps)` of each row, `[.., 1]`.
fn reciprocal<B: Backend>(x: FloatTensor<B>, eps: f64) -> FloatTensor<B> {
    let last = x.rank() - 1;
    let mean_square = B::float_mean_dim(B::float_mul(x.clone(), x), last);
    B::float_recip(B::float_sqrt(B::float_add_scalar(mean_square, eps.into())))
}

/// `gain` with as many dimensions as `rank`.
fn row<B: Backend>(gain: FloatTensor<B>, rank: usize) -> FloatTensor<B> {
    let mut dims = vec![1; rank];
    dims[rank - 1] = gain.shape()[0];
    B::float_reshape(gain, Shape::from(dims))
}

pub(super) fn reference<B: Backend>(x: FloatTensor<B>, gain: FloatTensor<B>, eps: f64) -> FloatTensor<B> {
    let (dtype, rank) = (x.dtype(), x.rank());
    let x = B::float_cast(x, FloatDType::F32);
    let reciprocal = reciprocal::<B>(x.clone(), eps);
    let x = B::float_cast(B::float_mul(x, reciprocal), dtype.into());
    B::float_mul(x, row::<B>(gain, rank))
}

pub(super) fn x_backward_reference<B: Backend>(
    x: FloatTensor<B>,
    gain: FloatTensor<B>,
    grad: FloatTensor<B>,
    eps: f64,
) -> FloatTensor<B> {
    let (dtype, rank) = (x.dtype(), x.rank());
    let x = B::float_cast(x, FloatDType::F32);
    let scaled = B::float_cast(B::float_mul(grad, row::<B>(gain, rank)), FloatDType::F32);
    let reciprocal = reciprocal::<B>(x.clone(), eps);
    let normed = B::float_mul(x, reciprocal.clone());
    let along = B::float_mean_dim(B::float_mul(scaled.clone(), normed.clone()), rank - 1);
    let across = B::float_sub(scaled, B::float_mul(normed, along));
    B::float_cast(B::float_mul(across, reciprocal), dtype.into())
}

#[cfg(feature = "autodiff")]
pub(super) mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
    use burn::backend::tensor::FloatTensor;
    use burn::backend::{Backend, FloatDType, Shape, TensorMetadata};

    use super::super::anatomy::{Kind, told};
    use super::super::{FusedGradients, FusedOps};
    use super::reciprocal;

    #[derive(Debug)]
    struct RmsNorm;

    impl<B: FusedGradients> Backward<B, 2> for RmsNorm {
        type State = (FloatTensor<B>, FloatTensor<B>, f64);

        fn backward(self, ops: Ops<Self::State, 2>, grads: &mut Gradients, _: &mut Checkpointer) {
            let grad = grads.consume::<B>(&ops.node);
            let (x, gain, eps) = ops.state;
            let [for_x, for_gain] = ops.parents;
            if let Some(node) = for_gain {
                grads.register::<B>(node.id, gain_gradient::<B>(x.clone(), grad.clone(), eps));
            }
            if let Some(node) = for_x {
                let dx = told(Kind::Norm, || B::rms_norm_x_backward(x, gain, grad, eps));
                grads.register::<B>(node.id, dx);
            }
        }
    }

    /// Only a base that is itself trained asks for it.
    fn gain_gradient<B: Backend>(x: FloatTensor<B>, grad: FloatTensor<B>, eps: f64) -> FloatTensor<B> {
        let (dtype, shape) = (x.dtype(), x.shape());
        let width = shape[shape.num_dims() - 1];
        let rows = Shape::from(vec![shape.num_elements() / width, width]);
        let x = B::float_cast(B::float_reshape(x, rows.clone()), FloatDType::F32);
        let grad = B::float_cast(B::float_reshape(grad, rows), FloatDType::F32);
        let reciprocal = reciprocal::<B>(x.clone(), eps);
        let sum = B::float_sum_dim(B::float_mul(grad, B::float_mul(x, reciprocal)), 0);
        B::float_cast(B::float_reshape(sum, Shape::from(vec![width])), dtype.into())
    }

    pub(in super::super) fn tracked<B: FusedOps + FusedGradients, C: CheckpointStrategy>(
        x: FloatTensor<Autodiff<B, C>>,
        gain: FloatTensor<Autodiff<B, C>>,
        eps: f64,
    ) -> FloatTensor<Autodiff<B, C>> {
        let (x, x_node) = x.into_parts();
        let (gain, gain_node) = gain.into_parts();
        match RmsNorm.prepare::<C>([x_node, gain_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::rms_norm(x.clone(), gain.clone(), eps);
                prep.finish((x, gain, eps), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::rms_norm(x, gain, eps)),
        }
    }
}
