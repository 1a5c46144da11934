//! `adapter_config.json` of a LoRA adapter: the keys of PEFT 0.17 to 0.21.

use serde_json::{Value, json};

use super::TaskType;
use super::keys::{Keys, modules_to_save};
use crate::config::LLAMA_TARGETS;
use crate::error::Error;
use crate::peft::lora::LoraConfig;

/// How the factors began, and settings of trainers.
const HARMLESS: [&str; 7] = [
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "loftq_config",
    "lora_ga_config",
    "megatron_core",
    "qalora_group_size",
];

/// What changes the numbers and is not implemented.
const REFUSED: [&str; 20] = [
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "exclude_modules",
    "kasa_config",
    "layer_replication",
    "layers_pattern",
    "layers_to_transform",
    "lora_bias",
    "megatron_config",
    "monteclora_config",
    "rank_pattern",
    "runtime_config",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_dora",
    "use_qalora",
    "velora_config",
    "vblora_config",
];

pub(super) fn parse(keys: &Keys) -> Result<LoraConfig, Error> {
    keys.ignore(&HARMLESS);
    keys.refuse(&REFUSED)?;
    keys.check_modules_to_save()?;
    if keys.get("bias").is_some_and(|bias| bias.as_str() != Some("none")) {
        return Err(keys.unsupported("bias", "; only \"none\" is read"));
    }
    if keys.flag("fan_in_fan_out")? {
        let hint = "; neither LLaMA nor BERT has such layers";
        return Err(keys.unsupported("fan_in_fan_out", hint));
    }
    let init_changes_base = keys
        .get("init_lora_weights")
        .and_then(Value::as_str)
        .is_some_and(|init| !matches!(init, "gaussian" | "eva" | "orthogonal"));
    if init_changes_base {
        let hint = "; it belongs to a base whose weights were changed";
        return Err(keys.unsupported("init_lora_weights", hint));
    }
    let llama = || LLAMA_TARGETS.map(String::from).into();
    Ok(LoraConfig {
        r: keys.count("r")?.unwrap_or(8), // PEFT's defaults
        alpha: keys.number("lora_alpha", 8.0)?,
        dropout_prob: keys.number("lora_dropout", 0.0)?,
        target_modules: keys.strings("target_modules")?.unwrap_or_else(llama),
        use_rslora: keys.flag("use_rslora")?,
    })
}

/// Every key of its own that PEFT 0.17 writes.
pub(super) fn json(config: &LoraConfig, task_type: TaskType) -> Value {
    let whole = config.alpha.fract() == 0.0 && config.alpha.abs() < 1e15;
    #[expect(clippy::cast_possible_truncation, reason = "checked to be a small whole number")]
    let alpha = if whole { json!(config.alpha as i64) } else { json!(config.alpha) };
    json!({
        "alpha_pattern": {},
        "bias": "none",
        "corda_config": null,
        "eva_config": null,
        "exclude_modules": null,
        "fan_in_fan_out": false,
        "init_lora_weights": true,
        "layer_replication": null,
        "layers_pattern": null,
        "layers_to_transform": null,
        "loftq_config": {},
        "lora_alpha": alpha,
        "lora_bias": false,
        "lora_dropout": config.dropout_prob,
        "megatron_config": null,
        "megatron_core": "megatron.core",
        "modules_to_save": modules_to_save(task_type),
        "qalora_group_size": 16,
        "r": config.r,
        "rank_pattern": {},
        "target_modules": config.target_modules,
        "target_parameters": null,
        "trainable_token_indices": null,
        "use_dora": false,
        "use_qalora": false,
        "use_rslora": config.use_rslora,
    })
}
