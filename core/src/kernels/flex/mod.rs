//! Bodies for the processor: Burn's `Flex` backend, f32. Other number formats take the reference.
//!
//! Rows are shared out over rayon's threads as Flex does it, and loops are compiled for the vectors the processor turns
//! out to have. A row is always summed in the same order, so results do not depend on the number of threads.

mod attention;
mod cross_entropy;
mod exp;
pub(super) mod packed;
mod product;
mod rms_norm;
mod rotary;
mod rows;
#[cfg(any(test, target_arch = "wasm32"))]
mod simd;
mod swiglu;

use burn::backend::flex::{FlexTensor, Layout};
use burn::backend::ops::FloatTensorOps;
use burn::backend::tensor::{FloatTensor, IntTensor};
use burn::backend::{Bytes, DType, Flex, Shape};

use super::{FusedGradients, FusedOps};
use product::{Matrix, Threads};

impl FusedOps for Flex {
    fn projection(x: FloatTensor<Self>, weight: FloatTensor<Self>) -> FloatTensor<Self> {
        Self::product(x, weight.transpose(0, 1))
    }

    fn adapted_projection(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        a: FloatTensor<Self>,
        b: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        let low = Self::projection(x.clone(), a);
        Self::add_product(Self::projection(x, weight), low, b.transpose(0, 1))
    }

    fn rms_norm(x: FloatTensor<Self>, gain: FloatTensor<Self>, eps: f64) -> FloatTensor<Self> {
        match are_f32(&[&x, &gain]) {
            true => rms_norm::forward(&x, &gain, eps),
            false => super::rms_norm::reference::<Self>(x, gain, eps),
        }
    }

    fn rotary(x: FloatTensor<Self>, cos: FloatTensor<Self>, sin: FloatTensor<Self>) -> FloatTensor<Self> {
        match are_f32(&[&x, &cos, &sin]) {
            true => rotary::forward(&x, &cos, &sin),
            false => super::rotary::reference::<Self>(x, cos, sin),
        }
    }

    fn swiglu(gate: FloatTensor<Self>, up: FloatTensor<Self>) -> FloatTensor<Self> {
        match are_f32(&[&gate, &up]) {
            true => swiglu::forward(&gate, &up),
            false => super::swiglu::reference::<Self>(gate, up),
        }
    }

    fn causal_attention(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        match are_f32(&[&q, &k, &v]) {
            #[cfg(target_arch = "wasm32")]
            true => simd::attention::forward(&q, &k, &v),
            #[cfg(not(target_arch = "wasm32"))]
            true => attention::forward(&q, &k, &v),
            false => super::attention::reference::<Self>(q, k, v),
        }
    }

    fn cross_entropy(logits: FloatTensor<Self>, targets: IntTensor<Self>) -> FloatTensor<Self> {
        match are_f32(&[&logits]) {
            true => cross_entropy::forward(&logits, targets),
            false => super::cross_entropy::reference::<Self>(logits, targets),
        }
    }

    fn projected_cross_entropy(
        hidden: FloatTensor<Self>,
        table: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> FloatTensor<Self> {
        match are_f32(&[&hidden, &table]) {
            true => cross_entropy::projected(&hidden, &table, targets),
            false => super::cross_entropy::projected_reference::<Self>(hidden, table, targets),
        }
    }
}

impl FusedGradients for Flex {
    fn product(a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        if !are_f32(&[&a, &b]) {
            return Self::float_matmul(a, b);
        }
        let dims = [a.layout().shape()[0], b.layout().shape()[1]];
        tensor(product::product(Matrix::of(&a), Matrix::of(&b), Threads::All), &dims)
    }

    /// `onto` is written over where nothing else holds it.
    fn add_product(onto: FloatTensor<Self>, a: FloatTensor<Self>, b: FloatTensor<Self>) -> FloatTensor<Self> {
        if !are_f32(&[&onto, &a, &b]) {
            return Self::float_add(onto, Self::float_matmul(a, b));
        }
        let mut onto = contiguous(onto);
        product::add_product(Matrix::of(&a), Matrix::of(&b), onto.storage_mut::<f32>(), Threads::All);
        onto
    }

