//! One adapter of a recipe's stack: its method and that method's keys.

use std::path::{Path, PathBuf};

use clinlora_core::config::LLAMA_TARGETS;
use clinlora_core::peft::adaption_prompt::AdaptionPromptConfig;
use clinlora_core::peft::config::AdapterConfig;
use clinlora_core::peft::lora::LoraConfig;
use clinlora_core::peft::p_tuning::{EncoderKind, PTuningConfig};
use clinlora_core::peft::prefix::PrefixConfig;
use clinlora_core::peft::prompt::{PromptConfig, PromptInit};
use serde::{Deserialize, Serialize};

/// One adapter of the stack: loaded from a folder, or fresh. What is left out is the method's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// Its name in the stack.
    pub name: String,
    /// Its method; a loaded adapter's is the folder's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<AdapterMethod>,
    /// PEFT folder to load; method and hyper-parameters are then the folder's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// Whether the run changes it.
    #[serde(default = "super::yes")]
    pub trainable: bool,
    /// Whether it takes part. One that does not is attached and counted and learns nothing, as the second adapter of the
    /// authors' code, which was never activated; downstream runs only.
    #[serde(default = "super::yes")]
    pub active: bool,
    /// Its peak learning rate, if it has one of its own; it follows the course of the run's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub learning_rate: Option<f64>,
    /// LoRA: rank.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r: Option<usize>,
    /// LoRA: numerator of the scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub alpha: Option<f64>,
    /// LoRA: share of inputs zeroed in training. P-tuning: the same between layers of its LSTM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// LoRA: layers that get a delta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_modules: Option<Vec<String>>,
    /// LoRA: scale by `alpha / √r`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_rslora: Option<bool>,
    /// Adaption prompt: tokens of the prompt on each layer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_len: Option<usize>,
    /// Adaption prompt: layers that have one, from the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adapter_layers: Option<usize>,
    /// Prefix, prompt, P-tuning: virtual tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub virtual_tokens: Option<usize>,
    /// Prefix: whether two linear layers stand behind the table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<bool>,
    /// Prefix: begin with keys and values of zero.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zero_init: Option<bool>,
    /// Prompt: text whose word embeddings it begins from; cut, or repeated as a whole, to the virtual tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init_text: Option<String>,
    /// P-tuning: `mlp` or `lstm`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder: Option<Encoder>,
    /// Prefix with projection, P-tuning: inner width.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder_hidden_size: Option<usize>,
    /// P-tuning: layers of its LSTM.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder_layers: Option<usize>,
}

/// Method of an adapter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum AdapterMethod {
    /// Low-rank updates beside linear layers.
    #[default]
    Lora,
    /// Gated prompts of the top layers' own.
    AdaptionPrompt,
    /// Keys and values before those of the tokens.
    Prefix,
    /// Trained embeddings before a note.
    Prompt,
    /// Encoded embeddings before a note.
    PTuning,
}

/// The network of P-tuning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Encoder {
    /// Three linear layers.
    Mlp,
    /// A bidirectional LSTM and two linear layers.
    Lstm,
}

impl Adapter {
    /// Hyper-parameters of a fresh adapter. `targets` are the layers of a LoRA that names none, those of the model's
    /// architecture. A prompt that begins from a text has no ids yet; `base` is where its tokenizer lies.
    #[must_use]
    pub fn config(&self, base: &Path, targets: [&str; 2]) -> AdapterConfig {
        match self.method.unwrap_or_default() {
            AdapterMethod::Lora => {
                let default = LoraConfig::default();
                AdapterConfig::Lora(LoraConfig {
                    r: self.r.unwrap_or(default.r),
                    alpha: self.alpha.unwrap_or(default.alpha),
                    dropout_prob: self.dropout.unwrap_or(default.dropout_prob),
                    target_modules: self
                        .target_modules
                        .clone()
                        .unwrap_or_else(|| targets.map(str::to_owned).into()),
                    use_rslora: self.use_rslora.unwrap_or(default.use_rslora),
                })
            }
            AdapterMethod::AdaptionPrompt => {
                let default = AdaptionPromptConfig::default();
                AdapterConfig::AdaptionPrompt(AdaptionPromptConfig {
                    adapter_len: self.adapter_len.unwrap_or(default.adapter_len),
                    adapter_layers: self.adapter_layers.unwrap_or(default.adapter_layers),
                })
            }
            AdapterMethod::Prefix => {
                let default = PrefixConfig::default();
                AdapterConfig::Prefix(PrefixConfig {
                    num_virtual_tokens: self.virtual_tokens.unwrap_or(default.num_virtual_tokens),
                    projection: self.projection.unwrap_or(default.projection),
                    encoder_hidden_size: self.encoder_hidden_size.or(default.encoder_hidden_size),
                    zero_init: self.zero_init.unwrap_or(default.zero_init),
                })
            }
            AdapterMethod::Prompt => {
                let default = PromptConfig::default();
                let text = |text: &String| PromptInit::Text {
                    text: text.clone(),
                    tokenizer: base.display().to_string(),
                    ids: Vec::new(),
                };
                AdapterConfig::Prompt(PromptConfig {
                    num_virtual_tokens: self.virtual_tokens.unwrap_or(default.num_virtual_tokens),
                    init: self.init_text.as_ref().map_or(default.init, text),
                })
            }
            AdapterMethod::PTuning => {
                let default = PTuningConfig::default();
                AdapterConfig::PTuning(PTuningConfig {
                    num_virtual_tokens: self.virtual_tokens.unwrap_or(default.num_virtual_tokens),
                    encoder: match self.encoder {
                        None => default.encoder,
                        Some(Encoder::Mlp) => EncoderKind::Mlp,
                        Some(Encoder::Lstm) => EncoderKind::Lstm,
                    },
                    hidden_size: self.encoder_hidden_size.or(default.hidden_size),
                    num_layers: self.encoder_layers.unwrap_or(default.num_layers),
                    dropout_prob: self.dropout.unwrap_or(default.dropout_prob),
                })
            }
        }
    }

