//! The one linear layer: a base weight that is never written, and a stack of adapters beside it.

use burn::module::{Module, Param};
use burn::tensor::{DType, Int, Tensor};

use crate::kernels::cross_entropy::{cross_entropy, projected_cross_entropy};
#[cfg(feature = "wgsl")]
use crate::kernels::wgsl::packed::{Stacked, packed_linear};
use crate::peft::lora::Lora;
use crate::quant::Packed;
use crate::weights::{Init, Weights};

/// `y = x·Wᵀ + b`, then each active delta in turn: `y += s·((dropout(x)·Aᵀ)·Bᵀ)`.
///
/// `W` is kept as Hugging Face stores it, `[d_out, d_in]`, and multiplied through a transposed view: loading
/// moves no element. Deltas live on the activation side: nothing of the size of `W` is ever formed for them.
#[derive(Module, Debug)]
pub struct Linear {
    weight: Base,
    pub(crate) bias: Option<Param<Tensor<1>>>,
    deltas: Vec<Lora>,
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
    /// `x·Wᵀ + b`.
    fn product<const N: usize>(&self, x: Tensor<N>, bias: Option<Tensor<1>>) -> Tensor<N> {
        match &self.form {
            Form::Dense(weight) => {
                let mut dims = x.dims();
                dims[N - 1] = weight.lazy_shape()[0];
                // As rows of one matrix: Burn would multiply note by note, and read the weight anew for each.
                let x = x.flatten::<2>(0, N.saturating_sub(2));
                burn::tensor::module::linear(x, weight.val().transpose(), bias).reshape(dims)
            }
            Form::Packed(weight) => weight.linear(x, bias),
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
        let bias = self.bias.as_ref().map(Param::val);
        if let Some(y) = self.packed_product(&x) {
            return match bias {
                Some(bias) => y + bias.unsqueeze(),
                None => y,
            };
        }
        let y = self.weight.product(x.clone(), bias);
        self.active().fold(y, |y, lora| lora.added(y, x.clone()))
    }

    /// `x·Wᵀ` and the active deltas as one product, where the weight is packed and the device has a kernel for it.
    #[cfg(feature = "wgsl")]
    fn packed_product<const N: usize>(&self, x: &Tensor<N>) -> Option<Tensor<N>> {
        let Form::Packed(packed) = &self.weight.form else { return None };
        packed_linear(x, packed, &self.deltas, &self.stacked)
    }

    #[cfg(not(feature = "wgsl"))]
    fn packed_product<const N: usize>(&self, _x: &Tensor<N>) -> Option<Tensor<N>> {
        None
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
