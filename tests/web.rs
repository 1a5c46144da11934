//! The model in a browser: the numbers of the native suite, computed by WebAssembly in headless Chromium.
#![cfg(target_arch = "wasm32")]

mod webgpu; // the packed model over WebGPU

use std::collections::BTreeMap;

use burn::tensor::{DType, Device, Tensor};
use clinlora_core::config::LlamaConfig;
use clinlora_core::model::batch::TokenBatch;
use clinlora_core::model::head::{CausalLm, Classifier};
use clinlora_core::model::llama::Llama;
use clinlora_core::peft::stack::{detach, set_active};
use clinlora_core::peft::store::StoredAdapter;
use clinlora_core::tokenizer::Tokenizer;
use clinlora_core::weights::RandomWeights;
use clinlora_core::weights::safetensors::SafetensorsFile;
use clinlora_tests::{F32, Golden, assert_close, parse_golden, weights_from};
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

macro_rules! golden_bytes {
    ($path:literal) => {
        include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/golden/", $path)).as_slice()
    };
}

const MODEL: &[u8] = golden_bytes!("llama_gqa/model/model.safetensors");
const CONFIG: &[u8] = golden_bytes!("llama_gqa/model/config.json");

fn config() -> LlamaConfig {
    LlamaConfig::from_json(CONFIG).expect("a configuration of Hugging Face")
}

fn batch(golden: &BTreeMap<String, Golden>, device: &Device) -> TokenBatch {
    let notes = golden["input_ids"].notes(&golden["attention_mask"]);
    TokenBatch::new(&notes.iter().map(Vec::as_slice).collect::<Vec<_>>(), device).expect("tokens")
}

/// Reading from a device never blocks in a browser.
async fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    let data = tensor.into_data_async().await.expect("the device answers");
    data.convert::<f32>().try_into_vec::<f32>().expect("converted to f32")
}

fn stored(name: &str, config: &[u8], weights: &[u8], device: &Device) -> StoredAdapter {
    let file = SafetensorsFile::open(name, weights.to_vec()).expect("a golden adapter is whole");
    StoredAdapter::read(name, config, &file, device).expect("an adapter of PEFT")
}

#[wasm_bindgen_test]
async fn next_token_logits_equal_transformers() {
    let device = Device::flex();
    let golden = parse_golden(golden_bytes!("llama_gqa/golden.safetensors"));
    let mut weights = weights_from(MODEL.to_vec(), &device);
    let model = CausalLm::build(&config(), &mut weights);
    weights.finish().expect("every tensor has its place");
    let logits = values(model.logits(&batch(&golden, &device))).await;
    let (mask, width) = (&golden["attention_mask"].values, config().vocab_size);
    for (position, real) in mask.iter().enumerate().filter(|(_, real)| **real > 0.0) {
        let row = position * width..(position + 1) * width;
        assert_eq!(*real, 1.0, "a mask holds 0 and 1");
        assert_close("logits", &logits[row.clone()], &golden["logits"].values[row], F32);
    }
}

#[wasm_bindgen_test]
async fn two_stacked_adapters_equal_peft_and_switch_while_loaded() {
    let device = Device::flex();
    let golden = parse_golden(golden_bytes!("peft_stack/golden.safetensors"));
    let batch = batch(&golden, &device);
    let mut weights = weights_from(MODEL.to_vec(), &device);
    let backbone = Llama::build(&config(), &mut weights);
    weights.finish().expect("every tensor has its place");
    let labels = golden["logits.both"].shape[1];
    // The head's values are replaced by the adapter's.
    let mut head = RandomWeights::new(0, &device, DType::F32);
    let mut model = Classifier::build(backbone, &config(), labels, &mut head);
    let clinical = stored(
        "clinical",
        golden_bytes!("peft_stack/clinical/adapter_config.json"),
        golden_bytes!("peft_stack/clinical/adapter_model.safetensors"),
        &device,
    );
    let downstream = stored(
        "downstream",
        golden_bytes!("peft_stack/downstream/adapter_config.json"),
        golden_bytes!("peft_stack/downstream/adapter_model.safetensors"),
        &device,
    );
    clinical.attach(&mut model).expect("it was made for this base");
    downstream.attach(&mut model).expect("it was made for this base");
    for (expected, active) in [
        ("logits.both", ["clinical", "downstream"].as_slice()),
        ("logits.none", &[]),
        ("logits.clinical", &["clinical"]),
        ("logits.downstream", &["downstream"]),
    ] {
        set_active(&mut model, active).expect("both are attached");
        assert_close(expected, &values(model.logits(&batch)).await, &golden[expected].values, F32);
    }
    detach(&mut model, "downstream").expect("it is attached");
    set_active(&mut model, &["clinical"]).expect("it is attached");
    assert_close(
        "after detaching",
        &values(model.logits(&batch)).await,
        &golden["logits.clinical"].values,
        F32,
    );
}

#[wasm_bindgen_test]
fn tokenizers_give_the_ids_of_python() {
    let cases: serde_json::Value =
        serde_json::from_slice(golden_bytes!("tokenizer/cases.json")).expect("golden JSON");
    let json = Tokenizer::from_json(golden_bytes!("tokenizer/llama.json")).expect("a tokenizer.json");
    let model =
        Tokenizer::from_sentencepiece(golden_bytes!("tokenizer/llama.model")).expect("a tokenizer.model");
    let texts = cases["texts"].as_array().expect("a list of texts");
    for (tokenizer, name) in [(&json, "llama.json"), (&model, "llama.model")] {
        let expected = cases["expected"][name].as_array().expect("one entry a text");
        assert_eq!(texts.len(), expected.len(), "the golden file is whole");
        for (i, (text, expected)) in texts.iter().zip(expected).enumerate() {
            let ids: Vec<u32> = serde_json::from_value(expected["ids"].clone()).expect("ids");
            let text = text.as_str().expect("a text");
            assert_eq!(tokenizer.encode(text, usize::MAX).expect("encodable"), ids, "{name}: text {i}");
        }
    }
}