    /// Keys that are given, each with the methods it belongs to.
    fn given(&self) -> impl Iterator<Item = (&'static str, &'static [AdapterMethod])> {
        use AdapterMethod::{AdaptionPrompt, Lora, PTuning, Prefix, Prompt};
        [
            ("r", self.r.is_some(), &[Lora] as &[AdapterMethod]),
            ("alpha", self.alpha.is_some(), &[Lora]),
            ("dropout", self.dropout.is_some(), &[Lora, PTuning]),
            ("target_modules", self.target_modules.is_some(), &[Lora]),
            ("use_rslora", self.use_rslora.is_some(), &[Lora]),
            ("adapter_len", self.adapter_len.is_some(), &[AdaptionPrompt]),
            ("adapter_layers", self.adapter_layers.is_some(), &[AdaptionPrompt]),
            ("virtual_tokens", self.virtual_tokens.is_some(), &[Prefix, Prompt, PTuning]),
            ("projection", self.projection.is_some(), &[Prefix]),
            ("zero_init", self.zero_init.is_some(), &[Prefix]),
            ("init_text", self.init_text.is_some(), &[Prompt]),
            ("encoder", self.encoder.is_some(), &[PTuning]),
            ("encoder_hidden_size", self.encoder_hidden_size.is_some(), &[Prefix, PTuning]),
            ("encoder_layers", self.encoder_layers.is_some(), &[PTuning]),
        ]
        .into_iter()
        .filter(|(_, given, _)| *given)
        .map(|(key, _, methods)| (key, methods))
    }

    /// What is wrong with the keys, in words; values are checked as well.
    ///
    /// # Errors
    /// A sentence that names the key.
    pub fn check(&self) -> Result<(), String> {
        let name = &self.name;
        if let Some(rate) = self.learning_rate {
            if !(rate.is_finite() && rate > 0.0) {
                return Err(format!("\"{name}\" has learning_rate = {rate}; must be above 0"));
            }
            if !self.trainable {
                return Err(format!("\"{name}\" is frozen and has a learning_rate; remove one of the two"));
            }
        }
        if self.path.is_some() {
            let named = self.method.map(|_| "method").or(self.given().next().map(|(key, _)| key));
            return match named {
                None => Ok(()),
                Some(key) => Err(format!(
                    "\"{name}\" is loaded from a folder, which gives the method and its values; remove {key}"
                )),
            };
        }
        let config = self.config(Path::new(""), LLAMA_TARGETS);
        let method = self.method.unwrap_or_default();
        if let Some((key, _)) = self.given().find(|(_, methods)| !methods.contains(&method)) {
            return Err(format!("\"{name}\" has the method {}, which has no {key}", config.method()));
        }
        if self.encoder_hidden_size.is_some()
            && method == AdapterMethod::Prefix
            && self.projection != Some(true)
        {
            return Err(format!("\"{name}\" has an encoder_hidden_size, which needs projection = true"));
        }
        config.validate(name).map_err(|e| e.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Adapter {
        toml::from_str(text).expect("an adapter")
    }

    #[test]
    fn every_method_takes_its_own_keys_and_refuses_those_of_others() {
        for text in [
            "name = \"a\"\nr = 4",
            "name = \"a\"\nmethod = \"adaption-prompt\"\nadapter_len = 5\nadapter_layers = 2",
            "name = \"a\"\nmethod = \"prefix\"\nvirtual_tokens = 5\nprojection = true\nencoder_hidden_size = 7",
            "name = \"a\"\nmethod = \"prompt\"\nvirtual_tokens = 5\ninit_text = \"Finish this clinical note: \"",
            "name = \"a\"\nmethod = \"p-tuning\"\nencoder = \"mlp\"\ndropout = 0.1",
            "name = \"a\"\npath = \"folder\"",
        ] {
            assert_eq!(read(text).check(), Ok(()), "{text}");
        }
        for (text, named) in [
            ("name = \"a\"\nmethod = \"prefix\"\nr = 4", "prefix, which has no r"),
            ("name = \"a\"\nvirtual_tokens = 4", "lora, which has no virtual_tokens"),
            ("name = \"a\"\nmethod = \"prefix\"\nencoder_hidden_size = 4", "projection = true"),
            ("name = \"a\"\nmethod = \"prompt\"\nvirtual_tokens = 0", "num_virtual_tokens = 0"),
            ("name = \"a\"\npath = \"p\"\nmethod = \"prompt\"", "remove method"),
            ("name = \"a\"\npath = \"p\"\nencoder_layers = 3", "remove encoder_layers"),
            ("name = \"a\"\nlearning_rate = 0.0", "above 0"),
            ("name = \"a\"\ntrainable = false\nlearning_rate = 1e-3", "is frozen"),
        ] {
            let error = read(text).check().expect_err(named);
            assert!(error.contains(named), "{named}: {error}");
        }
        let wrong = toml::from_str::<Adapter>("name = \"a\"\nmethod = \"ia3\"").expect_err("unknown");
        assert!(wrong.to_string().contains("p-tuning"), "{wrong}");
    }
}
