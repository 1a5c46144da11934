//! The product with a packed matrix, a stack of LoRA deltas in it: see `wgsl/matmul_packed.wgsl`.
//!
//! Rows of different tasks sit in one batch: each row names its adapter, and a tile of 64 rows multiplies the adapters
//! between the first and the last its rows name. Up to three projections of the same `x` may be one matrix, stacked
//! along N; each then has its own columns of Z.

use crate::packed::{Bits, unpacked};
use crate::{Elem, Launch, Shader, vec_flag};

/// Adapter of a row that has none.
pub const NO_ADAPTER: u32 = u32::MAX;

/// Shape of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// Rows of `x`, M.
    pub rows: usize,
    /// Columns of `y`: N, or F where gate and up are one matrix of twice F rows, each padded to 64.
    pub cols: usize,
    /// Columns of `x`, K.
    pub inner: usize,
    /// Bits of the matrix's codes.
    pub bits: Bits,
    /// Number type of `x`, Z, B and `y`.
    pub elem: Elem,
    /// Whether the matrix is a gate on an up projection, and `y` is `silu(gate)·up`.
    pub is_swiglu: bool,
    /// The deltas, if there are any.
    pub lora: Option<LoraColumns>,
}

/// Shape of the extra columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LoraColumns {
    /// R of one projection, a multiple of 4: the ranks of a stack, added up and padded with zeros.
    pub rank: usize,
    /// First columns of the second and third projection, multiples of 64; N or more where there is none. With SwiGLU the
    /// second projection is the up projection and this is not read.
    pub segments: [usize; 2],
    /// How many projections share `x`.
    pub projections: usize,
}

impl Product {
    /// The dispatch.
    ///
    /// # Panics
    /// If a rank is no multiple of 4, or a size exceeds 32 bits.
    #[must_use]
    pub fn launch(&self) -> Launch {
        // With few rows a tile of 64 would be mostly empty.
        if self.is_few_rows() {
            return crate::matmul_rows::launch(self);
        }
        let shader = Shader::find("matmul_packed", &self.flags());
        let width = if self.is_swiglu { 32 } else { 64 };
        let groups = [word(self.cols.div_ceil(width)), word(self.rows.div_ceil(64)), 1];
        Launch { shader, params: self.params(), groups }
    }

    /// Whether the kernel for few rows takes this product.
    #[must_use]
    pub fn is_few_rows(&self) -> bool {
        self.rows <= 8 && !self.is_swiglu
    }

    pub(crate) fn flags(&self) -> [&'static str; 5] {
        let lora = if self.lora.is_some() { "lora" } else { "" };
        let swiglu = if self.is_swiglu { "swiglu" } else { "" };
        [self.bits.flag(), self.elem.flag(), lora, swiglu, vec_flag(self.inner.is_multiple_of(4))]
    }

    pub(crate) fn params(&self) -> Vec<u32> {
        let none = LoraColumns { rank: 0, segments: [usize::MAX; 2], projections: 0 };
        let lora = self.lora.unwrap_or(none);
        assert!(lora.rank.is_multiple_of(4), "rank {} is padded to a multiple of 4", lora.rank);
        let [second, third] = lora.segments.map(|column| u32::try_from(column).unwrap_or(u32::MAX));
        let blocks = self.inner.div_ceil(32);
        let z_cols = lora.rank * lora.projections;
        [self.rows, self.cols, self.inner, blocks, lora.rank, z_cols]
            .map(word)
            .into_iter()
            .chain([second, third])
            .collect()
    }
}

pub(crate) fn word(size: usize) -> u32 {
    u32::try_from(size).expect("a buffer holds fewer than 2^32 elements")
}

/// Adapter of each row, then the first and last adapter in each tile of 64 rows: what the kernels bind as `adapters`.
#[must_use]
pub fn row_adapters(rows: &[u32]) -> Vec<u32> {
    let mut words = rows.to_vec();
    for tile in rows.chunks(64) {
        let some = || tile.iter().copied().filter(|adapter| *adapter != NO_ADAPTER);
        // An empty range, where no row has an adapter.
        let range = some().min().zip(some().max()).unwrap_or((1, 0));
        words.extend([range.0, range.1]);
    }
    words
}

/// Values the extra columns are made of.
#[derive(Debug, Clone, Copy)]
pub struct LoraValues<'a> {
    /// `[M, R·projections]`.
    pub z: &'a [f32],
    /// `[S, N, R]`, scaled; N counts the rows of all projections.
    pub b: &'a [f32],
    /// `[M]`.
    pub row_adapters: &'a [u32],
}

/// What the kernel computes, `[M, cols]`.
#[must_use]
pub fn twin(product: &Product, x: &[f32], words: &[u32], lora: Option<LoraValues<'_>>) -> Vec<f32> {
    let Product { rows, cols, inner, .. } = *product;
    let above = if product.is_swiglu { cols.div_ceil(64) * 64 } else { 0 }; // rows of the matrix above the up projection
    let w = unpacked(product.bits, words, [above + cols, inner]);
    let plain = |m: usize, n: usize| -> f32 {
        x[m * inner..][..inner].iter().zip(&w[n * inner..][..inner]).map(|(x, w)| x * w).sum()
    };
    let delta = |m: usize, n: usize, projection: usize| -> f32 {
        let (Some(shape), Some(values)) = (product.lora, lora) else { return 0.0 };
        let adapter = values.row_adapters[m];
        if adapter == NO_ADAPTER {
            return 0.0;
        }
        let b_rows = if product.is_swiglu { 2 * cols } else { cols };
        let b = &values.b[(adapter as usize * b_rows + n) * shape.rank..][..shape.rank];
        let z = &values.z[(m * shape.projections + projection) * shape.rank..][..shape.rank];
        z.iter().zip(b).map(|(z, b)| z * b).sum()
    };
    let mut y = Vec::with_capacity(rows * cols);
    for m in 0..rows {
        for n in 0..cols {
            y.push(if product.is_swiglu {
                let gate = plain(m, n) + delta(m, n, 0);
                let up = plain(m, above + n) + delta(m, cols + n, 1);
                gate / (1.0 + (-gate).exp()) * up
            } else {
                let segments = product.lora.map_or([usize::MAX; 2], |lora| lora.segments);
                let projection = segments.iter().filter(|first| n >= **first).count();
                plain(m, n) + delta(m, n, projection)
            });
        }
    }
    y
}
