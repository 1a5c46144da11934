//! The fused operations on tensors, each one dispatch.

use burn::backend::TensorMetadata as _;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::permute;
use burn_cubecl::tensor::CubeTensor;
use clinlora_shaders::attend_causal::{Attention, MOST_WIDTH};
use clinlora_shaders::{rms_norm as norm, rotary as turn, swiglu as gated};

use super::{elem, empty, is_software, is_usable, launch, takes_wgsl};

/// See [`rms_norm`](super::super::rms_norm::rms_norm).
#[expect(clippy::cast_possible_truncation, reason = "an epsilon is meant to be f32")]
pub(in super::super) fn rms_norm(x: &CubeTensor, gain: &CubeTensor, eps: f64) -> Option<CubeTensor> {
    let elem = elem(x).filter(|_| takes_wgsl(&x.client) && gain.dtype == x.dtype)?;
    let shape: Vec<usize> = x.shape().to_vec();
    let (inner, rows) = (*shape.last()?, shape[..shape.len() - 1].iter().product());
    let call = norm::launch(rows, inner, eps as f32, elem);
    if !is_usable(&x.client, call.shader) {
        return None;
    }
    let (x, gain) = (into_contiguous(x.clone()), into_contiguous(gain.clone()));
    let y = empty(&x, &shape);
    launch(&x.client, call, &[&x, &gain, &y]);
    Some(y)
}

/// See [`rotary`](super::super::rotary::rotary).
pub(in super::super) fn rotary(x: &CubeTensor, cos: &CubeTensor, sin: &CubeTensor) -> Option<CubeTensor> {
    let elem = elem(x).filter(|_| takes_wgsl(&x.client) && cos.dtype == x.dtype)?;
    let dims = x.shape().dims::<4>();
    let strides = strides(x);
    let call = turn::launch(dims, strides, elem);
    if !is_usable(&x.client, call.shader) {
        return None;
    }
    let (cos, sin) = (into_contiguous(cos.clone()), into_contiguous(sin.clone()));
    let y = empty(x, &dims);
    launch(&x.client, call, &[x, &cos, &sin, &y]);
    Some(y)
}

/// See [`rotary_both`](super::super::rotary::rotary_both).
pub(super) fn rotary_both(
    q: &CubeTensor,
    k: &CubeTensor,
    cos: &CubeTensor,
    sin: &CubeTensor,
) -> Option<[CubeTensor; 2]> {
    let elem = elem(q).filter(|_| takes_wgsl(&q.client) && k.dtype == q.dtype && cos.dtype == q.dtype)?;
    let (dims, kv_dims) = (q.shape().dims::<4>(), k.shape().dims::<4>());
    let call = turn::launch_both(dims, strides(q), kv_dims[1], strides(k), elem);
    if !is_usable(&q.client, call.shader) {
        return None;
    }
    let (cos, sin) = (into_contiguous(cos.clone()), into_contiguous(sin.clone()));
    let both = [empty(q, &dims), empty(k, &kv_dims)];
    launch(&q.client, call, &[q, k, &cos, &sin, &both[0], &both[1]]);
    Some(both)
}

/// See [`swiglu`](super::super::swiglu::swiglu).
pub(in super::super) fn swiglu(gate: &CubeTensor, up: &CubeTensor) -> Option<CubeTensor> {
    let elem = elem(gate).filter(|_| takes_wgsl(&gate.client) && up.dtype == gate.dtype)?;
    let shape: Vec<usize> = gate.shape().to_vec();
    let call = gated::launch(shape.iter().product(), elem);
    if !is_usable(&gate.client, call.shader) {
        return None;
    }
    let (gate, up) = (into_contiguous(gate.clone()), into_contiguous(up.clone()));
    let y = empty(&gate, &shape);
    launch(&gate.client, call, &[&gate, &up, &y]);
    Some(y)
}

/// See [`causal_attention`](super::super::attention::causal_attention). The result lies in memory as the next projection reads
/// it, `[B, T, H, E]`.
pub(in super::super) fn causal_attention(
    q: &CubeTensor,
    k: &CubeTensor,
    v: &CubeTensor,
) -> Option<CubeTensor> {
    let elem = elem(q).filter(|_| takes_wgsl(&q.client) && k.dtype == q.dtype && v.dtype == q.dtype)?;
    let [notes, heads, tokens, width] = q.shape().dims::<4>();
    let [_, kv_heads, keys, _] = k.shape().dims::<4>();
    if width > MOST_WIDTH || keys < tokens {
        return None;
    }
    // A head's own elements are neighbours.
    let in_heads = |x: &CubeTensor| if strides(x)[3] == 1 { x.clone() } else { into_contiguous(x.clone()) };
    let (q, k, v) = (in_heads(q), in_heads(k), in_heads(v));
    let outer = |x: &CubeTensor| {
        let [note, head, token, _] = strides(x);
        [note, head, token]
    };
    let (q_strides, k_strides, v_strides) = (outer(&q), outer(&k), outer(&v));
    let in_software = is_software();
    let shape = Attention {
        notes,
        heads,
        kv_heads,
        tokens,
        keys,
        width,
        q_strides,
        k_strides,
        v_strides,
        elem,
        in_software,
    };
    let call = shape.launch();
    if !is_usable(&q.client, call.shader) {
        return None;
    }
    let y = empty(&q, &[notes, tokens, heads, width]);
    launch(&q.client, call, &[&q, &k, &v, &y]);
    Some(permute(y, &[0, 2, 1, 3]))
}

fn strides(x: &CubeTensor) -> [usize; 4] {
    let strides = x.meta.strides();
    [strides[0], strides[1], strides[2], strides[3]]
}
