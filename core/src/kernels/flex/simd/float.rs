//! A small product in f32: scores and sums of attention, and the two thin factors of a LoRA delta.

use super::lanes::{f32x4_add, f32x4_mul, f32x4_splat, floats, v128, v128_load, v128_load32_splat};
use super::{OCTET, TILE_ROWS};

/// A matrix whose rows are padded to whole octets.
pub(in super::super) struct Padded {
    values: Vec<f32>,
    width: usize,
    stride: usize,
}

impl Padded {
    /// `[height, width]`, of what `value` gives for row and column.
    pub(in super::super) fn new(
        height: usize,
        width: usize,
        mut value: impl FnMut(usize, usize) -> f32,
    ) -> Self {
        let stride = width.next_multiple_of(OCTET);
        let mut values = vec![0.0; height * stride];
        for (row, values) in values.chunks_exact_mut(stride.max(1)).enumerate() {
            for (column, into) in values[..width].iter_mut().enumerate() {
                *into = value(row, column);
            }
        }
        Self { values, width, stride }
    }
}

/// Rows somewhere in memory: their first values, and how far apart they are.
#[derive(Clone, Copy)]
pub(in super::super) struct Strided<'a> {
    pub(in super::super) values: &'a [f32],
    pub(in super::super) stride: usize,
}

/// Adds `a·b` to the first columns of `out`: `rows` rows of `depth` values with the first `depth` rows of `b`, up to `columns`
/// columns of it.
///
/// # Panics
/// If there is less in `a`, `b` or `out`.
pub(in super::super) fn add_product(
    a: Strided<'_>,
    [rows, depth, columns]: [usize; 3],
    b: &Padded,
    out: &mut [f32],
    out_stride: usize,
) {
    assert!(columns <= b.width && depth * b.stride <= b.values.len(), "columns and rows of b");
    let mut row = 0;
    while row + TILE_ROWS <= rows {
        let a = Strided { values: &a.values[row * a.stride..], ..a };
        add_rows::<TILE_ROWS>(a, depth, b, columns, &mut out[row * out_stride..], out_stride);
        row += TILE_ROWS;
    }
    while row < rows {
        let a = Strided { values: &a.values[row * a.stride..], ..a };
        add_rows::<1>(a, depth, b, columns, &mut out[row * out_stride..], out_stride);
        row += 1;
    }
}

#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
fn add_rows<const R: usize>(
    a: Strided<'_>,
    depth: usize,
    b: &Padded,
    columns: usize,
    out: &mut [f32],
    out_stride: usize,
) {
    assert!((R - 1) * a.stride + depth <= a.values.len(), "rows of a");
    for from in (0..columns).step_by(OCTET) {
        // SAFETY: `R` rows of `depth` values; `depth` rows of `b`, each padded to whole octets.
        let sums =
            unsafe { tile::<R>(a.values.as_ptr(), a.stride, depth, b.values.as_ptr().add(from), b.stride) };
        for (row, sums) in sums.into_iter().enumerate() {
            let out = &mut out[row * out_stride + from..][..OCTET.min(columns - from)];
            for (out, sum) in out.iter_mut().zip(floats(sums)) {
                *out += sum;
            }
        }
    }
}

/// Sums of `R` rows and an octet of columns.
///
/// # Safety
/// `a` has `R` rows of `depth` values, `b` `depth` rows of an octet.
#[cfg_attr(target_arch = "wasm32", target_feature(enable = "simd128"))]
unsafe fn tile<const R: usize>(
    a: *const f32,
    a_stride: usize,
    depth: usize,
    b: *const f32,
    b_stride: usize,
) -> [[v128; 2]; R] {
    let mut sums = [[f32x4_splat(0.0); 2]; R];
    for k in 0..depth {
        // SAFETY: the caller's.
        unsafe {
            let b: *const v128 = b.add(k * b_stride).cast();
            let (first, second) = (v128_load(b), v128_load(b.add(1)));
            for (row, sums) in sums.iter_mut().enumerate() {
                let a = v128_load32_splat(a.add(row * a_stride + k).cast());
                sums[0] = f32x4_add(sums[0], f32x4_mul(a, first));
                sums[1] = f32x4_add(sums[1], f32x4_mul(a, second));
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_product_at_any_size() {
        for [rows, depth, columns] in [[1, 1, 1], [3, 7, 9], [4, 8, 16], [9, 31, 13]] {
            let a: Vec<f32> = (0..rows * (depth + 2)).map(|i| (i as f32 * 0.7).sin()).collect();
            let b = |row: usize, column: usize| ((row * 5 + column) as f32 * 0.3).cos();
            let padded = Padded::new(depth + 1, columns + 1, b);
            let mut out = vec![1.0; rows * columns];
            let a_rows = Strided { values: &a, stride: depth + 2 };
            add_product(a_rows, [rows, depth, columns], &padded, &mut out, columns);
            for (place, value) in out.iter().enumerate() {
                let (row, column) = (place / columns, place % columns);
                let expected: f32 = (0..depth).map(|k| a[row * (depth + 2) + k] * b(k, column)).sum();
                assert!((value - 1.0 - expected).abs() < 1e-5, "[{rows}, {depth}, {columns}] {place}");
            }
        }
    }
}
