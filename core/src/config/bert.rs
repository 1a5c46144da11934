//! Architecture of a BERT, as `config.json` of a Hugging Face folder states it, and of whichever model a folder holds.

use serde::Deserialize;

use super::{LlamaConfig, refuse};
use crate::error::Error;
use crate::peft::preamble::DecoderShape;

/// Shape and constants of a BERT encoder.
#[derive(Debug, Clone, PartialEq)]
pub struct BertConfig {
    /// Rows of the token embedding.
    pub vocab_size: usize,
    /// Width of the residual stream, `D`.
    pub hidden_size: usize,
    /// Width of the feed-forward layer, `F`.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Heads, `H`; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Rows of the position embedding: the longest sequence, tokens.
    pub max_position_embeddings: usize,
    /// Rows of the segment embedding.
    pub type_vocab_size: usize,
    /// Added to the variance in every `LayerNorm`.
    pub layer_norm_eps: f64,
    /// Share of hidden values zeroed in training.
    pub hidden_dropout_prob: f64,
    /// Share of attention weights zeroed in training.
    pub attention_probs_dropout_prob: f64,
    /// Share of the pooled values zeroed in training, before the head.
    pub classifier_dropout_prob: f64,
    /// Standard deviation of freshly initialised weights.
    pub initializer_range: f64,
}

#[derive(Deserialize)]
struct RawConfig {
    hidden_act: Option<String>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
    vocab_size: usize,
    hidden_size: usize,
    intermediate_size: usize,
    num_hidden_layers: usize,
    num_attention_heads: usize,
    max_position_embeddings: Option<usize>,
    type_vocab_size: Option<usize>,
    layer_norm_eps: Option<f64>,
    hidden_dropout_prob: Option<f64>,
    attention_probs_dropout_prob: Option<f64>,
    classifier_dropout: Option<f64>,
    initializer_range: Option<f64>,
}

impl BertConfig {
    /// Reads `config.json`. Folders of the first BERT releases have no `model_type`.
    ///
    /// # Errors
    /// [`Error::Config`] if it is not JSON, lacks a key, contradicts itself, or asks for what is not implemented.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let raw: RawConfig =
            serde_json::from_slice(bytes).map_err(|e| refuse(format!("config.json: {e}")))?;
        for (key, value, implemented) in [
            ("hidden_act", &raw.hidden_act, "gelu"),
            ("position_embedding_type", &raw.position_embedding_type, "absolute"),
        ] {
            if let Some(value) = value.as_deref().filter(|value| *value != implemented) {
                return Err(refuse(format!(
                    "{key} = \"{value}\"; only \"{implemented}\" is implemented for BERT"
                )));
            }
        }
        if raw.is_decoder {
            return Err(refuse("is_decoder = true; only the encoder is implemented"));
        }
        let sizes = [
            ("vocab_size", raw.vocab_size),
            ("hidden_size", raw.hidden_size),
            ("intermediate_size", raw.intermediate_size),
            ("num_hidden_layers", raw.num_hidden_layers),
            ("num_attention_heads", raw.num_attention_heads),
        ];
        if let Some((key, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(refuse(format!("{key} must be at least 1")));
        }
        if !raw.hidden_size.is_multiple_of(raw.num_attention_heads) {
            return Err(refuse("hidden_size is not a multiple of num_attention_heads"));
        }
        let hidden_dropout_prob = raw.hidden_dropout_prob.unwrap_or(0.1);
        let config = Self {
            vocab_size: raw.vocab_size,
            hidden_size: raw.hidden_size,
            intermediate_size: raw.intermediate_size,
            num_hidden_layers: raw.num_hidden_layers,
            num_attention_heads: raw.num_attention_heads,
            max_position_embeddings: raw.max_position_embeddings.unwrap_or(512),
            type_vocab_size: raw.type_vocab_size.unwrap_or(2),
            layer_norm_eps: raw.layer_norm_eps.unwrap_or(1e-12),
            hidden_dropout_prob,
            attention_probs_dropout_prob: raw.attention_probs_dropout_prob.unwrap_or(0.1),
            classifier_dropout_prob: raw.classifier_dropout.unwrap_or(hidden_dropout_prob),
            initializer_range: raw.initializer_range.unwrap_or(0.02),
        };
        for (key, value) in [
            ("hidden_dropout_prob", config.hidden_dropout_prob),
            ("attention_probs_dropout_prob", config.attention_probs_dropout_prob),
            ("classifier_dropout", config.classifier_dropout_prob),
        ] {
            if !(0.0..1.0).contains(&value) {
                return Err(refuse(format!("{key} = {value}; must be in [0, 1)")));
            }
        }
        Ok(config)
    }

