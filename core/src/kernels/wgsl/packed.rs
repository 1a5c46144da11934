//! The product with a packed matrix, the active LoRA deltas in it: two dispatches with deltas, one without.
//!
//! Rows of a batch fall into stacks, the sets of adapters that act on them. A [`Stacked`] keeps what the kernels read of
//! the deltas of one layer: the `A` of each stack, one under the other, its scaled `B`, side by side, and the stack of each
//! row. It is made when first asked for, and again when adapters or their rows have changed.

use std::sync::{Arc, Mutex};

#[cfg(feature = "fusion")]
use burn::backend::Shape;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, Dispatch, DispatchDevice, TensorMetadata as _, backend_extension};
use burn::tensor::{DType, Int, Tensor, TensorData};
use burn_cubecl::CubeBackend;
use burn_cubecl::kernel::into_contiguous;
use clinlora_shaders::lora_down::Down;
use clinlora_shaders::matmul_packed::{LoraColumns, NO_ADAPTER, Product, row_adapters};
use clinlora_shaders::packed::Bits as CodeBits;

use super::{elem, empty, is_usable, launch, takes_wgsl};
use crate::peft::lora::Lora;
use crate::quant::{Bits, Packed};

/// Ranks are padded to a multiple of this.
const RANK: usize = 8;

/// `x·Wᵀ`, and with the active deltas, in one call. `x` is `[M, d_in]`, the words are those of [`Packed`]; `a` is `[S, R, d_in]`
/// padded to a multiple of four columns, `b` `[S, d_out, R]`, and `adapters` what
/// [`row_adapters`](clinlora_shaders::matmul_packed::row_adapters) makes.
#[backend_extension(Cube, Fusion: cfg(feature = "fusion"))]
trait PackedOps: Backend {
    #[fusion(dtype = x, shape = out_shape(x, d_out))]
    fn packed_product(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        d_out: usize,
        is_int4: bool,
    ) -> FloatTensor<Self>;

    #[fusion(dtype = x, shape = out_shape(x, d_out))]
    fn packed_lora_product(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        adapters: IntTensor<Self>,
        d_out: usize,
        is_int4: bool,
    ) -> FloatTensor<Self>;
}

#[cfg(feature = "fusion")]
fn out_shape(x: &Shape, d_out: &usize) -> Shape {
    Shape::from(vec![x[0], *d_out])
}

fn product(x: &burn_cubecl::tensor::CubeTensor, d_out: usize, is_int4: bool, rank: Option<usize>) -> Product {
    let [rows, inner] = x.shape().dims::<2>();
    Product {
        rows,
        cols: d_out,
        inner,
        bits: if is_int4 { CodeBits::Int4 } else { CodeBits::Int8 },
        elem: elem(x).expect("checked before it came here"),
        is_swiglu: false,
        lora: rank.map(|rank| LoraColumns { rank, segments: [usize::MAX; 2], projections: 1 }),
    }
}

impl PackedOps for CubeBackend {
    fn packed_product(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        d_out: usize,
        is_int4: bool,
    ) -> FloatTensor<Self> {
        let x = into_contiguous(x);
        let product = product(&x, d_out, is_int4, None);
        let y = empty(&x, &[product.rows, d_out]);
        launch(&x.client, product.launch(), &[&x, &words, &y]);
        y
    }

    fn packed_lora_product(
        x: FloatTensor<Self>,
        words: IntTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
        adapters: IntTensor<Self>,
        d_out: usize,
        is_int4: bool,
    ) -> FloatTensor<Self> {
        let x = into_contiguous(x);
        let [stacks, rank, _] = a.shape().dims::<3>();
        let product = product(&x, d_out, is_int4, Some(rank));
        let down = Down { rows: product.rows, cols: rank, inner: product.inner, stacks, elem: product.elem };
        let z = empty(&x, &[product.rows, rank]);
        launch(&x.client, down.launch(), &[&x, &a, &adapters, &z]);
        let y = empty(&x, &[product.rows, d_out]);
        launch(&x.client, product.launch(), &[&x, &words, &z, &b, &adapters, &y]);
        y
    }
}

/// `x·Wᵀ` with the active ones of `deltas`, if the kernels can.
///
/// # Shapes
/// - `x`: `[B, .., d_in]`
/// - result: `[B, .., d_out]`
pub(crate) fn packed_linear<const N: usize>(
    x: &Tensor<N>,
    packed: &Packed,
    deltas: &[Lora],
    stacked: &Stacked,
) -> Option<Tensor<N>> {
    let device = x.device();
    let DispatchDevice::Cube(cube) = device.as_dispatch() else { return None };
    let client = cube.client();
    if !takes_wgsl(&client) || !matches!(x.dtype(), DType::F32 | DType::F16) {
        return None;
    }
    let mut dims = x.dims();
    let (batch, d_in, [d_out, _]) = (dims[0], dims[N - 1], packed.shape());
    let rows = dims[..N - 1].iter().product();
    dims[N - 1] = d_out;
    let has_deltas = deltas.iter().any(Lora::is_active);
    let is_int4 = packed.bits() == Bits::Four;
    let columns = has_deltas.then(|| stacked.columns(deltas, [batch, rows / batch], x.dtype()));
    // The shaders this call would launch.
    let elem =
        if x.dtype() == DType::F32 { clinlora_shaders::Elem::F32 } else { clinlora_shaders::Elem::F16 };
    let bits = if is_int4 { CodeBits::Int4 } else { CodeBits::Int8 };
    let rank = columns.as_ref().map(|columns| columns.a.dims()[1]);
    let lora = rank.map(|rank| LoraColumns { rank, segments: [usize::MAX; 2], projections: 1 });
    let product = Product { rows, cols: d_out, inner: d_in, bits, elem, is_swiglu: false, lora };
    if !is_usable(&client, product.launch().shader) {
        return None;
    }
    let x = x.clone().reshape([rows, d_in]).into_dispatch();
    let words = packed.words().into_dispatch();
    let y = match columns {
        None => Dispatch::packed_product(x, words, d_out, is_int4),
        Some(Columns { a, b, adapters, .. }) => Dispatch::packed_lora_product(
            x,
            words,
            a.into_dispatch(),
            b.into_dispatch(),
            adapters.into_dispatch(),
            d_out,
            is_int4,
        ),
    };
    Some(Tensor::<2>::from_dispatch(y).reshape(dims))
}

