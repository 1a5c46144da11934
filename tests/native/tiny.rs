//! The golden bases, adapters and notes, loaded by the code under test: what the other files of this suite begin with.

use std::collections::BTreeMap;
use std::fs;

use burn::tensor::{DType, Device, Tensor, TensorData};
use clinlora::dataset::Sample;
use clinlora_core::config::LlamaConfig;
use clinlora_core::model::batch::TokenBatch;
use clinlora_core::model::head::{CausalLm, Classifier};
use clinlora_core::model::llama::Llama;
use clinlora_core::params::{Owner, Walk, for_each_param};
use clinlora_core::peft::config::AdapterConfig;
use clinlora_core::peft::lora::LoraConfig;
use clinlora_core::peft::stack;
use clinlora_core::peft::store::{self, AdapterFiles, StoredAdapter, TaskType};
use clinlora_core::weights::RandomWeights;
use clinlora_core::weights::safetensors::SafetensorsFile;
use clinlora_tests::{Golden, assert_close, golden, weights};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

/// A configuration file below `tests/golden`.
pub(crate) fn config(path: &str) -> LlamaConfig {
    let bytes = fs::read(golden(path)).expect("a golden configuration");
    LlamaConfig::from_json(&bytes).expect("a configuration of Hugging Face")
}

/// The base of `case` with its language-modelling head.
pub(crate) fn causal_lm(case: &str, device: &Device) -> CausalLm {
    causal_lm_as(case, &config(&format!("{case}/model/config.json")), device)
}

/// The base of `case` under another configuration.
pub(crate) fn causal_lm_as(case: &str, config: &LlamaConfig, device: &Device) -> CausalLm {
    let mut weights = weights(&golden(case).join("model"), device);
    let model = CausalLm::build(config, &mut weights);
    weights.finish().expect("every tensor has its place");
    model
}

/// The base of `case` with a classification head drawn at random.
pub(crate) fn classifier(case: &str, labels: usize, device: &Device) -> Classifier {
    let config = config(&format!("{case}/model/config.json"));
    let mut weights = weights(&golden(case).join("model"), device);
    let backbone = Llama::build(&config, &mut weights);
    weights.finish().expect("every tensor has its place");
    let mut head = RandomWeights::new(1, device, DType::F32);
    Classifier::build(backbone, &config, labels, &mut head)
}

/// The adapter folder `path` below `tests/golden`, not yet on a model.
pub(crate) fn adapter(path: &str, name: &str, device: &Device) -> StoredAdapter {
    let folder = golden(path);
    let config = fs::read(folder.join("adapter_config.json")).expect("a golden adapter");
    let bytes = fs::read(folder.join("adapter_model.safetensors")).expect("a golden adapter");
    let file = SafetensorsFile::open("adapter_model.safetensors", bytes).expect("a golden adapter is whole");
    StoredAdapter::read(name, &config, &file, device).expect("an adapter of PEFT")
}

/// A tensor of a file to be damaged.
pub(crate) struct Stored {
    pub(crate) dtype: Dtype,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Vec<u8>,
}

impl Stored {
    /// Zeros, f32.
    pub(crate) fn zeros(shape: &[usize]) -> Self {
        Self { dtype: Dtype::F32, shape: shape.to_vec(), bytes: vec![0; 4 * shape.iter().product::<usize>()] }
    }
}

/// The safetensors file `path` below `tests/golden` after `change` of its tensors.
pub(crate) fn edited(path: &str, change: impl FnOnce(&mut BTreeMap<String, Stored>)) -> Vec<u8> {
    let bytes = fs::read(golden(path)).expect("a golden file");
    let file = SafeTensors::deserialize(&bytes).expect("a golden file is whole");
    let stored = |view: TensorView<'_>| Stored {
        dtype: view.dtype(),
        shape: view.shape().to_vec(),
        bytes: view.data().to_vec(),
    };
    let mut tensors = file.iter().map(|(name, view)| (name.to_owned(), stored(view))).collect();
    change(&mut tensors);
    let views = tensors.iter().map(|(name, stored)| {
        let view = TensorView::new(stored.dtype, stored.shape.clone(), &stored.bytes);
        (name, view.expect("a change keeps the size"))
    });
    safetensors::serialize(views, None).expect("views were checked one by one")
}

