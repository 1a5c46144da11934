//! RMSNorm. Zhang and Sennrich 2019, arXiv 1910.07467: `y = x / sqrt(mean(x²) + eps) · g`.

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor};

use crate::weights::{Init, Weights};

/// Divides each row by its root mean square, in f32, and scales by a gain.
#[derive(Module, Debug)]
pub struct RmsNorm {
    pub(crate) weight: Param<Tensor<1>>,
    eps: f64,
}

impl RmsNorm {
    /// Takes `{path}.weight` (`[width]`) from `weights`, frozen.
    pub fn build<W: Weights>(weights: &mut W, path: &str, width: usize, eps: f64) -> Self {
        Self {
            weight: weights.param(&format!("{path}.weight"), [width], Init::Ones),
            eps,
        }
    }

    /// # Shapes
    /// - `x` and result: `[.., width]`
    pub fn forward<const N: usize>(&self, x: Tensor<N>) -> Tensor<N> {
        let dtype = x.dtype();
        let x = x.cast(DType::F32);
        let mean_square = x.clone().square().mean_dim(N - 1);
        let x = x * (mean_square + self.eps).sqrt().recip();
        x.cast(dtype) * self.weight.val().unsqueeze()
    }
}