    /// Writes `config.json` as Hugging Face does.
    #[must_use]
    pub fn to_json(&self) -> String {
        let value = serde_json::json!({
            "architectures": ["BertForSequenceClassification"],
            "attention_probs_dropout_prob": self.attention_probs_dropout_prob,
            "classifier_dropout": self.classifier_dropout_prob,
            "hidden_act": "gelu",
            "hidden_dropout_prob": self.hidden_dropout_prob,
            "hidden_size": self.hidden_size,
            "initializer_range": self.initializer_range,
            "intermediate_size": self.intermediate_size,
            "layer_norm_eps": self.layer_norm_eps,
            "max_position_embeddings": self.max_position_embeddings,
            "model_type": "bert",
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_hidden_layers,
            "pad_token_id": 0,
            "position_embedding_type": "absolute",
            "torch_dtype": "float32",
            "type_vocab_size": self.type_vocab_size,
            "vocab_size": self.vocab_size,
        });
        format!("{value:#}\n")
    }

    /// Path and `[d_out, d_in]` of every linear layer of the encoder and its pooler, in forward order.
    #[must_use]
    pub fn sites(&self) -> Vec<(String, [usize; 2])> {
        let (d, f) = (self.hidden_size, self.intermediate_size);
        let layer = [
            ("attention.self.query", [d, d]),
            ("attention.self.key", [d, d]),
            ("attention.self.value", [d, d]),
            ("attention.output.dense", [d, d]),
            ("intermediate.dense", [f, d]),
            ("output.dense", [d, f]),
        ];
        let layers = (0..self.num_hidden_layers).flat_map(|i| {
            layer.iter().map(move |(name, shape)| (format!("bert.encoder.layer.{i}.{name}"), *shape))
        });
        layers.chain([("bert.pooler.dense".to_owned(), [d, d])]).collect()
    }

    /// Number of values in encoder and pooler.
    #[must_use]
    pub fn num_params(&self) -> usize {
        let linear = |(_, [d_out, d_in]): &(String, [usize; 2])| d_out * d_in + d_out;
        let rows = self.vocab_size + self.max_position_embeddings + self.type_vocab_size;
        let norms = 1 + 2 * self.num_hidden_layers;
        self.sites().iter().map(linear).sum::<usize>() + (rows + 2 * norms) * self.hidden_size
    }
}

/// Layers of a LLaMA that LoRA sits on where nobody says otherwise, as in PEFT and the paper.
pub const LLAMA_TARGETS: [&str; 2] = ["q_proj", "v_proj"];

/// The same of a BERT.
pub const BERT_TARGETS: [&str; 2] = ["query", "value"];

/// Architecture of the model in a folder.
#[derive(Debug, Clone, PartialEq)]
pub enum ModelConfig {
    /// A decoder of the LLaMA family.
    Llama(LlamaConfig),
    /// An encoder of the BERT family.
    Bert(BertConfig),
}

