//! Causal attention with shared key/value heads: `softmax(q·kᵀ / √E)·v`. Vaswani et al. 2017, arXiv 1706.03762; grouped
//! queries are Ainslie et al. 2023, arXiv 2305.13245.
//!
//! The `S - T` keys that stand before the tokens are seen by all of them; a token sees those of the tokens up to itself.
//!
//! Training keeps `q`, `k` and `v`; the shares `p` are computed again. Gradients, `d` being that of the result and
//! `z = q·kᵀ / √E`: `dv = pᵀ·d`, `dp = d·vᵀ`, `dz = p·(dp - Σ_s dp·p)`, `dq = dz·k / √E`, `dk = dzᵀ·q / √E`.

use burn::backend::ops::AttentionModuleOptions;
use burn::backend::tensor::{BoolTensor, FloatTensor};
use burn::backend::{Backend, Dispatch, FloatDType, Shape, TensorMetadata, get_or_init_device_settings};
use burn::tensor::Tensor;

use super::anatomy::{Kind, told};
use super::{FusedGradients, FusedOps};

/// What each token finds among the keys it may see.
///
/// # Shapes
/// - `q` and result: `[B, H, T, E]`
/// - `k` and `v`: `[B, K, S, E]`, `K` dividing `H` and `S` at least `T`
#[must_use]
pub fn causal_attention(q: Tensor<4>, k: Tensor<4>, v: Tensor<4>) -> Tensor<4> {
    let ([_, h, t, _], [_, heads, s, _]) = (q.dims(), k.dims());
    assert!(h.is_multiple_of(heads) && t <= s, "{h} query heads over {heads}, {t} tokens over {s} keys");
    told(Kind::Attention, || {
        let (q, k, v) = (q.into_dispatch(), k.into_dispatch(), v.into_dispatch());
        Tensor::from_dispatch(Dispatch::causal_attention(q, k, v))
    })
}

/// The factor before the scores of heads of this width.
#[expect(clippy::cast_precision_loss, reason = "a head's width is far below 2^52")]
pub(super) fn scale(width: usize) -> f64 {
    1.0 / (width as f64).sqrt()
}

/// Repeats each key/value head for the `group` query heads that share it.
fn shared<B: Backend>(x: FloatTensor<B>, group: usize) -> FloatTensor<B> {
    if group == 1 {
        return x;
    }
    let [b, heads, s, e] = x.shape().dims::<4>();
    let x = B::float_reshape(x, Shape::from(vec![b, heads, 1, s, e]));
    let x = B::float_expand(x, Shape::from(vec![b, heads, group, s, e]));
    B::float_reshape(x, Shape::from(vec![b, heads * group, s, e]))
}

/// Sums over the query heads that share a key/value head.
fn gathered<B: Backend>(x: FloatTensor<B>, group: usize) -> FloatTensor<B> {
    if group == 1 {
        return x;
    }
    let [b, h, s, e] = x.shape().dims::<4>();
    let x = B::float_reshape(x, Shape::from(vec![b, h / group, group, s, e]));
    B::float_reshape(B::float_sum_dim(x, 2), Shape::from(vec![b, h / group, s, e]))
}

/// Where a token must not look, `[B, H, T, S]`.
fn hidden<B: Backend>([b, h, t, keys]: [usize; 4], device: &B::Device) -> BoolTensor<B> {
    let settings = get_or_init_device_settings::<B>(device);
    let places = |from: i64, count: usize, shape: [usize; 2]| {
        let places =
            B::int_arange(from..from + i64::try_from(count).expect("few tokens"), device, settings.int_dtype);
        B::int_reshape(places, Shape::from(shape.to_vec()))
    };
    let before = i64::try_from(keys - t).expect("few tokens");
    let last = B::int_expand(places(before, t, [t, 1]), Shape::from(vec![t, keys]));
    let key = B::int_expand(places(0, keys, [1, keys]), Shape::from(vec![t, keys]));
    let mask = B::int_lower(last, key, settings.bool_dtype);
    B::bool_expand(B::bool_reshape(mask, Shape::from(vec![1, 1, t, keys])), Shape::from(vec![b, h, t, keys]))
}

/// The heads that lie side by side in each row, without moving them in memory.
///
/// # Shapes
/// - `x`: `[B, T, heads·E]`
/// - result: `[B, heads, T, E]`
#[must_use]
pub fn heads(x: Tensor<3>, heads: usize) -> Tensor<4> {
    #[cfg(feature = "wgsl")]
    if let Some(view) = super::wgsl::packed::heads(&x, heads) {
        return view;
    }
    let [b, t, width] = x.dims();
    x.reshape([b, t, heads, width / heads]).swap_dims(1, 2)
}

