//! The device: asked for with a time limit, watched for its loss, and never trusted to be there.
//!
//! Burn's own initialisation takes one device for good and panics at the first error of wgpu. So the adapter and the
//! device are requested here and registered with Burn as an existing setup: each registration is a device of its own, which
//! is what lets a lost one be replaced, and errors are collected instead.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Device;
use burn::tensor::wgpu::WgpuSetup;
use burn::tensor::wgpu::wgpu;
use clinlora_core::kernels::wgsl::{self_check, set_software};
use clinlora_core::quant::Bits;
use clinlora_core::weights::bundle::Base;
use clinlora_webapp::engine::choice::{Found, trust};
use clinlora_webapp::engine::protocol::{Adapter, CpuReason};
use js_sys::Reflect;
use wasm_bindgen::prelude::*;

use super::host::{scope, within, words};

/// A browser that has not answered by then will not: seen with some drivers, and then for more than 25 s.
const ANSWER_MS: u32 = 5000;

/// What has gone wrong on a device.
#[derive(Debug, Clone)]
pub(crate) enum Trouble {
    /// It is gone.
    Lost(String),
    /// It has no memory left.
    OutOfMemory(String),
    /// It refused a command: a defect of this program, or of the driver.
    Refused(String),
}

/// Handles of wgpu, not yet known to Burn.
pub(crate) struct Handles {
    pub(crate) adapter: Adapter,
    setup: WgpuSetup,
}

/// Asks the browser for an adapter and a device.
pub(crate) async fn find() -> Result<Handles, CpuReason> {
    if !field(&scope().navigator(), "gpu").is_object() {
        return Err(CpuReason::NoWebGpu);
    }
    let backend = wgpu::Backends::BROWSER_WEBGPU;
    let descriptor = wgpu::InstanceDescriptor {
        backends: backend,
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    };
    let instance = wgpu::Instance::new(descriptor);
    let options = wgpu::RequestAdapterOptions {
        power_preference: wgpu::PowerPreference::HighPerformance,
        ..Default::default()
    };
    let answer = within(ANSWER_MS, instance.request_adapter(&options)).await;
    let adapter = answer.ok_or(CpuReason::AdapterTimedOut)?.map_err(|_| CpuReason::NoAdapter)?;
    let wishes = wgpu::DeviceDescriptor {
        label: None,
        // All there is: f16 where the adapter has it, and nothing that must be there.
        required_features: adapter.features().difference(wgpu::Features::MAPPABLE_PRIMARY_BUFFERS),
        required_limits: adapter.limits(),
        memory_hints: wgpu::MemoryHints::MemoryUsage,
        trace: wgpu::Trace::Off,
        experimental_features: wgpu::ExperimentalFeatures::disabled(),
    };
    let answer = within(ANSWER_MS, adapter.request_device(&wishes)).await;
    let (device, queue) = answer.ok_or(CpuReason::AdapterTimedOut)?.map_err(|_| CpuReason::NoDevice)?;
    let report = report(&adapter, &device);
    let setup = WgpuSetup { instance, adapter, device, queue, backend: wgpu::Backend::BrowserWebGpu };
    Ok(Handles { adapter: report, setup })
}

/// What [`find`] found, as [`choose`](clinlora_webapp::engine::choice::choose) wants it.
pub(crate) fn found(handles: &Result<Handles, CpuReason>) -> Found {
    match handles {
        Ok(handles) => Found::Adapter(handles.adapter.clone()),
        Err(reason) => Found::Nothing(*reason),
    }
}

fn report(adapter: &wgpu::Adapter, device: &wgpu::Device) -> Adapter {
    let info = adapter.get_info();
    let limits = device.limits();
    // wgpu keeps the description only, which browsers leave empty.
    let details = field(&js(device), "adapterInfo");
    let text = |name: &str| field(&details, name).as_string();
    let parts = ["vendor", "architecture", "description"].into_iter().filter_map(text);
    let name = parts.filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ");
    let is_software = info.device_type == wgpu::DeviceType::Cpu
        || ["swiftshader", "llvmpipe", "lavapipe", "basic render"]
            .iter()
            .any(|program| name.to_lowercase().contains(program));
    Adapter {
        name,
        is_software,
        has_f16: device.features().contains(wgpu::Features::SHADER_F16),
        binding_bytes: limits.max_storage_buffer_binding_size,
        buffer_bytes: limits.max_buffer_size,
        refused_kernels: Vec::new(),
    }
}

/// The browser's own object.
fn js(device: &wgpu::Device) -> JsValue {
    device.as_webgpu().map_or(JsValue::UNDEFINED, |device| AsRef::<JsValue>::as_ref(device).clone())
}

