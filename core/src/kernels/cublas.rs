//! A layer's products with its weight (`projection.rs`) through NVIDIA's cuBLASLt, which is opened at run time; without it, or where it is slower,
//! Burn's own kernels stay.
//!
//! CubeCL hands out the address of a buffer (`Client::get_resource`) but not the stream its work is queued on
//! (`cubecl-cuda` keeps `compute::stream` to itself). So a product runs on a stream of this file's, ordered by events of the
//! whole context: it waits for all that CubeCL has queued, and what CubeCL queues next waits for it. The host waits for
//! nothing. `cuCtxRecordEvent` and `cuCtxWaitEvent` came with CUDA 12.5.
//!
//! cuBLASLt counts columns first: rows of `x` are its columns, so `y = x·Wᵀ` is `yᵀ = W·xᵀ` with `W` transposed once more,
//! and `dx = d·W` is `dxᵀ = Wᵀ·dᵀ` as it lies.

use std::collections::HashMap;
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use burn::backend::{DType, Shape, TensorMetadata as _};
use burn_cubecl::cubecl::client::Client;
use burn_cubecl::cubecl::server::Handle;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::ops::numeric::empty_device_contiguous_dtype;
use burn_cubecl::tensor::CubeTensor;
use cudarc::cublaslt::result as lt;
use cudarc::cublaslt::sys as lt_sys;
use cudarc::driver::{result as driver, sys};

/// Bytes cuBLASLt may use beside the operands: what NVIDIA recommends for Hopper.
const WORKSPACE_BYTES: usize = 32 << 20;

/// First driver with events of a whole context.
const LEAST_DRIVER: i32 = 12_050;

/// `cublasOperation_t`, which the bindings of cuBLASLt leave out.
const CUBLAS_OP_N: i32 = 0;
const CUBLAS_OP_T: i32 = 1;

static IS_CHOSEN: AtomicBool = AtomicBool::new(false);
static CONTEXTS: Mutex<Option<HashMap<usize, Context>>> = Mutex::new(None);

/// Sends products this way from now on, or no longer.
pub fn choose(yes: bool) {
    IS_CHOSEN.store(yes, Ordering::Release);
}

/// Whether products go this way.
#[must_use]
pub fn is_chosen() -> bool {
    IS_CHOSEN.load(Ordering::Acquire)
}

/// Whether the machine has what this way needs; if not, why.
///
/// # Errors
/// What is missing.
pub fn is_available() -> Result<(), String> {
    driver_version().and_then(|version| {
        if version < LEAST_DRIVER {
            return Err(format!("the driver is for CUDA {version}, and this needs {LEAST_DRIVER}"));
        }
        // SAFETY: opening NVIDIA's library runs its initialisers and nothing else.
        match unsafe { lt_sys::is_culib_present() } {
            true => Ok(()),
            false => Err("libcublasLt is not on the library path".to_owned()),
        }
    })
}

fn driver_version() -> Result<i32, String> {
    // SAFETY: as above.
    if !unsafe { sys::is_culib_present() } {
        return Err("libcuda is not on the library path".to_owned());
    }
    let mut version = 0;
    // SAFETY: the driver writes one integer.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }.result().map_err(|e| e.to_string())?;
    Ok(version)
}

/// GPUs this process may use.
///
/// # Errors
/// What the driver says.
pub fn device_count() -> Result<usize, String> {
    driver_version()?;
    driver::init().map_err(|e| e.to_string())?;
    let count = driver::device::get_count().map_err(|e| e.to_string())?;
    Ok(usize::try_from(count).unwrap_or(0))
}

/// Free and all memory of GPU `index`, in bytes, as the driver has it.
///
/// # Errors
/// What the driver says.
pub fn memory_bytes(index: usize) -> Result<(u64, u64), String> {
    if index >= device_count()? {
        return Err(format!("there is no GPU {index}"));
    }
    let ask = || {
        let index = i32::try_from(index).expect("checked against the driver's count");
        let device = driver::device::get(index)?;
        // SAFETY: the device is the driver's; a retained primary context is the one Burn computes in, and stays.
        unsafe { driver::ctx::set_current(driver::primary_ctx::retain(device)?)? };
        driver::mem_get_info()
    };
    let (free, all) = ask().map_err(|e: driver::DriverError| e.to_string())?;
    Ok((free as u64, all as u64))
}

