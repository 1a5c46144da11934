//! A stand-in for `cubecl-llvm` 0.11.3: the names `cubecl-cuda` refers to, and an error for whoever calls them.
//!
//! The real crate lowers kernels through LLVM and downloads a prebuilt one when it is built, which a site without
//! internet access cannot do. `cubecl-cuda` with its `cpp` feature compiles kernels with NVRTC and never comes here.

use core::fmt;

use cubecl_core::ir::nvidia::SmArch;
use cubecl_core::prelude::KernelDefinition;
use cubecl_environment::backtrace::BackTrace;
use cubecl_server::compiler::CompilationError;
use cubecl_server::kernel::BufferIOAttr;

/// PTX versions.
pub mod nvptx {
    /// The newest PTX a driver loads.
    pub mod ptx_version {
        use core::fmt;

        /// A PTX version: 8.7 is 87.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub struct PtxVersion(u32);

        impl PtxVersion {
            /// Unknown: nothing here writes PTX.
            #[must_use]
            pub fn for_driver(_driver: i32) -> Option<Self> {
                None
            }
        }

        impl fmt::Display for PtxVersion {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "ptx{}", self.0)
            }
        }
    }
}

/// What a target can do.
pub mod shared {
    /// Narrowing a device's features to what is lowered.
    pub mod lowered_features {
        use cubecl_core::ir::DeviceProperties;

        /// The targets.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum GpuTarget {
            /// NVIDIA.
            Nvptx,
        }

        /// Leaves everything as it is: nothing is lowered here.
        pub fn restrict_features(_properties: &mut DeviceProperties, _target: GpuTarget) {}
    }
}

/// The targets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// NVIDIA.
    #[default]
    Nvptx,
}

/// A compiler that refuses.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// The target.
    pub target: LlvmTarget,
}

/// Options of the refusing compiler.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// AMD architecture; none here.
    pub arch: Option<()>,
    /// NVIDIA architecture.
    pub sm_arch: Option<SmArch>,
    /// PTX version.
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    /// Whether scalars go into the parameter block.
    pub grid_constants: bool,
    /// Other kinds of device have more options.
    pub other: (),
}

/// A module the refusing compiler never makes.
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// PTX with a NUL at the end.
    pub ptx: Vec<core::ffi::c_char>,
    /// Name of the kernel.
    pub entrypoint: String,
    /// For logs.
    pub ir: String,
    /// Bytes a launch needs.
    pub shared_memory_size: usize,
    /// Access to each buffer.
    pub io: Vec<BufferIOAttr>,
}

/// What a compiler would make.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum PlironArtifact {
    /// For NVIDIA.
    NvptxCode(NvptxModule),
}

impl PlironCompiler {
    /// Refuses.
    ///
    /// # Errors
    /// Always: kernels are compiled by NVRTC in this build.
    pub fn compile(
        &mut self,
        _kernel: KernelDefinition,
        _options: &PlironOptions,
    ) -> Result<PlironArtifact, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this build has no LLVM; CUDA kernels are compiled by NVRTC".to_owned(),
            backtrace: BackTrace::capture(),
        })
    }

    /// Language of what a compiler would take.
    #[must_use]
    pub fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NvptxCode(module) => f.write_str(&module.ir),
        }
    }
}
