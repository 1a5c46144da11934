//! Products with packed matrices, the active LoRA deltas in them: one dispatch, and one more with deltas or a norm.
//!
//! Rows of a batch fall into stacks, the sets of adapters that act on them. A [`Stacked`] keeps what the kernels read of
//! the deltas: for each stack the `A` of every matrix, one under the other, the scaled `B`, and the stack of each row. It is
//! made when first asked for, and again when a delta or the shape of the batch has changed.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use burn::backend::{BackendTensor, DispatchTensorKind, Shape, TensorMetadata as _};
use burn::tensor::{DType, Device, Int, Tensor, TensorData};
use burn_cubecl::cubecl::zspace::{Strides, metadata::Metadata};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use clinlora_shaders::Elem;
use clinlora_shaders::lora_down::Down;
use clinlora_shaders::matmul_packed::{Form, NO_ADAPTER, Product, row_adapters};
use clinlora_shaders::packed::Bits as CodeBits;

use super::super::packed::{Layer, Norm};
use super::dense::rms_norm;
use super::{elem, empty, is_software, is_usable, launch, takes_wgsl};
use crate::peft::lora::Lora;
use crate::quant::Bits;

/// Ranks are padded to a multiple of this.
const RANK: usize = 8;

/// `x·Wᵀ` with the active deltas, added to `onto` if there is one.
///
/// # Shapes
/// - `x`: `[B, .., d_in]`
/// - `onto` and result: `[B, .., d_out]`
pub(in super::super) fn linear<const N: usize>(
    x: &Tensor<N>,
    layer: Layer<'_>,
    onto: Option<&Tensor<N>>,
) -> Option<Tensor<N>> {
    let d_out = layer.packed.shape()[0];
    let form = if onto.is_some() { Form::Residual } else { Form::Plain };
    let onto = match onto {
        Some(onto) => Some(float(&rows_of(onto.clone()))?),
        None => None,
    };
    Some(burn_of(product(x, None, &[layer], form, d_out, onto.as_ref())?, outputs(x, d_out)))
}

/// `silu(gate(y))·up(y)` of the norm `y` of `x`, `[B, .., F]`.
pub(in super::super) fn gated<const N: usize>(
    x: &Tensor<N>,
    norm: Norm<'_>,
    gate: Layer<'_>,
    up: Layer<'_>,
) -> Option<Tensor<N>> {
    let width = gate.packed.shape()[0];
    Some(burn_of(product(x, Some(norm), &[gate, up], Form::Swiglu, width, None)?, outputs(x, width)))
}

