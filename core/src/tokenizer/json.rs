//! `tokenizer.json`, through the `tokenizers` crate.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokenizers::models::ModelWrapper;
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{Encoding, NormalizedString, Normalizer, Token};

use super::{defect, wordpiece};
use crate::error::Error;

/// The three tokens every SentencePiece LLaMA begins with, in the order of their ids.
pub(super) const LLAMA_SPECIALS: [&str; 3] = ["<unk>", "<s>", "</s>"];

/// SentencePiece's visible blank, U+2581.
pub(super) const BLANK: char = '\u{2581}';

/// A loaded `tokenizer.json`.
#[derive(Debug)]
pub(super) struct JsonTokenizer {
    inner: tokenizers::Tokenizer,
    vocab_size: usize,
}

impl JsonTokenizer {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let file: Value = serde_json::from_slice(bytes)
            .map_err(|error| defect(format!("tokenizer.json is not JSON: {error}")))?;
        check_model(&file["model"])?;
        check_post_processor(&file["post_processor"])?;
        let mut inner = tokenizers::Tokenizer::from_bytes(bytes)
            .map_err(|error| defect(format!("tokenizer.json: {error}")))?;
        inner.with_truncation(None).map_err(|error| defect(format!("tokenizer.json: {error}")))?;
        inner.with_padding(None);
        // Text that spells a special token stays text.
        inner.set_encode_special_tokens(true);
        check_added_tokens(&file["added_tokens"], &inner)?;
        let vocab_size = check_ids(inner.get_vocab(true).into_values().collect())?;
        let mut tokenizer = Self { inner, vocab_size };
        tokenizer.add_bos_as_llama_does()?;
        Ok(tokenizer)
    }

    /// `LlamaTokenizer` replaces the file's post-processor by one that adds BOS; files converted straight from
    /// SentencePiece have none.
    fn add_bos_as_llama_does(&mut self) -> Result<(), Error> {
        let byte_fallback = matches!(self.inner.get_model(), ModelWrapper::BPE(bpe) if bpe.byte_fallback);
        let Some(bos) = self.inner.token_to_id("<s>") else {
            return Ok(());
        };
        let (prefix, suffix) = self.framing()?;
        if byte_fallback && prefix.is_empty() && suffix.is_empty() {
            let template = TemplateProcessing::builder()
                .try_single("<s> $A")
                .and_then(|builder| builder.try_pair("<s> $A <s> $B"))
                .map_err(defect)?
                .special_tokens(vec![("<s>", bos)])
                .build()
                .map_err(|error| defect(error.to_string()))?;
            self.inner.with_post_processor(Some(template));
        }
        Ok(())
    }

    /// The special ids the post-processor puts before and after a text, found with a stand-in for the text.
    pub(super) fn framing(&self) -> Result<(Vec<u32>, Vec<u32>), Error> {
        let stand_in = u32::MAX;
        let text = Encoding::from_tokens(vec![Token::new(stand_in, "x".into(), (0, 1))], 0);
        let framed = self
            .inner
            .post_process(text, None, true)
            .map_err(|error| defect(format!("post-processor: {error}")))?;
        let mut sides = framed.get_ids().splitn(2, |&id| id == stand_in).map(<[u32]>::to_vec);
        match (sides.next(), sides.next()) {
            (Some(prefix), Some(suffix)) => {
                let outside = prefix.iter().chain(&suffix).find(|&&id| id as usize >= self.vocab_size);
                match outside {
                    Some(id) => {
                        Err(defect(format!("the post-processor adds id {id}, outside the vocabulary")))
                    }
                    None => Ok((prefix, suffix)),
                }
            }
            _ => Err(defect("the post-processor drops the text it is given")),
        }
    }

    pub(super) fn encode(&self, text: &str, max_tokens: usize) -> Result<Vec<u32>, Error> {
        // The library's own message is dropped: it could quote the text.
        let encoding = self.inner.encode_fast(text, false).map_err(|_| {
            defect("a character of the text has no token, and the vocabulary has no unknown token")
        })?;
        let ids = encoding.get_ids();
        Ok(ids[..ids.len().min(max_tokens)].to_vec())
    }

    pub(super) fn decode(&self, ids: &[u32]) -> Result<String, Error> {
        self.inner.decode(ids, true).map_err(|_| defect("these ids have no text"))
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>, Error> {
        let json = self.inner.to_string(false).map_err(|error| defect(error.to_string()))?;
        Ok(json.into_bytes())
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.vocab_size
    }

    /// See [`Tokenizer::case_warning`](super::Tokenizer::case_warning).
    pub(super) fn case_warning(&self) -> Option<String> {
        let ModelWrapper::WordPiece(_) = self.inner.get_model() else {
            return None;
        };
        let mut probe = NormalizedString::from("A");
        if let Some(normalizer) = self.inner.get_normalizer() {
            normalizer.normalize(&mut probe).ok()?;
        }
        let vocab = self.inner.get_vocab(false);
        wordpiece::case_warning(vocab.keys().map(String::as_str), probe.get() == "a")
    }

    /// The id of the first of `names` that the vocabulary has.
    pub(super) fn first_of(&self, names: &[&str]) -> Option<u32> {
        names.iter().find_map(|name| self.inner.token_to_id(name))
    }
}

