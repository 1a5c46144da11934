//! A SentencePiece `tokenizer.model`: blanks become `▁`, [`merging`](super::merging) cuts the text into pieces,
//! and characters without a piece become byte pieces, or the unknown piece where the model has no bytes.
//!
//! Kudo and Richardson, "SentencePiece", EMNLP 2018.

use std::collections::HashMap;

use super::defect;
use super::json::{BLANK, LlamaSettings, llama_json};
use super::merging::final_pieces;
use super::model_proto::{Kind, ModelProto, Settings};
use crate::error::Error;

/// A loaded `tokenizer.model`.
#[derive(Debug)]
pub(super) struct SentencePiece {
    pub(super) pieces: Vec<Piece>,
    /// Ids of the pieces that text can become: normal, user-defined and unused ones.
    pub(super) ids: HashMap<String, u32>,
    /// Ids of the 256 byte pieces; empty without byte fallback.
    byte_ids: Vec<u32>,
    unknown: u32,
    /// User-defined pieces by first character, longest first: they are matched before any merge.
    pub(super) user_defined: HashMap<char, Vec<String>>,
    /// Whether words can be encoded one by one: no piece crosses from one word into the next.
    words_are_independent: bool,
    settings: Settings,
}

#[derive(Debug)]
pub(super) struct Piece {
    pub(super) text: String,
    pub(super) score: f32,
    pub(super) kind: Kind,
}

impl SentencePiece {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Error> {
        let proto = ModelProto::read(bytes)?;
        let settings = proto.settings()?;
        let mut pieces = Vec::with_capacity(proto.pieces.len());
        for (id, piece) in proto.pieces.into_iter().enumerate() {
            let score = piece.score.unwrap_or(0.0);
            let text = piece.text.unwrap_or_default();
            let kind = Kind::try_from(piece.kind.unwrap_or(Kind::Normal as i32))
                .map_err(|_| defect(format!("tokenizer.model: piece {id} is of an unknown kind")))?;
            if text.is_empty() {
                return Err(defect(format!("tokenizer.model: piece {id} is empty")));
            }
            if !score.is_finite() {
                return Err(defect(format!(
                    "tokenizer.model: the score of piece {id} is not a finite number"
                )));
            }
            pieces.push(Piece { text, score, kind });
        }
        Self::from_pieces(pieces, settings)
    }

    fn from_pieces(pieces: Vec<Piece>, settings: Settings) -> Result<Self, Error> {
        let mut ids = HashMap::with_capacity(pieces.len());
        let mut reserved = HashMap::new();
        let mut user_defined: HashMap<char, Vec<String>> = HashMap::new();
        let mut unknown = Vec::new();
        for (id, piece) in (0u32..).zip(&pieces) {
            let of_text = matches!(piece.kind, Kind::Normal | Kind::UserDefined | Kind::Unused);
            let names = if of_text { &mut ids } else { &mut reserved };
            if names.insert(piece.text.clone(), id).is_some() {
                return Err(defect(format!("tokenizer.model: piece {id} stands there twice")));
            }
            match piece.kind {
                Kind::Unknown => unknown.push(id),
                Kind::UserDefined => {
                    let first = piece.text.chars().next().unwrap_or(BLANK);
                    user_defined.entry(first).or_default().push(piece.text.clone());
                }
                Kind::Normal | Kind::Control | Kind::Unused | Kind::Byte => {}
            }
        }
        for same_start in user_defined.values_mut() {
            same_start.sort_by_key(|text| std::cmp::Reverse(text.len()));
        }
        let &[unknown] = unknown.as_slice() else {
            return Err(defect(format!(
                "tokenizer.model has {} unknown pieces instead of one",
                unknown.len()
            )));
        };
        let byte_ids = if settings.byte_fallback { byte_ids(&pieces, &reserved)? } else { Vec::new() };
        let words_are_independent =
            pieces.iter().all(|piece| !piece.text.trim_start_matches(BLANK).contains(BLANK));
        Ok(Self { pieces, ids, byte_ids, unknown, user_defined, words_are_independent, settings })
    }

    pub(super) fn encode(&self, text: &str, max_tokens: usize) -> Vec<u32> {
        let mut normalised = String::with_capacity(text.len() + text.len() / 4 + BLANK.len_utf8());
        if self.settings.add_dummy_prefix && !text.is_empty() {
            normalised.push(BLANK);
        }
        normalised.extend(text.chars().map(|char| if char == ' ' { BLANK } else { char }));

        let mut ids = Vec::new();
        let mut rest = normalised.as_str();
        // A note is cut at 128 tokens, so its later words need no work.
        while !rest.is_empty() && ids.len() < max_tokens {
            let end = if self.words_are_independent { end_of_word(rest) } else { rest.len() };
            let (word, tail) = rest.split_at(end);
            self.encode_word(word, &mut ids);
            rest = tail;
        }
        ids.truncate(max_tokens);
        ids
    }

