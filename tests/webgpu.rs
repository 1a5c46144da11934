//! The packed model over WebGPU: its kernels against their twins, and whole forward passes against the same model on the
//! processor. Without an adapter these tests fail.

use std::cell::RefCell;
use std::collections::BTreeSet;

use burn::backend::WgpuBackend;
use burn::tensor::{DType, Device, Tensor};
use clinlora_core::config::LlamaConfig;
use clinlora_core::kernels::wgsl::{Dispatches, self_check};
use clinlora_core::linear::Base;
use clinlora_core::model::batch::TokenBatch;
use clinlora_core::model::llama::Llama;
use clinlora_core::params::{Owner, for_each_param, for_each_parts};
use clinlora_core::peft::lora::LoraConfig;
use clinlora_core::peft::stack::{attach, set_active};
use clinlora_core::quant::{Bits, Packed, pack};
use clinlora_core::weights::{Init, RandomWeights, Weights};
use clinlora_shaders::SHADERS;
use clinlora_tests::assert_close;
use wasm_bindgen_test::{console_log, wasm_bindgen_test};

use super::values;

/// Through some layers, of hidden states near 1: f32 on the GPU against the processor's products in WebAssembly, which take
/// activations as 16-bit numbers.
const TOLERANCE: f32 = 1e-3;

thread_local! {
    static DEVICE: RefCell<Option<Device>> = const { RefCell::new(None) };
}

/// The browser's device; one for all tests of this worker.
async fn webgpu() -> Device {
    if let Some(device) = DEVICE.with_borrow(Clone::clone) {
        return device;
    }
    clinlora_webapp::engine::constructors::run_constructors();
    let options = Device::wgpu_options().graphics_api(WgpuBackend::WebGpu);
    let device = options.init_async().await.expect("this browser has a WebGPU adapter");
    DEVICE.set(Some(device.clone()));
    device
}

/// Random matrices, packed; the same numbers on every device.
struct PackedWeights {
    random: RandomWeights,
    bits: Bits,
    device: Device,
}

impl Weights for PackedWeights {
    fn tensor<const D: usize>(&mut self, name: &str, shape: [usize; D], init: Init) -> Tensor<D> {
        let drawn = self.random.tensor(name, shape, init).into_data();
        Tensor::from_data(drawn, (&self.device, DType::F32))
    }

    fn linear(&mut self, name: &str, shape: [usize; 2], init: Init) -> Base {
        let drawn = self.random.tensor::<2>(name, shape, init).into_data();
        let drawn = drawn.as_slice::<f32>().expect("drawn as f32");
        let words = pack(drawn, shape, self.bits).expect("finite");
        Packed::new(words, shape, self.bits, &self.device).into()
    }
}

fn config([hidden, ffn, layers, heads, kv_heads, vocabulary]: [usize; 6]) -> LlamaConfig {
    let json = format!(
        r#"{{"model_type": "llama", "hidden_size": {hidden}, "intermediate_size": {ffn}, "num_hidden_layers": {layers},
            "num_attention_heads": {heads}, "num_key_value_heads": {kv_heads}, "vocab_size": {vocabulary},
            "max_position_embeddings": 2048, "rms_norm_eps": 1e-5, "rope_theta": 10000.0, "hidden_act": "silu",
            "initializer_range": 0.08}}"#
    );
    LlamaConfig::from_json(json.as_bytes()).expect("a configuration")
}

