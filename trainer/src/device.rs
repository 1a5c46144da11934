//! Choosing the device a command runs on.

use burn::tensor::Device;
use clap::ValueEnum;
use clinlora_core::config::WeightDtype;

use crate::error::{Error, Result};

/// Kinds of device this program may have been built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum DeviceChoice {
    /// The fastest kind in this build that the machine has.
    Auto,
    /// The processor.
    Cpu,
    /// An NVIDIA GPU, through CUDA.
    Cuda,
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
}

impl DeviceChoice {
    /// The Burn device, without autodiff.
    ///
    /// # Errors
    /// [`Error::Input`] if this build does not have that kind.
    pub(crate) fn open(self) -> Result<Opened> {
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
            Self::Cuda => Opened::of(WeightDtype::Bf16, Device::cuda(0)),
            #[cfg(not(feature = "cuda"))]
            Self::Cuda => Err(not_built("cuda")),
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
        return DeviceChoice::Cuda.open();
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