/// Three layers on the norm of the same `x`; the results are columns of one tensor.
pub(in super::super) fn together<const N: usize>(
    x: &Tensor<N>,
    norm: Norm<'_>,
    layers: [Layer<'_>; 3],
) -> Option<[Tensor<N>; 3]> {
    let widths = layers.map(|layer| layer.packed.shape()[0]);
    let [first, second, third] = widths.map(|width| width.next_multiple_of(64));
    let starts = [0, first, first + second];
    let form = Form::Qkv([starts[1], starts[2]]);
    let cols = starts[2] + third;
    let y = product(x, Some(norm), &layers, form, cols, None)?;
    let alignment = usize::try_from(y.client.properties().memory.alignment).ok()?;
    if starts.iter().any(|start| !(start * y.dtype.size()).is_multiple_of(alignment)) {
        let y = burn_of(y, outputs(x, cols));
        return Some([0, 1, 2].map(|i| y.clone().narrow(N - 1, starts[i], widths[i])));
    }
    // Views of one buffer. Burn would copy them, since they end where no binding may.
    let mut strides = vec![1; N];
    strides[N - 2] = cols;
    for dim in (0..N - 2).rev() {
        strides[dim] = strides[dim + 1] * x.dims()[dim + 1];
    }
    Some([0, 1, 2].map(|i| {
        let meta = Metadata::new(Shape::from(outputs(x, widths[i]).to_vec()), Strides::new(&strides));
        let handle = y.handle.clone().offset_start((starts[i] * y.dtype.size()) as u64);
        let part = CubeTensor::new(y.client.clone(), handle, meta, y.device.clone(), y.dtype);
        from_device(part)
    }))
}

/// See [`heads`](super::super::attention::heads). Burn would copy a view of a wider buffer here if the batch is one note.
pub(in super::super) fn heads(x: &Tensor<3>, heads: usize) -> Option<Tensor<4>> {
    let [b, t, width] = x.dims();
    let x = float(x).filter(|x| takes_wgsl(&x.client))?;
    let [note, token, element] = [0, 1, 2].map(|dim| x.meta.strides()[dim]);
    let shape = Shape::from(vec![b, heads, t, width / heads]);
    let meta = Metadata::new(shape, Strides::new(&[note, width / heads * element, token, element]));
    Some(from_device(CubeTensor::new(x.client.clone(), x.handle.clone(), meta, x.device.clone(), x.dtype)))
}

/// See [`rotary_both`](super::super::rotary::rotary_both).
pub(in super::super) fn rotary_both(
    q: &Tensor<4>,
    k: &Tensor<4>,
    cos: &Tensor<2>,
    sin: &Tensor<2>,
) -> Option<[Tensor<4>; 2]> {
    let [q, k, cos, sin] = [float(q)?, float(k)?, float(cos)?, float(sin)?];
    Some(super::dense::rotary_both(&q, &k, &cos, &sin)?.map(from_device))
}

/// Sizes of the result of a layer of this width for `x`.
fn outputs<const N: usize>(x: &Tensor<N>, width: usize) -> [usize; N] {
    let mut dims = x.dims();
    dims[N - 1] = width;
    dims
}

/// `[rows of x, cols]`.
fn product<const N: usize>(
    x: &Tensor<N>,
    norm: Option<Norm<'_>>,
    layers: &[Layer<'_>],
    form: Form,
    cols: usize,
    residual: Option<&CubeTensor>,
) -> Option<CubeTensor> {
    let dims = x.dims();
    let batch = dims[0];
    let bits = layers[0].packed.bits();
    let x = into_contiguous(float(&rows_of(x.clone()))?);
    let elem = elem(&x)?;
    if !takes_wgsl(&x.client) || layers.iter().any(|layer| layer.packed.bits() != bits) {
        return None;
    }
    let [rows, inner] = [dims[..N - 1].iter().product(), dims[N - 1]];
    let columns = match layers.iter().any(|layer| layer.deltas.iter().any(Lora::is_active)) {
        true => Some(layers[0].stacked.columns(layers, form, cols, [batch, rows / batch], x.dtype)),
        false => None,
    };
    let bits = if bits == Bits::Four { CodeBits::Int4 } else { CodeBits::Int8 };
    let rank = columns.as_ref().map(|columns| columns.rank);
    let call = Product { rows, cols, inner, bits, elem, form, rank, in_software: is_software() }.launch();
    if !is_usable(&x.client, call.shader) {
        return None;
    }
    let (x, deltas) = match (&columns, norm) {
        (Some(columns), _) => first_half(x, norm, columns, form, elem)?,
        (None, Some(norm)) => (rms_norm(&x, &float(norm.gain)?, norm.eps)?, Vec::new()),
        (None, None) => (x, Vec::new()),
    };
    let mut tensors = vec![x.clone()];
    for layer in layers {
        tensors.push(int(&layer.packed.words())?);
    }
    tensors.extend(deltas);
    tensors.extend(residual.map(|residual| into_contiguous(residual.clone())));
    let y = empty(&x, &[rows, cols]);
    tensors.push(y.clone());
    launch(&x.client, call, &tensors.iter().collect::<Vec<_>>());
    Some(y)
}

/// `x` `[rows, d_in]`, or its norm if there is one; and what a product reads of the deltas: `Z = x·Aᵀ`, B, and the stack of
/// each row.
fn first_half(
    x: CubeTensor,
    norm: Option<Norm<'_>>,
    columns: &Columns,
    form: Form,
    elem: Elem,
) -> Option<(CubeTensor, Vec<CubeTensor>)> {
    let [a, b] = [float(&columns.a)?, float(&columns.b)?];
    let adapters = int(&columns.adapters)?;
    let ([rows, inner], cols) = (x.shape().dims::<2>(), columns.rank * form.matrices());
    #[expect(clippy::cast_possible_truncation, reason = "an epsilon is meant to be f32")]
    let norm_eps = norm.map(|norm| norm.eps as f32);
    let call = Down { rows, cols, inner, stacks: columns.a.dims()[0], elem, norm_eps }.launch();
    if !is_usable(&x.client, call.shader) {
        return None;
    }
    let z = empty(&x, &[rows, cols]);
    let x = match norm {
        None => {
            launch(&x.client, call, &[&x, &a, &adapters, &z]);
            x
        }
        Some(norm) => {
            let gain = into_contiguous(float(norm.gain)?);
            let normed = empty(&x, &[rows, inner]);
            launch(&x.client, call, &[&x, &gain, &a, &adapters, &normed, &z]);
            normed
        }
    };
    Some((x, vec![z, b, adapters]))
}

fn from_device<const N: usize>(tensor: CubeTensor) -> Tensor<N> {
    super::super::packed::from_device(DispatchTensorKind::Cube(BackendTensor::Float(tensor)))
}

fn burn_of<const N: usize>(y: CubeTensor, dims: [usize; N]) -> Tensor<N> {
    from_device::<2>(y).reshape(dims)
}

fn rows_of<const N: usize>(x: Tensor<N>) -> Tensor<2> {
    x.flatten(0, N.saturating_sub(2))
}

/// The device's own tensor, if the device is one of these and no gradient is asked for.
fn float<const N: usize>(tensor: &Tensor<N>) -> Option<CubeTensor> {
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Cube(BackendTensor::Float(tensor)) => Some(tensor),
        _ => None,
    }
}

fn int(tensor: &Tensor<1, Int>) -> Option<CubeTensor> {
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Cube(BackendTensor::Int(tensor)) => Some(tensor),
        _ => None,
    }
}

