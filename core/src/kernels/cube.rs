//! Bodies for GPUs: the WGSL kernels where a device takes them. Elsewhere the references run, fused by Burn where it is built
//! to.

use burn::backend::Cube;
#[cfg(feature = "wgsl")]
use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;

use super::{FusedGradients, FusedOps};
#[cfg(feature = "wgsl")]
use super::{attention, rms_norm, rotary, swiglu, wgsl::dense};

#[cfg(not(feature = "wgsl"))]
impl FusedOps for CubeBackend {}

#[cfg(feature = "wgsl")]
impl FusedOps for CubeBackend {
    fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        dense::rms_norm(&x, &gain, eps).unwrap_or_else(|| rms_norm::reference::<Self>(x, gain, eps))
    }

    fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        dense::rotary(&x, &cos, &sin).unwrap_or_else(|| rotary::reference::<Self>(x, cos, sin))
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        dense::swiglu(&gate, &up).unwrap_or_else(|| swiglu::reference::<Self>(gate, up))
    }

    fn causal_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        dense::causal_attention(&q, &k, &v).unwrap_or_else(|| attention::reference::<Self>(q, k, v))
    }
}

/// `Cube` is the backend itself, or with the feature `fusion` its fused form.
impl FusedGradients for Cube {}
