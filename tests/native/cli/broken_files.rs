//! Checkpoints, adapters and tokenizers that cannot be used: what is wrong, where, exit status 2, nothing written.

use std::collections::HashMap;

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use crate::program::Workshop;

const MERGE: &str = "merge --model base --adapter clinical --out merged";

/// Asserts that every command that would write refuses with all of `parts`, and writes nothing.
fn nothing_is_written(workshop: &Workshop, parts: &[&str]) {
    let evaluate = "evaluate --model base --adapter clinical --adapter downstream --task mortality.toml \
                    --data mortality.csv --out merged";
    for line in [MERGE, "finetune downstream.toml out=merged", evaluate] {
        if line == evaluate && !workshop.exists("downstream") {
            continue;
        }
        workshop.run(line).refused(parts);
        assert!(!workshop.exists("merged"), "{line}");
        assert_eq!(workshop.entries("", ".clinlora"), [""; 0], "{line}");
    }
}

/// A safetensors file with this header and so many zero bytes after it.
fn file_of(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.extend(vec![0; data]);
    bytes
}

/// Rewrites a safetensors file, each tensor's shape and bytes passed through `change`.
fn rewrite(workshop: &Workshop, file: &str, change: impl Fn(&str, &mut Vec<usize>, &mut Vec<u8>)) {
    let bytes = workshop.read(file);
    let tensors = SafeTensors::deserialize(&bytes).expect("a whole file");
    let mut changed = Vec::new();
    for (name, view) in tensors.iter() {
        let (mut shape, mut data) = (view.shape().to_vec(), view.data().to_vec());
        change(name, &mut shape, &mut data);
        changed.push((name.to_owned(), view.dtype(), shape, data));
    }
    let views: HashMap<&str, TensorView<'_>> = changed
        .iter()
        .map(|(name, dtype, shape, data)| {
            (name.as_str(), TensorView::new(*dtype, shape.clone(), data).expect("a shape that fits"))
        })
        .collect();
    workshop.write(file, safetensors::serialize(views, None).expect("serialises"));
}

