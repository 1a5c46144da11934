//! Rotary positions in the rotate-half layout. Su et al. 2021, arXiv 2104.09864:
//! `y = x·cos + rotate_half(x)·sin`, `rotate_half((a, b)) = (-b, a)`.
//!
//! A rotation's gradient is the rotation back: the same with `-sin`. Both halves of a head share their angles, which is
//! what makes this so.

use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Shape, Slice, TensorMetadata};
use burn::tensor::Tensor;

use super::FusedOps;
use super::anatomy::{Kind, told};

/// Turns each head by the angles of its position.
///
/// # Shapes
/// - `x` and result: `[B, heads, T, E]`
/// - `cos` and `sin`: `[T, E]`, the second half of a row equal to the first
#[must_use]
pub fn rotary(x: Tensor<4>, cos: Tensor<2>, sin: Tensor<2>) -> Tensor<4> {
    told(Kind::Rotary, || {
        Tensor::from_dispatch(Dispatch::rotary(x.into_dispatch(), cos.into_dispatch(), sin.into_dispatch()))
    })
}

/// Turns queries and keys by the same angles: of a device of these, in one dispatch.
///
/// # Shapes
/// - `q`: `[B, H, T, E]`
/// - `k`: `[B, K, T, E]`
/// - `cos` and `sin`: as of [`rotary`]
#[must_use]
pub fn rotary_both(q: Tensor<4>, k: Tensor<4>, cos: Tensor<2>, sin: Tensor<2>) -> [Tensor<4>; 2] {
    #[cfg(feature = "wgsl")]
    if let Some(both) = super::wgsl::packed::rotary_both(&q, &k, &cos, &sin) {
        return both;
    }
    [rotary(q, cos.clone(), sin.clone()), rotary(k, cos, sin)]
}

pub(super) fn reference<B: Backend>(
    x: FloatTensor<B>,
    cos: FloatTensor<B>,
    sin: FloatTensor<B>,
) -> FloatTensor<B> {
    let [_, _, tokens, width] = x.shape().dims::<4>();
    let half = |from: usize, to: usize| {
        let all = Slice::from(..);
        B::float_slice(x.clone(), &[all, all, all, Slice::from(from..to)])
    };
    let turned = B::float_cat(vec![B::float_neg(half(width / 2, width)), half(0, width / 2)], 3);
    let table = |table: FloatTensor<B>| B::float_reshape(table, Shape::from(vec![1, 1, tokens, width]));
    B::float_add(B::float_mul(x, table(cos)), B::float_mul(turned, table(sin)))
}

#[cfg(feature = "autodiff")]
pub(super) mod gradient {
    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::base::Checkpointer;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::autodiff::grads::Gradients;
    use burn::backend::autodiff::ops::{Backward, Ops, OpsKind, unary};
    use burn::backend::tensor::FloatTensor;

    use super::super::FusedOps;
    use super::super::anatomy::{Kind, told};

    #[derive(Debug)]
    struct Rotary;

    impl<B: FusedOps> Backward<B, 1> for Rotary {
        type State = (FloatTensor<B>, FloatTensor<B>);

        fn backward(self, ops: Ops<Self::State, 1>, grads: &mut Gradients, _: &mut Checkpointer) {
            let (cos, sin) = ops.state;
            unary::<B, _>(ops.parents, ops.node, grads, |grad| {
                told(Kind::Rotary, || B::rotary(grad, cos, B::float_neg(sin)))
            });
        }
    }

    /// Tables are constants: no gradient of theirs is ever asked for.
    pub(in super::super) fn tracked<B: FusedOps, C: CheckpointStrategy>(
        x: FloatTensor<Autodiff<B, C>>,
        cos: FloatTensor<Autodiff<B, C>>,
        sin: FloatTensor<Autodiff<B, C>>,
    ) -> FloatTensor<Autodiff<B, C>> {
        let (x, node) = x.into_parts();
        let (cos, sin) = (cos.into_primitive(), sin.into_primitive());
        match Rotary.prepare::<C>([node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let y = B::rotary(x, cos.clone(), sin.clone());
                prep.finish((cos, sin), y)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::rotary(x, cos, sin)),
        }
    }
}