fn field(of: &JsValue, name: &str) -> JsValue {
    Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// A device registered with Burn.
pub(crate) struct Gpu {
    pub(crate) device: Device,
    handles: wgpu::Device,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

impl Gpu {
    /// Registers the handles with Burn.
    pub(crate) fn new(handles: Handles) -> Result<Self, String> {
        let wgpu_device = handles.setup.device.clone();
        let device = Device::wgpu_options().setup(handles.setup).init().map_err(|e| e.to_string())?;
        let trouble = Arc::new(Mutex::new(None));
        let noted = trouble.clone();
        // In place of Burn's handler, which panics, and of wgpu's, which drops the message and panics at an internal error.
        let on_error = Closure::<dyn Fn(JsValue)>::new(move |event: JsValue| {
            let error = field(&event, "error");
            let reason = field(&error, "message").as_string().unwrap_or_default();
            let kind = field(&field(&error, "constructor"), "name").as_string().unwrap_or_default();
            web_sys::console::warn_1(&format!("{kind}: {reason}").into());
            let is_memory = kind == "GPUOutOfMemoryError";
            let what = if is_memory { Trouble::OutOfMemory(reason) } else { Trouble::Refused(reason) };
            noted.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(what);
        });
        let handler = on_error.into_js_value(); // it lives as long as the device
        Reflect::set(&js(&wgpu_device), &"onuncapturederror".into(), &handler).map_err(|e| words(&e))?;
        let noted = trouble.clone();
        wgpu_device.set_device_lost_callback(move |reason, message| {
            // A loss explains whatever was refused before it.
            *noted.lock().unwrap_or_else(PoisonError::into_inner) =
                Some(Trouble::Lost(format!("{reason:?}: {message}")));
        });
        Ok(Self { device, handles: wgpu_device, trouble })
    }

    /// Tries the kernels a model on this base meets on small inputs, and takes those with a wrong answer out of use; returns
    /// their names. It ends early when something goes wrong on the device; the caller sees that in [`trouble`](Self::trouble).
    pub(crate) async fn try_kernels(&self, base: &Base, adapter: &Adapter) -> Result<Vec<String>, CpuReason> {
        const LOOK_MS: u32 = 250;
        set_software(adapter.is_software);
        let met = Met::new(base, adapter);
        let mut answers = pin!(self_check(&self.device, |shader| met.includes(shader.name)));
        let answers = loop {
            match within(LOOK_MS, answers.as_mut()).await {
                Some(answers) => break answers,
                None if self.trouble().is_some() => return Ok(Vec::new()),
                None => {}
            }
        };
        for answer in &answers {
            if let Err(wrong) = &answer.result {
                web_sys::console::warn_1(&format!("kernel {}: {wrong}", answer.shader).into());
            }
        }
        let answers: Vec<_> = answers.iter().map(|answer| (answer.shader, answer.result.is_ok())).collect();
        trust(&answers)
    }

    /// What has gone wrong so far.
    pub(crate) fn trouble(&self) -> Option<Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Gives back the device's memory at once instead of when JavaScript collects it.
    pub(crate) fn destroy(self) {
        self.handles.destroy();
    }
}

/// The kernels that a model on a base meets here, where states are f32.
struct Met {
    bits: &'static str,
    /// The families of products of many rows, and of attention.
    families: [&'static str; 2],
    /// Whether every width is a multiple of four: then none but the kernels for those.
    is_vec: bool,
}

impl Met {
    fn new(base: &Base, adapter: &Adapter) -> Self {
        let size = |name: &str| base.config.get(name).and_then(serde_json::Value::as_u64);
        let widths = ["hidden_size", "intermediate_size", "head_dim"].map(size);
        Self {
            bits: if base.bits == Bits::Four { "int4" } else { "int8" },
            families: match adapter.is_software {
                true => ["matmul_direct", "attend_direct"],
                false => ["matmul_packed", "attend_causal"],
            },
            is_vec: widths.iter().all(|width| width.is_some_and(|width| width.is_multiple_of(4))),
        }
    }

    /// Whether the kernel of this name, `stem.flag.flag`, is one of them.
    fn includes(&self, name: &str) -> bool {
        let mut parts = name.split('.');
        let (stem, flags) = (parts.next().unwrap_or_default(), parts.collect::<Vec<_>>());
        let has = |flag: &str| flags.contains(&flag);
        let [products, attention] = self.families;
        let product = [products, "matmul_rows"].contains(&stem);
        let in_fours = product || ["lora_down", attention].contains(&stem);
        (in_fours || ["rms_norm", "rotary"].contains(&stem))
            && has("f32")
            && (!product || has(self.bits))
            && (!in_fours || !self.is_vec || has("vec"))
    }
}