/// Which product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Form {
    /// `x·Wᵀ`.
    Forward,
    /// `d·W`.
    Backward,
}

/// `x·weightᵀ`, if this way is chosen and serves the tensors.
pub(super) fn forward(x: &CubeTensor, weight: &CubeTensor) -> Option<CubeTensor> {
    product(x, weight, Form::Forward)
}

/// `grad·weight`, if this way is chosen and serves the tensors. A transposed view stays with Burn, which reads it as it lies.
pub(super) fn backward(grad: &CubeTensor, weight: &CubeTensor) -> Option<CubeTensor> {
    let is_plain =
        [grad, weight].iter().all(|tensor| tensor.shape().num_dims() == 2 && tensor.is_contiguous());
    is_plain.then(|| product(grad, weight, Form::Backward)).flatten()
}

fn product(x: &CubeTensor, weight: &CubeTensor, form: Form) -> Option<CubeTensor> {
    if !is_chosen() || x.dtype != weight.dtype || data_type(x.dtype).is_none() {
        return None;
    }
    let (x, weight) = (into_contiguous(x.clone()), into_contiguous(weight.clone()));
    if !x.is_contiguous() || !weight.is_contiguous() {
        return None;
    }
    let ([rows, inner], [d_out, d_in]) = (x.shape().dims::<2>(), weight.shape().dims::<2>());
    let (expected, outer) = match form {
        Form::Forward => (d_in, d_out),
        Form::Backward => (d_out, d_in),
    };
    assert_eq!(inner, expected, "{form:?}: [{rows}, {inner}] and a weight of [{d_out}, {d_in}]");
    let shape = Shape::from(vec![rows, outer]);
    let y = empty_device_contiguous_dtype(x.client.clone(), x.device.clone(), shape, x.dtype);
    let key = Key { form, rows, d_out, d_in, dtype: x.dtype };
    match run(key, [&x, &weight, &y]) {
        Ok(()) => Some(y),
        Err(_) => {
            // Whatever it is, it will be so the next time: Burn's kernels take over.
            choose(false);
            None
        }
    }
}

fn data_type(dtype: DType) -> Option<lt_sys::cudaDataType> {
    match dtype {
        DType::F32 => Some(lt_sys::cudaDataType_t::CUDA_R_32F),
        DType::F16 => Some(lt_sys::cudaDataType_t::CUDA_R_16F),
        DType::BF16 => Some(lt_sys::cudaDataType_t::CUDA_R_16BF),
        _ => None,
    }
}

/// Queues the product of the first two tensors into the third.
fn run(key: Key, tensors: [&CubeTensor; 3]) -> Result<(), String> {
    // Resolving a buffer also has CubeCL's queue of requests drained into its streams: what fills it is before the event.
    let [x, weight, y] = tensors.map(|tensor| Buffer::of(&tensor.client, &tensor.handle));
    let (x, weight, y) = (x?, weight?, y?);
    let mut contexts = CONTEXTS.lock().map_err(|e| e.to_string())?;
    let contexts = contexts.get_or_insert_default();
    let context = context_of(y.address)?;
    let place = match contexts.entry(context as usize) {
        std::collections::hash_map::Entry::Occupied(known) => known.into_mut(),
        std::collections::hash_map::Entry::Vacant(new) => new.insert(Context::open(context)?),
    };
    place.run(key, [x.address, weight.address, y.address])
}

/// A buffer of CubeCL's, kept where it is for as long as this lives.
struct Buffer {
    address: u64,
    _held: Box<dyn std::any::Any>,
}

impl Buffer {
    fn of(client: &Client, handle: &Handle) -> Result<Self, String> {
        type Server = <cubecl_cuda::CudaRuntime as cubecl_runtime::runtime::Runtime>::Server;
        let held = client.get_resource::<Server>(handle.clone()).map_err(|e| format!("{e:?}"))?;
        Ok(Self { address: held.resource().ptr, _held: Box::new(held) })
    }
}

