//! `clinlora inspect`.

use std::path::Path;

use burn::tensor::Device;
use clinlora_core::config::ModelConfig;
use clinlora_core::peft::config::AdapterConfig;
use clinlora_core::peft::p_tuning::EncoderKind;
use clinlora_core::peft::prompt::PromptInit;
use serde_json::{Value, json};

use crate::cli::{Common, Inspect};
use crate::console;
use crate::dataset::table;
use crate::error::{AtPath, Error, Result};
use crate::files;
use crate::folders::adapter::AdapterFolder;
use crate::folders::base::BaseFolder;
use crate::folders::bundle::{BundleFolder, MANIFEST};

/// Says what a folder or task file holds.
///
/// # Errors
/// [`Error::Input`] if it is none of the things this program makes or reads.
pub fn run(args: &Inspect, common: &Common) -> Result<()> {
    let path = &args.path;
    let opened = common.device.open()?;
    let mut found = serde_json::Map::new();
    if path.is_file() {
        found.insert("task".into(), task(path)?);
    } else {
        if path.join("config.json").exists() {
            found.insert("base".into(), base(path, &opened.device)?);
        }
        if path.join("adapter_config.json").exists() || path.join("head.safetensors").exists() {
            found.insert("adapter".into(), adapter(path, &opened.device)?);
        }
        if path.join(MANIFEST).exists() {
            found.insert("bundle".into(), bundle(path)?);
        }
        if path.join("recipe.toml").exists() {
            found.insert("run".into(), run_folder(path)?);
        }
    }
    if found.is_empty() {
        return Err(Error::Input(format!(
            "{}: neither a base (config.json), an adapter (adapter_config.json), a run (recipe.toml), a bundle (manifest.json) \
             nor a task file",
            path.display()
        )));
    }
    if common.json {
        return super::print_json(&found);
    }
    for (what, facts) in found {
        console::result(what)?;
        for (key, value) in facts.as_object().into_iter().flatten() {
            match value {
                Value::String(text) => console::result(format_args!("  {key}: {text}"))?,
                other => console::result(format_args!("  {key}: {other}"))?,
            }
        }
    }
    Ok(())
}

fn base(path: &Path, device: &Device) -> Result<Value> {
    let base = BaseFolder::open(path)?;
    let weights = base.weights(device, burn::tensor::DType::F32)?;
    let mut facts = json!({
        "architecture": base.config.architecture(),
        "parameters": base.config.num_params(),
        "tokenizer_tokens": base.tokenizer.vocab_size(),
        "vocabulary": base.config.vocab_size(),
        "tensors": weights.num_tensors(),
    });
    let shape = match &base.config {
        ModelConfig::Llama(config) => json!({
            "layers": config.num_hidden_layers,
            "hidden_size": config.hidden_size,
            "heads": config.num_attention_heads,
            "key_value_heads": config.num_key_value_heads,
            "head_dim": config.head_dim,
            "max_position_embeddings": config.max_position_embeddings,
        }),
        ModelConfig::Bert(config) => json!({
            "layers": config.num_hidden_layers,
            "hidden_size": config.hidden_size,
            "heads": config.num_attention_heads,
            "max_position_embeddings": config.max_position_embeddings,
        }),
    };
    if let (Value::Object(facts), Value::Object(shape)) = (&mut facts, shape) {
        facts.extend(shape);
    }
    Ok(facts)
}

fn adapter(path: &Path, device: &Device) -> Result<Value> {
    let folder = AdapterFolder::open(path, "adapter", device)?;
    let mut facts = serde_json::Map::new();
    if let Some(stored) = folder.adapter() {
        facts.insert("method".into(), json!(stored.config.method()));
        facts.extend(hyper_parameters(&stored.config));
        facts.insert("parameters".into(), json!(stored.num_values()));
        if stored.lacks_encoder() {
            let note = "not in the folder: training would go on with its output as a table";
            facts.insert("encoder_weights".into(), json!(note));
        }
    }
    if let Some(labels) = folder.num_labels() {
        facts.insert("head_labels".into(), json!(labels));
    }
    if let Some(origin) = &folder.origin {
        facts.insert("trained_as".into(), json!(origin.name));
        facts.insert("base_fingerprint".into(), json!(origin.base_fingerprint));
        facts.insert("stacked_on".into(), json!(origin.stacked_on));
    }
    Ok(Value::Object(facts))
}

