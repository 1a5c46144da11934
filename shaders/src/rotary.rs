//! Rotary positions: see `wgsl/rotary.wgsl`.

use crate::matmul_packed::word;
use crate::{Elem, Launch, Shader, line};

/// The dispatch for `[B, H, T, E]` with these strides, in elements.
#[must_use]
pub fn launch([b, h, t, e]: [usize; 4], strides: [usize; 4], elem: Elem) -> Launch {
    let pairs = b * h * t * e / 2;
    let params = [h, t, e / 2, pairs].into_iter().chain(strides).map(word).collect();
    Launch { shader: Shader::find("rotary", &[elem.flag()]), params, groups: line(word(pairs.div_ceil(64))) }
}

/// The dispatch for queries `[B, H, T, E]` and keys `[B, K, T, E]`, which share all but heads and strides.
#[must_use]
pub fn launch_both(
    [b, h, t, e]: [usize; 4],
    strides: [usize; 4],
    kv_heads: usize,
    kv_strides: [usize; 4],
    elem: Elem,
) -> Launch {
    let [pairs, kv_pairs] = [h, kv_heads].map(|heads| b * heads * t * e / 2);
    let of_queries = [h, t, e / 2, pairs].into_iter().chain(strides);
    let of_keys = [kv_heads, kv_pairs].into_iter().chain(kv_strides);
    Launch {
        shader: Shader::find("rotary", &[elem.flag(), "both"]),
        params: of_queries.chain(of_keys).map(word).collect(),
        groups: line(word((pairs + kv_pairs).div_ceil(64))),
    }
}

/// What the kernel computes, contiguous `[B, H, T, E]`, of strided `x` and tables `[T, E]`.
#[must_use]
pub fn twin([b, h, t, e]: [usize; 4], strides: [usize; 4], x: &[f32], cos: &[f32], sin: &[f32]) -> Vec<f32> {
    let half = e / 2;
    let mut y = Vec::with_capacity(b * h * t * e);
    for row in 0..b * h * t {
        let (place, head, note) = (row % t, row / t % h, row / t / h);
        let at = note * strides[0] + head * strides[1] + place * strides[2];
        for i in 0..e {
            let value = x[at + i * strides[3]];
            let turned =
                if i < half { -x[at + (i + half) * strides[3]] } else { x[at + (i - half) * strides[3]] };
            y.push(value * cos[place * e + i] + turned * sin[place * e + i]);
        }
    }
    y
}