    fn encode_word(&self, word: &str, ids: &mut Vec<u32>) {
        for piece in final_pieces(self, word) {
            match self.ids.get(piece) {
                Some(&id) => ids.push(id),
                None if !self.byte_ids.is_empty() => {
                    ids.extend(piece.bytes().map(|byte| self.byte_ids[usize::from(byte)]));
                }
                // A run of unknown characters is one unknown piece.
                None if ids.last() == Some(&self.unknown) => {}
                None => ids.push(self.unknown),
            }
        }
    }

    pub(super) fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        let mut bytes = Vec::new();
        let mut at_start = self.settings.add_dummy_prefix;
        for &id in ids {
            let piece = &self.pieces[id as usize];
            if piece.kind == Kind::Byte {
                bytes.extend(byte_value(&piece.text));
                continue;
            }
            push_bytes(&mut bytes, &mut text);
            match piece.kind {
                Kind::Control => {}
                Kind::Unknown => text.push_str(&self.settings.unk_surface),
                Kind::Normal | Kind::UserDefined | Kind::Unused | Kind::Byte => {
                    let mut piece = piece.text.as_str();
                    // The blank that encoding put in front of the text.
                    if at_start
                        && text.is_empty()
                        && let Some(stripped) = piece.strip_prefix(BLANK)
                    {
                        piece = stripped;
                        at_start = false;
                    }
                    text.extend(piece.chars().map(|char| if char == BLANK { ' ' } else { char }));
                }
            }
        }
        push_bytes(&mut bytes, &mut text);
        text
    }

    /// Hugging Face's conversion: each way to split a piece into two pieces is a merge, ordered by the score of
    /// the piece, then longer left parts first.
    ///
    /// Where scores differ the ids stay the same, but for a piece that overlaps itself with the longer part in
    /// common (`_ __ _`), which merging from the left does not leave behind.
    pub(super) fn to_json(&self) -> Result<Vec<u8>, Error> {
        if let Some(piece) =
            self.pieces.iter().find(|piece| matches!(piece.kind, Kind::UserDefined | Kind::Unused))
        {
            return Err(defect(format!(
                "piece {:?} of tokenizer.model is {:?}; no tokenizer.json can encode as SentencePiece does then",
                piece.text, piece.kind
            )));
        }
        let joined = self
            .pieces
            .iter()
            .filter(|piece| piece.kind == Kind::Normal && piece.text.chars().nth(1).is_some());
        let mut scores: Vec<f32> = joined.map(|piece| piece.score).collect();
        scores.sort_unstable_by(f32::total_cmp);
        if let Some(pair) = scores.windows(2).find(|pair| pair[0].total_cmp(&pair[1]).is_eq()) {
            return Err(defect(format!(
                "two pieces of tokenizer.model have the score {}; no tokenizer.json can encode as SentencePiece does then",
                pair[0]
            )));
        }
        let mut merges = Vec::new();
        for piece in self.pieces.iter().filter(|piece| piece.kind == Kind::Normal) {
            let mut splits: Vec<(u32, u32)> = piece
                .text
                .char_indices()
                .skip(1)
                .filter_map(|(at, _)| {
                    let (left, right) = piece.text.split_at(at);
                    Some((*self.ids.get(left)?, *self.ids.get(right)?))
                })
                .collect();
            splits.sort_unstable();
            merges.extend(splits.into_iter().map(|(left, right)| {
                let (left, right) = (self.text(left), self.text(right));
                (piece.score, left.chars().count(), right.chars().count(), left, right)
            }));
        }
        merges.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(b.2.cmp(&a.2)));

        let tokens: Vec<&str> = self.pieces.iter().map(|piece| piece.text.as_str()).collect();
        let merges: Vec<(&str, &str)> = merges.into_iter().map(|(.., left, right)| (left, right)).collect();
        let special: Vec<u32> = (0u32..)
            .zip(&self.pieces)
            .filter(|(_, piece)| matches!(piece.kind, Kind::Unknown | Kind::Control))
            .map(|(id, _)| id)
            .collect();
        let settings = LlamaSettings {
            unk: self.text(self.unknown),
            bos: self.bos_id().map(|bos| self.text(bos)),
            byte_fallback: self.settings.byte_fallback,
            add_dummy_prefix: self.settings.add_dummy_prefix,
        };
        llama_json(&tokens, &merges, &special, &settings)
    }

    fn text(&self, id: u32) -> &str {
        &self.pieces[id as usize].text
    }

    pub(super) fn vocab_size(&self) -> usize {
        self.pieces.len()
    }

    pub(super) fn bos_id(&self) -> Option<u32> {
        self.control_id(&self.settings.bos_piece)
    }

    pub(super) fn eos_id(&self) -> Option<u32> {
        self.control_id(&self.settings.eos_piece)
    }

    pub(super) fn pad_id(&self) -> Option<u32> {
        self.control_id(&self.settings.pad_piece)
    }

    pub(super) fn unk_id(&self) -> u32 {
        self.unknown
    }

    fn control_id(&self, name: &str) -> Option<u32> {
        let mut pieces = (0u32..).zip(&self.pieces);
        pieces.find(|(_, piece)| piece.kind == Kind::Control && piece.text == name).map(|(id, _)| id)
    }
}

