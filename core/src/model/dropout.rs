//! Dropout: Srivastava et al. 2014, in its inverted form.

use burn::tensor::{Device, Distribution, Tensor};

/// Zeroes each value with probability `prob` and scales the rest by `1 / (1 - prob)`; the identity where `prob` is 0 and on
/// a device without autodiff: only training drops.
pub(crate) fn dropped<const N: usize>(x: Tensor<N>, prob: f64) -> Tensor<N> {
    if !drops(prob, &x.device()) {
        return x;
    }
    let kept = 1.0 - prob;
    // The mask is scaled, which no gradient goes through, so that only it is kept for the backward pass.
    let mask = x.random_like(Distribution::Bernoulli(kept)) * (1.0 / kept);
    x * mask
}

/// Whether dropout with probability `prob` does anything on `device`.
pub(crate) fn drops(prob: f64, device: &Device) -> bool {
    prob != 0.0 && is_training(device)
}

#[cfg(feature = "autodiff")]
fn is_training(device: &Device) -> bool {
    device.is_autodiff()
}

#[cfg(not(feature = "autodiff"))]
fn is_training(_: &Device) -> bool {
    false
}
