//! Causal attention with grouped queries: see `wgsl/attend_causal.wgsl`, and `wgsl/attend_direct.wgsl` for adapters that are
//! programs.

use crate::matmul_packed::word;
use crate::{Elem, Launch, Shader, vec_flag};

/// Widest head the kernel takes.
pub const MOST_WIDTH: usize = 128;

/// Shape of an attention; strides are those of note, head and token, in elements; a head's own elements are neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attention {
    /// B.
    pub notes: usize,
    /// H.
    pub heads: usize,
    /// Key/value heads; H is a multiple.
    pub kv_heads: usize,
    /// T.
    pub tokens: usize,
    /// S, at least T.
    pub keys: usize,
    /// E, at most [`MOST_WIDTH`].
    pub width: usize,
    /// Of the queries.
    pub q_strides: [usize; 3],
    /// Of the keys.
    pub k_strides: [usize; 3],
    /// Of the values.
    pub v_strides: [usize; 3],
    /// Number type of all of it.
    pub elem: Elem,
    /// Whether the adapter is a program: see [`Product`](crate::matmul_packed::Product).
    pub in_software: bool,
}

impl Attention {
    /// The dispatch.
    ///
    /// # Panics
    /// If a head is too wide, or keys are fewer than tokens.
    #[must_use]
    pub fn launch(&self) -> Launch {
        assert!(self.width <= MOST_WIDTH, "a head of {}; at most {MOST_WIDTH}", self.width);
        assert!(self.keys >= self.tokens, "{} keys for {} tokens", self.keys, self.tokens);
        let strides = [self.q_strides, self.k_strides, self.v_strides].concat();
        let is_vec = strides.iter().chain([&self.width]).all(|size| size.is_multiple_of(4));
        let mut params: Vec<u32> =
            [self.tokens, self.keys, self.width, self.heads, self.heads / self.kv_heads].map(word).into();
        params.push(self.scale().to_bits());
        params.extend(strides.iter().map(|stride| word(*stride)));
        params.push(0);
        // Programs have no halves.
        let (stem, queries, columns) = match self.in_software && self.elem == Elem::F32 {
            true => ("attend_direct", 64, self.width.div_ceil(64)),
            false => ("attend_causal", 16, 1),
        };
        Launch {
            shader: Shader::find(stem, &[self.elem.flag(), vec_flag(is_vec)]),
            params,
            groups: [word(self.tokens.div_ceil(queries)), word(self.heads * columns), word(self.notes)],
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a head is far narrower than 2^24")]
    fn scale(&self) -> f32 {
        1.0 / (self.width as f32).sqrt()
    }
}

/// What the kernel computes, contiguous `[B, T, H, E]`.
#[must_use]
pub fn twin(shape: &Attention, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f32> {
    let Attention { notes, heads, kv_heads, tokens, keys, width, .. } = *shape;
    let at =
        |strides: [usize; 3], b: usize, h: usize, t: usize| b * strides[0] + h * strides[1] + t * strides[2];
    let mut y = vec![0.0; notes * tokens * heads * width];
    for b in 0..notes {
        for h in 0..heads {
            let kv = h / (heads / kv_heads);
            for t in 0..tokens {
                let q = &q[at(shape.q_strides, b, h, t)..][..width];
                let seen = keys - tokens + t + 1;
                let scores: Vec<f32> = (0..seen)
                    .map(|s| {
                        let k = &k[at(shape.k_strides, b, kv, s)..][..width];
                        q.iter().zip(k).map(|(q, k)| q * k).sum::<f32>() * shape.scale()
                    })
                    .collect();
                let most = scores.iter().copied().fold(f32::MIN, f32::max);
                let weights: Vec<f32> = scores.iter().map(|s| (s - most).exp()).collect();
                let sum: f32 = weights.iter().sum();
                let out = &mut y[((b * tokens + t) * heads + h) * width..][..width];
                for (s, weight) in weights.iter().enumerate() {
                    let v = &v[at(shape.v_strides, b, kv, s)..][..width];
                    out.iter_mut().zip(v).for_each(|(y, v)| *y += weight / sum * v);
                }
            }
        }
    }
    y
}