fn context_of(address: u64) -> Result<sys::CUcontext, String> {
    let mut context: sys::CUcontext = null_mut();
    let attribute = sys::CUpointer_attribute::CU_POINTER_ATTRIBUTE_CONTEXT;
    // SAFETY: the attribute is one pointer, and `context` has room for it.
    unsafe { sys::cuPointerGetAttribute((&raw mut context).cast(), attribute, address) }
        .result()
        .map_err(|e| e.to_string())?;
    Ok(context)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    form: Form,
    rows: usize,
    d_out: usize,
    d_in: usize,
    dtype: DType,
}

/// What cuBLASLt was told of a shape, and how it will compute it.
struct Prepared {
    description: lt_sys::cublasLtMatmulDesc_t,
    weight: lt_sys::cublasLtMatrixLayout_t,
    x: lt_sys::cublasLtMatrixLayout_t,
    y: lt_sys::cublasLtMatrixLayout_t,
    algorithm: lt_sys::cublasLtMatmulAlgo_t,
}

/// One GPU's stream, events and library handle; they live as long as the process.
struct Context {
    context: sys::CUcontext,
    stream: sys::CUstream,
    before: sys::CUevent,
    after: sys::CUevent,
    handle: lt_sys::cublasLtHandle_t,
    workspace: u64,
    prepared: HashMap<Key, Prepared>,
}

// SAFETY: the handles are the driver's, good on any thread, and used by one at a time behind the lock.
unsafe impl Send for Context {}

impl Context {
    fn open(context: sys::CUcontext) -> Result<Self, String> {
        let open = || -> Result<Self, driver::DriverError> {
            // SAFETY: the context is that of a live buffer.
            unsafe { driver::ctx::set_current(context)? };
            let event = || driver::event::create(sys::CUevent_flags::CU_EVENT_DISABLE_TIMING);
            let handle = lt::create_handle()
                .map_err(|_| driver::DriverError(sys::cudaError_enum::CUDA_ERROR_NOT_INITIALIZED))?;
            Ok(Self {
                context,
                stream: driver::stream::create(driver::stream::StreamKind::NonBlocking)?,
                before: event()?,
                after: event()?,
                handle,
                // SAFETY: a fresh allocation, never freed.
                workspace: unsafe { driver::malloc_sync(WORKSPACE_BYTES)? },
                prepared: HashMap::new(),
            })
        };
        open().map_err(|e| e.to_string())
    }

    fn run(&mut self, key: Key, [x, weight, y]: [u64; 3]) -> Result<(), String> {
        // SAFETY: the context is live, and stays current on this thread only.
        unsafe { driver::ctx::set_current(self.context) }.map_err(|e| e.to_string())?;
        if !self.prepared.contains_key(&key) {
            let prepared = prepare(self.handle, key).map_err(|e| e.to_string())?;
            self.prepared.insert(key, prepared);
        }
        let prepared = &self.prepared[&key];
        let (alpha, beta) = (1.0f32, 0.0f32);
        let run = || -> Result<(), driver::DriverError> {
            // SAFETY: stream and events are this context's own; see the head of this file for the order they make.
            unsafe {
                sys::cuCtxRecordEvent(self.context, self.before).result()?;
                let flags = sys::CUevent_wait_flags::CU_EVENT_WAIT_DEFAULT;
                driver::stream::wait_event(self.stream, self.before, flags)
            }
        };
        run().map_err(|e| e.to_string())?;
        // SAFETY: the layouts describe the three buffers, which are held by the caller, and the scalars are read at once.
        unsafe {
            lt::matmul(
                self.handle,
                prepared.description,
                (&raw const alpha).cast(),
                (&raw const beta).cast(),
                weight as *const c_void,
                prepared.weight,
                x as *const c_void,
                prepared.x,
                y as *const c_void,
                prepared.y,
                y as *mut c_void,
                prepared.y,
                &raw const prepared.algorithm,
                self.workspace as *mut c_void,
                WORKSPACE_BYTES,
                self.stream.cast(),
            )
        }
        .map_err(|e| e.to_string())?;
        let finish = || -> Result<(), driver::DriverError> {
            // SAFETY: as above.
            unsafe {
                driver::event::record(self.after, self.stream)?;
                sys::cuCtxWaitEvent(self.context, self.after).result()
            }
        };
        finish().map_err(|e| e.to_string())
    }
}