/// Refuses what the library would accept silently or answer with a panic: other kinds of model, and merges that
/// join to a token outside the vocabulary.
fn check_model(model: &Value) -> Result<(), Error> {
    let kind = model["type"].as_str().unwrap_or("none");
    if !matches!(kind, "BPE" | "WordPiece") {
        return Err(defect(format!(
            "tokenizer.json: model type {kind} is not supported; BPE and WordPiece are"
        )));
    }
    let Some(vocab) = model["vocab"].as_object().filter(|vocab| !vocab.is_empty()) else {
        return Err(defect("tokenizer.json: model.vocab is missing or empty"));
    };
    if let Some(unknown) = model["unk_token"].as_str()
        && !vocab.contains_key(unknown)
    {
        return Err(defect(format!("tokenizer.json: the unknown token {unknown:?} is not in model.vocab")));
    }
    if kind == "BPE" {
        let prefix = model["continuing_subword_prefix"].as_str().unwrap_or("");
        for (rank, merge) in model["merges"].as_array().into_iter().flatten().enumerate() {
            let (left, right) = match merge {
                Value::String(pair) => pair.split_once(' '),
                Value::Array(pair) => match pair.as_slice() {
                    [Value::String(left), Value::String(right)] => Some((left.as_str(), right.as_str())),
                    _ => None,
                },
                _ => None,
            }
            .ok_or_else(|| defect(format!("tokenizer.json: merge {rank} is not a pair of tokens")))?;
            let joined = right.strip_prefix(prefix).map(|rest| format!("{left}{rest}"));
            if !joined.is_some_and(|joined| vocab.contains_key(&joined)) {
                return Err(defect(format!(
                    "tokenizer.json: merge {rank} gives a token outside model.vocab"
                )));
            }
        }
    }
    Ok(())
}

/// A template that names a token it does not define makes the library panic.
fn check_post_processor(processor: &Value) -> Result<(), Error> {
    for part in processor["processors"].as_array().into_iter().flatten() {
        check_post_processor(part)?;
    }
    let templates = [&processor["single"], &processor["pair"]];
    for step in templates.iter().filter_map(|template| template.as_array()).flatten() {
        if let Some(name) = step["SpecialToken"]["id"].as_str()
            && processor["special_tokens"][name]["ids"].is_null()
        {
            return Err(defect(format!(
                "tokenizer.json: the post-processor does not define its token {name:?}"
            )));
        }
    }
    Ok(())
}

