//! Bodies for GPUs: the WGSL kernels where a device takes them, cuBLASLt where it is chosen. Elsewhere the references run,
//! fused by Burn where it is built to.

use burn::backend::Cube;
#[cfg(feature = "cuda")]
use burn::backend::ops::FloatTensorOps as _;
#[cfg(any(feature = "wgsl", feature = "cuda"))]
use burn::backend::tensor::FloatTensor;
use burn_cubecl::CubeBackend;

use super::{FusedGradients, FusedOps};
#[cfg(feature = "wgsl")]
use super::{attention, rms_norm, rotary, swiglu, wgsl::dense};
#[cfg(feature = "cuda")]
use super::{cublas, projection};

impl FusedOps for CubeBackend {
    #[cfg(feature = "cuda")]
    fn projection(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        cublas::forward(&x, &weight).unwrap_or_else(|| projection::reference::<Self>(x, weight))
    }

    #[cfg(feature = "cuda")]
    fn plain_product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        cublas::backward(&a, &b).unwrap_or_else(|| Self::float_matmul(a, b))
    }

    #[cfg(feature = "wgsl")]
    fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        dense::rms_norm(&x, &gain, eps).unwrap_or_else(|| rms_norm::reference::<Self>(x, gain, eps))
    }

    #[cfg(feature = "wgsl")]
    fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        dense::rotary(&x, &cos, &sin).unwrap_or_else(|| rotary::reference::<Self>(x, cos, sin))
    }

    #[cfg(feature = "wgsl")]
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        dense::swiglu(&gate, &up).unwrap_or_else(|| swiglu::reference::<Self>(gate, up))
    }

    #[cfg(feature = "wgsl")]
    fn causal_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        dense::causal_attention(&q, &k, &v).unwrap_or_else(|| attention::reference::<Self>(q, k, v))
    }
}

/// `Cube` is the backend itself, or with the feature `fusion` its fused form.
impl FusedGradients for Cube {
    #[cfg(feature = "cuda")]
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::plain_product(a, b)
    }
}