fn prepare(handle: lt_sys::cublasLtHandle_t, key: Key) -> Result<Prepared, lt::CublasError> {
    let Key { form, rows, d_out, d_in, dtype } = key;
    let data = data_type(dtype).expect("checked by the caller");
    let layout = |width: usize, count: usize| {
        let stride = i64::try_from(width).expect("a matrix in memory");
        lt::create_matrix_layout(data, width as u64, count as u64, stride)
    };
    let (x_width, y_width, transposed) = match form {
        Form::Forward => (d_in, d_out, CUBLAS_OP_T),
        Form::Backward => (d_out, d_in, CUBLAS_OP_N),
    };
    let (weight, x, y) = (layout(d_in, d_out)?, layout(x_width, rows)?, layout(y_width, rows)?);
    let description = lt::create_matmul_desc(
        lt_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
        lt_sys::cudaDataType_t::CUDA_R_32F,
    )?;
    let transpose = lt_sys::cublasLtMatmulDescAttributes_t::CUBLASLT_MATMUL_DESC_TRANSA;
    let preference = lt::create_matmul_pref()?;
    let workspace_bytes = WORKSPACE_BYTES;
    let workspace = lt_sys::cublasLtMatmulPreferenceAttributes_t::CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES;
    // SAFETY: attributes are read from values of their own type and size; every object was just made.
    let found = unsafe {
        lt::set_matmul_desc_attribute(
            description,
            transpose,
            (&raw const transposed).cast(),
            size_of_val(&transposed),
        )?;
        lt::set_matmul_pref_attribute(
            preference,
            workspace,
            (&raw const workspace_bytes).cast(),
            size_of::<usize>(),
        )?;
        let found = lt::get_matmul_algo_heuristic(handle, description, weight, x, y, y, preference);
        lt::destroy_matmul_pref(preference)?;
        found?
    };
    Ok(Prepared { description, weight, x, y, algorithm: found.algo })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Tensor, TensorData};
    use rand::rngs::ChaCha8Rng;
    use rand::{RngExt, SeedableRng};

    use super::super::projection::{plain_product, projection};
    use super::*;

    /// Largest difference over the largest value.
    fn apart(actual: Tensor<2>, expected: &Tensor<2>) -> f32 {
        let [actual, expected] = [actual, expected.clone()]
            .map(|x| x.into_data_as::<f32>().try_to_vec::<f32>().expect("asked for as f32"));
        let largest = expected.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
        actual.iter().zip(&expected).fold(0.0f32, |worst, (a, e)| worst.max((a - e).abs())) / largest
    }

    /// Rows as wide as the driver lays them out without a gap, so that no kernel of Burn's has a part in it.
    #[test]
    #[ignore = "needs an NVIDIA GPU with CUDA 12.5 and cuBLASLt, or what stands for them in `cargo xtask cuda`"]
    fn products_equal_the_processor_s() {
        is_available().expect("a GPU, its driver and cuBLASLt");
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (dtype, tolerance) in [(DType::F32, 2e-3), (DType::BF16, 2e-2)] {
            for [rows, d_in, d_out] in [[1, 256, 256], [37, 256, 512], [129, 768, 256]] {
                let mut draw = |shape: [usize; 2]| {
                    let values: Vec<f32> =
                        (0..shape[0] * shape[1]).map(|_| rng.random_range(-1.0f32..1.0)).collect();
                    let data = TensorData::new(values, shape);
                    [
                        Tensor::<2>::from_data(data.clone(), (&Device::flex(), DType::F32)),
                        Tensor::<2>::from_data(data, (&Device::cuda(0), dtype)),
                    ]
                };
                let ([x, x_gpu], [weight, weight_gpu], [grad, grad_gpu]) =
                    (draw([rows, d_in]), draw([d_out, d_in]), draw([rows, d_out]));
                choose(true);
                let forward = projection(x_gpu, weight_gpu.clone());
                let backward = plain_product(grad_gpu, weight_gpu);
                for (actual, expected) in
                    [(forward, projection(x, weight.clone())), (backward, plain_product(grad, weight))]
                {
                    let apart = apart(actual, &expected);
                    assert!(apart < tolerance, "{dtype:?} {rows} x {d_in} x {d_out}: {apart}");
                }
                assert!(is_chosen(), "{dtype:?} {rows} x {d_in} x {d_out}: fell back");
            }
        }
        choose(false);
    }
}