/// The library gives an added token the next free id where the file asks for another one.
fn check_added_tokens(added_tokens: &Value, inner: &tokenizers::Tokenizer) -> Result<(), Error> {
    for token in added_tokens.as_array().into_iter().flatten() {
        let content = token["content"].as_str().unwrap_or_default();
        let id = inner.token_to_id(content).map(u64::from);
        if id != token["id"].as_u64() {
            return Err(defect(format!(
                "tokenizer.json: the added token {content:?} has the id {}, which does not follow the vocabulary",
                token["id"]
            )));
        }
    }
    Ok(())
}

/// The vocabulary's size, if its ids are exactly `0..size`: an embedding has one row for each.
fn check_ids(mut ids: Vec<u32>) -> Result<usize, Error> {
    ids.sort_unstable();
    for (expected, &id) in (0u32..).zip(&ids) {
        if id < expected {
            return Err(defect(format!("tokenizer.json: two tokens have the id {id}")));
        }
        if id > expected {
            return Err(defect(format!("tokenizer.json: no token has the id {expected}, yet one has {id}")));
        }
    }
    Ok(ids.len())
}

/// A `tokenizer.json` in LLaMA's style from tokens in the order of their ids and merges in the order of their
/// rank: what Hugging Face writes for a SentencePiece model.
pub(super) fn llama_json(
    tokens: &[&str],
    merges: &[(&str, &str)],
    special_ids: &[u32],
    settings: &LlamaSettings<'_>,
) -> Result<Vec<u8>, Error> {
    let vocab: HashMap<&str, usize> = tokens.iter().enumerate().map(|(id, &token)| (token, id)).collect();
    let added: Vec<Value> = special_ids
        .iter()
        .map(|&id| {
            json!({
                "id": id, "content": tokens[id as usize], "special": true,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            })
        })
        .collect();
    let blank = BLANK.to_string();
    let mut normalizers = Vec::new();
    let mut decoders = vec![
        json!({"type": "Replace", "pattern": {"String": blank}, "content": " "}),
        json!({"type": "ByteFallback"}),
        json!({"type": "Fuse"}),
    ];
    if settings.add_dummy_prefix {
        normalizers.push(json!({"type": "Prepend", "prepend": blank}));
        decoders.push(json!({"type": "Strip", "content": " ", "start": 1, "stop": 0}));
    }
    normalizers.push(json!({"type": "Replace", "pattern": {"String": " "}, "content": blank}));
    let template = settings.bos.map(|bos| {
        let id = vocab[bos];
        let special = json!({"SpecialToken": {"id": bos, "type_id": 0}});
        let second = json!({"SpecialToken": {"id": bos, "type_id": 1}});
        json!({
            "type": "TemplateProcessing",
            "single": [special, {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [
                special, {"Sequence": {"id": "A", "type_id": 0}},
                second, {"Sequence": {"id": "B", "type_id": 1}},
            ],
            "special_tokens": {bos: {"id": bos, "ids": [id], "tokens": [bos]}},
        })
    });
    let file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {"type": "Sequence", "normalizers": normalizers},
        "pre_tokenizer": null,
        "post_processor": template,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": {
            "type": "BPE", "dropout": null, "unk_token": settings.unk, "continuing_subword_prefix": null,
            "end_of_word_suffix": null, "fuse_unk": true, "byte_fallback": settings.byte_fallback,
            "ignore_merges": false, "vocab": vocab, "merges": merges,
        },
    });
    serde_json::to_vec(&file).map_err(|error| defect(error.to_string()))
}