/// A packed model with two LoRA adapters of different ranks and targets, both with something in them.
fn model(config: &LlamaConfig, bits: Bits, device: &Device) -> Llama {
    let random = RandomWeights::new(7, &Device::flex(), DType::F32);
    let mut model = Llama::build(config, &mut PackedWeights { random, bits, device: device.clone() });
    let targets = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let clinical =
        LoraConfig { target_modules: targets(&["q_proj", "v_proj"]), r: 5, alpha: 9.0, ..Default::default() };
    let task = LoraConfig {
        target_modules: targets(&["v_proj", "down_proj"]),
        r: 12,
        alpha: 7.0,
        ..Default::default()
    };
    attach(&mut model, "clinical", clinical, 3, device).expect("fits");
    attach(&mut model, "task", task, 4, device).expect("fits");
    // Fresh B is zero: give it values.
    let mut random = RandomWeights::new(8, &Device::flex(), DType::F32);
    for_each_param(&mut model, |owner, name, mut param| {
        if matches!(owner, Owner::Adapter(_)) && name.contains("lora_B") {
            let count = param.shape().iter().product();
            let drawn = random.tensor::<1>(name, [count], Init::Normal(0.1)).into_data();
            param.set_flat(Tensor::from_data(drawn, (device, DType::F32)));
        }
    });
    model
}

fn notes(batch: usize, tokens: usize, vocabulary: u32) -> Vec<Vec<u32>> {
    let id = |b: usize, t: usize| (b * 31 + t * 17 + t * t) as u32 % vocabulary;
    (0..batch).map(|b| (0..tokens - b).map(|t| id(b, t)).collect()).collect()
}

fn batch(notes: &[Vec<u32>], device: &Device) -> TokenBatch {
    TokenBatch::new(&notes.iter().map(Vec::as_slice).collect::<Vec<_>>(), device).expect("tokens")
}

#[wasm_bindgen_test]
async fn every_f32_kernel_gives_its_twins_answer_in_this_browser() {
    let checked = self_check(&webgpu().await, |shader| !shader.needs_f16).await;
    for answer in &checked {
        match &answer.result {
            Ok(difference) => console_log!("{}: {difference:.1e}", answer.shader),
            Err(wrong) => panic!("{}: {wrong}", answer.shader),
        }
    }
    let checked: BTreeSet<&str> = checked.iter().map(|answer| answer.shader).collect();
    let expected: BTreeSet<&str> = SHADERS.iter().filter(|s| !s.needs_f16).map(|s| s.name).collect();
    assert_eq!(checked, expected);
}

#[wasm_bindgen_test]
async fn a_packed_model_with_stacked_adapters_equals_the_processors() {
    let gpu = webgpu().await;
    let config = config([48, 100, 2, 6, 2, 97]);
    for bits in [Bits::Four, Bits::Eight] {
        let mut models = [&Device::flex(), &gpu].map(|device| model(&config, bits, device));
        let notes = notes(5, 37, 97);
        for active in [["clinical", "task"].as_slice(), &["task"], &[]] {
            for model in &mut models {
                set_active(model, active).expect("attached");
            }
            compare(&format!("{bits:?} {active:?}"), &models, &notes, &gpu).await;
        }
        // Rows of one batch under different stacks: both, the first alone, none.
        for model in &mut models {
            set_active(model, &["clinical", "task"]).expect("attached");
            for_each_parts(model, |parts| {
                parts.for_each(&mut |part| {
                    let membership = part.membership_mut();
                    membership.rows =
                        if membership.adapter == "task" { vec![0..2] } else { vec![0..1, 3..4] };
                });
            });
        }
        compare(&format!("{bits:?} mixed rows"), &models, &notes, &gpu).await;
    }
}

/// Every token's states, and those of the last tokens by the short way.
async fn compare(what: &str, [flex, webgpu]: &[Llama; 2], notes: &[Vec<u32>], gpu: &Device) {
    let (on_flex, on_gpu) = (batch(notes, &Device::flex()), batch(notes, gpu));
    let expected = values(flex.forward(on_flex.ids())).await;
    let count = Dispatches::count();
    let states = webgpu.forward(on_gpu.ids());
    let dispatches: usize = count.so_far().values().sum();
    drop(count);
    let difference = assert_close(what, &values(states).await, &expected, TOLERANCE);
    let largest = expected.iter().fold(0.0_f32, |most, v| most.max(v.abs()));
    console_log!("{what}: {difference:.1e} of states up to {largest:.1}, {dispatches} dispatches");
}
