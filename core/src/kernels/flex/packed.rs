//! Products with packed matrices straight from their words: natively in f32, a stripe of 64 outputs on each thread; in
//! WebAssembly in whole numbers.

use burn::backend::flex::FlexTensor;
use burn::backend::{BackendTensor, DispatchTensorKind};
use burn::tensor::{DType, Int, Tensor};

use super::super::packed::{Layer, Norm, from_device};
use super::super::rms_norm::rms_norm;
#[cfg(target_arch = "wasm32")]
use super::simd::{float, integer};
use super::{swiglu, tensor, values};
use crate::peft::lora::Lora;

/// Rows to multiply, in the form products read.
struct Rows<const N: usize> {
    #[cfg(not(target_arch = "wasm32"))]
    x: Tensor<N>,
    dims: [usize; N],
    /// `[rows, d_in]`, contiguous.
    values: FlexTensor,
    #[cfg(target_arch = "wasm32")]
    codes: integer::Rows,
}

impl<const N: usize> Rows<N> {
    /// None on another device, for another number format, or where a gradient is asked for.
    fn of(x: &Tensor<N>) -> Option<Self> {
        let values = float(x)?.to_contiguous();
        Some(Self {
            #[cfg(not(target_arch = "wasm32"))]
            x: x.clone(),
            dims: x.dims(),
            #[cfg(target_arch = "wasm32")]
            codes: integer::Rows::of(super::values(&values), x.dims()[N - 1]),
            values,
        })
    }

    /// Of the norm of `x`.
    fn of_norm(x: &Tensor<N>, norm: Norm<'_>) -> Option<Self> {
        float(x)?;
        Self::of(&rms_norm(x.clone(), norm.gain.clone(), norm.eps))
    }

    /// The outputs of `layer`, added to `onto` if there is one.
    fn times(&self, layer: Layer<'_>, onto: Option<&FlexTensor>) -> Option<Tensor<N>> {
        let words = int(&layer.packed.words())?;
        let words: &[i32] = words.as_slice::<i32>()?;
        // SAFETY: the same 32 bits without a sign.
        let words: &[u32] = unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) };
        let [d_out, d_in] = layer.packed.shape();
        let rows = values(&self.values).len() / d_in;
        let mut out = match onto {
            Some(onto) => values(onto).to_vec(),
            None => vec![0.0; rows * d_out],
        };
        self.add_product(words, layer, &mut out);
        let mut dims = self.dims;
        dims[N - 1] = d_out;
        self.with_deltas(layer, out, dims)
    }

    #[cfg(not(target_arch = "wasm32"))]
    fn add_product(&self, words: &[u32], layer: Layer<'_>, out: &mut [f32]) {
        use crate::quant::{BLOCK_ROWS, blocks};

        let ([d_out, d_in], bits) = (layer.packed.shape(), layer.packed.bits());
        let [stripes, groups] = blocks([d_out, d_in]);
        let x = values(&self.values);
        let rows = x.len() / d_in;
        let stripe_words = groups * bits.block_words();
        let parts = super::rows::map_tasks(stripes, |i| {
            let mut part = vec![0.0; rows * BLOCK_ROWS];
            add_stripe(x, d_in, &words[i * stripe_words..][..stripe_words], bits, &mut part);
            part
        });
        for (i, part) in parts.into_iter().enumerate() {
            let columns = i * BLOCK_ROWS..d_out.min((i + 1) * BLOCK_ROWS);
            for (out, part) in out.chunks_exact_mut(d_out).zip(part.chunks_exact(BLOCK_ROWS)) {
                out[columns.clone()].iter_mut().zip(part).for_each(|(out, part)| *out += part);
            }
        }
    }

    #[cfg(target_arch = "wasm32")]
    fn add_product(&self, words: &[u32], layer: Layer<'_>, out: &mut [f32]) {
        self.codes.add_product(words, layer.packed.shape()[0], layer.packed.bits(), out);
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[expect(clippy::unnecessary_wraps, reason = "in WebAssembly a factor may be of another device")]
    fn with_deltas(&self, layer: Layer<'_>, out: Vec<f32>, dims: [usize; N]) -> Option<Tensor<N>> {
        let y = burn_of(tensor(out, &dims));
        Some(active(layer).fold(y, |y, lora| lora.added(y, self.x.clone())))
    }

    /// Burn's products would be without vectors here.
    #[cfg(target_arch = "wasm32")]
    fn with_deltas(&self, layer: Layer<'_>, mut out: Vec<f32>, dims: [usize; N]) -> Option<Tensor<N>> {
        let [d_out, d_in] = layer.packed.shape();
        let x = values(&self.values);
        let (batch, a_row) = (dims[0], x.len() / d_in / dims[0]);
        for lora in active(layer) {
            let [down, up] = lora.scaled_factors(DType::F32);
            let (down, up) = (float(&down)?.to_contiguous(), float(&up)?.to_contiguous());
            let (down, up) = (values(&down), values(&up));
            let rank = down.len() / d_in;
            let down = float::Padded::new(d_in, rank, |k, r| down[r * d_in + k]);
            let up = float::Padded::new(rank, d_out, |r, n| up[n * rank + r]);
            for of_batch in lora.rows_of(batch) {
                let (first, rows) = (of_batch.start * a_row, of_batch.len() * a_row);
                let x = float::Strided { values: &x[first * d_in..], stride: d_in };
                let mut low = vec![0.0; rows * rank];
                float::add_product(x, [rows, d_in, rank], &down, &mut low, rank);
                let low = float::Strided { values: &low, stride: rank };
                float::add_product(low, [rows, rank, d_out], &up, &mut out[first * d_out..], d_out);
            }
        }
        Some(burn_of(tensor(out, &dims)))
    }
}

