//! Operations that a network needs whole: one pass over memory where tensor operations would take ten.
//!
//! Each operation has a file with four things: the function over tensors that the models call, a reference in tensor
//! operations (the default body, for every device that has no body of its own), and its gradient, written by hand so that
//! training keeps the inputs and nothing else. [`FusedOps`] is how Burn finds the body for a device; [`FusedGradients`]
//! holds what only a backward pass asks for. `flex/` has the bodies for the processor, threaded and vectorised, and `wgsl/`
//! those for a browser's GPU, by the same names.
//!
//! This folder alone names concrete backends. The crate's features `flex`, `cube` and `fusion` must be those Burn is built
//! with: on a backend that is not listed here an operation panics.

pub mod anatomy;
pub mod attention;
pub mod cross_entropy;
#[cfg(feature = "cube")]
pub mod cube;
#[cfg(feature = "cuda")]
pub mod cublas;
#[cfg(feature = "flex")]
mod flex;
pub(crate) mod packed;
pub mod projection;
pub mod rms_norm;
pub mod rotary;
pub mod swiglu;
#[cfg(test)]
mod tests;
#[cfg(feature = "wgsl")]
pub mod wgsl;

use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Backend, backend_extension};

/// Forward passes. A body here is the reference in tensor operations.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "fusion"),
    Autodiff: cfg(feature = "autodiff")
)]
pub trait FusedOps: Backend {
    /// See [`projection::projection`].
    #[fusion(dtype = x, shape = projection::shape(x, weight))]
    fn projection(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        projection::reference::<Self>(x, weight)
    }

    /// See [`projection::adapted_projection`].
    #[fusion(default)]
    fn adapted_projection(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        projection::adapted_reference::<Self>(x, weight, a, b)
    }

    /// See [`rms_norm::rms_norm`].
    #[fusion(dtype = x, shape = x)]
    fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        rms_norm::reference::<Self>(x, gain, eps)
    }

    /// See [`rotary::rotary`].
    #[fusion(dtype = x, shape = x)]
    fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        rotary::reference::<Self>(x, cos, sin)
    }

    /// See [`swiglu::swiglu`].
    #[fusion(default)]
    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        swiglu::reference::<Self>(gate, up)
    }

    /// See [`attention::causal_attention`].
    #[fusion(default)]
    fn causal_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        attention::reference::<Self>(q, k, v)
    }

    /// See [`cross_entropy::cross_entropy`].
    #[fusion(default)]
    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        cross_entropy::reference::<Self>(logits, targets)
    }

    /// See [`cross_entropy::projected_cross_entropy`].
    #[fusion(default)]
    fn projected_cross_entropy(
        hidden: FloatTensor<Self>,
        table: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        cross_entropy::projected_reference::<Self>(hidden, table, targets)
    }
}

/// Gradients of [`FusedOps`], from the inputs and the gradient of the output. A body here is the reference.
#[backend_extension(
    Flex: cfg(feature = "flex"),
    Cube: cfg(feature = "cube"),
    Fusion: cfg(feature = "fusion")
)]
pub trait FusedGradients: Backend {
    /// `a·b` of two matrices.
    #[fusion(dtype = a, shape = projection::product_shape(a, b))]
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_matmul(a, b)
    }

    /// `onto + a·b` of matrices.
    #[fusion(default)]
    fn add_product(onto: FloatTensor<Self>, a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::float_add(onto, Self::float_matmul(a, b))
    }

    /// Of the input.
    #[fusion(dtype = x, shape = x)]
    fn rms_norm_x_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        rms_norm::x_backward_reference::<Self>(x, gain, grad, eps)
    }

    /// Of gate and up.
    #[fusion(default)]
    fn swiglu_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        swiglu::backward_reference::<Self>(gate, up, grad)
    }

    /// Of queries, keys and values.
    #[fusion(default)]
    fn causal_attention_backward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        attention::backward_reference::<Self>(q, k, v, grad)
    }

    /// Shares `p` and the gradient `dz` of the scores, from the products `q·kᵀ` and `dp = d·vᵀ`, each `[B, H, T, S]`: the middle
    /// of [`causal_attention_backward`](Self::causal_attention_backward). `scale` is the factor before the scores.
    #[fusion(meta = |products, _, _| (products.clone(), products.clone()))]
    fn causal_shares(
        products: FloatTensor<Self>,
        dp: FloatTensor<Self>,
        scale: f64,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        attention::shares_reference::<Self>(products, dp, scale)
    }

    /// Of the logits; `grad` is `[1]`.
    #[fusion(default)]
    fn cross_entropy_backward(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        cross_entropy::backward_reference::<Self>(logits, targets, grad)
    }

    /// The loss of each row, `[N]` in f32, and `softmax(logits) - onehot(targets)`, `[N, V]` in the format of the logits.
    #[fusion(meta = |logits, targets| cross_entropy::losses_and_excess_specs(logits, targets))]
    fn losses_and_excess(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        cross_entropy::losses_and_excess_reference::<Self>(logits, targets)
    }

    /// The loss, and its gradient of `hidden`, in one pass over the logits.
    #[fusion(default)]
    fn projected_cross_entropy_with_gradient(
        hidden: FloatTensor<Self>,
        table: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        cross_entropy::projected_with_gradient_reference::<Self>(hidden, table, targets)
    }
}

#[cfg(feature = "autodiff")]
mod gradients {
    //! Routes an operation on a device with autodiff to its hand-written gradient.

    use burn::backend::Autodiff;
    use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
    use burn::backend::tensor::{FloatTensor, IntTensor};

    use super::{FusedGradients, FusedOps, attention, cross_entropy, projection, rms_norm, rotary, swiglu};

    impl<B: FusedOps + FusedGradients, C: CheckpointStrategy> FusedOps for Autodiff<B, C> {
        fn projection(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
            projection::gradient::tracked::<B, C>(x, weight)
        }

        fn adapted_projection(
            x: FloatTensor<Self>,
            weight: FloatTensor<Self>,
            a: FloatTensor<Self>,
            b: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            projection::gradient::adapted::<B, C>(x, weight, a, b)
        }

        fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
            rms_norm::gradient::tracked::<B, C>(x, gain, eps)
        }

        fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
            rotary::gradient::tracked::<B, C>(x, cos, sin)
        }

        fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
            swiglu::gradient::tracked::<B, C>(gate, up)
        }

        fn causal_attention(
            q: FloatTensor<Self>,
            k: FloatTensor<Self>,
            v: FloatTensor<Self>,
        ) -> FloatTensor<Self> {
            attention::gradient::tracked::<B, C>(q, k, v)
        }

        fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
            cross_entropy::gradient::tracked::<B, C>(logits, targets)
        }

        fn projected_cross_entropy(
            hidden: FloatTensor<Self>,
            table: FloatTensor<Self>,
            targets: IntTensor<Self>,
        ) -> FloatTensor<Self> {
            cross_entropy::gradient::projected::<B, C>(hidden, table, targets)
        }
    }
}