/// What differs between SentencePiece models of LLaMA's kind.
#[derive(Debug)]
pub(super) struct LlamaSettings<'a> {
    pub(super) unk: &'a str,
    pub(super) bos: Option<&'a str>,
    pub(super) byte_fallback: bool,
    pub(super) add_dummy_prefix: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small BPE file with `change` made to it.
    fn file(change: impl FnOnce(&mut Value)) -> Vec<u8> {
        let settings =
            LlamaSettings { unk: "<unk>", bos: None, byte_fallback: false, add_dummy_prefix: false };
        let tokens = ["<unk>", "<s>", "</s>", "a", "b", "ab"];
        let json = llama_json(&tokens, &[("a", "b")], &[0, 1, 2], &settings).unwrap();
        let mut value = serde_json::from_slice(&json).unwrap();
        change(&mut value);
        serde_json::to_vec(&value).unwrap()
    }

    fn reason(bytes: &[u8]) -> String {
        JsonTokenizer::read(bytes).unwrap_err().to_string()
    }

    #[test]
    fn a_sound_file_is_read() {
        let tokenizer = JsonTokenizer::read(&file(|_| ())).unwrap();
        assert_eq!(tokenizer.encode("abbac", usize::MAX).unwrap(), [5, 4, 3, 0]);
        assert_eq!(tokenizer.framing().unwrap(), (vec![], vec![]), "no byte fallback: not a LLaMA");
    }

    #[test]
    fn bos_is_added_for_llama_and_kept_in_its_json() {
        let llama = file(|json| json["model"]["byte_fallback"] = true.into());
        let tokenizer = JsonTokenizer::read(&llama).unwrap();
        assert_eq!(tokenizer.framing().unwrap(), (vec![1], vec![]));
        let inner = tokenizers::Tokenizer::from_bytes(tokenizer.to_json().unwrap()).unwrap();
        assert_eq!(inner.encode("ab", true).unwrap().get_ids(), [1, 5]);
    }

    #[test]
    fn damaged_files_are_refused_with_the_defect() {
        let no_json = "tokenizer: tokenizer.json is not JSON: ";
        assert!(reason(b"").starts_with(no_json), "{}", reason(b""));
        assert!(reason(&file(|_| ())[..200]).starts_with(no_json), "a cut file");
        assert!(reason(b"{}").contains("model type none is not supported"), "{}", reason(b"{}"));
        assert!(reason(b"[1]").contains("model type none is not supported"), "{}", reason(b"[1]"));
        for (change, defect) in [
            (("type", json!("Unigram")), "model type Unigram is not supported"),
            (("vocab", json!({})), "model.vocab is missing or empty"),
            (("vocab", json!(["a"])), "model.vocab is missing or empty"),
            (("unk_token", json!("?")), "the unknown token \"?\" is not in model.vocab"),
            (("merges", json!(["a b", "ab"])), "merge 1 is not a pair of tokens"),
            (("merges", json!([["b", "a"]])), "merge 0 gives a token outside model.vocab"),
            (("merges", json!([["", "ab"]])), "tokenizer.json: "),
            (
                ("vocab", json!({"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 4, "ab": 6})),
                "no token has the id 5, yet one has 6",
            ),
            (
                ("vocab", json!({"<unk>": 0, "<s>": 1, "</s>": 2, "a": 3, "b": 3, "ab": 4})),
                "two tokens have the id 3",
            ),
            (
                ("vocab", json!({"<unk>": -1, "<s>": 1, "</s>": 2, "a": 3, "b": 4, "ab": 5})),
                "tokenizer.json: ",
            ),
        ] {
            let message = reason(&file(|json| json["model"][change.0] = change.1));
            assert!(message.contains(defect), "{message}");
        }
        let message = reason(&file(|json| json["added_tokens"][2]["id"] = 7.into()));
        assert!(message.contains("the added token \"</s>\" has the id 7"), "{message}");
        let message = reason(&file(|json| {
            json["post_processor"] = json!({"type": "BertProcessing", "sep": ["</s>", 2], "cls": ["<s>", 9]});
        }));
        assert!(message.contains("adds id 9, outside the vocabulary"), "{message}");
        let message = reason(&file(|json| {
            json["post_processor"] = json!({"type": "Sequence", "processors": [{
                "type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}],
                "pair": [], "special_tokens": {},
            }]});
        }));
        assert!(message.contains("does not define its token \"<s>\""), "{message}");
    }
}