/// Hyper-parameters of a LoRA that was read.
pub(crate) fn lora_config(stored: &StoredAdapter) -> LoraConfig {
    match &stored.config {
        AdapterConfig::Lora(config) => config.clone(),
        other => panic!("a {} where a LoRA was expected", other.method()),
    }
}

/// Puts a fresh LoRA on `model`.
pub(crate) fn attach(
    model: &mut dyn Walk,
    name: &str,
    config: &LoraConfig,
    device: &Device,
) -> Result<usize, clinlora_core::Error> {
    stack::attach(model, name, config.clone(), 7, device)
}

/// Writes a LoRA of `model`.
pub(crate) fn write(
    model: &mut dyn Walk,
    name: &str,
    config: &LoraConfig,
    task: TaskType,
    base: &str,
) -> Result<AdapterFiles, clinlora_core::Error> {
    store::write(model, name, config.clone(), task, base)
}

/// Adds the active adapters of `model` into its weights.
pub(crate) fn merge<M: Walk>(model: M) -> M {
    stack::merge(model).expect("a stack of LoRAs merges")
}

/// The notes of a case.
pub(crate) fn notes(expected: &BTreeMap<String, Golden>) -> Vec<Vec<u32>> {
    expected["input_ids"].notes(&expected["attention_mask"])
}

/// The notes of a case as training sees them.
pub(crate) fn samples(expected: &BTreeMap<String, Golden>) -> Vec<Sample> {
    let sample = |(i, ids)| Sample { id: format!("note {i}"), ids, target: Vec::new() };
    notes(expected).into_iter().enumerate().map(sample).collect()
}

/// `notes` padded to one batch.
pub(crate) fn batch(notes: &[Vec<u32>], device: &Device) -> TokenBatch {
    let notes: Vec<&[u32]> = notes.iter().map(Vec::as_slice).collect();
    TokenBatch::new(&notes, device).expect("golden notes have tokens")
}

/// Values of `[B, T, ..]` at real positions only.
pub(crate) fn unpadded(values: &[f32], mask: &[f32]) -> Vec<f32> {
    let width = values.len() / mask.len();
    let rows = values.chunks_exact(width).zip(mask);
    rows.filter(|(_, m)| **m > 0.0).flat_map(|(row, _)| row.to_vec()).collect()
}

/// Compares, and prints a line of the parity table.
pub(crate) fn compare(case: &str, quantity: &str, actual: &[f32], expected: &[f32], tolerance: f32) {
    let worst = assert_close(&format!("{case} {quantity}"), actual, expected, tolerance);
    table_line(case, quantity, worst, tolerance);
}

/// One line of the parity table: `--nocapture` shows them.
pub(crate) fn table_line(case: &str, quantity: &str, worst: f32, tolerance: f32) {
    println!("| {case} | {quantity} | {worst:.1e} | {tolerance:.0e} |");
}

/// Bits of every tensor of `owner`, by name.
pub(crate) fn bits(model: &mut dyn Walk, owner: &Owner) -> BTreeMap<String, Vec<u32>> {
    let mut bits = BTreeMap::new();
    for_each_param(model, |whose, name, param| {
        if whose == owner {
            let values = clinlora_tests::values(param.flat());
            bits.insert(name.to_owned(), values.into_iter().map(f32::to_bits).collect());
        }
    });
    bits
}

/// Replaces the `B` factors of `adapter`, zero in a fresh one, by values that differ from each other.
pub(crate) fn fill_b(model: &mut dyn Walk, adapter: &str) {
    let owner = Owner::Adapter(adapter.to_owned());
    let mut drawn = 0.0_f32;
    for_each_param(model, |whose, name, mut param| {
        if *whose == owner && name.ends_with("lora_B.weight") {
            let size: usize = param.shape().iter().product();
            let values: Vec<f32> = (0..size)
                .map(|_| {
                    drawn += 1.0;
                    0.4 * (drawn * 12.9898).sin()
                })
                .collect();
            let device = param.flat().device();
            param.set_flat(Tensor::from_data(TensorData::new(values, [size]), (&device, DType::F32)));
        }
    });
}
