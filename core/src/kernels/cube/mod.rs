//! Bodies for GPUs. Natively a norm, a rotation, the middle of attention's gradient and the loss are each one kernel in the
//! language of `CubeCL`, which becomes CUDA, SPIR-V, MSL or WGSL; in a browser the WGSL of `shaders/` runs where the device takes
//! it; with CUDA, products go through cuBLASLt where it is chosen. Elsewhere the references run, fused by Burn where it is
//! built to: of the gated unit, of dropout and of scales it makes one kernel by itself.

#[cfg(feature = "fusion")]
mod attention;
#[cfg(feature = "fusion")]
mod cross_entropy;
#[cfg(feature = "fusion")]
mod rms_norm;
#[cfg(feature = "fusion")]
mod rotary;
#[cfg(feature = "fusion")]
mod rows;

#[cfg(feature = "cuda")]
use burn::backend::ops::FloatTensorOps as _;
use burn::backend::tensor::FloatTensor;
#[cfg(feature = "fusion")]
use burn::backend::tensor::IntTensor;
use burn_cubecl::CubeBackend;
#[cfg(feature = "fusion")]
use burn_cubecl::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig as _};
#[cfg(feature = "fusion")]
use burn_cubecl::cubecl::ir::ElemType;

#[cfg(feature = "cuda")]
use super::cublas;
#[cfg(feature = "wgsl")]
use super::wgsl::dense;
use super::{FusedGradients, FusedOps};

impl FusedOps for CubeBackend {
    #[cfg(feature = "cuda")]
    fn projection(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        cublas::forward(&x, &weight).unwrap_or_else(|| super::projection::reference::<Self>(x, weight))
    }

    #[cfg(feature = "fusion")]
    fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        rms_norm::rms_norm(x, gain, eps)
    }

    #[cfg(all(feature = "wgsl", not(feature = "fusion")))]
    fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        dense::rms_norm(&x, &gain, eps).unwrap_or_else(|| super::rms_norm::reference::<Self>(x, gain, eps))
    }

    #[cfg(feature = "fusion")]
    fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        rotary::rotary(x, cos, sin)
    }

    #[cfg(all(feature = "wgsl", not(feature = "fusion")))]
    fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        dense::rotary(&x, &cos, &sin).unwrap_or_else(|| super::rotary::reference::<Self>(x, cos, sin))
    }

    #[cfg(feature = "wgsl")]
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        dense::swiglu(&gate, &up).unwrap_or_else(|| super::swiglu::reference::<Self>(gate, up))
    }

    #[cfg(feature = "wgsl")]
    fn causal_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        dense::causal_attention(&q, &k, &v).unwrap_or_else(|| super::attention::reference::<Self>(q, k, v))
    }
}

impl FusedGradients for CubeBackend {
    #[cfg(feature = "cuda")]
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        cublas::backward(&a, &b).unwrap_or_else(|| Self::float_matmul(a, b))
    }

    #[cfg(feature = "fusion")]
    fn rms_norm_x_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        rms_norm::x_backward(x, gain, grad, eps)
    }

    #[cfg(feature = "fusion")]
    fn causal_shares(
        products: FloatTensor<Self>,
        dp: FloatTensor<Self>,
        scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        attention::causal_shares(products, dp, scale)
    }

    #[cfg(feature = "fusion")]
    fn losses_and_excess(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        cross_entropy::losses_and_excess(logits, targets)
    }
}

/// Has kernels that a driver has compiled kept for later processes, where `CubeCL` keeps what it has measured. Before the first device
/// is opened; whoever has set `CubeCL` up before keeps their settings.
#[cfg(feature = "fusion")]
pub fn keep_compiled() {
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    config.compilation.cache = true;
    CubeClRuntimeConfig::try_set(config);
}

/// What a tensor's numbers are to a kernel.
#[cfg(feature = "fusion")]
fn storage(x: &FloatTensor<CubeBackend>) -> ElemType {
    burn::backend::cubecl::dtype_to_elem_type(x.dtype)
}
