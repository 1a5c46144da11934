//! Products with packed matrices, the active LoRA deltas in them: what a kind of device makes of them whole.
//!
//! What a product reads comes as lists and options, which Burn's extension traits do not carry. So the bodies take the tensors
//! of the device out of Burn's, and put the result back; where no body applies they answer `None`, and the caller runs the
//! reference, [`Packed::linear`] and each delta after it. No gradient goes through a body.

#[cfg(any(feature = "flex", feature = "wgsl"))]
use burn::backend::{DispatchAutodiffContext, DispatchTensor, DispatchTensorKind};
use burn::tensor::Tensor;

#[cfg(feature = "flex")]
use super::flex::packed as flex;
#[cfg(feature = "wgsl")]
use super::wgsl::packed as wgsl;
use crate::peft::lora::Lora;
use crate::quant::Packed;

/// A packed layer: its weight, its deltas, and what is kept of them.
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(any(feature = "flex", feature = "wgsl")),
    expect(dead_code, reason = "no device here has a body")
)]
pub(crate) struct Layer<'a> {
    pub(crate) packed: &'a Packed,
    pub(crate) deltas: &'a [Lora],
    #[cfg(feature = "wgsl")]
    pub(crate) stacked: &'a wgsl::Stacked,
}

/// The norm of what layers are given is what they multiply: see [`rms_norm`](super::rms_norm::rms_norm).
#[derive(Debug, Clone, Copy)]
#[cfg_attr(
    not(any(feature = "flex", feature = "wgsl")),
    expect(dead_code, reason = "no device here has a body")
)]
pub(crate) struct Norm<'a> {
    /// `[d_in]`.
    pub(crate) gain: &'a Tensor<1>,
    pub(crate) eps: f64,
}

/// `x·Wᵀ` with the active deltas, added to `onto` if there is one.
///
/// # Shapes
/// - `x`: `[B, .., d_in]`
/// - `onto` and result: `[B, .., d_out]`
pub(crate) fn linear<const N: usize>(
    x: &Tensor<N>,
    layer: Layer<'_>,
    onto: Option<&Tensor<N>>,
) -> Option<Tensor<N>> {
    #[cfg(feature = "flex")]
    if let Some(y) = flex::linear(x, layer, onto) {
        return Some(y);
    }
    #[cfg(feature = "wgsl")]
    if let Some(y) = wgsl::linear(x, layer, onto) {
        return Some(y);
    }
    let _ = (x, layer, onto);
    None
}

/// `silu(gate(y))·up(y)` of the norm `y` of `x`, `[B, .., F]`.
pub(crate) fn gated<const N: usize>(
    x: &Tensor<N>,
    norm: Norm<'_>,
    gate: Layer<'_>,
    up: Layer<'_>,
) -> Option<Tensor<N>> {
    #[cfg(feature = "flex")]
    if let Some(y) = flex::gated(x, norm, gate, up) {
        return Some(y);
    }
    #[cfg(feature = "wgsl")]
    if let Some(y) = wgsl::gated(x, norm, gate, up) {
        return Some(y);
    }
    let _ = (x, norm, gate, up);
    None
}

/// The outputs of three layers for the norm of the same `x`.
pub(crate) fn together<const N: usize>(
    x: &Tensor<N>,
    norm: Norm<'_>,
    layers: [Layer<'_>; 3],
) -> Option<[Tensor<N>; 3]> {
    #[cfg(feature = "flex")]
    if let Some(outputs) = flex::together(x, norm, layers) {
        return Some(outputs);
    }
    #[cfg(feature = "wgsl")]
    if let Some(outputs) = wgsl::together(x, norm, layers) {
        return Some(outputs);
    }
    let _ = (x, norm, layers);
    None
}

/// A tensor of Burn's out of a device's own.
#[cfg(any(feature = "flex", feature = "wgsl"))]
pub(super) fn from_device<const N: usize>(kind: DispatchTensorKind) -> Tensor<N> {
    Tensor::from_dispatch(DispatchTensor { kind, autodiff: DispatchAutodiffContext::Disabled })
}
