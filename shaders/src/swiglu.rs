//! `silu(gate)·up`: see `wgsl/swiglu.wgsl`. Where gate and up are one packed matrix,
//! [`matmul_packed`](crate::matmul_packed) does it in its own epilogue.

use crate::matmul_packed::word;
use crate::{Elem, Launch, Shader, line};

/// The dispatch for `len` elements.
#[must_use]
pub fn launch(len: usize, elem: Elem) -> Launch {
    Launch {
        shader: Shader::find("swiglu", &[elem.flag()]),
        params: vec![word(len), 0, 0, 0],
        groups: line(word(len.div_ceil(256))),
    }
}

/// What the kernel computes.
#[must_use]
pub fn twin(gate: &[f32], up: &[f32]) -> Vec<f32> {
    gate.iter().zip(up).map(|(g, u)| g / (1.0 + (-g).exp()) * u).collect()
}