#[test]
fn a_damaged_or_hostile_checkpoint_is_refused() {
    let whole = Workshop::new().read("base/model.safetensors");
    let tensor =
        |start: usize, end: usize| format!(r#"{{"dtype":"F32","shape":[2],"data_offsets":[{start},{end}]}}"#);
    let overlapping = file_of(&format!(r#"{{"a":{},"b":{}}}"#, tensor(0, 8), tensor(4, 12)), 12);
    let beyond = file_of(&format!(r#"{{"a":{}}}"#, tensor(0, 8)), 4);
    let huge_shape =
        file_of(r#"{"a":{"dtype":"F32","shape":[4611686018427387904,8],"data_offsets":[0,8]}}"#, 8);
    let cases: [(&str, Vec<u8>); 9] = [
        ("empty", vec![]),
        ("truncated in the header", whole[..200].to_vec()),
        ("truncated in the data", whole[..whole.len() - 5].to_vec()),
        ("a header longer than memory", u64::MAX.to_le_bytes().to_vec()),
        ("a header longer than the file", {
            let mut bytes = (1u64 << 40).to_le_bytes().to_vec();
            bytes.extend(&whole[8..]);
            bytes
        }),
        ("overlapping tensors", overlapping),
        ("a tensor beyond the end", beyond),
        ("a shape that overflows", huge_shape),
        ("no JSON", file_of("{{{{", 0)),
    ];
    for (what, bytes) in cases {
        let workshop = Workshop::new();
        println!("{what}");
        workshop.write("base/model.safetensors", bytes);
        nothing_is_written(&workshop, &["base", "model.safetensors", "safetensors file"]);
    }
}

#[test]
fn missing_weights_and_shards_are_named() {
    let workshop = Workshop::new();
    std::fs::remove_file(workshop.file("base/model.safetensors")).expect("there");
    nothing_is_written(&workshop, &["base", "no model.safetensors"]);
    let index = r#"{"weight_map": {"model.norm.weight": "model-2.safetensors"}}"#;
    workshop.write("base/model.safetensors.index.json", index);
    nothing_is_written(&workshop, &["names files that are not there", "model-2.safetensors"]);
    let index = r#"{"weight_map": {"model.norm.weight": "../model.safetensors"}}"#;
    workshop.write("base/model.safetensors.index.json", index);
    nothing_is_written(&workshop, &["not a file of this folder"]);
}

#[test]
fn tensors_that_do_not_fit_are_all_listed() {
    let workshop = Workshop::new();
    rewrite(&workshop, "base/model.safetensors", |name, shape, _| {
        if name.ends_with("mlp.up_proj.weight") {
            shape.reverse();
        }
    });
    let parts = [
        "of another shape (2)",
        "model.layers.0.mlp.up_proj.weight: expected [40, 24], found [24, 40]",
        "model.layers.1.mlp.up_proj.weight",
    ];
    nothing_is_written(&workshop, &parts);
}

#[test]
fn values_that_are_not_finite_are_refused_in_base_and_adapter() {
    for (file, tensor) in [
        ("base/model.safetensors", "model.layers.1.self_attn.k_proj.weight"),
        (
            "clinical/adapter_model.safetensors",
            "base_model.model.model.layers.0.self_attn.q_proj.lora_B.weight",
        ),
    ] {
        for value in [f32::NAN, f32::NEG_INFINITY] {
            let workshop = Workshop::new();
            rewrite(&workshop, file, |name, _, data| {
                if name == tensor {
                    data[4..8].copy_from_slice(&value.to_le_bytes());
                }
            });
            nothing_is_written(&workshop, &[tensor, "not finite"]);
        }
    }
}

#[test]
fn a_damaged_adapter_is_refused() {
    let workshop = Workshop::new();
    let whole = workshop.read("clinical/adapter_model.safetensors");
    workshop.write("clinical/adapter_model.safetensors", &whole[..whole.len() / 2]);
    nothing_is_written(&workshop, &["clinical", "adapter_model.safetensors", "safetensors file"]);
    workshop.write("clinical/adapter_model.safetensors", &whole);
    workshop.edit("clinical/adapter_config.json", "\"r\": 3", "\"r\": 4");
    nothing_is_written(&workshop, &["of another shape", "expected [4, 24], found [3, 24]"]);
    workshop.edit("clinical/adapter_config.json", "\"r\": 4", "\"r\": 3");
    workshop.edit("clinical/adapter_config.json", "\"use_dora\": false", "\"use_dora\": true");
    nothing_is_written(&workshop, &["use_dora"]);
    workshop.write("clinical/adapter_config.json", "{");
    nothing_is_written(&workshop, &["adapter_config.json"]);
    std::fs::remove_file(workshop.file("clinical/adapter_config.json")).expect("there");
    nothing_is_written(&workshop, &["clinical/adapter_config.json"]);
}

#[test]
fn an_adapter_of_another_base_is_refused() {
    let workshop = Workshop::new();
    // The same shape, other weights: only the fingerprint tells.
    workshop.run("pretrain base.toml --overwrite training.epochs=1 --seed 99").ok();
    nothing_is_written(&workshop, &["clinical", "another base", "give the base it was trained on"]);
    // Another shape, and no fingerprint, as an adapter of Python PEFT comes.
    std::fs::remove_file(workshop.file("clinical/clinlora.json")).expect("there");
    workshop.run("pretrain base.toml --overwrite training.epochs=1 base.scratch.num_hidden_layers=1").ok();
    nothing_is_written(&workshop, &["do not fit the model", "unexpected"]);
}

#[test]
fn a_tokenizer_that_does_not_fit_is_refused() {
    let workshop = Workshop::new();
    workshop.run("pretrain base.toml out=larger training.epochs=1 base.scratch.vocab_size=360").ok();
    workshop.write("base/tokenizer.json", workshop.read("larger/tokenizer.json"));
    nothing_is_written(&workshop, &["base", "the tokenizer has 360 tokens", "330 rows"]);
    workshop.write("base/tokenizer.json", "{\"model\": 3}");
    nothing_is_written(&workshop, &["base/tokenizer.json"]);
    std::fs::remove_file(workshop.file("base/tokenizer.json")).expect("there");
    nothing_is_written(&workshop, &["neither tokenizer.json, tokenizer.model nor vocab.txt"]);
}

#[test]
fn a_configuration_that_is_none_of_a_llama_is_refused() {
    for (from, to, named) in [
        ("\"model_type\": \"llama\"", "\"model_type\": \"gpt2\"", "model_type"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 0", "num_hidden_layers"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3", "missing (9)"),
        ("\"hidden_size\": 24", "\"hidden_size\": 18446744073709551615", "hidden_size"),
        ("\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1000000000000", "num_hidden_layers"),
        ("\"vocab_size\": 330", "\"vocab_size\": -1", "config.json"),
    ] {
        let workshop = Workshop::new();
        println!("{to}");
        workshop.edit("base/config.json", from, to);
        nothing_is_written(&workshop, &["base", named]);
        workshop.run("params --config base --method lora").code.expect("an exit status, not a signal");
    }
    let workshop = Workshop::new();
    std::fs::remove_file(workshop.file("base/config.json")).expect("there");
    nothing_is_written(&workshop, &["base/config.json"]);
}
