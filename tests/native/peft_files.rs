//! Adapter folders: what Python PEFT writes and we honour or refuse, and what we write and Python PEFT reads.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use burn::tensor::Device;
use clinlora_core::peft::store::{AdapterFiles, StoredAdapter, TaskType};
use clinlora_core::weights::safetensors::SafetensorsFile;
use clinlora_tests::golden;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::tiny::{self, Stored};

const CONFIG: &str = "adapter_config.json";
const WEIGHTS: &str = "adapter_model.safetensors";

/// The adapters of Python PEFT, loaded and written again: (folder of `peft_ours`, files).
fn written() -> [(&'static str, AdapterFiles); 3] {
    let device = Device::flex();
    let causal = |path: &str| {
        let mut model = tiny::causal_lm("llama_mha", &device);
        let stored = tiny::adapter(path, "a", &device);
        let config = tiny::lora_config(&stored);
        stored.attach(&mut model).unwrap();
        tiny::write(&mut model, "a", &config, TaskType::CausalLm, "../llama_mha/model").unwrap()
    };
    let mut model = tiny::classifier("llama_gqa", 4, &device);
    let stored = tiny::adapter("peft_stack/downstream", "a", &device);
    let config = tiny::lora_config(&stored);
    stored.attach(&mut model).unwrap();
    let task = TaskType::SequenceClassification;
    [
        ("causal", causal("peft_lora/adapter")),
        ("rslora_all", causal("peft_lora/adapter_rslora_all")),
        ("classifier", tiny::write(&mut model, "a", &config, task, "../llama_gqa/model").unwrap()),
    ]
}

fn save(folder: &Path, files: &AdapterFiles) {
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(CONFIG), &files.config_json).unwrap();
    fs::write(folder.join(WEIGHTS), &files.weights).unwrap();
}