fn hyper_parameters(config: &AdapterConfig) -> serde_json::Map<String, Value> {
    let facts = match config {
        AdapterConfig::Lora(config) => json!({
            "r": config.r,
            "alpha": config.alpha,
            "scale": config.scale(),
            "dropout": config.dropout_prob,
            "target_modules": config.target_modules,
        }),
        AdapterConfig::AdaptionPrompt(config) => json!({
            "adapter_len": config.adapter_len,
            "adapter_layers": config.adapter_layers,
        }),
        AdapterConfig::Prefix(config) => json!({
            "virtual_tokens": config.num_virtual_tokens,
            "projection": config.projection,
            "encoder_hidden_size": config.encoder_hidden_size.filter(|_| config.projection),
        }),
        AdapterConfig::Prompt(config) => json!({
            "virtual_tokens": config.num_virtual_tokens,
            "init_text": match &config.init {
                PromptInit::Random => None,
                PromptInit::Text { text, .. } => Some(text),
            },
        }),
        AdapterConfig::PTuning(config) => json!({
            "virtual_tokens": config.num_virtual_tokens,
            "encoder": match config.encoder {
                EncoderKind::Mlp => "mlp",
                EncoderKind::Lstm => "lstm",
            },
            "encoder_hidden_size": config.hidden_size,
            "encoder_layers": (config.encoder == EncoderKind::Lstm).then_some(config.num_layers),
            "dropout": config.dropout_prob,
        }),
    };
    match facts {
        Value::Object(facts) => facts.into_iter().filter(|(_, value)| !value.is_null()).collect(),
        _ => serde_json::Map::new(),
    }
}

fn run_folder(path: &Path) -> Result<Value> {
    let log = path.join("run.jsonl");
    let text = if log.exists() { files::read_text(&log)? } else { String::new() };
    let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let last = |key: &str| lines.iter().rev().find_map(|line| line.get(key).cloned());
    Ok(json!({
        "updates": last("step"),
        "last_loss": last("loss"),
        "last_validation": last("valid"),
        "recipe": path.join("recipe.toml").display().to_string(),
    }))
}

/// Facts of a bundle whose files all have the manifest's hashes.
fn bundle(path: &Path) -> Result<Value> {
    let folder = BundleFolder::open(path)?;
    let manifest = folder.bundle.manifest();
    let mut facts = json!({
        "version": manifest.version,
        "base_sha256": manifest.base_sha256,
        "shards": manifest.shards.len(),
        "bytes": manifest.shards.iter().map(|shard| shard.bytes).sum::<u64>(),
        "adapters": manifest.adapters.iter().map(|adapter| adapter.name.as_str()).collect::<Vec<_>>(),
        "tasks": manifest.tasks.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(),
        "licence": manifest.card.licence,
    });
    if let (Value::Object(facts), Some(base), Some(config)) =
        (&mut facts, &manifest.base, folder.bundle.config())
    {
        facts.insert("bits".into(), json!(base.bits));
        facts.insert("layers".into(), json!(config.num_hidden_layers));
        facts.insert("hidden_size".into(), json!(config.hidden_size));
    }
    Ok(facts)
}

fn task(path: &Path) -> Result<Value> {
    let task = table::read_task(path)?;
    let value = serde_json::to_value(&task).map_err(std::io::Error::other).at(path)?;
    let Value::Object(mut facts) = value else {
        return Ok(value);
    };
    facts.insert("labels".into(), json!(task.labels.len()));
    Ok(Value::Object(facts))
}
