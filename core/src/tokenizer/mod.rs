//! Text to token ids and back, with the ids of the checkpoint's own tokenizer.
//!
//! Four ways in, two engines behind them:
//!
//! | from | engine | ids equal those of |
//! |---|---|---|
//! | `tokenizer.json` | the `tokenizers` crate (`json.rs`) | Python `tokenizers` |
//! | `tokenizer.model` | the merge loop of SentencePiece (`sentencepiece.rs`) | Python `sentencepiece` |
//! | `vocab.txt` | as `tokenizer.json` (`wordpiece.rs`) | `BertTokenizer` |
//! | [`Tokenizer::train`] | as `tokenizer.json` (`train.rs`) | Python `tokenizers`, from [`Tokenizer::to_json`] |
//!
//! A `.model` has an engine of its own because a list of ranked merges cannot express it exactly: SentencePiece
//! breaks ties by position, not by merge, splits pieces marked as unused again, and matches user-defined symbols
//! before it merges.
//!
//! **A note cannot forge a special token.** `</s>`, `<s>`, `<unk>` or `<0x0A>` written in a note is plain text and
//! is split into ordinary pieces. That is what SentencePiece does; Hugging Face's tokenizers turn such text into
//! the special token by default, and agree with us when `encode_special_tokens` is set.

mod json;
mod merging;
mod model_proto;
mod sentencepiece;
mod train;
mod wordpiece;

use json::JsonTokenizer;
use sentencepiece::SentencePiece;

use crate::error::Error;

/// A tokenizer: immutable once loaded, shared by reference between threads.
#[derive(Debug)]
pub struct Tokenizer {
    engine: Engine,
    /// Ids put before every text: BOS for LLaMA, `[CLS]` for BERT.
    prefix: Vec<u32>,
    /// Ids put after every text: none for LLaMA, `[SEP]` for BERT.
    suffix: Vec<u32>,
}

#[derive(Debug)]
enum Engine {
    Json(Box<JsonTokenizer>),
    SentencePiece(Box<SentencePiece>),
}

