//! A bundle in memory on a device of the browser, run as the worker runs it.

use burn::backend::WgpuBackend;
use burn::tensor::Device;
use clinlora_core::engine::{Adapters, Engine, Padding};
use clinlora_core::kernels::wgsl::{Dispatches, set_software};
use clinlora_core::weights::bundle::Bundle;
use js_sys::Uint8Array;
use wasm_bindgen::prelude::*;

/// A bundle on a device.
#[wasm_bindgen]
pub struct Model {
    engine: Engine,
}

/// Puts a bundle on the GPU (`webgpu`) or the processor (`wasm`). Neither files nor kernels are checked: the caller compares the
/// logits.
///
/// # Errors
/// Whatever of the bundle or the device is of no use, in words.
#[wasm_bindgen]
pub async fn open(
    manifest: Vec<u8>,
    shards: Vec<Uint8Array>,
    provider: String,
    is_software: bool,
) -> Result<Model, JsValue> {
    console_panics();
    set_software(is_software);
    let device = match provider.as_str() {
        "wasm" => Device::flex(),
        _ => {
            let options = Device::wgpu_options().graphics_api(WgpuBackend::WebGpu);
            options.init_async().await.map_err(|e| words(&e))?
        }
    };
    let padding = if provider == "wasm" { Padding::Longest } else { Padding::Buckets };
    let bundle = Bundle::parse(&manifest).map_err(|e| words(&e))?;
    let shards: Vec<Vec<u8>> = shards.iter().map(Uint8Array::to_vec).collect();
    let engine = Engine::load(bundle, Box::new(shards), padding, &device, |_| {}).map_err(|e| words(&e))?;
    Ok(Model { engine })
}

#[wasm_bindgen]
impl Model {
    /// Logits of one note, of the tasks named one after the other; all tasks if none is named.
    ///
    /// # Errors
    /// As the engine, in words.
    pub async fn run(
        &mut self,
        ids: Vec<u32>,
        tasks: Vec<String>,
        adapters: String,
    ) -> Result<Vec<f32>, JsValue> {
        let adapters = match adapters.as_str() {
            "off" => Adapters::Off,
            "clinical" => Adapters::Clinical,
            _ => Adapters::All,
        };
        let all: Vec<String> = self.engine.tasks().map(|task| task.name.clone()).collect();
        let tasks = if tasks.is_empty() { all } else { tasks };
        let tasks: Vec<&str> = tasks.iter().map(String::as_str).collect();
        let logits = self.engine.run(&[&ids], &tasks, adapters).map_err(|e| words(&e))?;
        let values = logits.values.into_data_async().await.map_err(|e| words(&e))?;
        values.convert::<f32>().try_into_vec::<f32>().map_err(|e| words(&format!("{e:?}")))
    }

    /// Dispatches of a run of the same, by kernel, as JSON.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn dispatches(
        &mut self,
        ids: Vec<u32>,
        tasks: Vec<String>,
        adapters: String,
    ) -> Result<String, JsValue> {
        let count = Dispatches::count();
        self.run(ids, tasks, adapters).await?;
        serde_json::to_string(&count.so_far()).map_err(|e| words(&e))
    }

    /// Names of the tasks, in the bundle's order.
    #[must_use]
    pub fn tasks(&self) -> Vec<String> {
        self.engine.tasks().map(|task| task.name.clone()).collect()
    }

    /// Milliseconds of each layer of a run, waiting for the device after each.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub async fn layers(&mut self, ids: Vec<u32>) -> Result<Vec<f64>, JsValue> {
        let all: Vec<String> = self.engine.tasks().map(|task| task.name.clone()).collect();
        let tasks: Vec<&str> = all.iter().map(String::as_str).collect();
        let mut prefill = self.engine.start(&[&ids], &tasks, Adapters::All).map_err(|e| words(&e))?;
        let mut times = Vec::new();
        loop {
            let began = now_ms();
            let done = self.engine.step(&mut prefill).is_done();
            let fence = if done { None } else { Some(prefill.fence()) };
            if let Some(fence) = fence {
                fence.into_data_async().await.map_err(|e| words(&e))?;
            }
            times.push(now_ms() - began);
            if done {
                return Ok(times);
            }
        }
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn now_ms() -> f64;

    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(message: &str);
}

fn console_panics() {
    std::panic::set_hook(Box::new(|panic| console_error(&panic.to_string())));
}

fn words(error: &impl std::fmt::Display) -> JsValue {
    JsValue::from_str(&error.to_string())
}