/// What the kernels read of one layer's deltas, once it has been made.
#[derive(Debug, Default)]
pub(crate) struct Stacked(Arc<Mutex<Option<Columns>>>);

impl Clone for Stacked {
    /// A copy of a layer may get other deltas.
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[derive(Debug, Clone)]
struct Columns {
    /// Rows of the batch and tokens of each.
    batch: [usize; 2],
    dtype: DType,
    /// `[S, R, d_in]`, columns padded to a multiple of four.
    a: Tensor<3>,
    /// `[S, d_out, R]`, scaled.
    b: Tensor<3>,
    /// Stack of each row, then the first and last of each tile.
    adapters: Tensor<1, Int>,
}

impl Stacked {
    /// To be called when a delta has changed in any way.
    pub(crate) fn forget(&self) {
        *self.0.lock().expect("nothing panics while it holds the columns") = None;
    }

    fn columns(&self, deltas: &[Lora], batch: [usize; 2], dtype: DType) -> Columns {
        let mut kept = self.0.lock().expect("nothing panics while it holds the columns");
        if let Some(columns) = kept.as_ref().filter(|kept| kept.batch == batch && kept.dtype == dtype) {
            return columns.clone();
        }
        let columns = Columns::new(deltas, batch, dtype);
        *kept = Some(columns.clone());
        columns
    }
}

impl Columns {
    fn new(deltas: &[Lora], batch: [usize; 2], dtype: DType) -> Self {
        let active: Vec<&Lora> = deltas.iter().filter(|lora| lora.is_active()).collect();
        // The adapters of each row of the batch, and each set of them once.
        let of_row =
            |row: usize| -> Vec<usize> { (0..active.len()).filter(|i| active[*i].acts_on(row)).collect() };
        let mut stacks: Vec<Vec<usize>> = Vec::new();
        let mut of_rows = Vec::with_capacity(batch[0] * batch[1]);
        for row in 0..batch[0] {
            let stack = of_row(row);
            let place = if stack.is_empty() {
                NO_ADAPTER
            } else {
                let place = stacks.iter().position(|known| *known == stack).unwrap_or_else(|| {
                    stacks.push(stack);
                    stacks.len() - 1
                });
                u32::try_from(place).expect("a batch has few stacks")
            };
            of_rows.extend(std::iter::repeat_n(place, batch[1]));
        }
        if stacks.is_empty() {
            // Active adapters that act on no row of this batch: one stack that is never multiplied.
            stacks.push(vec![0]);
        }
        let rank_of = |stack: &Vec<usize>| stack.iter().map(|i| active[*i].rank()).sum::<usize>();
        let rank = stacks.iter().map(rank_of).max().unwrap_or(0).next_multiple_of(RANK);
        let factors: Vec<[Tensor<2>; 2]> = active.iter().map(|lora| lora.scaled_factors(dtype)).collect();
        let device = factors[0][0].device();
        let ([_, d_in], [d_out, _]) = (factors[0][0].dims(), factors[0][1].dims());
        let width = d_in.next_multiple_of(4);
        let padded = |parts: Vec<Tensor<2>>, dim: usize, shape: [usize; 2]| -> Tensor<2> {
            let mut have = parts[0].dims();
            have[dim] = parts.iter().map(|part| part.dims()[dim]).sum();
            let whole = Tensor::<2>::zeros(shape, (&device, dtype));
            whole.slice_assign([0..have[0], 0..have[1]], Tensor::cat(parts, dim))
        };
        let of = |stack: &Vec<usize>, side: usize| stack.iter().map(|i| factors[*i][side].clone()).collect();
        let a = stacks.iter().map(|stack| padded(of(stack, 0), 0, [rank, width])).collect();
        let b = stacks.iter().map(|stack| padded(of(stack, 1), 1, [d_out, rank])).collect();
        let words: Vec<i32> = row_adapters(&of_rows).into_iter().map(u32::cast_signed).collect();
        let count = words.len();
        let adapters = Tensor::from_data(TensorData::new(words, [count]), (&device, DType::I32));
        Self { batch, dtype, a: Tensor::stack(a, 0), b: Tensor::stack(b, 0), adapters }
    }
}