pub(super) fn reference<B: Backend>(
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    v: FloatTensor<B>,
) -> FloatTensor<B> {
    let ([b, h, t, _], [_, heads, s, _]) = (q.shape().dims::<4>(), k.shape().dims::<4>());
    let (k, v) = (shared::<B>(k, h / heads), shared::<B>(v, h / heads));
    // Which corner `is_causal` starts from where keys outnumber queries is the backend's choice: say it outright.
    let mask = (s > t).then(|| hidden::<B>([b, h, t, s], &q.device()));
    let options = AttentionModuleOptions { is_causal: mask.is_none(), ..Default::default() };
    B::attention(q, k, v, mask, None, options)
}

pub(super) fn backward_reference<B: FusedGradients>(
    q: FloatTensor<B>,
    k: FloatTensor<B>,
    v: FloatTensor<B>,
    grad: FloatTensor<B>,
) -> (FloatTensor<B>, FloatTensor<B>, FloatTensor<B>) {
    let ([_, h, _, e], [_, heads, ..]) = (q.shape().dims::<4>(), k.shape().dims::<4>());
    let group = h / heads;
    let (k, v) = (shared::<B>(k, group), shared::<B>(v, group));
    let products = B::float_matmul(q.clone(), B::float_transpose(k.clone()));
    let dp = B::float_matmul(grad.clone(), B::float_transpose(v));
    let (shares, dz) = B::causal_shares(products, dp, scale(e)); // [B, H, T, S]
    let dv = B::float_matmul(B::float_transpose(shares), grad);
    let dq = B::float_matmul(dz.clone(), k);
    let dk = B::float_matmul(B::float_transpose(dz), q);
    (dq, gathered::<B>(dk, group), gathered::<B>(dv, group))
}

pub(super) fn shares_reference<B: Backend>(
    products: FloatTensor<B>,
    dp: FloatTensor<B>,
    scale: f64,
) -> (FloatTensor<B>, FloatTensor<B>) {
    let dtype = products.dtype();
    let mask = hidden::<B>(products.shape().dims::<4>(), &products.device());
    let scores = B::float_mul_scalar(B::float_cast(products, FloatDType::F32), scale.into());
    let shares = B::softmax(B::float_mask_fill(scores, mask, f32::NEG_INFINITY.into()), 3);
    let dp = B::float_cast(dp, FloatDType::F32);
    let along = B::float_sum_dim(B::float_mul(shares.clone(), dp.clone()), 3);
    let dz = B::float_mul(shares.clone(), B::float_sub(dp, along));
    let dz = B::float_mul_scalar(dz, scale.into());
    (B::float_cast(shares, dtype.into()), B::float_cast(dz, dtype.into()))
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
    struct CausalAttention;

    impl<B: FusedGradients> Backward<B, 3> for CausalAttention {
        type State = [FloatTensor<B>; 3];

        fn backward(self, ops: Ops<Self::State, 3>, grads: &mut Gradients, _: &mut Checkpointer) {
            let grad = grads.consume::<B>(&ops.node);
            let [q, k, v] = ops.state;
            let gradients: [FloatTensor<B>; 3] =
                told(Kind::Attention, || B::causal_attention_backward(q, k, v, grad)).into();
            for (node, gradient) in ops.parents.into_iter().zip(gradients) {
                if let Some(node) = node {
                    grads.register::<B>(node.id, gradient);
                }
            }
        }
    }

    pub(in super::super) fn tracked<B: FusedOps + FusedGradients, C: CheckpointStrategy>(
        q: FloatTensor<Autodiff<B, C>>,
        k: FloatTensor<Autodiff<B, C>>,
        v: FloatTensor<Autodiff<B, C>>,
    ) -> FloatTensor<Autodiff<B, C>> {
        let (q, q_node) = q.into_parts();
        let (k, k_node) = k.into_parts();
        let (v, v_node) = v.into_parts();
        match CausalAttention.prepare::<C>([q_node, k_node, v_node]).compute_bound().stateful() {
            OpsKind::Tracked(prep) => {
                let mixed = B::causal_attention(q.clone(), k.clone(), v.clone());
                prep.finish([q, k, v], mixed)
            }
            OpsKind::UnTracked(prep) => prep.finish(B::causal_attention(q, k, v)),
        }
    }
}