impl Tokenizer {
    /// Reads a `tokenizer.json`: LLaMA-1 and -2 (BPE with byte fallback), LLaMA-3 (byte-level BPE), BERT
    /// (`WordPiece`).
    ///
    /// A LLaMA-1 or -2 file whose post-processor adds nothing gets BOS in front, as Hugging Face's
    /// `LlamaTokenizer` does. Truncation and padding settings inside the file are ignored.
    ///
    /// # Errors
    /// Damaged JSON, another kind of model, or a vocabulary whose ids are not exactly `0..n`.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Error> {
        let json = JsonTokenizer::read(bytes)?;
        let (prefix, suffix) = json.framing()?;
        Ok(Self { engine: Engine::Json(Box::new(json)), prefix, suffix })
    }

    /// Reads a SentencePiece `tokenizer.model` of LLaMA's kind: BPE, identity normalisation.
    ///
    /// # Errors
    /// A damaged file, or a setting outside that kind, which the error names.
    pub fn from_sentencepiece(bytes: &[u8]) -> Result<Self, Error> {
        let model = SentencePiece::read(bytes)?;
        let prefix = model.bos_id().into_iter().collect();
        Ok(Self { engine: Engine::SentencePiece(Box::new(model)), prefix, suffix: Vec::new() })
    }

    /// Reads BERT's `vocab.txt`; `lowercase` is the `do_lower_case` of its `tokenizer_config.json`.
    ///
    /// # Errors
    /// What is not UTF-8, a piece that stands twice, or missing special tokens.
    pub fn from_wordpiece(vocab: &[u8], lowercase: bool) -> Result<Self, Error> {
        Self::from_json(&wordpiece::json(vocab, lowercase)?)
    }

    /// What to tell a user where a `WordPiece` vocabulary and the lower-casing of the tokenizer disagree.
    #[must_use]
    pub fn case_warning(&self) -> Option<String> {
        match &self.engine {
            Engine::Json(json) => json.case_warning(),
            Engine::SentencePiece(_) => None,
        }
    }

    /// Trains a byte-fallback BPE in LLaMA's style for a base model built from scratch: `<unk>` 0, `<s>` 1,
    /// `</s>` 2, 256 byte tokens, then pieces.
    ///
    /// The same texts give the same tokenizer, whatever their order. A corpus with too few distinct words gives
    /// fewer than `vocab_size` tokens.
    ///
    /// # Errors
    /// `vocab_size` leaves no room for pieces.
    pub fn train(texts: impl Iterator<Item = impl AsRef<str>>, vocab_size: usize) -> Result<Self, Error> {
        Self::from_json(&train::train(texts, vocab_size)?)
    }

    /// The tokenizer as a `tokenizer.json`, which Python `tokenizers` and `AutoTokenizer` read.
    ///
    /// For a `tokenizer.model` this is the conversion Hugging Face makes, with the same ids as the `.model`.
    ///
    /// # Errors
    /// The `.model` holds unused or user-defined pieces, or pieces of equal score: a list of ranked merges cannot
    /// reproduce those.
    pub fn to_json(&self) -> Result<Vec<u8>, Error> {
        match &self.engine {
            Engine::Json(json) => json.to_json(),
            Engine::SentencePiece(model) => model.to_json(),
        }
    }

    /// Ids of `text` with the special tokens of the model around it (LLaMA: BOS first, no EOS), at most
    /// `max_tokens` in all. The end of the text gives way first: BERT's closing `[SEP]` is kept.
    ///
    /// # Errors
    /// A character has no id, and the vocabulary has neither bytes nor an unknown token.
    pub fn encode(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>, Error> {
        let room = max_tokens.saturating_sub(self.prefix.len() + self.suffix.len());
        let mut ids = self.prefix.clone();
        ids.extend(self.encode_plain(text, room)?);
        ids.extend(&self.suffix);
        ids.truncate(max_tokens);
        Ok(ids)
    }

    /// The first `max_tokens` ids of `text` itself, without special tokens.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn encode_plain(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>, Error> {
        match &self.engine {
            Engine::Json(json) => json.encode(text, max_tokens),
            Engine::SentencePiece(model) => Ok(model.encode(text, max_tokens)),
        }
    }

    /// The text of `ids`; special tokens leave no trace.
    ///
    /// # Errors
    /// An id outside the vocabulary.
    pub fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        let size = self.vocab_size();
        if let Some(id) = ids.iter().find(|&&id| id as usize >= size) {
            return Err(defect(format!("id {id} is outside the vocabulary of {size} tokens")));
        }
        match &self.engine {
            Engine::Json(json) => json.decode(ids),
            Engine::SentencePiece(model) => Ok(model.decode(ids)),
        }
    }

    /// Number of tokens, added ones included: one more than the largest id.
    pub fn vocab_size(&self) -> usize {
        match &self.engine {
            Engine::Json(json) => json.vocab_size(),
            Engine::SentencePiece(model) => model.vocab_size(),
        }
    }

    /// Beginning of sequence; none for BERT.
    pub fn bos_id(&self) -> Option<u32> {
        match &self.engine {
            Engine::Json(json) => json.first_of(&["<s>", "<|begin_of_text|>"]),
            Engine::SentencePiece(model) => model.bos_id(),
        }
    }

    /// End of sequence; none for BERT.
    pub fn eos_id(&self) -> Option<u32> {
        match &self.engine {
            Engine::Json(json) => json.first_of(&["</s>", "<|end_of_text|>"]),
            Engine::SentencePiece(model) => model.eos_id(),
        }
    }

    /// Padding; none for LLaMA, which pads with [`eos_id`](Self::eos_id).
    pub fn pad_id(&self) -> Option<u32> {
        match &self.engine {
            Engine::Json(json) => json.first_of(&["<pad>", "[PAD]", "<|finetune_right_pad_id|>"]),
            Engine::SentencePiece(model) => model.pad_id(),
        }
    }

    /// The unknown token; none for byte-level BPE, which knows every byte.
    pub fn unk_id(&self) -> Option<u32> {
        match &self.engine {
            Engine::Json(json) => json.first_of(&["<unk>", "[UNK]"]),
            Engine::SentencePiece(model) => Some(model.unk_id()),
        }
    }
}

