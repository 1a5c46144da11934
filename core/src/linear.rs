//! The one linear layer: a base weight that is never written, and a stack of adapters beside it.

use burn::module::{Module, Param};
use burn::tensor::Tensor;

use crate::peft::lora::Lora;
use crate::weights::{Init, Weights};

/// `y = x·Wᵀ + b`, then each active delta in turn: `y += s·((dropout(x)·Aᵀ)·Bᵀ)`.
///
/// `W` is kept as Hugging Face stores it, `[d_out, d_in]`, and multiplied through a transposed view: loading
/// moves no element. Deltas live on the activation side: nothing of the size of `W` is ever formed for them.
#[derive(Module, Debug)]
pub struct Linear {
    pub(crate) weight: Param<Tensor<2>>,
    pub(crate) bias: Option<Param<Tensor<1>>>,
    deltas: Vec<Lora>,
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
        let weight = weights.param(&format!("{path}.weight"), [d_out, d_in], Init::Normal(std));
        let bias = bias.then(|| weights.param(&format!("{path}.bias"), [d_out], Init::Zeros));
        Self { weight, bias, deltas: Vec::new() }
    }

    /// A layer without deltas that is trained itself: `weight` is `[d_out, d_in]`, `bias` `[d_out]`.
    pub(crate) fn trainable(weight: Tensor<2>, bias: Tensor<1>) -> Self {
        Self { weight: Param::from_tensor(weight), bias: Some(Param::from_tensor(bias)), deltas: Vec::new() }
    }

    /// Applies base and active deltas.
    ///
    /// # Shapes
    /// - `x`: `[.., d_in]`
    /// - result: `[.., d_out]`
    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        let weight = self.weight.val().transpose();
        let bias = self.bias.as_ref().map(Param::val);
        let active = self.deltas.iter().filter(|lora| lora.is_active());
        if active.clone().next().is_none() {
            return burn::tensor::module::linear(x, weight, bias);
        }
        let y = burn::tensor::module::linear(x.clone(), weight, bias);
        active.fold(y, |y, lora| y + lora.delta(x.clone()))
    }

    /// `[d_out, d_in]`.
    #[must_use]
    pub fn shape(&self) -> [usize; 2] {
        self.weight.lazy_shape().dims()
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
        let weight = self.deltas.iter().filter(|lora| lora.is_active()).fold(self.weight.val(), |w, lora| {
            let dtype = w.dtype();
            w + lora.weight_delta().cast(dtype)
        });
        let trainable = self.weight.is_require_grad();
        let weight = self.weight.map(|_| weight.detach()).set_require_grad(trainable);
        Self { weight, bias: self.bias, deltas: Vec::new() }
    }
}