/// Where the first word ends: at the first blank after another character.
fn end_of_word(text: &str) -> usize {
    let blanks = text.len() - text.trim_start_matches(BLANK).len();
    text[blanks..].find(BLANK).map_or(text.len(), |at| blanks + at)
}

/// The ids of `<0x00>` to `<0xFF>`, all of which a model with byte fallback must have.
fn byte_ids(pieces: &[Piece], reserved: &HashMap<String, u32>) -> Result<Vec<u32>, Error> {
    (0..=255u8)
        .map(|byte| {
            let name = format!("<0x{byte:02X}>");
            let id = reserved.get(&name).filter(|&&id| pieces[id as usize].kind == Kind::Byte);
            id.copied().ok_or_else(|| defect(format!("tokenizer.model: the byte piece {name} is missing")))
        })
        .collect()
}

/// The byte that a piece such as `<0x0A>` stands for.
fn byte_value(piece: &str) -> Option<u8> {
    u8::from_str_radix(piece.strip_prefix("<0x")?.strip_suffix('>')?, 16).ok()
}

/// Moves `bytes` to `text`; a byte that is no UTF-8 becomes U+FFFD.
fn push_bytes(bytes: &mut Vec<u8>, text: &mut String) {
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
    }
    bytes.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    const LLAMA: &[u8] = include_bytes!("../../../tests/golden/tokenizer/llama.model");

    fn reason(bytes: &[u8]) -> String {
        SentencePiece::read(bytes).unwrap_err().to_string()
    }

    /// A varint field of the trainer's (2) or the normaliser's (3) settings; the last one read counts.
    fn with_setting(message: u8, field: u8, value: u8) -> Vec<u8> {
        [LLAMA, &[message << 3 | 2, 3, field << 3 & 0x7f | 0x80, field >> 4, value]].concat()
    }

    #[test]
    fn settings_outside_llamas_kind_are_refused_by_name() {
        assert!(SentencePiece::read(&with_setting(2, 3, 2)).is_ok(), "BPE");
        for (message, field, value, name) in [
            (2, 3, 1, "model type unigram is not supported"),
            (2, 3, 4, "model type char is not supported"),
            (2, 24, 1, "treat_whitespace_as_suffix = true is not supported"),
            (3, 4, 1, "remove_extra_whitespaces = true is not supported"),
            (3, 5, 0, "escape_whitespaces = false is not supported"),
        ] {
            let message = reason(&with_setting(message, field, value));
            assert!(message.contains(name), "{message}");
        }
        let charsmap = [LLAMA, &[0x1a, 3, 0x12, 1, 7]].concat();
        assert!(reason(&charsmap).contains("the normalisation \"identity\""), "{}", reason(&charsmap));
    }

    #[test]
    fn faulty_pieces_are_refused() {
        let with_piece = |piece: &[u8]| [LLAMA, &[0x0a, u8::try_from(piece.len()).unwrap()], piece].concat();
        assert!(SentencePiece::read(&with_piece(&[0x0a, 2, b'#', b'#'])).is_ok(), "a sound one");
        for (piece, name) in [
            (&[0x0a, 3, b'<', b's', b'>', 0x18, 3][..], "piece 600 stands there twice"),
            (&[0x0a, 1, b'#', 0x18, 2], "2 unknown pieces"),
            (&[0x0a, 1, b'#', 0x18, 9], "piece 600 is of an unknown kind"),
            (&[0x0a, 1, b'#', 0x15, 0, 0, 0xc0, 0x7f], "the score of piece 600 is not a finite number"),
            (&[0x0a, 0], "piece 600 is empty"),
        ] {
            let message = reason(&with_piece(piece));
            assert!(message.contains(name), "{message}");
        }
    }

    #[test]
    fn damaged_files_give_an_error_or_a_tokenizer_that_works() {
        let text = "Patient </s> \u{1f600} ___ chest  pain\n";
        let try_out = |bytes: &[u8]| {
            if let Ok(model) = SentencePiece::read(bytes) {
                let ids = model.encode(text, usize::MAX);
                model.decode(&ids);
                drop(model.to_json());
            }
        };
        for length in (0..LLAMA.len()).step_by(7) {
            try_out(&LLAMA[..length]);
        }
        for at in (0..LLAMA.len()).step_by(3) {
            let mut damaged = LLAMA.to_vec();
            damaged[at] ^= 0xff;
            try_out(&damaged);
        }
        assert!(reason(b"").contains("holds no pieces"), "{}", reason(b""));
        assert!(reason(&LLAMA[..100]).contains("is damaged"), "{}", reason(&LLAMA[..100]));
        assert!(reason(b"{\"model\": {}}").contains("is damaged"), "a JSON file");
        // A length of 2^62 bytes that are not there.
        assert!(reason(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x3f]).contains("is damaged"));
        assert!(reason(&vec![0; (8 << 20) + 1]).contains("has 8388609 bytes"), "far too large");
    }
}
