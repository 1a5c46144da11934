//! Prompt tuning: a table of embeddings that stands before the embedded note and is all that is trained.
//!
//! Lester, Al-Rfou and Constant 2021, arXiv 2104.08691: input = `[P; E(x)]`, `P` `[n, D]`. Fresh tables are PEFT's:
//! - random: N(0, 1), far larger than LLaMA's own embeddings;
//! - text: the ids of a text, with special tokens, cut to `n` or repeated as a whole until there are `n`; the rows of the
//!   word embedding at these ids, in f32.
//!
//! Defaults: 15 virtual tokens, the paper's choice for LLaMA (its Table 2: 61,440 parameters); which of the two
//! initialisations it used is not recorded, so ours is random, PEFT's default.

use burn::tensor::{DType, Device, Tensor, TensorData};
use rand::rngs::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

use super::config::refuse;
use super::part::Membership;
use super::preamble::DecoderShape;
use super::virtual_tokens::VirtualTokens;
use crate::error::Error;

/// Hyper-parameters of prompt tuning.
#[derive(Debug, Clone, PartialEq)]
pub struct PromptConfig {
    /// Virtual tokens, at least 1.
    pub num_virtual_tokens: usize,
    /// How a fresh table is filled.
    pub init: PromptInit,
}

/// How a fresh table is filled.
#[derive(Debug, Clone, PartialEq)]
pub enum PromptInit {
    /// N(0, 1).
    Random,
    /// The word embeddings of a text.
    Text {
        /// The text.
        text: String,
        /// Where its tokenizer lies, for PEFT's file.
        tokenizer: String,
        /// Its ids, special tokens included; not needed to load a trained table.
        ids: Vec<u32>,
    },
}

impl Default for PromptConfig {
    fn default() -> Self {
        Self { num_virtual_tokens: 15, init: PromptInit::Random }
    }
}

impl PromptConfig {
    /// Refuses values that have no meaning.
    ///
    /// # Errors
    /// [`Error::Adapter`] naming the value.
    pub fn validate(&self, adapter: &str) -> Result<(), Error> {
        if self.num_virtual_tokens == 0 {
            return refuse(adapter, "num_virtual_tokens = 0; must be at least 1");
        }
        Ok(())
    }

    /// Number of trainable values.
    #[must_use]
    pub fn num_params(&self, shape: &DecoderShape) -> usize {
        self.num_virtual_tokens * shape.hidden_size
    }

    /// The `n` ids whose word embeddings fill a fresh table.
    ///
    /// # Errors
    /// [`Error::Adapter`] if the text has no token.
    pub(crate) fn init_ids(&self, adapter: &str) -> Result<Option<Vec<u32>>, Error> {
        match &self.init {
            PromptInit::Random => Ok(None),
            PromptInit::Text { ids, .. } if ids.is_empty() => {
                refuse(adapter, "the text its prompt begins from has no token")
            }
            PromptInit::Text { ids, .. } => {
                let repeated = ids.iter().copied().cycle();
                Ok(Some(repeated.take(self.num_virtual_tokens).collect()))
            }
        }
    }
}

/// A fresh table: `words` are the word embeddings of [`PromptConfig::init_ids`], `[n, D]`, if it gave any.
pub(crate) fn init(
    membership: Membership,
    config: &PromptConfig,
    shape: &DecoderShape,
    words: Option<Tensor<2>>,
    rng: &mut ChaCha8Rng,
    device: &Device,
) -> VirtualTokens {
    let table = match words {
        Some(words) => words.cast(DType::F32),
        None => standard_normal([config.num_virtual_tokens, shape.hidden_size], rng, device),
    };
    VirtualTokens::table(membership, table)
}

/// N(0, 1), as PyTorch fills an embedding.
pub(crate) fn standard_normal<const D: usize>(
    shape: [usize; D],
    rng: &mut ChaCha8Rng,
    device: &Device,
) -> Tensor<D> {
    let values: Vec<f32> = StandardNormal.sample_iter(rng).take(shape.iter().product()).collect();
    Tensor::from_data(TensorData::new(values, shape), (device, DType::F32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_or_repeated_as_a_whole() {
        let ids = |n: usize, ids: &[u32]| {
            let init = PromptInit::Text { text: "t".into(), tokenizer: "base".into(), ids: ids.to_vec() };
            let config = PromptConfig { num_virtual_tokens: n, init };
            config.init_ids("p")
        };
        assert_eq!(ids(7, &[1, 8, 9]).unwrap().unwrap(), [1, 8, 9, 1, 8, 9, 1]);
        assert_eq!(ids(2, &[1, 8, 9]).unwrap().unwrap(), [1, 8]);
        assert!(ids(2, &[]).unwrap_err().to_string().contains("no token"));
    }
}
