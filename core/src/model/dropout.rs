//! Dropout: Srivastava et al. 2014, in its inverted form.

use burn::tensor::{Device, Distribution, Tensor};

/// Zeroes each value with probability `prob` and scales the rest by `1 / (1 - prob)`; the identity where `prob` is 0 and on
/// a device without autodiff: only training drops.
pub(crate) fn dropped<const N: usize>(x: Tensor<N>, prob: f64) -> Tensor<N> {
    if prob == 0.0 || !is_training(&x.device()) {
        return x;
    }
    let kept = 1.0 - prob;
    let mask = x.random_like(Distribution::Bernoulli(kept));
    x * mask * (1.0 / kept)
}

#[cfg(feature = "autodiff")]
fn is_training(device: &Device) -> bool {
    device.is_autodiff()
}

#[cfg(not(feature = "autodiff"))]
fn is_training(_: &Device) -> bool {
    false
}
