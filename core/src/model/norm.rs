//! RMSNorm. Zhang and Sennrich 2019, arXiv 1910.07467: `y = x / sqrt(mean(x²) + eps) · g`.
//!
//! `LayerNorm`. Ba, Kiros and Hinton 2016, arXiv 1607.06450: `y = (x - mean(x)) / sqrt(var(x) + eps) · g + b`.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use crate::kernels::rms_norm::rms_norm;
use crate::params::Visitor;
use crate::weights::{Init, Weights};

/// Divides each row by its root mean square, in f32, and scales by a gain.
#[derive(Module, Debug)]
pub struct RmsNorm {
    pub(crate) weight: Param<Tensor<1>>,
    pub(crate) eps: f64,
}

impl RmsNorm {
    /// Takes `{path}.weight` (`[width]`) from `weights`, frozen.
    pub fn build<W: Weights>(weights: &mut W, path: &str, width: usize, eps: f64) -> Self {
        Self { weight: weights.param(&format!("{path}.weight"), [width], Init::Ones), eps }
    }

    /// # Shapes
    /// - `x` and result: `[.., width]`
    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        rms_norm(x, self.weight.val(), self.eps)
    }
}

/// Shifts each row to mean 0 and variance 1, in f32, then scales and shifts by a gain and a bias.
#[derive(Module, Debug)]
pub struct LayerNorm {
    weight: Param<Tensor<1>>,
    bias: Param<Tensor<1>>,
    eps: f64,
}

impl LayerNorm {
    /// Takes `{path}.weight` and `{path}.bias` (`[width]`) from `weights`, frozen.
    pub fn build<W: Weights>(weights: &mut W, path: &str, width: usize, eps: f64) -> Self {
        Self {
            weight: weights.param(&format!("{path}.weight"), [width], Init::Ones),
            bias: weights.param(&format!("{path}.bias"), [width], Init::Zeros),
            eps,
        }
    }

    /// # Shapes
    /// - `x` and result: `[.., width]`
    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        let dtype = x.dtype();
        let x = x.cast(DType::F32);
        let x = x.clone() - x.mean_dim(N - 1);
        let variance = x.clone().square().mean_dim(N - 1);
        let x = x * (variance + self.eps).sqrt().recip();
        x.cast(dtype) * self.weight.val().unsqueeze() + self.bias.val().unsqueeze()
    }

    pub(crate) fn walk(&mut self, path: &str, visitor: &mut dyn Visitor) {
        visitor.vector(&format!("{path}.weight"), &mut self.weight);
        visitor.vector(&format!("{path}.bias"), &mut self.bias);
    }
}
