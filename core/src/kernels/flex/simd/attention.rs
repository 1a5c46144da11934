//! Causal attention: four queries of one head at a time, their scores in a few kilobytes, nothing computed of the keys that
//! none of them sees.

use burn::backend::flex::FlexTensor;

use super::super::attention::{Sizes, softmax_rows};
use super::super::tensor;
use super::TILE_ROWS;
use super::float::{Padded, Strided, add_product};

/// Sees a tensor `[B, heads, rows, E]` head by head.
struct Heads<'a> {
    values: &'a [f32],
    start: usize,
    strides: [usize; 3],
}

impl<'a> Heads<'a> {
    /// Of a tensor in which a head's own values are neighbours.
    fn of(x: &'a FlexTensor) -> Self {
        let strides = [0, 1, 2].map(|dim| x.layout().strides()[dim].cast_unsigned());
        Self { values: x.storage::<f32>(), start: x.layout().start_offset(), strides }
    }

    fn rows(&self, note: usize, head: usize) -> Strided<'a> {
        let [by_note, by_head, stride] = self.strides;
        Strided { values: &self.values[self.start + note * by_note + head * by_head..], stride }
    }
}

/// The tensor itself, or a copy if a head's values are no neighbours or a stride is not positive.
fn in_heads(x: &FlexTensor) -> FlexTensor {
    let strides = x.layout().strides();
    if strides[3] == 1 && strides.iter().all(|stride| *stride >= 0) { x.clone() } else { x.to_contiguous() }
}

pub(in super::super) fn forward(q: &FlexTensor, k: &FlexTensor, v: &FlexTensor) -> FlexTensor {
    let sizes = Sizes::of(q, k);
    let Sizes { notes, heads, tokens, width, keys, .. } = sizes;
    let (q, k, v) = (in_heads(q), in_heads(k), in_heads(v));
    let (q, k, v) = (Heads::of(&q), Heads::of(&k), Heads::of(&v));
    let mut out = vec![0.0; notes * tokens * heads * width];
    let mut scores = Vec::new();
    for note in 0..notes {
        for key_head in 0..sizes.key_heads {
            let (k, v) = (k.rows(note, key_head), v.rows(note, key_head));
            let across = Padded::new(width, keys, |e, key| k.values[key * k.stride + e]);
            let along = Padded::new(keys, width, |key, e| v.values[key * v.stride + e]);
            for head in key_head * sizes.group()..(key_head + 1) * sizes.group() {
                let q = q.rows(note, head);
                for first in (0..tokens).step_by(TILE_ROWS) {
                    let rows = TILE_ROWS.min(tokens - first);
                    let seen = sizes.before() + first + rows; // by the last of them
                    scores.clear();
                    scores.resize(rows * seen, 0.0);
                    let q = Strided { values: &q.values[first * q.stride..], ..q };
                    add_product(q, [rows, width, seen], &across, &mut scores, seen);
                    softmax_rows(&mut scores, seen, sizes.before() + first, sizes.scale());
                    let shares = Strided { values: &scores, stride: seen };
                    let to = ((note * tokens + first) * heads + head) * width;
                    add_product(shares, [rows, seen, width], &along, &mut out[to..], heads * width);
                }
            }
        }
    }
    tensor(out, &[notes, tokens, heads, width]).transpose(1, 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_attention_of_whole_matrices() {
        for (heads, key_heads, tokens, keys, width) in
            [(1, 1, 1, 1, 2), (4, 2, 7, 7, 6), (2, 2, 9, 14, 13), (6, 3, 16, 17, 48)]
        {
            let wave = |dims: [usize; 4], step: f32| {
                let values = (0..dims.iter().product()).map(|i| 2.0 * (i as f32 * step).sin()).collect();
                tensor(values, &dims)
            };
            // As a projection lays heads out: token by token.
            let q = wave([2, tokens, heads, width], 0.7).transpose(1, 2);
            let k = wave([2, key_heads, keys, width], 0.9);
            let v = wave([2, keys, key_heads, width], 1.1).transpose(1, 2);
            let expected = super::super::super::attention::forward(&q, &k, &v).to_contiguous();
            let actual = forward(&q, &k, &v).to_contiguous();
            for (a, e) in actual.storage::<f32>().iter().zip(expected.storage::<f32>()) {
                assert!((a - e).abs() < 1e-5, "{heads} {key_heads} {tokens} {keys} {width}: {a} and {e}");
            }
        }
    }
}