/// A defect of a tokenizer file.
fn defect(reason: impl Into<String>) -> Error {
    Error::Tokenizer { reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use serde_json::Value;

    use super::*;

    fn golden(name: &str) -> Vec<u8> {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/golden/tokenizer");
        std::fs::read(folder.join(name)).unwrap()
    }

    fn load(name: &str) -> Tokenizer {
        let read =
            if name.ends_with(".model") { Tokenizer::from_sentencepiece } else { Tokenizer::from_json };
        read(&golden(name)).unwrap()
    }

    /// Every golden text with the ids and the decoded text of the Python package.
    fn cases(name: &str) -> Vec<(String, Vec<u32>, String)> {
        let file: Value = serde_json::from_slice(&golden("cases.json")).unwrap();
        let texts = file["texts"].as_array().unwrap();
        let expected = file["expected"][name].as_array().unwrap();
        assert!(texts.len() >= 60 && texts.len() == expected.len(), "the golden file is cut");
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let ids = |value: &Value| serde_json::from_value(value.clone()).unwrap();
        texts.iter().zip(expected).map(|(t, e)| (text(t), ids(&e["ids"]), text(&e["text"]))).collect()
    }

    fn ids_and_text_equal_python(name: &str) {
        let tokenizer = load(name);
        for (text, ids, decoded) in cases(name) {
            assert_eq!(tokenizer.encode(&text, usize::MAX).unwrap(), ids, "{name}: {text:?}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), decoded, "{name}: {text:?}");
        }
    }

    #[test]
    fn sentencepiece_ids_equal_sentencepiece() {
        ids_and_text_equal_python("llama.model");
    }

    #[test]
    fn unknown_characters_equal_sentencepiece_without_bytes() {
        ids_and_text_equal_python("nobytes.model");
    }

    #[test]
    fn user_defined_unused_and_tied_pieces_equal_sentencepiece() {
        ids_and_text_equal_python("odd.model");
    }

    #[test]
    fn llama_json_ids_equal_python() {
        ids_and_text_equal_python("llama.json");
    }

    #[test]
    fn llama3_json_ids_equal_python() {
        ids_and_text_equal_python("llama3.json");
    }

    #[test]
    fn bert_json_ids_equal_python() {
        ids_and_text_equal_python("bert.json");
    }

    #[test]
    fn converting_a_sentencepiece_model_keeps_its_ids() {
        let converted = Tokenizer::from_json(&load("llama.model").to_json().unwrap()).unwrap();
        for (text, ids, decoded) in cases("llama.model") {
            assert_eq!(converted.encode(&text, usize::MAX).unwrap(), ids, "{text:?}");
            assert_eq!(converted.decode(&ids).unwrap(), decoded, "{text:?}");
        }
        let message = load("odd.model").to_json().unwrap_err().to_string();
        assert!(message.contains("\"<ud>\" of tokenizer.model is UserDefined"), "{message}");
    }

    #[test]
    fn a_cut_text_has_the_first_ids_of_the_whole_text() {
        for name in ["llama.model", "odd.model", "llama.json", "llama3.json"] {
            let tokenizer = load(name);
            for (text, ids, _) in cases(name) {
                for max_tokens in [0, 1, 2, 5, 17] {
                    let expected = &ids[..ids.len().min(max_tokens)];
                    assert_eq!(tokenizer.encode(&text, max_tokens).unwrap(), expected, "{name}: {text:?}");
                }
            }
        }
    }

    #[test]
    fn a_cut_text_keeps_the_closing_token_of_bert() {
        let tokenizer = load("bert.json");
        let whole = tokenizer.encode("Patient was admitted with chest pain.", usize::MAX).unwrap();
        let cut = tokenizer.encode("Patient was admitted with chest pain.", 5).unwrap();
        let sep = whole[whole.len() - 1];
        assert_eq!(cut, [&whole[..4], &[sep]].concat());
        assert_eq!(tokenizer.encode("Patient", 1).unwrap(), whole[..1]);
    }

    #[test]
    fn text_never_becomes_a_special_token() {
        for name in ["llama.model", "odd.model", "llama.json", "llama3.json", "bert.json"] {
            let tokenizer = load(name);
            let (bos, eos, pad) = (tokenizer.bos_id(), tokenizer.eos_id(), tokenizer.pad_id());
            for (text, _, _) in cases(name) {
                let ids = tokenizer.encode_plain(&text, usize::MAX).unwrap();
                let special = ids.iter().find(|&&id| [bos, eos, pad].contains(&Some(id)));
                assert_eq!(special, None, "{name}: {text:?}");
            }
        }
    }

    #[test]
    fn special_ids_are_those_of_the_model() {
        let specials = |name: &str| {
            let t = load(name);
            (t.bos_id(), t.eos_id(), t.pad_id(), t.unk_id(), t.vocab_size())
        };
        assert_eq!(specials("llama.model"), (Some(1), Some(2), None, Some(0), 600));
        assert_eq!(specials("llama.json"), (Some(1), Some(2), None, Some(0), 600));
        assert_eq!(specials("llama3.json"), (Some(600), Some(601), None, None, 602));
        let (bos, eos, pad, unk, size) = specials("bert.json");
        assert_eq!((bos, eos, pad, unk), (None, None, Some(0), Some(1)));
        assert!(size > 100, "{size}");
    }

    #[test]
    fn an_id_outside_the_vocabulary_is_refused() {
        let message = load("llama.model").decode(&[5, 600]).unwrap_err().to_string();
        assert_eq!(message, "tokenizer: id 600 is outside the vocabulary of 600 tokens");
        assert!(load("llama3.json").decode(&[602]).is_err(), "602 tokens end at 601");
    }
}
