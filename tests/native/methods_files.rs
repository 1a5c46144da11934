//! Folders of the prompt-like methods: what is refused and why, and what Python PEFT reads of ours.

use std::fs;

use burn::tensor::Device;
use clinlora_core::peft::stack::{adapters, attach};
use clinlora_core::peft::store::{self, StoredAdapter, TaskType};
use clinlora_core::weights::checkpoint::TensorSource;
use clinlora_core::weights::safetensors::SafetensorsFile;
use clinlora_tests::{F32, assert_close, golden, parse_golden, read_golden};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::bert;
use crate::methods::{VARIANTS, causal_lm, classifier, logits, open_file, read};
use crate::tiny;

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";
const ENCODER: &str = "encoder.safetensors";

/// A golden folder read after `change` of its configuration, and put on a base.
fn attach_changed(
    folder: &str,
    base: &str,
    change: impl FnOnce(&mut Map<String, Value>),
) -> Result<StoredAdapter, String> {
    let folder = golden(folder);
    let mut config: Value = serde_json::from_slice(&fs::read(folder.join(CONFIG)).unwrap()).unwrap();
    change(config.as_object_mut().unwrap());
    let weights = open_file(&folder.join(WEIGHTS));
    let read = || {
        StoredAdapter::read("a", config.to_string().as_bytes(), &weights, &Device::flex())
            .map_err(|e| e.to_string())
    };
    let mut model = causal_lm(base, &Device::flex());
    let attached = read()?.attach(&mut model).map_err(|e| e.to_string());
    assert_eq!(adapters(&mut model).is_empty(), attached.is_err(), "whole or not at all");
    attached?;
    read()
}

#[test]
fn what_would_change_the_numbers_is_refused_by_name_and_what_would_not_is_read() {
    let mha = "llama_mha/model";
    for (folder, key, value, named) in [
        ("peft_prefix/plain", "peft_type", json!("IA3"), "peft_type = \"IA3\" is not supported"),
        ("peft_prefix/plain", "peft_type", Value::Null, "has no peft_type"),
        ("peft_prefix/plain", "num_virtual_tokens", Value::Null, "has no num_virtual_tokens"),
        ("peft_prefix/plain", "num_virtual_tokens", json!(4), "expected [4, 144], found [5, 144]"),
        ("peft_prefix/plain", "num_virtual_tokens", json!("five"), "not a whole number"),
        ("peft_prefix/plain", "num_attention_heads", json!(2), "num_attention_heads = 2; this one has 4"),
        ("peft_prefix/plain", "num_transformer_submodules", json!(2), "num_transformer_submodules"),
        ("peft_prefix/plain", "init_weights", json!("ones"), "init_weights"),
        ("peft_prompt/random", "token_dim", json!(32), "token_dim = 32; this one has 24"),
        ("peft_prompt/random", "prompt_tuning_init", json!("X"), "prompt_tuning_init"),
        ("peft_prompt/random", "modules_to_save", json!(["lm_head"]), "modules_to_save"),
        ("peft_p_tuning/mlp", "encoder_reparameterization_type", json!("CNN"), "encoder_reparam"),
        ("peft_adaption_prompt/mha", "adapter_len", Value::Null, "has no adapter_len"),
        ("peft_adaption_prompt/mha", "adapter_layers", json!(9), "the model has 3 layers"),
        ("peft_adaption_prompt/mha", "adapter_layers", json!(1), "unexpected"),
        ("peft_adaption_prompt/mha", "adapter_layers", json!(3), "missing"),
        ("peft_adaption_prompt/mha", "target_modules", json!("mlp"), "target_modules"),
        ("peft_adaption_prompt/mha", "task_type", json!("QUESTION_ANS"), "task_type"),
    ] {
        let change = |config: &mut Map<String, Value>| {
            config.insert(key.into(), value.clone());
        };
        let error = attach_changed(folder, mha, change).expect_err(named);
        assert!(error.contains(named), "{folder} {key}: {error}");
    }
    let unknown = |config: &mut Map<String, Value>| {
        config.insert("of_the_future".into(), json!(1));
    };
    let stored = attach_changed("peft_prompt/random", mha, unknown).expect("read");
    assert!(
        stored.warnings.len() == 1 && stored.warnings[0].contains("of_the_future"),
        "{:?}",
        stored.warnings
    );
    let same = |_: &mut Map<String, Value>| {};
    let error = attach_changed("peft_prefix/grouped", mha, same).expect_err("another base");
    assert!(error.contains("token_dim = 20; this one has 24"), "{error}");
}

