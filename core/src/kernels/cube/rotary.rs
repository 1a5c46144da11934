//! Rotary positions: each unit turns some elements of a head's first half with their partners of the second.

use burn::backend::TensorMetadata as _;
use burn_cubecl::cubecl;
use burn_cubecl::cubecl::prelude::*;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;

use super::rows::{address, like, widest};
use super::storage;

/// See [`rotary`](super::super::rotary::rotary). `x` is read as it lies, if the elements of a head are neighbours.
pub(super) fn rotary(x: CubeTensor, cos: CubeTensor, sin: CubeTensor) -> CubeTensor {
    let x = if x.meta.strides()[3] == 1 { x } else { into_contiguous(x) };
    let (cos, sin, y) = (into_contiguous(cos), into_contiguous(sin), like(&x));
    let [notes, heads, tokens, width] = x.shape().dims::<4>();
    let [note, head, token] = [0, 1, 2].map(|dim| x.meta.strides()[dim]);
    let vector = widest(&x, [width / 2, note, head, token]);
    let half = width / 2 / vector;
    let count = notes * heads * tokens * half;
    let cube = CubeDim::new(&x.client, count);
    let cubes = cubecl::calculate_cube_count_elemwise(&x.client, count, cube);
    // SAFETY: a unit beyond `count` ends, and places are counted from the tensor's own strides.
    unsafe {
        turn::launch_unchecked(
            &x.client.clone(),
            cubes,
            cube,
            address(&[&x]),
            vector,
            x.into_buffer_arg(),
            cos.into_buffer_arg(),
            sin.into_buffer_arg(),
            y.clone().into_buffer_arg(),
            count,
            heads,
            tokens,
            note / vector,
            head / vector,
            token / vector,
            half,
            storage(&y),
        );
    }
    y
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn turn<F: Float, N: Size>(
    x: &[Vector<F, N>],
    cos: &[Vector<F, N>],
    sin: &[Vector<F, N>],
    y: &mut [Vector<F, N>],
    count: usize,
    heads: usize,
    tokens: usize,
    note_stride: usize,
    head_stride: usize,
    token_stride: usize,
    #[comptime] half: usize,
    #[define(F)] _dtype: ElemType,
) {
    if ABSOLUTE_POS >= count {
        terminate!();
    }
    let (i, place) = (ABSOLUTE_POS % half, ABSOLUTE_POS / half);
    let (token, place_of_head) = (place % tokens, place / tokens);
    let (head, note) = (place_of_head % heads, place_of_head / heads);
    let from = note * note_stride + head * head_stride + token * token_stride + i;
    let angle = token * half * 2 + i;
    let to = place * half * 2 + i;
    let first = Vector::<f32, N>::cast_from(x[from]);
    let second = Vector::<f32, N>::cast_from(x[from + half]);
    let cos = Vector::<f32, N>::cast_from(cos[angle]);
    let sin = Vector::<f32, N>::cast_from(sin[angle]);
    y[to] = Vector::<F, N>::cast_from(first * cos - second * sin);
    y[to + half] = Vector::<F, N>::cast_from(second * cos + first * sin);
}
