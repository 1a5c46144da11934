//! Choosing the device a command runs on.

use std::fmt;
use std::str::FromStr;

use burn::tensor::{DType, Device};
use clinlora_core::config::WeightDtype;

use crate::error::{Error, Result};
use crate::recipe::{Method, Recipe};

/// Kinds of device this program may have been built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceChoice {
    /// The fastest kind in this build that the machine has.
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU, through CUDA: this one, or of processes that train together each its own.
    Cuda(Option<usize>),
    /// Any GPU, through wgpu and WGSL.
    Wgpu,
    /// A GPU through Vulkan and SPIR-V.
    #[cfg(feature = "vulkan")]
    Vulkan,
    /// An Apple GPU through Metal.
    #[cfg(feature = "metal")]
    Metal,
}

/// A device ready for use.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    /// Without autodiff.
    pub(crate) device: Device,
    /// Number format of frozen weights, unless a recipe says otherwise: bf16 on CUDA, f32 elsewhere.
    pub(crate) dtype: WeightDtype,
}

impl Opened {
    fn of(dtype: WeightDtype, device: Device) -> Result<Self> {
        Ok(Self { device, dtype })
    }

    /// Number format of a recipe's base. One that is itself trained is f32: an optimiser that steps in bf16 loses small updates.
    pub(crate) fn dtype_for(&self, recipe: &Recipe) -> DType {
        match recipe.method {
            Method::Full => DType::F32,
            Method::Peft => recipe.dtype.unwrap_or(self.dtype).burn(),
        }
    }
}

impl DeviceChoice {
    /// The Burn device, without autodiff.
    ///
    /// # Errors
    /// [`Error::Input`] if this build does not have that kind.
    pub(crate) fn open(self) -> Result<Opened> {
        #[cfg(any(feature = "cuda", feature = "wgpu", feature = "vulkan", feature = "metal"))]
        clinlora_core::kernels::cube::keep_compiled();
        match self {
            Self::Auto => auto(),
            #[cfg(feature = "cpu")]
            Self::Cpu => {
                keep_freed_memory();
                Opened::of(WeightDtype::F32, Device::flex())
            }
            #[cfg(not(feature = "cpu"))]
            Self::Cpu => Err(not_built("cpu")),
            #[cfg(feature = "cuda")]
            Self::Cuda(index) => Opened::of(WeightDtype::Bf16, Device::cuda(gpu(index)?)),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda(_) => Err(not_built("cuda")),
            #[cfg(feature = "wgpu")]
            Self::Wgpu => Opened::of(WeightDtype::F32, Device::wgpu(burn::tensor::DeviceKind::DefaultDevice)),
            #[cfg(not(feature = "wgpu"))]
            Self::Wgpu => Err(not_built("wgpu")),
            #[cfg(feature = "vulkan")]
            Self::Vulkan => {
                Opened::of(WeightDtype::F32, Device::vulkan(burn::tensor::DeviceKind::DefaultDevice))
            }
            #[cfg(feature = "metal")]
            Self::Metal => {
                Opened::of(WeightDtype::F32, Device::metal(burn::tensor::DeviceKind::DefaultDevice))
            }
        }
    }
}

/// What may be typed, but for the number of a GPU.
const KINDS: &[(&str, DeviceChoice)] = &[
    ("auto", DeviceChoice::Auto),
    ("cpu", DeviceChoice::Cpu),
    ("cuda", DeviceChoice::Cuda(None)),
    ("wgpu", DeviceChoice::Wgpu),
    #[cfg(feature = "vulkan")]
    ("vulkan", DeviceChoice::Vulkan),
    #[cfg(feature = "metal")]
    ("metal", DeviceChoice::Metal),
];

impl FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if let Some(index) = text.strip_prefix("cuda:") {
            let index =
                index.parse().map_err(|_| "cuda: is followed by the number of a GPU, from 0".to_owned())?;
            return Ok(Self::Cuda(Some(index)));
        }
        let known = KINDS.iter().find(|(name, _)| *name == text).map(|(_, kind)| *kind);
        known.ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
            format!("one of {}, or cuda:N for the N-th GPU", names.join(", "))
        })
    }
}

impl fmt::Display for DeviceChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Cuda(Some(index)) = self {
            return write!(f, "cuda:{index}");
        }
        let name = KINDS.iter().find(|(_, kind)| kind == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

/// The GPU asked for, if the machine has it.
#[cfg(feature = "cuda")]
fn gpu(index: Option<usize>) -> Result<usize> {
    let count = clinlora_core::kernels::cublas::device_count()
        .map_err(|reason| Error::Input(format!("--device cuda: {reason}")))?;
    match index {
        _ if count == 0 => Err(Error::Input("--device cuda: the driver shows no GPU".to_owned())),
        Some(index) if index >= count => {
            Err(Error::Input(format!("--device cuda:{index}: the driver shows {count} GPUs, counted from 0")))
        }
        Some(index) => Ok(index),
        None => Ok(crate::training::ranks::own_gpu(count)),
    }
}

/// The number of the GPU that `device` is, if it is one of NVIDIA's.
#[cfg(feature = "cuda")]
pub(crate) fn cuda_index(device: &Device) -> Option<usize> {
    let count = clinlora_core::kernels::cublas::device_count().ok()?;
    (0..count).find(|index| *device == Device::cuda(*index))
}

/// Whether `device` is an NVIDIA GPU.
#[cfg(feature = "cuda")]
pub(crate) fn is_cuda(device: &Device) -> bool {
    cuda_index(device).is_some()
}

/// Has the allocator keep what is freed, up to 1 GiB: every step frees its tensors and asks for the same again. Taken from
/// the system anew each time, page by page, they cost a twentieth of a step.
#[cfg(feature = "cpu")]
fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the calls take no pointer, and may be made at any time from any thread.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20); // the most glibc accepts
        libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TOP_PAD, 64 << 20);
    }
}

#[cfg(not(all(feature = "cpu", feature = "cuda", feature = "wgpu")))]
fn not_built(kind: &str) -> Error {
    Error::Input(format!("this program was built without {kind}; build it with --features {kind}"))
}

fn auto() -> Result<Opened> {
    #[cfg(feature = "cuda")]
    if std::path::Path::new("/dev/nvidiactl").exists() {
        return DeviceChoice::Cuda(None).open();
    }
    #[cfg(feature = "metal")]
    return DeviceChoice::Metal.open();
    #[cfg(all(feature = "cpu", not(feature = "metal")))]
    return DeviceChoice::Cpu.open();
    #[cfg(all(feature = "vulkan", not(any(feature = "cpu", feature = "metal"))))]
    return DeviceChoice::Vulkan.open();
    #[cfg(not(any(feature = "cpu", feature = "metal", feature = "vulkan")))]
    return DeviceChoice::Wgpu.open();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_read_as_it_is_written() {
        for text in ["auto", "cpu", "cuda", "cuda:3", "wgpu"] {
            assert_eq!(text.parse::<DeviceChoice>().unwrap().to_string(), text);
        }
        for text in ["gpu", "cuda:", "cuda:-1", "CPU", ""] {
            assert!(text.parse::<DeviceChoice>().is_err(), "{text}");
        }
    }
}