/// What the kernels read of the deltas of a layer, or of the layers that are multiplied with it.
#[derive(Debug, Default)]
pub(crate) struct Stacked {
    kept: Arc<Mutex<Option<Columns>>>,
    /// How often this layer's deltas may have changed.
    version: AtomicU64,
}

impl Clone for Stacked {
    /// A copy of a layer may get other deltas.
    fn clone(&self) -> Self {
        Self::default()
    }
}

#[derive(Debug, Clone)]
struct Columns {
    /// Of each layer, when this was made.
    versions: Vec<u64>,
    /// Rows of the batch and tokens of each.
    batch: [usize; 2],
    /// R of one matrix.
    rank: usize,
    /// `[S, R·matrices, d_in]`, columns padded to a multiple of four.
    a: Tensor<3>,
    /// `[S, d_out of all matrices, R]`, scaled.
    b: Tensor<3>,
    /// Stack of each row, then the first and last of each tile.
    adapters: Tensor<1, Int>,
}

impl Stacked {
    /// To be called when a delta may change.
    pub(crate) fn forget(&self) {
        self.version.fetch_add(1, Ordering::Relaxed);
    }

    fn columns(
        &self,
        layers: &[Layer<'_>],
        form: Form,
        cols: usize,
        batch: [usize; 2],
        dtype: DType,
    ) -> Columns {
        let versions: Vec<u64> =
            layers.iter().map(|layer| layer.stacked.version.load(Ordering::Relaxed)).collect();
        let mut kept = self.kept.lock().expect("nothing panics while it holds the columns");
        let is_current =
            |kept: &&Columns| kept.versions == versions && kept.batch == batch && kept.a.dtype() == dtype;
        if let Some(columns) = kept.as_ref().filter(is_current) {
            return columns.clone();
        }
        let columns = Columns::new(layers, form, cols, batch, dtype, versions);
        *kept = Some(columns.clone());
        columns
    }
}

impl Columns {
    fn new(
        layers: &[Layer<'_>],
        form: Form,
        cols: usize,
        batch: [usize; 2],
        dtype: DType,
        versions: Vec<u64>,
    ) -> Self {
        let (stacks, of_rows) = stacks(layers, batch);
        let of_stack = |layer: &Layer<'_>, stack: &[&str]| -> Vec<[Tensor<2>; 2]> {
            let members =
                layer.deltas.iter().filter(|lora| lora.is_active() && stack.contains(&lora.adapter()));
            members.map(|lora| lora.scaled_factors(dtype)).collect()
        };
        let rank_of = |layer: &Layer<'_>, stack: &Vec<&str>| -> usize {
            of_stack(layer, stack).iter().map(|[a, _]| a.dims()[0]).sum()
        };
        let ranks = layers.iter().flat_map(|layer| stacks.iter().map(move |stack| rank_of(layer, stack)));
        let rank = ranks.max().unwrap_or(0).next_multiple_of(RANK).max(RANK);
        let [_, d_in] = layers[0].packed.shape();
        let device = layers[0].packed.words().device();
        // Rows of B that each matrix begins with.
        let starts = match form {
            Form::Plain | Form::Residual => vec![0],
            Form::Swiglu => vec![0, cols],
            Form::Qkv([second, third]) => vec![0, second, third],
        };
        let b_rows = if form == Form::Swiglu { 2 * cols } else { cols };
        let (mut all_a, mut all_b) = (Vec::new(), Vec::new());
        for stack in &stacks {
            let mut a = zeros([rank * layers.len(), d_in.next_multiple_of(4)], dtype, &device);
            let mut b = zeros([b_rows, rank], dtype, &device);
            for (part, (layer, start)) in layers.iter().zip(&starts).enumerate() {
                let mut at = 0;
                for [down, up] in of_stack(layer, stack) {
                    let ([r, _], [d_out, _]) = (down.dims(), up.dims());
                    let first = part * rank + at;
                    a = a.slice_assign([first..first + r, 0..d_in], down);
                    b = b.slice_assign([*start..start + d_out, at..at + r], up);
                    at += r;
                }
            }
            all_a.push(a);
            all_b.push(b);
        }
        let words: Vec<i32> = row_adapters(&of_rows).into_iter().map(u32::cast_signed).collect();
        let count = words.len();
        let adapters = Tensor::from_data(TensorData::new(words, [count]), (&device, DType::I32));
        Self { versions, batch, rank, a: Tensor::stack(all_a, 0), b: Tensor::stack(all_b, 0), adapters }
    }
}