    fn rms_norm_x_backward(
        x: FloatTensor<Self>,
        gain: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        eps: f64,
    ) -> FloatTensor<Self> {
        match are_f32(&[&x, &gain, &grad]) {
            true => rms_norm::x_backward(&x, &gain, grad, eps),
            false => super::rms_norm::x_backward_reference::<Self>(x, gain, grad, eps),
        }
    }

    fn swiglu_backward(
        gate: FloatTensor<Self>,
        up: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match are_f32(&[&gate, &up, &grad]) {
            true => swiglu::backward(&gate, &up, grad),
            false => super::swiglu::backward_reference::<Self>(gate, up, grad),
        }
    }

    fn causal_attention_backward(
        q: FloatTensor<Self>,
        k: FloatTensor<Self>,
        v: FloatTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        match are_f32(&[&q, &k, &v, &grad]) {
            true => attention::backward(&q, &k, &v, &grad),
            false => super::attention::backward_reference::<Self>(q, k, v, grad),
        }
    }

    fn cross_entropy_backward(
        logits: FloatTensor<Self>,
        targets: IntTensor<Self>,
        grad: FloatTensor<Self>,
    ) -> FloatTensor<Self> {
        match are_f32(&[&logits, &grad]) {
            true => cross_entropy::backward(logits, targets, &grad),
            false => super::cross_entropy::backward_reference::<Self>(logits, targets, grad),
        }
    }

    fn projected_cross_entropy_with_gradient(
        hidden: FloatTensor<Self>,
        table: FloatTensor<Self>,
        targets: IntTensor<Self>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        match are_f32(&[&hidden, &table]) {
            true => cross_entropy::projected_with_gradient(&hidden, &table, targets),
            false => super::cross_entropy::projected_with_gradient_reference::<Self>(hidden, table, targets),
        }
    }
}

fn are_f32(tensors: &[&FlexTensor]) -> bool {
    tensors.iter().all(|tensor| tensor.dtype() == DType::F32)
}

/// The tensor itself where it is contiguous and whole, so that a gradient nothing else holds can be written over; else a
/// copy.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    // `to_contiguous` would leave a second handle on the storage, and writing then copies.
    let whole = tensor.layout().start_offset() == 0
        && tensor.is_contiguous()
        && tensor.bytes().len() == tensor.layout().num_elements() * size_of::<f32>();
    if whole { tensor } else { tensor.to_contiguous() }
}

/// The values of a contiguous f32 tensor.
fn values(tensor: &FlexTensor) -> &[f32] {
    tensor.as_slice::<f32>().expect("made contiguous, and checked to be f32")
}

/// A tensor of these values in row-major order.
fn tensor(values: Vec<f32>, dims: &[usize]) -> FlexTensor {
    let layout = Layout::contiguous(Shape::from(dims.to_vec()));
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

/// Compiles a loop over slices twice, once for 256-bit vectors, and takes that one where the processor has them. In
/// WebAssembly it is compiled for vectors of 128 bits, which every browser with WebGPU has.
macro_rules! vectorised {
    ($(#[$doc:meta])* $vis:vis fn $name:ident($($arg:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block) => {
        $(#[$doc])*
        $vis fn $name($($arg: $type),*) $(-> $result)? {
            #[inline(always)]
            fn plain($($arg: $type),*) $(-> $result)? $body

            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx2,fma")]
                fn wide($($arg: $type),*) $(-> $result)? {
                    plain($($arg),*)
                }
                if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                    // SAFETY: the processor has just been found to have both.
                    return unsafe { wide($($arg),*) };
                }
            }
            #[cfg(target_arch = "wasm32")]
            {
                #[target_feature(enable = "simd128")]
                fn wide($($arg: $type),*) $(-> $result)? {
                    plain($($arg),*)
                }
                return wide($($arg),*);
            }
            #[cfg(not(target_arch = "wasm32"))]
            plain($($arg),*)
        }
    };
}
use vectorised;
