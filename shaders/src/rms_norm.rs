//! RMSNorm: see `wgsl/rms_norm.wgsl`.

use crate::matmul_packed::word;
use crate::{Elem, Launch, Shader, line};

/// The dispatch for `rows` rows of `inner` elements.
#[must_use]
pub fn launch(rows: usize, inner: usize, eps: f32, elem: Elem) -> Launch {
    Launch {
        shader: Shader::find("rms_norm", &[elem.flag()]),
        params: vec![word(rows), word(inner), eps.to_bits(), 0],
        groups: line(word(rows)),
    }
}

/// What the kernel computes, `[M, K]`.
#[must_use]
pub fn twin(x: &[f32], gain: &[f32], eps: f32) -> Vec<f32> {
    #[expect(clippy::cast_precision_loss, reason = "a width is far below 2^24")]
    let width = gain.len() as f32;
    let mut normed = Vec::with_capacity(x.len());
    for row in x.chunks_exact(gain.len()) {
        let factor = 1.0 / (row.iter().map(|v| v * v).sum::<f32>() / width + eps).sqrt();
        normed.extend(row.iter().zip(gain).map(|(v, gain)| v * factor * gain));
    }
    normed
}