fn zeros(shape: [usize; 2], dtype: DType, device: &Device) -> Tensor<2> {
    Tensor::zeros(shape, (device, dtype))
}

/// The sets of active adapters that act on a row of the batch, each once, and the place of each token's.
fn stacks<'a>(layers: &[Layer<'a>], [batch, tokens]: [usize; 2]) -> (Vec<Vec<&'a str>>, Vec<u32>) {
    let mut stacks: Vec<Vec<&str>> = Vec::new();
    let mut of_rows = Vec::with_capacity(batch * tokens);
    for row in 0..batch {
        let mut stack: Vec<&str> = Vec::new();
        for lora in layers.iter().flat_map(|layer| layer.deltas) {
            if lora.is_active() && lora.acts_on(row) && !stack.contains(&lora.adapter()) {
                stack.push(lora.adapter());
            }
        }
        let mut place = NO_ADAPTER;
        if !stack.is_empty() {
            let known = stacks.iter().position(|known| *known == stack).unwrap_or(stacks.len());
            if known == stacks.len() {
                stacks.push(stack);
            }
            place = u32::try_from(known).expect("a batch has few stacks");
        }
        of_rows.extend(std::iter::repeat_n(place, tokens));
    }
    if stacks.is_empty() {
        // Active adapters that act on no row of this batch: one stack that nothing is multiplied with.
        stacks.push(Vec::new());
    }
    (stacks, of_rows)
}
