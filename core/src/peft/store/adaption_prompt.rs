//! `adapter_config.json` of an adaption prompt.

use serde_json::{Value, json};

use super::keys::Keys;
use crate::error::Error;
use crate::peft::adaption_prompt::AdaptionPromptConfig;

pub(super) fn parse(keys: &Keys) -> Result<AdaptionPromptConfig, Error> {
    keys.refuse(&["runtime_config"])?;
    let target = keys.get("target_modules").and_then(Value::as_str);
    if keys.get("target_modules").is_some() && target != Some("self_attn") {
        return Err(keys.unsupported("target_modules", "; \"self_attn\" is read"));
    }
    keys.check_modules_to_save()?;
    Ok(AdaptionPromptConfig {
        adapter_len: keys.required_count("adapter_len")?,
        adapter_layers: keys.required_count("adapter_layers")?,
    })
}

/// Every key of its own that PEFT writes.
pub(super) fn json(config: &AdaptionPromptConfig) -> Value {
    json!({
        "adapter_layers": config.adapter_layers,
        "adapter_len": config.adapter_len,
        "target_modules": "self_attn",
    })
}
