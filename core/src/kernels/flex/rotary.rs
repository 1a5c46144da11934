//! Rotation of heads. Values are laid out token by token, `[B, T, H, E]`, and handed back as the `[B, H, T, E]` asked for:
//! a projection writes them so, and its gradient then needs no copy.

use burn::backend::flex::FlexTensor;

use super::rows::made;
use super::{tensor, values, vectorised};

pub(super) fn forward(x: &FlexTensor, cos: &FlexTensor, sin: &FlexTensor) -> FlexTensor {
    let x = if x.layout().strides()[3] == 1 { x.clone() } else { x.to_contiguous() };
    let [b, h, t, e] = x.layout().shape().dims::<4>();
    let (cos, sin) = (cos.to_contiguous(), sin.to_contiguous());
    let (cos, sin) = (values(&cos), values(&sin));
    let storage = x.storage::<f32>();
    let strides = x.layout().strides();
    let out = made(b * h * t * e, h * e, |row, out| {
        for (row, out) in (row..).zip(out.chunks_exact_mut(h * e)) {
            let (note, token) = (row / t, row % t);
            let (cos, sin) = (&cos[token * e..][..e], &sin[token * e..][..e]);
            for (head, out) in out.chunks_exact_mut(e).enumerate() {
                let place = note.cast_signed() * strides[0]
                    + head.cast_signed() * strides[1]
                    + token.cast_signed() * strides[2];
                let start = x.layout().start_offset().strict_add_signed(place);
                turn(&storage[start..][..e], cos, sin, out);
            }
        }
    });
    tensor(out, &[b, t, h, e]).transpose(1, 2)
}

vectorised! {
    fn turn(x: &[f32], cos: &[f32], sin: &[f32], out: &mut [f32]) {
        let half = x.len() / 2;
        let (first, second) = x.split_at(half);
        let (out_first, out_second) = out.split_at_mut(half);
        let angles = cos.iter().zip(sin);
        for ((((out_first, out_second), a), b), (cos, sin)) in
            out_first.iter_mut().zip(out_second).zip(first).zip(second).zip(angles)
        {
            *out_first = a * cos - b * sin;
            *out_second = b * cos + a * sin;
        }
    }
}
