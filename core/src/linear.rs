//! The one linear layer: a base weight that is never written, and a stack of adapters beside it.

use burn::module::{Module, Param};
use burn::tensor::{DType, Int, Tensor};

use crate::kernels::cross_entropy::{cross_entropy, projected_cross_entropy};
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
        let mut dims = x.dims();
        dims[N - 1] = self.shape()[0];
        // As rows of one matrix: Burn would multiply note by note, and read the weight anew for each.
        let x = x.flatten::<2>(0, N.saturating_sub(2));
        let weight = self.weight.val().transpose();
        let y = burn::tensor::module::linear(x.clone(), weight, self.bias.as_ref().map(Param::val));
        self.active().fold(y, |y, lora| y + lora.delta(x.clone())).reshape(dims)
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
            return projected_cross_entropy(x, self.weight.val(), targets);
        }
        cross_entropy(self.forward(x).cast(DType::F32), targets)
    }

    fn active(&self) -> impl Iterator<Item = &Lora> {
        self.deltas.iter().filter(|lora| lora.is_active())
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
