//! RMSNorm, with a residual added first or without: see `wgsl/rms_norm.wgsl`.

use crate::matmul_packed::word;
use crate::{Elem, Launch, Shader, line};

/// The dispatch for `rows` rows of `inner` elements.
#[must_use]
pub fn launch(rows: usize, inner: usize, eps: f32, with_residual: bool, elem: Elem) -> Launch {
    let residual = if with_residual { "residual" } else { "" };
    Launch {
        shader: Shader::find("rms_norm", &[elem.flag(), residual]),
        params: vec![word(rows), word(inner), eps.to_bits(), 0],
        groups: line(word(rows)),
    }
}

/// What the kernel computes: `x + residual` (or `x`), and its norm times `gain`, each `[M, K]`.
#[must_use]
pub fn twin(x: &[f32], residual: Option<&[f32]>, gain: &[f32], eps: f32) -> (Vec<f32>, Vec<f32>) {
    let sum: Vec<f32> = match residual {
        Some(residual) => x.iter().zip(residual).map(|(x, r)| x + r).collect(),
        None => x.to_vec(),
    };
    #[expect(clippy::cast_precision_loss, reason = "a width is far below 2^24")]
    let width = gain.len() as f32;
    let mut normed = Vec::with_capacity(sum.len());
    for row in sum.chunks_exact(gain.len()) {
        let factor = 1.0 / (row.iter().map(|v| v * v).sum::<f32>() / width + eps).sqrt();
        normed.extend(row.iter().zip(gain).map(|(v, gain)| v * factor * gain));
    }
    (sum, normed)
}