#[test]
fn values_that_are_not_finite_and_tensors_of_other_methods_are_refused() {
    let device = Device::flex();
    for (folder, file, tensor) in [
        ("peft_prefix/plain", WEIGHTS, "prompt_embeddings"),
        ("peft_prompt/random", WEIGHTS, "prompt_embeddings"),
        ("peft_p_tuning/mlp", ENCODER, "mlp_head.2.bias"),
        ("peft_adaption_prompt/mha", WEIGHTS, "base_model.model.model.layers.2.self_attn.adaption_gate"),
    ] {
        let edited = tiny::edited(&format!("{folder}/{file}"), |tensors| {
            let bytes = &mut tensors.get_mut(tensor).unwrap().bytes;
            bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        });
        let edited = SafetensorsFile::open(file, edited).unwrap();
        let config = fs::read(golden(folder).join(CONFIG)).unwrap();
        let weights = open_file(&golden(folder).join(WEIGHTS));
        let read = |weights: &dyn TensorSource| StoredAdapter::read("a", &config, weights, &device);
        let error =
            if file == ENCODER { read(&weights).unwrap().with_encoder(&edited) } else { read(&edited) };
        let error = error.unwrap_err().to_string();
        assert!(error.contains(tensor) && error.contains("not finite"), "{folder}: {error}");
    }
    let config = fs::read(golden("peft_prefix/plain").join(CONFIG)).unwrap();
    let lora = open_file(&golden("peft_lora/adapter").join(WEIGHTS));
    let error = StoredAdapter::read("a", &config, &lora, &device).unwrap_err().to_string();
    assert!(error.contains("lora_A") && error.contains("missing (1)"), "{error}");
}

#[test]
fn an_encoder_of_another_adapter_is_noticed() {
    let device = Device::flex();
    let folder = golden("peft_p_tuning/mlp");
    let config = fs::read(folder.join(CONFIG)).unwrap();
    let weights = open_file(&folder.join(WEIGHTS));
    let read = || StoredAdapter::read("a", &config, &weights, &device).unwrap();

    assert!(read().lacks_encoder());
    let mut model = causal_lm("llama_mha/model", &device);
    let other = open_file(&golden("peft_p_tuning/lstm").join(ENCODER));
    let error = read().with_encoder(&other).unwrap().attach(&mut model).unwrap_err();
    assert!(error.to_string().contains("unexpected"), "{error}");

    // The right shapes and other values: a fresh encoder of the same kind.
    let stored = read();
    attach(&mut model, "fresh", &stored.config, 1, &device).unwrap();
    let fresh = store::write(&mut model, "fresh", &stored.config, TaskType::CausalLm, "").unwrap();
    let path = tempfile::tempdir().unwrap();
    let path = path.path().join(ENCODER);
    fs::write(&path, fresh.encoder.unwrap()).unwrap();
    let error = stored.with_encoder(&open_file(&path)).unwrap().attach(&mut model).unwrap_err();
    assert!(error.to_string().contains("different adapters"), "{error}");
    assert_eq!(adapters(&mut model), ["fresh"]);

    let lora = read_lora().with_encoder(&other).unwrap_err().to_string();
    assert!(lora.contains("lora has none"), "{lora}");
}

fn read_lora() -> StoredAdapter {
    read(&golden("peft_lora/adapter"), "a", &Device::flex())
}

#[test]
fn without_its_encoder_an_adapter_works_and_trains_as_a_table() {
    let device = Device::flex().autodiff();
    let notes: Vec<Vec<u32>> = vec![vec![1, 9, 33, 5, 71], vec![1, 44, 2]];
    for folder in ["peft_p_tuning/lstm", "peft_prefix/projected"] {
        let path = golden(folder);
        let config = fs::read(path.join(CONFIG)).unwrap();
        let stored = StoredAdapter::read("a", &config, &open_file(&path.join(WEIGHTS)), &device).unwrap();
        let kept = stored.config.clone();
        let mut table = causal_lm("llama_mha/model", &device);
        stored.attach(&mut table).unwrap();
        let mut encoded = causal_lm("llama_mha/model", &device);
        read(&path, "a", &device).attach(&mut encoded).unwrap();
        assert_close(folder, &logits(&table, &notes, &device), &logits(&encoded, &notes, &device), F32);
        let files = store::write(&mut table, "a", &kept, TaskType::CausalLm, "base").unwrap();
        assert!(files.encoder.is_none(), "{folder}: a table has no encoder to keep");
    }
}

