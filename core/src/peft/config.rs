//! One adapter's hyper-parameters, whatever its method.

use super::adaption_prompt::AdaptionPromptConfig;
use super::lora::LoraConfig;
use super::p_tuning::PTuningConfig;
use super::preamble::DecoderShape;
use super::prefix::PrefixConfig;
use super::prompt::PromptConfig;
use crate::error::Error;

/// The method of an adapter, and its hyper-parameters.
#[derive(Debug, Clone, PartialEq)]
pub enum AdapterConfig {
    /// Low-rank updates beside linear layers.
    Lora(LoraConfig),
    /// Gated prompts of the top layers' own.
    AdaptionPrompt(AdaptionPromptConfig),
    /// Keys and values before those of the tokens.
    Prefix(PrefixConfig),
    /// Trained embeddings before a note.
    Prompt(PromptConfig),
    /// Encoded embeddings before a note.
    PTuning(PTuningConfig),
}

/// Names of the methods, as recipes and the command line write them.
pub const METHODS: [&str; 5] = ["lora", "adaption-prompt", "prefix", "prompt", "p-tuning"];

impl AdapterConfig {
    /// One of [`METHODS`].
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::Lora(_) => METHODS[0],
            Self::AdaptionPrompt(_) => METHODS[1],
            Self::Prefix(_) => METHODS[2],
            Self::Prompt(_) => METHODS[3],
            Self::PTuning(_) => METHODS[4],
        }
    }

    /// Refuses values that have no meaning.
    ///
    /// # Errors
    /// [`Error::Adapter`] naming the value.
    pub fn validate(&self, adapter: &str) -> Result<(), Error> {
        match self {
            Self::Lora(config) => config.validate(adapter),
            Self::AdaptionPrompt(config) => config.validate(adapter),
            Self::Prefix(config) => config.validate(adapter),
            Self::Prompt(config) => config.validate(adapter),
            Self::PTuning(config) => config.validate(adapter),
        }
    }

    /// Number of trainable values on a model with these linear layers (path and `[d_out, d_in]` each) and, if it is a
    /// decoder, of this shape; no weight is allocated.
    ///
    /// # Errors
    /// [`Error::Adapter`] for values that have no meaning, targets that match no layer, or a method that needs a decoder.
    pub fn num_params(
        &self,
        adapter: &str,
        sites: &[(String, [usize; 2])],
        decoder: Option<&DecoderShape>,
    ) -> Result<usize, Error> {
        self.validate(adapter)?;
        let decoder = || decoder.map_or_else(|| self.needs_decoder(adapter), Ok);
        match self {
            Self::Lora(config) => {
                config.check_targets(adapter, sites.iter().map(|(path, _)| path.as_str()))?;
                let targeted = sites.iter().filter(|(path, _)| config.targets(path));
                Ok(targeted.map(|(_, shape)| config.num_params(*shape)).sum())
            }
            Self::AdaptionPrompt(config) => {
                config.check_fits(adapter, decoder()?)?;
                Ok(config.num_params(decoder()?))
            }
            Self::Prefix(config) => Ok(config.num_params(decoder()?)),
            Self::Prompt(config) => Ok(config.num_params(decoder()?)),
            Self::PTuning(config) => Ok(config.num_params(decoder()?)),
        }
    }

    pub(crate) fn needs_decoder<T>(&self, adapter: &str) -> Result<T, Error> {
        let reason = format!("{} needs a decoder; this model has only layers for lora", self.method());
        refuse(adapter, reason)
    }
}

pub(crate) fn refuse<T>(adapter: &str, reason: impl Into<String>) -> Result<T, Error> {
    Err(Error::Adapter { adapter: adapter.to_owned(), reason: reason.into() })
}

impl From<LoraConfig> for AdapterConfig {
    fn from(config: LoraConfig) -> Self {
        Self::Lora(config)
    }
}

impl From<&LoraConfig> for AdapterConfig {
    fn from(config: &LoraConfig) -> Self {
        Self::Lora(config.clone())
    }
}

impl From<&Self> for AdapterConfig {
    fn from(config: &Self) -> Self {
        config.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::p_tuning::EncoderKind;
    use super::super::prompt::PromptInit;
    use super::*;
    use crate::config::LlamaConfig;

    /// The trainable counts of the paper's Table 2, LLaMA and PMC-LLaMA, and the one point of its search spaces that gives
    /// each.
    #[test]
    fn the_ten_counts_of_the_papers_table_2() {
        let lora = |r, alpha| AdapterConfig::Lora(LoraConfig { r, alpha, ..LoraConfig::default() });
        let prompt = |num_virtual_tokens| {
            AdapterConfig::Prompt(PromptConfig { num_virtual_tokens, init: PromptInit::Random })
        };
        let prefix = |num_virtual_tokens| {
            AdapterConfig::Prefix(PrefixConfig { num_virtual_tokens, ..PrefixConfig::default() })
        };
        let adaption =
            AdapterConfig::AdaptionPrompt(AdaptionPromptConfig { adapter_len: 10, adapter_layers: 30 });
        let p_tuning = |num_virtual_tokens, encoder, num_layers| {
            AdapterConfig::PTuning(PTuningConfig {
                num_virtual_tokens,
                encoder,
                hidden_size: Some(256),
                num_layers,
                dropout_prob: 0.0,
            })
        };
        let llama = LlamaConfig::llama_7b();
        for (config, count) in [
            (lora(16, 32.0), 8_388_608),
            (adaption.clone(), 1_228_830),
            (prefix(20), 5_242_880),
            (prompt(15), 61_440),
            (p_tuning(20, EncoderKind::Lstm, 4), 16_093_696),
            (lora(4, 4.0), 2_097_152),
            (adaption, 1_228_830),
            (prefix(10), 2_621_440),
            (prompt(10), 40_960),
            (p_tuning(1, EncoderKind::Mlp, 2), 2_171_392),
        ] {
            let shape = DecoderShape::from(&llama);
            let counted = config.num_params("table-2", &llama.sites(), Some(&shape));
            assert_eq!(counted.expect("sound values"), count, "{config:?}");
        }
    }

    #[test]
    fn values_without_meaning_and_models_without_room_are_refused_by_name() {
        let llama = LlamaConfig::preset(9, 12, 7, 3, 2, 2);
        let shape = DecoderShape::from(&llama);
        let too_many = AdapterConfig::AdaptionPrompt(AdaptionPromptConfig::default());
        let empty = AdapterConfig::Prompt(PromptConfig { num_virtual_tokens: 0, init: PromptInit::Random });
        let nowhere =
            AdapterConfig::Lora(LoraConfig { target_modules: vec!["query".into()], ..LoraConfig::default() });
        for (config, decoder, named) in [
            (too_many, Some(&shape), "adapter_layers = 30, but the model has 3"),
            (empty, Some(&shape), "num_virtual_tokens = 0"),
            (nowhere, Some(&shape), "query matches no layer"),
            (AdapterConfig::Prefix(PrefixConfig::default()), None, "prefix needs a decoder"),
        ] {
            let error = config.num_params("a", &llama.sites(), decoder).expect_err(named);
            assert!(error.to_string().contains(named), "{named}: {error}");
        }
    }
}