#[cfg(not(target_arch = "wasm32"))]
super::vectorised! {
    fn add_stripe(x: &[f32], d_in: usize, stripe: &[u32], bits: crate::quant::Bits, out: &mut [f32]) {
        crate::quant::add_stripe(x, d_in, stripe, bits, out);
    }
}

fn active(layer: Layer<'_>) -> impl Iterator<Item = &Lora> {
    layer.deltas.iter().filter(|lora| lora.is_active())
}

pub(in super::super) fn linear<const N: usize>(
    x: &Tensor<N>,
    layer: Layer<'_>,
    onto: Option<&Tensor<N>>,
) -> Option<Tensor<N>> {
    let onto = match onto {
        Some(onto) => Some(float(onto)?.to_contiguous()),
        None => None,
    };
    Rows::of(x)?.times(layer, onto.as_ref())
}

pub(in super::super) fn gated<const N: usize>(
    x: &Tensor<N>,
    norm: Norm<'_>,
    gate: Layer<'_>,
    up: Layer<'_>,
) -> Option<Tensor<N>> {
    let rows = Rows::of_norm(x, norm)?;
    let [gate, up] = [rows.times(gate, None)?, rows.times(up, None)?];
    Some(burn_of(swiglu::forward(&float(&gate)?, &float(&up)?)))
}

pub(in super::super) fn together<const N: usize>(
    x: &Tensor<N>,
    norm: Norm<'_>,
    [first, second, third]: [Layer<'_>; 3],
) -> Option<[Tensor<N>; 3]> {
    let rows = Rows::of_norm(x, norm)?;
    Some([rows.times(first, None)?, rows.times(second, None)?, rows.times(third, None)?])
}

/// The processor's own tensor, f32 and without a gradient.
fn float<const N: usize>(tensor: &Tensor<N>) -> Option<FlexTensor> {
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Flex(BackendTensor::Float(tensor)) if tensor.dtype() == DType::F32 => {
            Some(tensor)
        }
        _ => None,
    }
}

fn int(tensor: &Tensor<1, Int>) -> Option<FlexTensor> {
    match tensor.clone().into_dispatch().kind {
        DispatchTensorKind::Flex(BackendTensor::Int(tensor)) => Some(tensor.to_contiguous()),
        _ => None,
    }
}

fn burn_of<const N: usize>(tensor: FlexTensor) -> Tensor<N> {
    from_device(DispatchTensorKind::Flex(BackendTensor::Float(tensor)))
}
