//! Which kernels multiply with frozen weights: nine tenths of a step. On an NVIDIA GPU there may be two ways, and the faster
//! one is found by measuring both.

use std::time::{Duration, Instant};

use burn::tensor::{DType, Device};

/// Whose kernels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// Burn's own.
    Burn,
    /// NVIDIA's cuBLASLt.
    #[cfg(feature = "cuda")]
    CublasLt,
}

impl Way {
    /// As results have it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Burn => "burn",
            #[cfg(feature = "cuda")]
            Self::CublasLt => "cublaslt",
        }
    }
}

/// The ways there are on `device`, and why another one of this build is none.
pub(crate) fn ways(device: &Device) -> (Vec<Way>, Vec<String>) {
    let (mut ways, mut unavailable) = (vec![Way::Burn], Vec::new());
    #[cfg(feature = "cuda")]
    if crate::device::is_cuda(device) {
        match clinlora_core::kernels::cublas::is_available() {
            Ok(()) => ways.push(Way::CublasLt),
            Err(reason) => unavailable.push(format!("cublaslt: {reason}")),
        }
    }
    let _ = (device, &mut ways, &mut unavailable);
    (ways, unavailable)
}

/// Takes this way from now on.
pub(crate) fn take(way: Way) {
    #[cfg(feature = "cuda")]
    clinlora_core::kernels::cublas::choose(way == Way::CublasLt);
    let _ = way;
}

/// The way taken now.
pub(crate) fn taken() -> Way {
    #[cfg(feature = "cuda")]
    if clinlora_core::kernels::cublas::is_chosen() {
        return Way::CublasLt;
    }
    Way::Burn
}

/// Takes the fastest way for a product of `rows` rows with a weight of `[width, width]`, and says which. Where there is but
/// one, nothing is measured.
pub(crate) fn choose(device: &Device, dtype: DType, rows: usize, width: usize) -> Way {
    let (ways, _) = ways(device);
    let fastest = match ways.as_slice() {
        [only] => *only,
        several => {
            let time = |way: &&Way| time(device, dtype, [rows, width], **way);
            several.iter().min_by_key(time).copied().unwrap_or(Way::Burn)
        }
    };
    take(fastest);
    taken()
}

/// Of both products, after a first round in which kernels are compiled.
fn time(device: &Device, dtype: DType, [rows, width]: [usize; 2], way: Way) -> Duration {
    use burn::tensor::{Distribution, Tensor};
    use clinlora_core::kernels::projection::{plain_product, projection};

    take(way);
    let draw = |shape: [usize; 2]| {
        Tensor::<2>::random(shape, Distribution::Normal(0.0, 1.0), (device, DType::F32)).cast(dtype)
    };
    let (x, weight) = (draw([rows, width]), draw([width, width]));
    let round = |count: usize| {
        let started = Instant::now();
        for _ in 0..count {
            let _ = projection(x.clone(), weight.clone());
            let _ = plain_product(x.clone(), weight.clone());
        }
        match device.sync() {
            Ok(()) => started.elapsed(),
            Err(_) => Duration::MAX,
        }
    };
    round(1);
    let time = round(4);
    if taken() == way { time } else { Duration::MAX } // it failed, and Burn's kernels took over
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_processor_has_one_way_and_takes_it() {
        let device = Device::flex();
        assert_eq!(ways(&device), (vec![Way::Burn], Vec::new()));
        assert_eq!(choose(&device, DType::F32, 4, 8), Way::Burn);
        assert!(time(&device, DType::F32, [4, 8], Way::Burn) < Duration::from_secs(5));
    }
}
