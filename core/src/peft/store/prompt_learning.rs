//! `adapter_config.json` of what PEFT calls prompt learning: prefix tuning, prompt tuning and P-tuning.

use serde_json::{Value, json};

use super::TaskType;
use super::keys::{Keys, modules_to_save};
use crate::error::Error;
use crate::peft::config::refuse;
use crate::peft::p_tuning::{EncoderKind, PTuningConfig};
use crate::peft::preamble::DecoderShape;
use crate::peft::prefix::PrefixConfig;
use crate::peft::prompt::{PromptConfig, PromptInit};

/// Sizes of the base the adapter was made for, where the file tells them.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StatedShape {
    token_dim: Option<usize>,
    num_layers: Option<usize>,
    num_attention_heads: Option<usize>,
}

impl StatedShape {
    fn parse(keys: &Keys) -> Result<Self, Error> {
        keys.refuse(&["runtime_config"])?;
        keys.check_modules_to_save()?;
        if keys.count("num_transformer_submodules")?.is_some_and(|n| n != 1) {
            let hint = "; a decoder or encoder has 1";
            return Err(keys.unsupported("num_transformer_submodules", hint));
        }
        Ok(Self {
            token_dim: keys.count("token_dim")?,
            num_layers: keys.count("num_layers")?,
            num_attention_heads: keys.count("num_attention_heads")?,
        })
    }

    /// Refuses sizes that are not those of `shape`. Heads and layers decide the layout of a prefix, not of a prompt.
    pub(super) fn check(&self, adapter: &str, shape: &DecoderShape, is_prefix: bool) -> Result<(), Error> {
        let (width, heads) = if is_prefix {
            (shape.key_width(), Some(shape.num_key_value_heads))
        } else {
            (shape.hidden_size, None)
        };
        for (key, stated, has) in [
            ("token_dim", self.token_dim, width),
            ("num_layers", self.num_layers, shape.num_layers),
            (
                "num_attention_heads",
                self.num_attention_heads.filter(|_| is_prefix),
                heads.unwrap_or_default(),
            ),
        ] {
            if let Some(stated) = stated.filter(|stated| *stated != has) {
                let reason = format!("made for a base with {key} = {stated}; this one has {has}");
                return refuse(adapter, reason);
            }
        }
        Ok(())
    }

    fn json(shape: &DecoderShape, heads: usize, width: usize, n: usize, task_type: TaskType) -> Value {
        json!({
            "modules_to_save": modules_to_save(task_type),
            "num_attention_heads": heads,
            "num_layers": shape.num_layers,
            "num_transformer_submodules": 1,
            "num_virtual_tokens": n,
            "token_dim": width,
        })
    }
}

pub(super) fn parse_prefix(keys: &Keys) -> Result<(PrefixConfig, StatedShape), Error> {
    let zero_init = match keys.string("init_weights")? {
        None => false,
        Some("zero") => true,
        Some(_) => return Err(keys.unsupported("init_weights", "; null and \"zero\" are read")),
    };
    let config = PrefixConfig {
        num_virtual_tokens: keys.required_count("num_virtual_tokens")?,
        projection: keys.flag("prefix_projection")?,
        encoder_hidden_size: keys.count("encoder_hidden_size")?,
        zero_init,
    };
    Ok((config, StatedShape::parse(keys)?))
}

/// Every key of its own that PEFT writes.
pub(super) fn prefix_json(config: &PrefixConfig, shape: &DecoderShape, task_type: TaskType) -> Value {
    let (heads, width) = (shape.num_key_value_heads, shape.key_width());
    let mut value = StatedShape::json(shape, heads, width, config.num_virtual_tokens, task_type);
    value["encoder_hidden_size"] = json!(config.encoder_hidden_size.unwrap_or(width));
    value["init_weights"] = if config.zero_init { json!("zero") } else { Value::Null };
    value["prefix_projection"] = json!(config.projection);
    value
}

pub(super) fn parse_prompt(keys: &Keys) -> Result<(PromptConfig, StatedShape), Error> {
    keys.ignore(&["tokenizer_kwargs"]);
    let text = keys.string("prompt_tuning_init_text")?.unwrap_or_default();
    let tokenizer = keys.string("tokenizer_name_or_path")?.unwrap_or_default();
    let init = match keys.string("prompt_tuning_init")? {
        None | Some("RANDOM" | "SAMPLE_VOCAB") => PromptInit::Random,
        Some("TEXT") => {
            PromptInit::Text { text: text.to_owned(), tokenizer: tokenizer.to_owned(), ids: Vec::new() }
        }
        Some(_) => {
            let hint = "; \"RANDOM\", \"TEXT\" and \"SAMPLE_VOCAB\" are read";
            return Err(keys.unsupported("prompt_tuning_init", hint));
        }
    };
    let config = PromptConfig { num_virtual_tokens: keys.required_count("num_virtual_tokens")?, init };
    Ok((config, StatedShape::parse(keys)?))
}

/// Every key of its own that PEFT writes; heads are those of the queries.
pub(super) fn prompt_json(config: &PromptConfig, shape: &DecoderShape, task_type: TaskType) -> Value {
    let (heads, n) = (shape.num_attention_heads, config.num_virtual_tokens);
    let mut value = StatedShape::json(shape, heads, shape.hidden_size, n, task_type);
    let (init, text, tokenizer) = match &config.init {
        PromptInit::Random => ("RANDOM", Value::Null, Value::Null),
        PromptInit::Text { text, tokenizer, .. } => ("TEXT", json!(text), json!(tokenizer)),
    };
    value["prompt_tuning_init"] = json!(init);
    value["prompt_tuning_init_text"] = text;
    value["tokenizer_kwargs"] = Value::Null;
    value["tokenizer_name_or_path"] = tokenizer;
    value
}

pub(super) fn parse_p_tuning(keys: &Keys) -> Result<(PTuningConfig, StatedShape), Error> {
    let encoder = match keys.string("encoder_reparameterization_type")? {
        None | Some("MLP") => EncoderKind::Mlp,
        Some("LSTM") => EncoderKind::Lstm,
        Some(_) => {
            let hint = "; \"MLP\" and \"LSTM\" are read";
            return Err(keys.unsupported("encoder_reparameterization_type", hint));
        }
    };
    let config = PTuningConfig {
        num_virtual_tokens: keys.required_count("num_virtual_tokens")?,
        encoder,
        hidden_size: keys.count("encoder_hidden_size")?,
        num_layers: keys.count("encoder_num_layers")?.unwrap_or(2), // PEFT's default
        dropout_prob: keys.number("encoder_dropout", 0.0)?,
    };
    Ok((config, StatedShape::parse(keys)?))
}

/// Every key of its own that PEFT writes; heads are those of the queries.
pub(super) fn p_tuning_json(config: &PTuningConfig, shape: &DecoderShape, task_type: TaskType) -> Value {
    let (heads, n) = (shape.num_attention_heads, config.num_virtual_tokens);
    let mut value = StatedShape::json(shape, heads, shape.hidden_size, n, task_type);
    let encoder = match config.encoder {
        EncoderKind::Mlp => "MLP",
        EncoderKind::Lstm => "LSTM",
    };
    value["encoder_dropout"] = json!(config.dropout_prob);
    value["encoder_hidden_size"] = json!(config.hidden_size.unwrap_or(shape.hidden_size));
    value["encoder_num_layers"] = json!(config.num_layers);
    value["encoder_reparameterization_type"] = json!(encoder);
    value
}
