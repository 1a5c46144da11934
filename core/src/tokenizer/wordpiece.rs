//! BERT's `vocab.txt`, as the `tokenizer.json` that Hugging Face's `BertTokenizer` amounts to.
//!
//! Devlin et al. 2019: text is cleaned, split at blanks and punctuation, and each word cut greedily into the longest pieces
//! of the vocabulary; pieces inside a word begin with `##`. Lower-casing strips accents too.

use serde_json::{Map, Value, json};

use super::defect;
use crate::error::Error;

const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/// Longer words are unknown, in characters.
const LONGEST_WORD: usize = 100;

/// A `tokenizer.json` of the pieces in `vocab` (one a line, the id is the line's number from 0).
///
/// # Errors
/// [`Error::Tokenizer`] for what is not UTF-8, a piece that stands twice, or special tokens that are missing.
pub(super) fn json(vocab: &[u8], lowercase: bool) -> Result<Vec<u8>, Error> {
    let text = std::str::from_utf8(vocab).map_err(|e| defect(format!("vocab.txt is not UTF-8: {e}")))?;
    let mut ids = Map::new();
    for (id, piece) in text.split_terminator('\n').enumerate() {
        let piece = piece.trim_end_matches('\r');
        if ids.insert(piece.to_owned(), json!(id)).is_some() {
            return Err(defect(format!("vocab.txt:{}: the piece {piece:?} stands twice", id + 1)));
        }
    }
    let missing: Vec<&str> = SPECIAL[..4].iter().copied().filter(|token| !ids.contains_key(*token)).collect();
    if !missing.is_empty() {
        return Err(defect(format!("vocab.txt lacks {}", missing.join(", "))));
    }
    let added: Vec<Value> = SPECIAL
        .iter()
        .filter_map(|token| {
            Some(json!({
                "id": ids.get(*token)?, "content": token, "special": true,
                "single_word": false, "lstrip": false, "rstrip": false, "normalized": false,
            }))
        })
        .collect();
    let special = |token: &str, type_id: u8| json!({"SpecialToken": {"id": token, "type_id": type_id}});
    let sequence = |id: &str, type_id: u8| json!({"Sequence": {"id": id, "type_id": type_id}});
    let defined = |token: &str| json!({"id": token, "ids": [ids[token]], "tokens": [token]});
    let file = json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": {
            "type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null,
            "lowercase": lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0)],
            "pair": [
                special("[CLS]", 0), sequence("A", 0), special("[SEP]", 0), sequence("B", 1), special("[SEP]", 1),
            ],
            "special_tokens": {"[CLS]": defined("[CLS]"), "[SEP]": defined("[SEP]")},
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {
            "type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
            "max_input_chars_per_word": LONGEST_WORD, "vocab": ids,
        },
    });
    serde_json::to_vec(&file).map_err(|error| defect(error.to_string()))
}

/// What to say where a vocabulary and the lower-casing disagree; `pieces` are those of a `WordPiece` vocabulary, special
/// tokens left out.
pub(super) fn case_warning<'a>(pieces: impl Iterator<Item = &'a str>, lowercases: bool) -> Option<String> {
    let (mut all, mut capital) = (0_usize, 0_usize);
    for piece in pieces.filter(|piece| !SPECIAL.contains(piece) && !piece.starts_with("[unused")) {
        all += usize::from(piece.chars().any(char::is_alphabetic));
        capital += usize::from(piece.chars().any(char::is_uppercase));
    }
    // A few stray capitals do not make a vocabulary a cased one.
    let is_cased = capital * 100 > all;
    match (is_cased, lowercases) {
        (true, true) => Some(format!(
            "the vocabulary is cased ({capital} of its pieces hold capitals), but the tokenizer lower-cases every text, so \
             those are never used; if the model was trained on cased text, set do_lower_case to false in \
             tokenizer_config.json"
        )),
        (false, false) if all > 0 => Some(
            "the vocabulary has no capitals, but the tokenizer keeps the case of a text, so words with capitals become \
             unknown; set do_lower_case to true in tokenizer_config.json"
                .to_owned(),
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tokenizer;

    const CASED: &str = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nThe\nthe\nfever\nis\n##ish\n.\nÉ\ne\n";

    fn ids(vocab: &str, lowercase: bool, text: &str) -> Vec<u32> {
        let tokenizer = Tokenizer::from_wordpiece(vocab.as_bytes(), lowercase).expect("a vocabulary");
        tokenizer.encode(text, usize::MAX).expect("encoded")
    }

    #[test]
    fn case_is_kept_or_lowered_with_the_accents() {
        assert_eq!(ids(CASED, false, "The feverish É."), [2, 5, 7, 9, 11, 10, 3]);
        assert_eq!(ids(CASED, true, "The feverish É."), [2, 6, 7, 9, 12, 10, 3]);
        assert_eq!(ids(CASED, false, "[MASK] is"), [2, 1, 1, 1, 8, 3], "a note cannot forge a special token");
    }

    #[test]
    fn a_vocabulary_at_odds_with_the_lower_casing_is_told() {
        let warning = |vocab: &str, lowercase| {
            let tokenizer = Tokenizer::from_wordpiece(vocab.as_bytes(), lowercase).expect("a vocabulary");
            tokenizer.case_warning()
        };
        let uncased = CASED.replace("The\n", "").replace("É\n", "");
        assert!(warning(CASED, true).expect("at odds").contains("is cased (2 of"));
        assert!(warning(&uncased, false).expect("at odds").contains("no capitals"));
        assert_eq!(warning(CASED, false), None);
        assert_eq!(warning(&uncased, true), None);
    }

    #[test]
    fn damaged_vocabularies_are_refused_with_the_line() {
        let error = |vocab: &[u8]| {
            let read = Tokenizer::from_wordpiece(vocab, true);
            read.expect_err("damaged").to_string()
        };
        assert!(error(CASED.replace("is\n", "the\n").as_bytes()).contains("vocab.txt:9"));
        assert!(error(CASED.replace("[CLS]", "[cls]").as_bytes()).contains("lacks [CLS]"));
        assert!(error(&[0xff, 0xfe]).contains("UTF-8"));
    }
}
