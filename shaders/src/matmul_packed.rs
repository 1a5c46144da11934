//! The product with a packed matrix, a stack of LoRA deltas in it: see `wgsl/matmul_packed.wgsl`.
//!
//! Rows of different tasks sit in one batch: each row names its adapter, and a tile of 64 rows multiplies the adapters
//! between the first and the last its rows name. Matrices that share `x` are multiplied in one dispatch; each has its own
//! columns of Z.

use crate::packed::{Bits, unpacked};
use crate::{Elem, Launch, Shader, vec_flag};

/// Adapter of a row that has none.
pub const NO_ADAPTER: u32 = u32::MAX;

/// Shape of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// Rows of `x`, M.
    pub rows: usize,
    /// Columns of `y`.
    pub cols: usize,
    /// Columns of `x`, K.
    pub inner: usize,
    /// Bits of the codes.
    pub bits: Bits,
    /// Number type of `x`, Z, B and `y`.
    pub elem: Elem,
    /// What is multiplied, and what becomes of it.
    pub form: Form,
    /// R of one matrix's deltas, a multiple of 4: the ranks of a stack, added up and padded with zeros. None without deltas.
    pub rank: Option<usize>,
    /// Whether the adapter is a program, which is slow at what graphics processors are quick at: workgroup memory.
    pub in_software: bool,
}

/// What a product is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// `x·Wᵀ`.
    Plain,
    /// `r + x·Wᵀ`.
    Residual,
    /// `silu(x·Gᵀ)·(x·Uᵀ)`, G and U each of `cols` rows.
    Swiglu,
    /// `x·Wᵀ` of three matrices side by side, each padded to a multiple of 64 columns; the first columns of the second and
    /// the third. Columns of the padding are zero.
    Qkv([usize; 2]),
}

impl Form {
    /// How many matrices share `x`.
    #[must_use]
    pub fn matrices(self) -> usize {
        match self {
            Self::Plain | Self::Residual => 1,
            Self::Swiglu => 2,
            Self::Qkv(_) => 3,
        }
    }
}

impl Product {
    /// The dispatch.
    ///
    /// # Panics
    /// If the rank is no multiple of 4, or a size exceeds 32 bits.
    #[must_use]
    pub fn launch(&self) -> Launch {
        // With few rows a tile of 64 would be mostly empty.
        if self.is_few_rows() {
            return crate::matmul_rows::launch(self);
        }
        // Programs have no halves.
        if self.in_software && self.elem == Elem::F32 {
            return crate::matmul_direct::launch(self);
        }
        let width = if self.form == Form::Swiglu { 32 } else { 64 };
        let groups = [word(self.cols.div_ceil(width)), word(self.rows.div_ceil(64)), 1];
        Launch { shader: Shader::find("matmul_packed", &self.flags()), params: self.params(), groups }
    }

    /// Whether the kernel for few rows takes this product.
    #[must_use]
    pub fn is_few_rows(&self) -> bool {
        self.rows <= 8 && self.form.matrices() == 1
    }

    pub(crate) fn flags(&self) -> [&'static str; 5] {
        let lora = if self.rank.is_some() { "lora" } else { "" };
        let form = match self.form {
            Form::Plain => "",
            Form::Residual => "residual",
            Form::Swiglu => "swiglu",
            Form::Qkv(_) => "qkv",
        };
        [self.bits.flag(), self.elem.flag(), lora, form, vec_flag(self.inner.is_multiple_of(4))]
    }

    pub(crate) fn params(&self) -> Vec<u32> {
        let rank = self.rank.unwrap_or(0);
        assert!(rank.is_multiple_of(4), "rank {rank} is padded to a multiple of 4");
        let segments = match self.form {
            Form::Qkv(segments) => segments,
            _ => [0; 2],
        };
        let z_cols = rank * self.form.matrices();
        let sizes = [self.rows, self.cols, self.inner, self.inner.div_ceil(32), rank, z_cols];
        sizes.into_iter().chain(segments).map(word).collect()
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
    /// `[M, R·matrices]`.
    pub z: &'a [f32],
    /// `[S, N, R]`, scaled; N counts the rows of all matrices, with the padding of [`Form::Qkv`].
    pub b: &'a [f32],
    /// `[M]`.
    pub row_adapters: &'a [u32],
}

/// What the kernel computes, `[M, cols]`; `words` are those of each matrix, `residual` is read by [`Form::Residual`] alone.
#[must_use]
pub fn twin(
    product: &Product,
    x: &[f32],
    words: &[&[u32]],
    lora: Option<LoraValues<'_>>,
    residual: &[f32],
) -> Vec<f32> {
    let Product { rows, cols, inner, .. } = *product;
    // Columns of y, or of both halves of a gated product, that each matrix begins and ends with.
    let spans: Vec<[usize; 2]> = match product.form {
        Form::Plain | Form::Residual => vec![[0, cols]],
        Form::Swiglu => vec![[0, cols], [cols, 2 * cols]],
        Form::Qkv([second, third]) => vec![[0, second], [second, third], [third, cols]],
    };
    let mut wide = vec![vec![0.0; spans[spans.len() - 1][1]]; rows];
    for (part, ([from, to], words)) in spans.iter().zip(words).enumerate() {
        let w = unpacked(product.bits, words, [to - from, inner]);
        for (m, y) in wide.iter_mut().enumerate() {
            let x = &x[m * inner..][..inner];
            for n in *from..*to {
                let w = &w[(n - from) * inner..][..inner];
                y[n] = x.iter().zip(w).map(|(x, w)| x * w).sum();
                y[n] += lora.map_or(0.0, |lora| delta(product, lora, [m, n], part));
            }
        }
    }
    let gated = |y: Vec<f32>| (0..cols).map(|n| y[n] / (1.0 + (-y[n]).exp()) * y[cols + n]).collect();
    let rows = wide.into_iter().enumerate().map(|(m, y)| match product.form {
        Form::Plain | Form::Qkv(_) => y,
        Form::Residual => y.iter().zip(&residual[m * cols..]).map(|(y, r)| y + r).collect(),
        Form::Swiglu => gated(y),
    });
    rows.flatten().collect()
}

/// What the deltas of one matrix add to row `m`, column `n`.
fn delta(product: &Product, lora: LoraValues<'_>, [m, n]: [usize; 2], part: usize) -> f32 {
    let (adapter, rank) = (lora.row_adapters[m], product.rank.unwrap_or(0));
    if adapter == NO_ADAPTER {
        return 0.0;
    }
    let b_rows = if product.form == Form::Swiglu { 2 * product.cols } else { product.cols };
    let b = &lora.b[(adapter as usize * b_rows + n) * rank..][..rank];
    let z = &lora.z[(m * product.form.matrices() + part) * rank..][..rank];
    z.iter().zip(b).map(|(z, b)| z * b).sum()
}
