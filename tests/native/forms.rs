//! Every form checkpoints are published in: number formats, shards, and PyTorch's containers.

use std::path::Path;

use burn::tensor::{DType, Device};
use clinlora::folders::adapter::AdapterFolder;
use clinlora::folders::base::sources;
use clinlora_core::config::LlamaConfig;
use clinlora_core::model::head::CausalLm;
use clinlora_core::params::{Owner, for_each_param};
use clinlora_core::weights::checkpoint::CheckpointWeights;
use clinlora_core::weights::safetensors::SafetensorsFile;
use clinlora_tests::{F32, golden, read_golden, values};
use serde_json::json;

use crate::{tiny, training};

/// Norm of the difference over the norm of the reference: the bound of a checkpoint in bf16.
const BF16: f32 = 2e-3;

fn load(folder: &Path, config: &LlamaConfig, device: &Device, dtype: DType) -> (CausalLm, String) {
    let sources = sources(folder).unwrap_or_else(|e| panic!("{e}"));
    let mut weights = CheckpointWeights::new("golden", sources, device, dtype);
    let model = CausalLm::build(config, &mut weights);
    let fingerprint = weights.fingerprint();
    weights.finish().unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    (model, fingerprint)
}

fn relative_error(actual: &[f32], expected: &[f32]) -> f32 {
    let norm = |values: &mut dyn Iterator<Item = f32>| values.map(|v| v * v).sum::<f32>().sqrt();
    norm(&mut actual.iter().zip(expected).map(|(a, e)| a - e)) / norm(&mut expected.iter().copied())
}

/// Logits of the checkpoint in `folder` at real positions, and those it must give.
fn logits(form: &str, base: &str, (case, key): (&str, &str), dtype: DType) -> (Vec<f32>, Vec<f32>) {
    let device = Device::flex();
    let config = tiny::config(&format!("{base}/model/config.json"));
    let expected = read_golden(case, "golden.safetensors");
    let (model, _) = load(&golden("checkpoint_forms").join(form), &config, &device, dtype);
    let mask = &expected["attention_mask"].values;
    let actual = values(model.logits(&tiny::batch(&tiny::notes(&expected), &device)));
    (tiny::unpadded(&actual, mask), tiny::unpadded(&expected[key].values, mask))
}

#[test]
fn every_form_of_a_checkpoint_gives_the_logits_of_its_values() {
    let rounded = |key| ("checkpoint_forms", key);
    for (form, base, expected) in [
        ("bf16", "llama_mha", rounded("logits.bf16")),
        ("shards", "llama_mha", ("llama_mha", "logits")),
        ("zip", "llama_mha", rounded("logits.f16")),
        ("legacy", "llama_gqa", ("llama_gqa", "logits")),
        ("bin_shards", "llama_mha", rounded("logits.bf16")),
    ] {
        let (actual, expected) = logits(form, base, expected, DType::F32);
        tiny::compare(&format!("{form} checkpoint of {base}"), "logits", &actual, &expected, F32);
        let relative = relative_error(&actual, &expected);
        assert!(relative <= BF16, "{form}: {relative:e} relative");
    }
}

/// Computing in bf16 rounds every activation, so no bound near that of f32 can hold; what can is that it costs no more
/// here than in Transformers.
#[test]
fn computing_in_bf16_is_as_close_to_f32_as_in_transformers() {
    let (ours, exact) = logits("bf16", "llama_mha", ("checkpoint_forms", "logits.bf16"), DType::BF16);
    let (_, theirs) = logits("bf16", "llama_mha", ("checkpoint_forms", "logits.bf16_compute"), DType::F32);
    let (ours, theirs) = (relative_error(&ours, &exact), relative_error(&theirs, &exact));
    println!("bf16 compute, relative error of the logits: {ours:.1e}, in Transformers {theirs:.1e}");
    assert!(ours > 0.0 && ours <= 1.5 * theirs, "{ours:e} against {theirs:e} in Transformers");
}

