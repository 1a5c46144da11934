//! Final norm and head on the pooled token of each note: see `wgsl/pooled_head.wgsl`.

use crate::matmul_packed::word;
use crate::{Elem, Launch, Shader, rms_norm, vec_flag};

/// The dispatch for `notes` notes, each under a head of `labels` labels.
#[must_use]
pub fn launch(notes: usize, labels: usize, inner: usize, eps: f32, elem: Elem) -> Launch {
    Launch {
        shader: Shader::find("pooled_head", &[elem.flag(), vec_flag(inner.is_multiple_of(4))]),
        params: vec![word(notes), word(labels), word(inner), eps.to_bits()],
        groups: [word(labels.div_ceil(8)), word(notes.div_ceil(8)), 1],
    }
}

/// What the kernel computes, `[B, L]`: `places` has the row of `x` `[M, K]` and the head among `heads` `[heads, L, K]`.
#[must_use]
pub fn twin(
    x: &[f32],
    gain: &[f32],
    heads: &[f32],
    places: &[[u32; 2]],
    labels: usize,
    eps: f32,
) -> Vec<f32> {
    let inner = gain.len();
    let mut logits = Vec::with_capacity(places.len() * labels);
    for [row, head] in places {
        let normed = rms_norm::twin(&x[*row as usize * inner..][..inner], gain, eps);
        for label in 0..labels {
            let weights = &heads[(*head as usize * labels + label) * inner..][..inner];
            logits.push(normed.iter().zip(weights).map(|(x, w)| x * w).sum());
        }
    }
    logits
}