impl ModelConfig {
    /// Reads `config.json` of either.
    ///
    /// # Errors
    /// [`Error::Config`] as [`LlamaConfig::from_json`] and [`BertConfig::from_json`].
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Kind {
            model_type: Option<String>,
            type_vocab_size: Option<usize>,
        }
        let kind: Kind = serde_json::from_slice(bytes).map_err(|e| refuse(format!("config.json: {e}")))?;
        match (kind.model_type.as_deref(), kind.type_vocab_size) {
            (Some("bert"), _) | (None, Some(_)) => BertConfig::from_json(bytes).map(Self::Bert),
            (None | Some("llama"), _) => LlamaConfig::from_json(bytes).map(Self::Llama),
            (Some(other), _) => Err(refuse(format!(
                "model_type = \"{other}\"; this program reads the \"llama\" and \"bert\" families"
            ))),
        }
    }

    /// Writes `config.json`.
    #[must_use]
    pub fn to_json(&self) -> String {
        match self {
            Self::Llama(config) => config.to_json(),
            Self::Bert(config) => config.to_json(),
        }
    }

    /// Name of the architecture.
    #[must_use]
    pub fn architecture(&self) -> &'static str {
        match self {
            Self::Llama(_) => "llama",
            Self::Bert(_) => "bert",
        }
    }

    /// Rows of the token embedding.
    #[must_use]
    pub fn vocab_size(&self) -> usize {
        match self {
            Self::Llama(config) => config.vocab_size,
            Self::Bert(config) => config.vocab_size,
        }
    }

    /// The most tokens a note may have, where there is a limit: BERT has one embedding for each position.
    #[must_use]
    pub fn max_tokens(&self) -> Option<usize> {
        match self {
            Self::Llama(_) => None,
            Self::Bert(config) => Some(config.max_position_embeddings),
        }
    }

    /// Number of values in the model.
    #[must_use]
    pub fn num_params(&self) -> usize {
        match self {
            Self::Llama(config) => config.num_params(),
            Self::Bert(config) => config.num_params(),
        }
    }

    /// Path and `[d_out, d_in]` of every linear layer where LoRA may sit, in forward order.
    #[must_use]
    pub fn sites(&self) -> Vec<(String, [usize; 2])> {
        match self {
            Self::Llama(config) => config.sites(),
            Self::Bert(config) => config.sites(),
        }
    }

    /// Layers that LoRA sits on where nobody says otherwise.
    #[must_use]
    pub fn lora_targets(&self) -> [&'static str; 2] {
        match self {
            Self::Llama(_) => LLAMA_TARGETS,
            Self::Bert(_) => BERT_TARGETS,
        }
    }

    /// Sizes that prompts and prefixes need; an encoder has no place for those.
    #[must_use]
    pub fn decoder_shape(&self) -> Option<DecoderShape> {
        match self {
            Self::Llama(config) => Some(DecoderShape::from(config)),
            Self::Bert(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: &str = r#"{"model_type":"bert","vocab_size":28996,"hidden_size":768,"intermediate_size":3072,
        "num_hidden_layers":12,"num_attention_heads":12,"type_vocab_size":2,"hidden_act":"gelu"}"#;

    #[test]
    fn bert_base_cased_has_its_published_number_of_parameters() {
        let config = ModelConfig::from_json(BASE.as_bytes()).expect("a BERT");
        assert_eq!(config.num_params(), 108_310_272);
        let read = ModelConfig::from_json(config.to_json().as_bytes()).expect("its own text");
        assert_eq!(read, config);
        let old = BASE.replace("\"model_type\":\"bert\",", "");
        assert_eq!(ModelConfig::from_json(old.as_bytes()).expect("an old BERT"), config);
    }

    #[test]
    fn what_would_change_the_numbers_is_refused_by_name() {
        for (from, to, named) in [
            ("\"gelu\"", "\"relu\"", "relu"),
            ("\"bert\"", "\"roberta\"", "roberta"),
            ("12,\"type", "7,\"type", "multiple"),
            ("\"hidden_act\"", "\"is_decoder\":true,\"hidden_act\"", "is_decoder"),
            ("\"hidden_act\"", "\"position_embedding_type\":\"relative_key\",\"hidden_act\"", "relative_key"),
        ] {
            let error = ModelConfig::from_json(BASE.replace(from, to).as_bytes()).expect_err(named);
            assert!(error.to_string().contains(named), "{named}: {error}");
        }
    }
}
