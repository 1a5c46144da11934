//! Bodies for devices that take WGSL: a browser, and native wgpu built without its other compilers. The sources are those
//! of the crate `shaders`; here they are launched on Burn's tensors.
//!
//! A body answers `None` where it does not apply, to a device of another language, a number type or shape the kernel does
//! not take, or a shader that failed its [`self_check`]; its caller then runs the reference. Nothing here waits for the
//! device.

pub(super) mod dense;
mod dispatches;
pub(crate) mod packed;
mod self_check;

use std::sync::RwLock;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::DType;
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::prelude::{CubeCount, CubeDim, KernelId};
use burn_cubecl::cubecl::server::{KernelArguments, MetadataBindingInfo};
use burn_cubecl::template::{KernelSource, SourceKernel, SourceTemplate};
use burn_cubecl::tensor::CubeTensor;
use clinlora_shaders::{Elem, Launch, Shader};

pub use self::dispatches::Dispatches;
pub use self::self_check::{Checked, self_check};

/// Shaders that have given a wrong answer on this machine.
static REFUSED: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

/// Whether the adapter is a program.
static SOFTWARE: AtomicBool = AtomicBool::new(false);

/// To be told once it is known: on an adapter that is a program (`SwiftShader`, lavapipe) products take a kernel written for
/// such. Burn does not tell, and in a browser nobody but the page can ask.
pub fn set_software(is_software: bool) {
    SOFTWARE.store(is_software, Ordering::Relaxed);
}

fn is_software() -> bool {
    SOFTWARE.load(Ordering::Relaxed)
}

/// Takes a shader out of use: the references run in its place.
fn refuse(shader: &'static str) {
    REFUSED.write().expect("nothing panics while it holds the list").push(shader);
}

/// A shader as Burn compiles and caches it.
struct Source(&'static Shader);

impl KernelSource for Source {
    fn source(&self) -> SourceTemplate {
        // Natively Burn lays several tensors into one buffer.
        SourceTemplate::new(match cfg!(target_family = "wasm") {
            true => self.0.source(),
            false => self.0.source_for_shared_buffers(),
        })
    }

    fn id(&self) -> KernelId {
        KernelId::new::<Self>().info(self.0.name).cube_dim(dim(self.0).0)
    }

    fn lang(&self) -> &'static str {
        "wgsl"
    }
}

fn dim(shader: &Shader) -> CubeDim {
    let [x, y, z] = shader.workgroup;
    CubeDim::new_3d(x, y, z)
}

/// Whether a device takes WGSL.
fn takes_wgsl(client: &Client) -> bool {
    client.name() == "wgpu<wgsl>"
}

/// Whether a shader may run on a device.
fn is_usable(client: &Client, shader: &Shader) -> bool {
    takes_wgsl(client)
        && !REFUSED.read().expect("nothing panics while it holds the list").contains(&shader.name)
}

/// Queues a dispatch; `tensors` are bound in order, and read or written whole.
fn launch(client: &Client, launch: Launch, tensors: &[&CubeTensor]) {
    let Launch { shader, params, groups: [x, y, z] } = launch;
    debug_assert_eq!(tensors.len() + 1, shader.bindings.len(), "{}", shader.name);
    let buffers = tensors.iter().map(|tensor| tensor.handle.clone().binding()).collect();
    let info = params.chunks_exact(2).map(|pair| u64::from(pair[0]) | (u64::from(pair[1]) << 32)).collect();
    let arguments = KernelArguments::new().with_buffers(buffers).with_info(MetadataBindingInfo::custom(info));
    let kernel = SourceKernel::new(Source(shader), dim(shader));
    client.launch(Box::new(kernel), CubeCount::Static(x, y, z), arguments);
}

/// The number type of a tensor, if kernels have it.
fn elem(tensor: &CubeTensor) -> Option<Elem> {
    match tensor.dtype {
        DType::F32 => Some(Elem::F32),
        DType::F16 => Some(Elem::F16),
        _ => None,
    }
}

/// Memory for a contiguous tensor beside `like`.
fn empty(like: &CubeTensor, shape: &[usize]) -> CubeTensor {
    let bytes = shape.iter().product::<usize>() * like.dtype.size();
    // Bound as whole words.
    let handle = like.client.empty(bytes.next_multiple_of(4));
    CubeTensor::new_contiguous(
        like.client.clone(),
        like.device.clone(),
        burn::backend::Shape::from(shape.to_vec()),
        handle,
        like.dtype,
    )
}
