//! Products of matrices, straight into memory that nobody has cleared. Flex's own clears a result on one thread and copies
//! it before it multiplies, which for a wide layer takes as long as a tenth of the product.

use burn::backend::flex::FlexTensor;
use gemm::Parallelism;

/// Who multiplies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Threads {
    /// The caller, one of several at work.
    One,
    /// Every thread there is.
    All,
}

impl Threads {
    fn parallelism(self) -> Parallelism {
        match self {
            Self::One => Parallelism::None,
            #[cfg(not(target_arch = "wasm32"))]
            Self::All => Parallelism::Rayon(0),
            #[cfg(target_arch = "wasm32")]
            Self::All => Parallelism::None,
        }
    }
}

/// A matrix of f32 somewhere in memory, its rows and columns any number of values apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Matrix<'a> {
    memory: &'a [f32],
    /// Place of the first value.
    start: usize,
    shape: [usize; 2],
    strides: [isize; 2],
}

impl<'a> Matrix<'a> {
    /// A tensor of rank 2.
    pub(super) fn of(tensor: &'a FlexTensor) -> Self {
        let layout = tensor.layout();
        let strides = [0, 1].map(|dim| layout.strides()[dim]);
        Self::within(tensor, 0, layout.shape().dims::<2>(), strides)
    }

    /// A matrix inside `tensor` that starts `offset` values after its first.
    pub(super) fn within(
        tensor: &'a FlexTensor,
        offset: isize,
        shape: [usize; 2],
        strides: [isize; 2],
    ) -> Self {
        let start = tensor.layout().start_offset().strict_add_signed(offset);
        Self::new(tensor.storage::<f32>(), start, shape, strides)
    }

    /// `values` row by row.
    pub(super) fn row_major(values: &'a [f32], shape: [usize; 2]) -> Self {
        Self::new(values, 0, shape, [shape[1].cast_signed(), 1])
    }

    /// # Panics
    /// If a value lies outside `memory`.
    fn new(memory: &'a [f32], start: usize, shape: [usize; 2], strides: [isize; 2]) -> Self {
        let matrix = Self { memory, start, shape, strides };
        if !shape.contains(&0) {
            let reach = |signed: fn(isize) -> isize| {
                let steps = shape.iter().zip(strides);
                steps.map(|(count, stride)| (count - 1).cast_signed() * signed(stride)).sum::<isize>()
            };
            let (back, ahead) = (reach(|stride| stride.min(0)), reach(|stride| stride.max(0)));
            let inside = start.checked_add_signed(back).is_some()
                && start.checked_add_signed(ahead).is_some_and(|last| last < memory.len());
            assert!(inside, "{shape:?} by {strides:?} from {start} reaches beyond {} values", memory.len());
        }
        matrix
    }

    pub(super) fn transposed(self) -> Self {
        let ([rows, columns], [down, along]) = (self.shape, self.strides);
        Self { shape: [columns, rows], strides: [along, down], ..self }
    }

    /// Number of rows.
    pub(super) fn height(self) -> usize {
        self.shape[0]
    }

    /// Rows `from..to`.
    pub(super) fn rows(self, from: usize, to: usize) -> Self {
        let start = self.start.strict_add_signed(from.cast_signed() * self.strides[0]);
        Self::new(self.memory, start, [to - from, self.shape[1]], self.strides)
    }

    fn first(self) -> *const f32 {
        self.memory.as_ptr().wrapping_add(self.start)
    }
}

/// `a·b`, row by row.
pub(super) fn product(a: Matrix<'_>, b: Matrix<'_>, threads: Threads) -> Vec<f32> {
    let mut out = Vec::new();
    product_into(a, b, &mut out, threads);
    out
}

/// Puts `a·b` into `out`, whatever it held; memory it has is used again.
pub(super) fn product_into(a: Matrix<'_>, b: Matrix<'_>, out: &mut Vec<f32>, threads: Threads) {
    let count = a.shape[0] * b.shape[1];
    out.clear();
    if a.shape[1] == 0 {
        out.resize(count, 0.0);
        return;
    }
    out.reserve_exact(count);
    // SAFETY: there is room for `count` values, and all of them are written before they count as the vector's.
    unsafe {
        multiply(a, b, out.as_mut_ptr(), false, threads);
        out.set_len(count);
    }
}

/// Adds `a·b` to `out`, row by row.
///
/// # Panics
/// If `out` is of another size.
pub(super) fn add_product(a: Matrix<'_>, b: Matrix<'_>, out: &mut [f32], threads: Threads) {
    assert_eq!(out.len(), a.shape[0] * b.shape[1], "a result of {} by {}", a.shape[0], b.shape[1]);
    // SAFETY: `out` has just been found to have room.
    unsafe { multiply(a, b, out.as_mut_ptr(), true, threads) }
}

/// Writes `a·b` row by row to `out`, onto what is there or not.
///
/// # Safety
/// `out` has room for the result; if it is added to, its values are initialised.
unsafe fn multiply(a: Matrix<'_>, b: Matrix<'_>, out: *mut f32, adds: bool, threads: Threads) {
    let ([m, k], [inner, n]) = (a.shape, b.shape);
    assert_eq!(k, inner, "{:?} times {:?}", a.shape, b.shape);
    let ([a_down, a_along], [b_down, b_along]) = (a.strides, b.strides);
    // SAFETY: every value of `a` and `b` was checked to lie in memory borrowed for as long; `out` is the caller's word.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            out,
            1,
            n.cast_signed(),
            adds,
            a.first(),
            a_along,
            a_down,
            b.first(),
            b_along,
            b_down,
            1.0,
            1.0,
            false,
            false,
            false,
            threads.parallelism(),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::cast_precision_loss, reason = "small whole numbers, exact in f32")]
    fn numbers(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i * 7 % 13) as f32 - 6.0).collect()
    }

    #[test]
    fn products_are_those_of_the_definition_in_any_layout() {
        for [m, k, n] in [[1, 1, 1], [3, 5, 2], [31, 17, 33], [130, 67, 9], [5, 0, 3]] {
            let (a, b) = (numbers(m * k), numbers(k * n));
            let by_hand: Vec<f32> = (0..m * n)
                .map(|place| (0..k).map(|i| a[place / n * k + i] * b[i * n + place % n]).sum())
                .collect();
            let turned: Vec<f32> = (0..k * n).map(|place| b[place % k * n + place / k]).collect();
            let (a, b) = (Matrix::row_major(&a, [m, k]), Matrix::row_major(&b, [k, n]));
            let turned = Matrix::row_major(&turned, [n, k]).transposed();
            for threads in [Threads::One, Threads::All] {
                assert_eq!(product(a, b, threads), by_hand, "{m} x {k} x {n}");
                let mut out = vec![99.0; 7];
                product_into(a, turned, &mut out, threads);
                assert_eq!(out, by_hand, "{m} x {k} x {n}, the second transposed, into used memory");
                add_product(a, b, &mut out, threads);
                let twice: Vec<f32> = by_hand.iter().map(|value| 2.0 * value).collect();
                assert_eq!(out, twice, "{m} x {k} x {n}, added");
            }
            let last = product(a.rows(m - 1, m), b, Threads::One);
            assert_eq!(last, by_hand[(m - 1) * n..], "the last row of {m} x {k} x {n}");
        }
    }

    #[test]
    #[should_panic(expected = "reaches beyond")]
    fn a_matrix_stays_within_its_memory() {
        let _ = Matrix::row_major(&[0.0; 5], [2, 3]);
    }
}