#[test]
fn copies_of_a_checkpoint_in_other_forms_have_its_fingerprint() {
    let device = Device::flex();
    let config = tiny::config("llama_mha/model/config.json");
    let fingerprint = |folder: &Path, dtype| load(folder, &config, &device, dtype).1;
    let original = fingerprint(&golden("llama_mha/model"), DType::F32);
    let forms = golden("checkpoint_forms");
    for (form, dtype) in
        [("shards", DType::F32), ("bf16", DType::F32), ("bf16", DType::BF16), ("bin_shards", DType::F32)]
    {
        assert_eq!(fingerprint(&forms.join(form), dtype), original, "{form} as {dtype:?}");
    }
    let config = tiny::config("llama_gqa/model/config.json");
    let other = load(&forms.join("legacy"), &config, &device, DType::F32).1;
    assert_ne!(other, original, "another base has another fingerprint");
}

/// As `LlamaModel.save_pretrained` writes it: no `model.` in front of the names, and no head.
#[test]
fn a_checkpoint_of_the_bare_decoder_is_read() {
    let device = Device::flex();
    let bytes = tiny::edited("llama_gqa/model/model.safetensors", |tensors| {
        *tensors = std::mem::take(tensors)
            .into_iter()
            .map(|(name, stored)| (name.strip_prefix("model.").unwrap().to_owned(), stored))
            .collect();
    });
    let source = Box::new(SafetensorsFile::open("model.safetensors", bytes).unwrap());
    let mut weights = CheckpointWeights::new("bare", vec![source], &device, DType::F32);
    let mut bare = CausalLm::build(&tiny::config("llama_gqa/model/config.json"), &mut weights);
    weights.finish().unwrap();
    let mut whole = tiny::causal_lm("llama_gqa", &device);
    assert!(tiny::bits(&mut bare, &Owner::Base) == tiny::bits(&mut whole, &Owner::Base));
}

/// Adapters are f32 over a base of any number format: an optimiser that steps in bf16 loses small updates.
#[test]
fn an_adapter_over_a_bf16_base_is_f32_and_trains() {
    let device = Device::flex().autodiff();
    let config = tiny::config("llama_mha/model/config.json");
    let (mut model, _) = load(&golden("checkpoint_forms/bf16"), &config, &device, DType::BF16);
    tiny::adapter("peft_lora/adapter", "lora", &device).attach(&mut model).unwrap();
    let base = tiny::bits(&mut model, &Owner::Base);
    let table = training::training(json!({}));
    let history = training::train("peft_lora", &mut model, &table, &device);
    assert!(tiny::bits(&mut model, &Owner::Base) == base, "the base was written");
    for_each_param(&mut model, |owner, name, param| {
        let expected = if *owner == Owner::Base { DType::BF16 } else { DType::F32 };
        assert_eq!(param.flat().dtype(), expected, "{name}");
    });
    let expected = &read_golden("peft_lora", "golden.safetensors")["curve"].values;
    let worst = relative_error(&history.loss, expected);
    println!("curve over a bf16 base, computed in bf16: relative error {worst:.1e} against f32");
    assert!(worst < 2e-2, "{worst:e} relative");
}

#[test]
fn an_adapter_in_a_bin_file_gives_the_logits_of_peft() {
    let device = Device::flex();
    let expected = read_golden("peft_lora", "golden.safetensors");
    let mut model = tiny::causal_lm("llama_mha", &device);
    AdapterFolder::open(&golden("checkpoint_forms/adapter_bin"), "bin", &device)
        .unwrap()
        .attach(&mut model, "any base: the folder does not say which")
        .unwrap();
    let mask = &expected["attention_mask"].values;
    let actual = values(model.logits(&tiny::batch(&tiny::notes(&expected), &device)));
    tiny::compare(
        "adapter_model.bin on llama_mha",
        "logits",
        &tiny::unpadded(&actual, mask),
        &tiny::unpadded(&expected["logits"].values, mask),
        F32,
    );
}
