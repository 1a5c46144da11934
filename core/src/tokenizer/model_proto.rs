//! The few fields of SentencePiece's `ModelProto` that decide how a `tokenizer.model` encodes.
//!
//! Field numbers and defaults are those of `sentencepiece_model.proto` (proto2).

use prost::Message;

use super::defect;
use crate::error::Error;

/// Far above any published model (LLaMA 0.5 MB, Gemma 5 MB): bounds what a hostile file can make us allocate.
const MAX_BYTES: usize = 8 << 20;

#[derive(Clone, PartialEq, Message)]
pub(super) struct ModelProto {
    #[prost(message, repeated, tag = "1")]
    pub(super) pieces: Vec<Piece>,
    #[prost(message, optional, tag = "2")]
    trainer_spec: Option<TrainerSpec>,
    #[prost(message, optional, tag = "3")]
    normalizer_spec: Option<NormalizerSpec>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Piece {
    #[prost(string, optional, tag = "1")]
    pub(super) text: Option<String>,
    #[prost(float, optional, tag = "2")]
    pub(super) score: Option<f32>,
    #[prost(enumeration = "Kind", optional, tag = "3")]
    pub(super) kind: Option<i32>,
}

/// What a piece is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(super) enum Kind {
    Normal = 1,
    Unknown = 2,
    Control = 3,
    UserDefined = 4,
    Unused = 5,
    Byte = 6,
}

#[derive(Clone, PartialEq, Message)]
struct TrainerSpec {
    #[prost(int32, optional, tag = "3")]
    model_type: Option<i32>,
    #[prost(bool, optional, tag = "24")]
    treat_whitespace_as_suffix: Option<bool>,
    #[prost(bool, optional, tag = "35")]
    byte_fallback: Option<bool>,
    #[prost(string, optional, tag = "44")]
    unk_surface: Option<String>,
    #[prost(string, optional, tag = "46")]
    bos_piece: Option<String>,
    #[prost(string, optional, tag = "47")]
    eos_piece: Option<String>,
    #[prost(string, optional, tag = "48")]
    pad_piece: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct NormalizerSpec {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(bytes = "vec", optional, tag = "2")]
    precompiled_charsmap: Option<Vec<u8>>,
    #[prost(bool, optional, tag = "3")]
    add_dummy_prefix: Option<bool>,
    #[prost(bool, optional, tag = "4")]
    remove_extra_whitespaces: Option<bool>,
    #[prost(bool, optional, tag = "5")]
    escape_whitespaces: Option<bool>,
}

/// The settings left open by [`ModelProto::settings`]; all others have LLaMA's values.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) byte_fallback: bool,
    pub(super) add_dummy_prefix: bool,
    pub(super) unk_surface: String,
    pub(super) bos_piece: String,
    pub(super) eos_piece: String,
    pub(super) pad_piece: String,
}

impl ModelProto {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        if bytes.len() > MAX_BYTES {
            return Err(defect(format!(
                "tokenizer.model has {} bytes; a SentencePiece model has at most {MAX_BYTES}",
                bytes.len()
            )));
        }
        let proto = Self::decode(bytes).map_err(|error| {
            defect(format!("tokenizer.model is damaged or is no SentencePiece model: {error}"))
        })?;
        if proto.pieces.is_empty() {
            return Err(defect(
                "tokenizer.model holds no pieces: it is empty, truncated or no SentencePiece model",
            ));
        }
        Ok(proto)
    }

    /// The settings, or the name of the first one that is not supported.
    pub(super) fn settings(&self) -> Result<Settings, Error> {
        let trainer = self.trainer_spec.clone().unwrap_or_default();
        let normalizer = self.normalizer_spec.clone().unwrap_or_default();
        let kind = match trainer.model_type.unwrap_or(1) {
            1 => "unigram",
            2 => "BPE",
            3 => "word",
            4 => "char",
            _ => "unknown",
        };
        if kind != "BPE" {
            return Err(defect(format!("tokenizer.model: model type {kind} is not supported, only BPE is")));
        }
        let name = normalizer.name.unwrap_or_default();
        let refused = [
            (
                trainer.treat_whitespace_as_suffix.unwrap_or(false),
                "treat_whitespace_as_suffix = true".to_owned(),
            ),
            (
                normalizer.precompiled_charsmap.is_some_and(|map| !map.is_empty()),
                format!("the normalisation {name:?} (identity is)"),
            ),
            (
                normalizer.remove_extra_whitespaces.unwrap_or(true),
                "remove_extra_whitespaces = true".to_owned(),
            ),
            (!normalizer.escape_whitespaces.unwrap_or(true), "escape_whitespaces = false".to_owned()),
        ];
        if let Some((_, setting)) = refused.into_iter().find(|(refuse, _)| *refuse) {
            return Err(defect(format!("tokenizer.model: {setting} is not supported")));
        }
        Ok(Settings {
            byte_fallback: trainer.byte_fallback.unwrap_or(false),
            add_dummy_prefix: normalizer.add_dummy_prefix.unwrap_or(true),
            unk_surface: trainer.unk_surface.unwrap_or_else(|| " \u{2047} ".to_owned()),
            bos_piece: trainer.bos_piece.unwrap_or_else(|| "<s>".to_owned()),
            eos_piece: trainer.eos_piece.unwrap_or_else(|| "</s>".to_owned()),
            pad_piece: trainer.pad_piece.unwrap_or_else(|| "<pad>".to_owned()),
        })
    }
}