#[test]
fn python_peft_reads_what_the_writer_writes() {
    let home = golden("peft_ours");
    let fresh = tempfile::tempdir().unwrap();
    let is_update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let checked = fs::read(home.join("checked.json")).unwrap_or_default();
    let checked: Value = serde_json::from_slice(&checked).unwrap_or_default();
    for (case, files) in written() {
        save(&fresh.path().join(case), &files);
        if is_update {
            save(&home.join(case), &files);
            continue;
        }
        for (file, bytes) in [(CONFIG, files.config_json.as_bytes()), (WEIGHTS, &files.weights)] {
            let golden = fs::read(home.join(case).join(file)).unwrap();
            assert!(
                bytes == golden,
                "{case}/{file} is written otherwise; see {}",
                home.join("README.md").display()
            );
            let sum: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            let record = &checked["cases"][case];
            assert_eq!(
                record["sha256"][file], sum,
                "{case}/{file}: Python PEFT was shown another file; run check.py"
            );
            assert!(record["worst"].as_f64().is_some_and(|worst| worst <= 1e-5), "{case}");
        }
    }
    match std::env::var_os("CLINLORA_PYTHON") {
        None => println!(
            "check.py is skipped: CLINLORA_PYTHON does not name a Python with peft, transformers and torch"
        ),
        Some(python) => {
            let script = home.join("check.py");
            let output =
                Command::new(&python).arg(script).arg(fresh.path()).output().expect("CLINLORA_PYTHON starts");
            println!("{}", String::from_utf8_lossy(&output.stdout));
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[test]
fn what_is_written_has_the_values_and_names_python_wrote() {
    for ((_, ours), theirs) in
        written().iter().zip(["peft_lora/adapter", "peft_lora/adapter_rslora_all", "peft_stack/downstream"])
    {
        let theirs = fs::read(golden(theirs).join(WEIGHTS)).unwrap();
        let theirs = safetensors::SafeTensors::deserialize(&theirs).unwrap();
        let ours = safetensors::SafeTensors::deserialize(&ours.weights).unwrap();
        let mut names = ours.names();
        let mut expected = theirs.names();
        names.sort_unstable();
        expected.sort_unstable();
        assert_eq!(names, expected);
        for name in names {
            let (a, b) = (ours.tensor(name).unwrap(), theirs.tensor(name).unwrap());
            assert!(a.shape() == b.shape() && a.dtype() == b.dtype() && a.data() == b.data(), "{name}");
        }
    }
}

/// The golden adapter of Python PEFT, read after `change` of its configuration.
fn read_with(change: impl FnOnce(&mut Map<String, Value>)) -> Result<StoredAdapter, String> {
    let folder = golden("peft_lora/adapter");
    let mut config: Value = serde_json::from_slice(&fs::read(folder.join(CONFIG)).unwrap()).unwrap();
    change(config.as_object_mut().unwrap());
    let file = SafetensorsFile::open(WEIGHTS, fs::read(folder.join(WEIGHTS)).unwrap()).unwrap();
    let config = config.to_string();
    StoredAdapter::read("clinical", config.as_bytes(), &file, &Device::flex()).map_err(|e| e.to_string())
}

#[test]
fn what_the_reader_cannot_honour_is_refused_by_name() {
    for (key, value) in [
        ("use_dora", json!(true)),
        ("rank_pattern", json!({"q_proj": 8})),
        ("alpha_pattern", json!({"q_proj": 16})),
        ("bias", json!("all")),
        ("bias", json!("lora_only")),
        ("lora_bias", json!(true)),
        ("layers_to_transform", json!([0, 2])),
        ("layers_to_transform", json!(1)),
        ("layers_pattern", json!("layers")),
        ("layer_replication", json!([[0, 2], [1, 3]])),
        ("exclude_modules", json!(["k_proj"])),
        ("target_parameters", json!(["experts.weight"])),
        ("trainable_token_indices", json!([1, 2])),
        ("alora_invocation_tokens", json!([3])),
        ("use_qalora", json!(true)),
        ("fan_in_fan_out", json!(true)),
        ("init_lora_weights", json!("pissa")),
        ("init_lora_weights", json!("loftq")),
        ("modules_to_save", json!(["lm_head"])),
        ("modules_to_save", json!(["score", "embed_tokens"])),
        ("target_modules", json!(".*(q|v)_proj")),
        ("target_modules", json!("all-linear")),
        ("peft_type", json!("IA3")),
        ("peft_type", json!("ADALORA")),
        ("peft_type", json!(null)),
        ("peft_type", json!(7)),
        ("task_type", json!("TOKEN_CLS")),
        ("r", json!(0)),
        ("r", json!(-3)),
        ("r", json!("3")),
        ("lora_alpha", json!("5")),
        ("lora_dropout", json!(1.0)),
    ] {
        let shown = format!("{key} = {value}");
        let error = read_with(|config| drop(config.insert(key.to_owned(), value))).expect_err(&shown);
        assert!(error.contains("clinical") && error.contains(key), "{shown}: {error}");
    }
    let error = read_with(|config| drop(config.remove("peft_type"))).unwrap_err();
    assert!(error.contains("has no peft_type"), "{error}");
}

#[test]
fn values_that_change_nothing_are_read_and_unknown_keys_are_reported() {
    for (key, value) in [
        ("use_dora", json!(false)),
        ("rank_pattern", json!({})),
        ("rank_pattern", json!(null)),
        ("layers_to_transform", json!(null)),
        ("layers_to_transform", json!([])),
        ("bias", json!("none")),
        ("init_lora_weights", json!("gaussian")),
        ("modules_to_save", json!(["classifier", "score"])),
        ("task_type", json!(null)),
    ] {
        let adapter = read_with(|config| drop(config.insert(key.to_owned(), value.clone())));
        let adapter = adapter.unwrap_or_else(|e| panic!("{key} = {value}: {e}"));
        assert!(adapter.warnings.is_empty(), "{:?}", adapter.warnings);
    }
    let adapter = read_with(|config| drop(config.insert("invented_key".into(), json!(1)))).unwrap();
    assert!(
        adapter.warnings.len() == 1 && adapter.warnings[0].contains("invented_key"),
        "{:?}",
        adapter.warnings
    );
    // The defaults of PEFT stand in for what an old file leaves out.
    let adapter = read_with(|config| {
        config.retain(|key, _| ["peft_type", "r", "lora_alpha", "target_modules"].contains(&key.as_str()));
    })
    .unwrap();
    let config = tiny::lora_config(&adapter);
    assert_eq!((config.r, config.dropout_prob, config.use_rslora), (3, 0.0, false));
}

/// The golden adapter, read after `change` of its weights.
fn read_tensors(change: impl FnOnce(&mut BTreeMap<String, Stored>)) -> Result<StoredAdapter, String> {
    let bytes = tiny::edited("peft_lora/adapter/adapter_model.safetensors", change);
    let file = SafetensorsFile::open(WEIGHTS, bytes).unwrap();
    let config = fs::read(golden("peft_lora/adapter").join(CONFIG)).unwrap();
    StoredAdapter::read("clinical", &config, &file, &Device::flex()).map_err(|e| e.to_string())
}

#[test]
fn every_tensor_of_an_adapter_that_is_out_of_place_is_listed() {
    let error = read_tensors(|tensors| {
        let layer = |rest: &str| format!("base_model.model.model.layers.{rest}");
        tensors.remove(&layer("1.self_attn.q_proj.lora_A.weight")).unwrap();
        let lone = tensors.remove(&layer("0.self_attn.v_proj.lora_B.weight")).unwrap();
        tensors.insert(layer("0.self_attn.v_proj.lora_magnitude_vector"), lone);
        tensors.insert("base_model.model.model.norm.weight".into(), Stored::zeros(&[1]));
        tensors.insert("something.else".into(), Stored::zeros(&[1, 1]));
    })
    .unwrap_err();
    for part in [
        "layers.1.self_attn.q_proj.lora_A.weight",
        "layers.0.self_attn.v_proj.lora_B.weight",
        "lora_magnitude_vector",
        "model.norm.weight",
        "something.else",
    ] {
        assert!(error.contains(part), "{part} is not named: {error}");
    }
}

#[test]
fn a_configuration_that_is_no_configuration_is_refused() {
    let file =
        SafetensorsFile::open(WEIGHTS, fs::read(golden("peft_lora/adapter").join(WEIGHTS)).unwrap()).unwrap();
    for bytes in [&b""[..], b"{", b"[]", b"null", b"\xff\xfe", b"{\"peft_type\": \"LORA\", \"r\": 3,}"] {
        let error = StoredAdapter::read("clinical", bytes, &file, &Device::flex()).unwrap_err().to_string();
        assert!(error.contains("adapter_config.json"), "{error}");
    }
}
