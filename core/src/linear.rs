//! The one linear layer: a base weight that is never written, and a stack of adapters beside it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

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
    /// `x·Wᵀ + b` of rows `x`.
    fn product(&self, x: Tensor<2>, bias: Option<Tensor<1>>) -> Tensor<2> {
        match &self.form {
            Form::Dense(weight) => burn::tensor::module::linear(x, weight.val().transpose(), bias),
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
        Self { weight, bias, deltas: Vec::new() }
    }

    /// A layer without deltas that is trained itself: `weight` is `[d_out, d_in]`, `bias` `[d_out]`.
    pub(crate) fn trainable(weight: Tensor<2>, bias: Tensor<1>) -> Self {
        let weight = Param::from_tensor(weight).into();
        Self { weight, bias: Some(Param::from_tensor(bias)), deltas: Vec::new() }
    }

    /// Applies base and active deltas.
    ///
    /// # Shapes
    /// - `x`: `[.., d_in]`
    /// - result: `[.., d_out]`
    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        let mut dims = x.dims();
        dims[N - 1] = self.shape()[0];
        // As rows of one matrix: Burn would multiply note by note, and read the weight anew for each.
        let rows = x.clone().flatten::<2>(0, N.saturating_sub(2));
        let y = self.weight.product(rows, self.bias.as_ref().map(Param::val)).reshape(dims);
        self.deltas.iter().filter(|lora| lora.is_active()).fold(y, |y, lora| lora.added(y, x.clone()))
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
        Self { weight: weight.into(), bias: self.bias, deltas: Vec::new() }
    }
}
