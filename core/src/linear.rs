//! The one linear layer: a base weight that is never written, and a stack of adapters beside it.

use std::sync::{Arc, Mutex};

use burn::module::{Module, Param};
use burn::tensor::{DType, Int, Tensor};

use crate::kernels::cross_entropy::{cross_entropy, projected_cross_entropy};
use crate::kernels::packed;
use crate::kernels::projection::{adapted_projection, projection};
use crate::kernels::swiglu::swiglu;
#[cfg(feature = "wgsl")]
use crate::kernels::wgsl::packed::Stacked;
use crate::model::norm::RmsNorm;
use crate::peft::lora::{Lora, concatenated};
use crate::quant::{Moments, Packed};
use crate::weights::{Init, Weights};

/// `y = x·Wᵀ + b` and every active delta, `s·((dropout(x)·Aᵀ)·Bᵀ)`: as one pair of products those that read `x` as it is, then
/// each that drops some of it or acts on some of the notes.
///
/// `W` is kept as Hugging Face stores it, `[d_out, d_in]`, and multiplied through a transposed view: loading
/// moves no element. Deltas live on the activation side: nothing of the size of `W` is ever formed for them.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Base,
    pub(crate) bias: Option<Param<Tensor<1>>>,
    deltas: Vec<Lora>,
    /// Where its inputs are noted, for packing.
    #[module(skip)]
    inputs: Option<Arc<Mutex<Moments>>>,
    #[cfg(feature = "wgsl")]
    #[module(skip)]
    stacked: Stacked,
}

/// A layer's own weight. In which form it was loaded is nobody's business but this file's.
#[derive(Module, Debug)]
pub struct Base {
    form: Form,
}

#[derive(Module, Debug)]
enum Form {
    Dense(Param<Tensor<2>>),
    Packed(Packed),
}

impl From<Param<Tensor<2>>> for Base {
    fn from(weight: Param<Tensor<2>>) -> Self {
        Self { form: Form::Dense(weight) }
    }
}

impl From<Packed> for Base {
    fn from(weight: Packed) -> Self {
        Self { form: Form::Packed(weight) }
    }
}

impl Base {
    /// `x·Wᵀ + b` of rows `x`, and with factors `[A, B]` of deltas `(x·Aᵀ)·Bᵀ` besides.
    fn product(&self, x: Tensor<2>, bias: Option<Tensor<1>>, deltas: Option<[Tensor<2>; 2]>) -> Tensor<2> {
        let y = match (&self.form, deltas) {
            (Form::Dense(weight), None) => projection(x, weight.val()),
            (Form::Dense(weight), Some([a, b])) => adapted_projection(x, weight.val(), a, b),
            (Form::Packed(weight), None) => return weight.linear(x, bias),
            (Form::Packed(weight), Some([a, b])) => {
                return weight.linear(x.clone(), bias) + projection(projection(x, a), b);
            }
        };
        match bias {
            Some(bias) => y + bias.unsqueeze(),
            None => y,
        }
    }

    /// `[d_out, d_in]`.
    fn dense(&self) -> Tensor<2> {
        match &self.form {
            Form::Dense(weight) => weight.val(),
            Form::Packed(weight) => weight.dense(),
        }
    }
}

impl Linear {
    /// Takes `{path}.weight` (`[d_out, d_in]`) and, if `bias`, `{path}.bias` from `weights`, frozen.
    pub fn build<W: Weights>(
        weights: &mut W,
        path: &str,
        [d_out, d_in]: [usize; 2],
        bias: bool,
        std: f64,
    ) -> Self {
        let weight = weights.linear(&format!("{path}.weight"), [d_out, d_in], Init::Normal(std));
        let bias = bias.then(|| weights.param(&format!("{path}.bias"), [d_out], Init::Zeros));
        Self::bare(weight, bias)
    }

    fn bare(weight: Base, bias: Option<Param<Tensor<1>>>) -> Self {
        Self {
            weight,
            bias,
            deltas: Vec::new(),
            inputs: None,
            #[cfg(feature = "wgsl")]
            stacked: Stacked::default(),
        }
    }

    /// A layer without deltas that is trained itself: `weight` is `[d_out, d_in]`, `bias` `[d_out]`.
    pub(crate) fn trainable(weight: Tensor<2>, bias: Tensor<1>) -> Self {
        let weight = Param::from_tensor(weight).into();
        Self::bare(weight, Some(Param::from_tensor(bias)))
    }