/// Names and bytes of a folder's files.
type Files = Vec<(&'static str, Vec<u8>)>;

/// Our folders: (folder of `peft_ours_methods`, files).
fn written() -> Vec<(String, Files)> {
    let device = Device::flex();
    let mut all = Vec::new();
    for (case, variant, base) in VARIANTS {
        let stored = read(&golden(case).join(variant), "a", &device);
        let config = stored.config.clone();
        let mut model = causal_lm(base, &device);
        stored.attach(&mut model).unwrap();
        let base = format!("../{base}");
        let files = store::write(&mut model, "a", &config, TaskType::CausalLm, &base).unwrap();
        all.push((format!("{case}_{variant}"), files));
    }
    // PEFT itself keeps no head beside an adaption prompt; the one written here is drawn at random.
    for (case, variant) in [
        ("peft_adaption_prompt", "mha"),
        ("peft_prefix", "classifier"),
        ("peft_prompt", "classifier"),
        ("peft_p_tuning", "classifier"),
    ] {
        let stored = read(&golden(case).join(variant), "a", &device);
        let config = stored.config.clone();
        let mut model = classifier("llama_mha/model", 4, &device);
        stored.attach(&mut model).unwrap();
        let (task, base) = (TaskType::SequenceClassification, "../llama_mha/model");
        let files = store::write(&mut model, "a", &config, task, base).unwrap();
        all.push((format!("{case}_classifier"), files));
    }
    let stored = read(&golden("bert/lora"), "a", &device);
    let config = stored.config.clone();
    let mut model = bert::classifier(&read_golden("bert", "golden.safetensors"), &device);
    stored.attach(&mut model).unwrap();
    let (task, base) = (TaskType::SequenceClassification, "../bert/model");
    let files = store::write(&mut model, "a", &config, task, base).unwrap();
    all.push(("bert_lora".to_owned(), files));
    all.into_iter()
        .map(|(case, files)| {
            let mut list = vec![(CONFIG, files.config_json.into_bytes()), (WEIGHTS, files.weights)];
            list.extend(files.encoder.map(|encoder| (ENCODER, encoder)));
            (case, list)
        })
        .collect()
}

fn assert_same_values(case: &str, ours: &[u8], golden: &[u8]) {
    let (ours, golden) = (parse_golden(ours), parse_golden(golden));
    assert!(ours.keys().eq(golden.keys()), "{case}");
    for (name, tensor) in &golden {
        assert_eq!(ours[name].shape, tensor.shape, "{case} {name}");
        assert_close(name, &ours[name].values, &tensor.values, F32);
    }
}

#[test]
fn python_peft_reads_our_folders_of_every_method() {
    let home = golden("peft_ours_methods");
    let is_update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let checked = fs::read(home.join("checked.json")).unwrap_or_default();
    let checked: Value = serde_json::from_slice(&checked).unwrap_or_default();
    for (case, files) in written() {
        if is_update {
            fs::create_dir_all(home.join(&case)).unwrap();
            for (name, bytes) in files {
                fs::write(home.join(&case).join(name), bytes).unwrap();
            }
            continue;
        }
        for (name, bytes) in files {
            let golden = fs::read(home.join(&case).join(name)).unwrap();
            if name == WEIGHTS && (case.contains("p_tuning") || case.contains("projected")) {
                // The output of an encoder: its last bits are the processor's.
                assert_same_values(&case, &bytes, &golden);
            } else {
                let place = home.join("README.md");
                assert!(bytes == golden, "{case}/{name} is written otherwise; see {}", place.display());
            }
            let sum: String = Sha256::digest(&golden).iter().map(|byte| format!("{byte:02x}")).collect();
            let record = &checked["cases"][&case];
            assert_eq!(
                record["sha256"][name], sum,
                "{case}/{name}: PEFT was shown another file; run check.py"
            );
            assert!(record["worst"].as_f64().is_some_and(|worst| worst <= 1e-5), "{case}");
        }
    }
    assert_eq!(written().len(), 13, "every method, with a head and without");
}