    /// Applies base and active deltas.
    ///
    /// # Shapes
    /// - `x`: `[.., d_in]`
    /// - result: `[.., d_out]`
    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        if let Some(y) = self.packed().and_then(|layer| packed::linear(&x, layer, None)) {
            return y;
        }
        let mut dims = x.dims();
        dims[N - 1] = self.shape()[0];
        // As rows of one matrix: Burn would multiply note by note, and read the weight anew for each.
        let rows = x.clone().flatten::<2>(0, N.saturating_sub(2));
        if let Some(inputs) = &self.inputs {
            let values = rows.clone().inner().into_data_as::<f32>();
            let values = values.as_slice::<f32>().expect("asked for as f32");
            inputs.lock().expect("nothing panics while it holds the moments").add(values);
        }
        let (whole, apart): (Vec<&Lora>, Vec<&Lora>) = self.active().partition(|lora| lora.reads_all_of(&x));
        let bias = self.bias.as_ref().map(Param::val);
        let y = self.weight.product(rows, bias, concatenated(&whole, x.dtype())).reshape(dims);
        apart.into_iter().fold(y, |y, lora| lora.added(y, x.clone()))
    }

    /// `onto` plus the layer's output: what stands beside a residual.
    ///
    /// # Shapes
    /// - `x`: `[.., d_in]`
    /// - `onto` and result: `[.., d_out]`
    pub fn forward_onto<const N: usize>(&self, x: Tensor<N>, onto: Tensor<N>) -> Tensor<N> {
        if let Some(y) = self.packed().and_then(|layer| packed::linear(&x, layer, Some(&onto))) {
            return y;
        }
        onto + self.forward(x)
    }

    /// The outputs of three layers for the norm of the same input.
    pub fn together<const N: usize>(layers: [&Self; 3], norm: &RmsNorm, x: Tensor<N>) -> [Tensor<N>; 3] {
        if let [Some(first), Some(second), Some(third)] = layers.map(Self::packed)
            && let Some(outputs) = packed::together(
                &x,
                packed::Norm { gain: &norm.weight.val(), eps: norm.eps },
                [first, second, third],
            )
        {
            return outputs;
        }
        let x = norm.forward(x);
        layers.map(|layer| layer.forward(x.clone()))
    }

    /// `silu(gate(y))·up(y)` of the norm `y` of `x`, as a feed-forward network begins.
    pub fn gated<const N: usize>(gate: &Self, up: &Self, norm: &RmsNorm, x: Tensor<N>) -> Tensor<N> {
        if let (Some(gate), Some(up)) = (gate.packed(), up.packed())
            && let Some(y) =
                packed::gated(&x, packed::Norm { gain: &norm.weight.val(), eps: norm.eps }, gate, up)
        {
            return y;
        }
        let x = norm.forward(x);
        swiglu(gate.forward(x.clone()), up.forward(x))
    }

    /// The layer as kernels take it, if its weight is packed and it has no bias.
    fn packed(&self) -> Option<packed::Layer<'_>> {
        match &self.weight.form {
            Form::Packed(packed) if self.bias.is_none() => Some(packed::Layer {
                packed,
                deltas: &self.deltas,
                #[cfg(feature = "wgsl")]
                stacked: &self.stacked,
            }),
            _ => None,
        }
    }

    /// Negative log-likelihood of `targets` under the outputs as logits, in f32, summed over the rows.
    ///
    /// # Shapes
    /// - `x`: `[N, d_in]`
    /// - `targets`: `[N]`, each below `d_out`
    /// - result: `[1]`
    #[must_use]
    pub fn cross_entropy(&self, x: Tensor<2>, targets: Tensor<1, Int>) -> Tensor<1> {
        if self.bias.is_none() && self.active().next().is_none() {
            return projected_cross_entropy(x, self.weight.dense(), targets);
        }
        cross_entropy(self.forward(x).cast(DType::F32), targets)
    }

    /// Has every input of a dense layer added to `moments` from now on: what [`pack_for`](crate::quant::pack_for) asks for.
    pub fn note_inputs(&mut self, moments: Arc<Mutex<Moments>>) {
        self.inputs = Some(moments);
    }

    fn active(&self) -> impl Iterator<Item = &Lora> {
        self.deltas.iter().filter(|lora| lora.is_active())
    }

    /// `[d_out, d_in]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        match &self.weight.form {
            Form::Dense(weight) => weight.lazy_shape().dims(),
            Form::Packed(weight) => weight.shape(),
        }
    }

    /// The weight as a parameter; none if it is packed, which no optimiser changes and no checkpoint holds.
    pub(crate) fn parameter(&self) -> Option<&Param<Tensor<2>>> {
        match &self.weight.form {
            Form::Dense(weight) => Some(weight),
            Form::Packed(_) => None,
        }
    }

    pub(crate) fn parameter_mut(&mut self) -> Option<&mut Param<Tensor<2>>> {
        match &mut self.weight.form {
            Form::Dense(weight) => Some(weight),
            Form::Packed(_) => None,
        }
    }

    /// The adapters on this layer, in the order they were attached.
    #[must_use]
    pub fn deltas(&self) -> &[Lora] {
        &self.deltas
    }

    pub(crate) fn deltas_mut(&mut self) -> &mut Vec<Lora> {
        #[cfg(feature = "wgsl")]
        self.stacked.forget();
        &mut self.deltas
    }

    /// A layer without deltas whose weight is this one's with every active delta added: `W + Σ s·B·A`.
    #[must_use = "merging returns the merged layer and leaves nothing behind"]
    pub fn merged(self) -> Self {
        let weight =
            self.deltas.iter().filter(|lora| lora.is_active()).fold(self.weight.dense(), |w, lora| {
                let dtype = w.dtype();
                w + lora.weight_delta().cast(dtype)
            });
        let weight = match self.weight.form {
            Form::Dense(old) => {
                let trainable = old.is_require_grad();
                old.map(|_| weight.detach()).set_require_grad(trainable)
            }
            Form::Packed(_) => Param::from_tensor(weight.detach()).set_require_grad(false),
        };
        Self::bare(weight.into(), self.bias)
    }
}
