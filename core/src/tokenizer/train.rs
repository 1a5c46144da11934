//! Training of a small byte-fallback BPE in LLaMA's style, for base models built from scratch.
//!
//! Text is cut as SentencePiece cuts it with LLaMA's settings: a blank becomes `▁` and opens a new word, each
//! digit stands alone, letters and other signs do not mix, and control characters are left to the byte tokens.
//! Pairs are then merged by falling count; equal counts go to the pair with the smaller ids. Nothing depends on
//! the order of the texts, on a hash map's order or on threads.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap, HashSet};

use super::defect;
use super::json::{BLANK, LLAMA_SPECIALS, LlamaSettings, llama_json};
use crate::error::Error;

/// Share of the corpus whose characters get a token; the rare rest falls back to bytes. SentencePiece's default.
const CHARACTER_COVERAGE: f64 = 0.9995;

/// Longest piece, in characters. SentencePiece's default.
const MAX_PIECE_CHARS: usize = 16;

/// Longer runs are cut, so that one runaway line does not slow down every merge.
const MAX_WORD_BYTES: usize = 256;

/// A pair seen once teaches nothing.
const MIN_PAIR_COUNT: u64 = 2;

type Pair = (u32, u32);

/// Trains on `texts` and gives a `tokenizer.json`.
pub(super) fn train(
    texts: impl Iterator<Item = impl AsRef<str>>,
    vocab_size: usize,
) -> Result<Vec<u8>, Error> {
    let byte_tokens = (0..=255u8).map(|byte| format!("<0x{byte:02X}>"));
    let mut tokens: Vec<String> = LLAMA_SPECIALS.map(str::to_owned).into_iter().chain(byte_tokens).collect();
    let room = vocab_size.saturating_sub(tokens.len());
    if room < 2 {
        return Err(defect(format!(
            "a vocabulary of {vocab_size} is too small: 3 special tokens and 256 bytes come first, so ask for 300 or more"
        )));
    }
    let words = count_words(texts);
    if words.is_empty() {
        return Err(defect("there is no text to train a vocabulary on"));
    }

    let alphabet = choose_alphabet(&words, room / 2);
    let mut next_id = 0u32;
    let mut ids = HashMap::new();
    for token in &tokens {
        ids.insert(token.clone(), next_id);
        next_id += 1;
    }
    for char in alphabet {
        tokens.push(char.to_string());
        ids.insert(char.to_string(), next_id);
        next_id += 1;
    }

    let mut corpus = Corpus::new(&words, &ids);
    let mut merges = Vec::new();
    while tokens.len() < vocab_size {
        let Some((left, right)) = corpus.most_frequent_pair() else {
            break;
        };
        merges.push((left, right));
        let joined = format!("{}{}", tokens[left as usize], tokens[right as usize]);
        // Two different pairs may join to one piece: the second is a further merge, not a further token.
        let id = *ids.entry(joined).or_insert_with_key(|joined| {
            tokens.push(joined.clone());
            next_id += 1;
            next_id - 1
        });
        corpus.merge((left, right), id);
    }

    let tokens: Vec<&str> = tokens.iter().map(String::as_str).collect();
    let merges: Vec<(&str, &str)> =
        merges.iter().map(|&(left, right)| (tokens[left as usize], tokens[right as usize])).collect();
    let [unk, bos, _] = LLAMA_SPECIALS;
    let settings = LlamaSettings { unk, bos: Some(bos), byte_fallback: true, add_dummy_prefix: true };
    llama_json(&tokens, &merges, &[0, 1, 2], &settings)
}

/// The words of all texts, each with its count, in alphabetical order.
fn count_words(texts: impl Iterator<Item = impl AsRef<str>>) -> BTreeMap<String, u64> {
    let mut counts: HashMap<String, u64> = HashMap::new();
    let mut word = String::new();
    let mut close = |word: &mut String| {
        if let Some(count) = counts.get_mut(word.as_str()) {
            *count += 1;
        } else if !word.is_empty() {
            counts.insert(word.clone(), 1);
        }
        word.clear();
    };
    for text in texts {
        let mut last = CharClass::Blank;
        if !text.as_ref().is_empty() {
            word.push(BLANK);
        }
        for char in text.as_ref().chars() {
            let class = CharClass::of(char);
            let goes_on = match class {
                CharClass::Blank | CharClass::Control | CharClass::Digit => false,
                CharClass::Letter | CharClass::Sign => class == last || last == CharClass::Blank,
            };
            if !goes_on || word.len() >= MAX_WORD_BYTES {
                close(&mut word);
            }
            match class {
                CharClass::Blank => word.push(BLANK),
                CharClass::Control => {}
                CharClass::Digit | CharClass::Letter | CharClass::Sign => word.push(char),
            }
            last = class;
        }
        close(&mut word);
    }
    counts.into_iter().collect()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum CharClass {
    Blank,
    Control,
    Digit,
    Letter,
    Sign,
}

impl CharClass {
    fn of(char: char) -> Self {
        match char {
            ' ' | BLANK => Self::Blank,
            _ if char.is_control() => Self::Control,
            _ if char.is_numeric() => Self::Digit,
            _ if char.is_alphabetic() => Self::Letter,
            _ => Self::Sign,
        }
    }
}

/// The blank, then the most frequent other characters, up to [`CHARACTER_COVERAGE`] of the corpus and at most
/// `limit` in all.
fn choose_alphabet(words: &BTreeMap<String, u64>, limit: usize) -> Vec<char> {
    let mut counts: BTreeMap<char, u64> = BTreeMap::new();
    for (word, count) in words {
        for char in word.chars().filter(|&char| char != BLANK) {
            *counts.entry(char).or_default() += count;
        }
    }
    #[expect(clippy::cast_precision_loss, reason = "a share of the corpus needs no exact counts")]
    let target = counts.values().sum::<u64>() as f64 * CHARACTER_COVERAGE;
    let mut ranked: Vec<(char, u64)> = counts.into_iter().collect();
    ranked.sort_by_key(|&(char, count)| (Reverse(count), char));

    let mut alphabet = vec![BLANK];
    let mut covered = 0;
    for (char, count) in ranked.into_iter().take(limit.saturating_sub(1)) {
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        if covered as f64 >= target {
            break;
        }
        covered += count;
        alphabet.push(char);
    }
    alphabet
}

/// The words as symbols, and where each pair of neighbours stands.
struct Corpus {
    words: Vec<Word>,
    /// Length of each symbol in characters.
    chars: HashMap<u32, usize>,
    pairs: HashMap<Pair, PairUse>,
    /// Candidates by count; an entry whose count is out of date is corrected when it comes up.
    queue: BinaryHeap<(u64, Reverse<Pair>)>,
}

struct Word {
    symbols: Vec<u32>,
    count: u64,
}

#[derive(Default)]
struct PairUse {
    count: u64,
    /// Every word that holds the pair, and some that no longer do.
    words: HashSet<usize>,
}

impl Corpus {
    /// Characters outside the alphabet end a word: they will be bytes, which take part in no merge.
    fn new(words: &BTreeMap<String, u64>, ids: &HashMap<String, u32>) -> Self {
        let mut corpus = Self {
            words: Vec::new(),
            chars: HashMap::new(),
            pairs: HashMap::new(),
            queue: BinaryHeap::new(),
        };
        let mut buffer = [0; 4];
        for (word, &count) in words {
            let symbols: Vec<Option<u32>> =
                word.chars().map(|char| ids.get(&*char.encode_utf8(&mut buffer)).copied()).collect();
            for run in symbols.split(Option::is_none).filter(|run| run.len() > 1) {
                let symbols: Vec<u32> = run.iter().copied().flatten().collect();
                corpus.chars.extend(symbols.iter().map(|&id| (id, 1)));
                corpus.words.push(Word { symbols, count });
            }
        }
        for index in 0..corpus.words.len() {
            corpus.add_pairs_of(index);
        }
        corpus
    }

    fn most_frequent_pair(&mut self) -> Option<Pair> {
        while let Some((count, Reverse(pair))) = self.queue.pop() {
            let current = self.pairs.get(&pair).map_or(0, |pair_use| pair_use.count);
            if current < MIN_PAIR_COUNT {
                continue;
            }
            if current == count {
                return Some(pair);
            }
            self.queue.push((current, Reverse(pair)));
        }
        None
    }

    /// Replaces the pair by `id` in every word.
    fn merge(&mut self, pair: Pair, id: u32) {
        let Some(pair_use) = self.pairs.remove(&pair) else {
            return;
        };
        self.chars.insert(id, self.chars[&pair.0] + self.chars[&pair.1]);
        for index in pair_use.words {
            self.remove_pairs_of(index);
            let old = std::mem::take(&mut self.words[index].symbols);
            let mut symbols = Vec::with_capacity(old.len());
            let mut rest = old.as_slice();
            while let [first, tail @ ..] = rest {
                if tail.first().is_some_and(|&second| (*first, second) == pair) {
                    symbols.push(id);
                    rest = &tail[1..];
                } else {
                    symbols.push(*first);
                    rest = tail;
                }
            }
            self.words[index].symbols = symbols;
            self.add_pairs_of(index);
        }
    }

    fn add_pairs_of(&mut self, index: usize) {
        let Word { symbols, count } = &self.words[index];
        for pair in symbols.windows(2).map(|pair| (pair[0], pair[1])) {
            if self.chars[&pair.0] + self.chars[&pair.1] > MAX_PIECE_CHARS {
                continue;
            }
            let pair_use = self.pairs.entry(pair).or_default();
            pair_use.count += count;
            pair_use.words.insert(index);
            self.queue.push((pair_use.count, Reverse(pair)));
        }
    }

    fn remove_pairs_of(&mut self, index: usize) {
        let Word { symbols, count } = &self.words[index];
        for pair in symbols.windows(2).map(|pair| (pair[0], pair[1])) {
            if let Some(pair_use) = self.pairs.get_mut(&pair) {
                pair_use.count -= count;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tokenizer;
    use super::*;

    const NOTES: [&str; 4] = [
        "Patient admitted with chest pain.\nBP 120/80; chest pain resolved, patient discharged.",
        "chest pain, chest tightness: patient denies chest trauma [** **] ___",
        "The patient was admitted 12/12 with pneumonia; the patient improved.",
        "na\u{ef}ve patient, admitted with pneumonia and chest pain",
    ];

    #[test]
    fn ids_begin_as_in_llama() {
        let json: serde_json::Value = serde_json::from_slice(&train(NOTES.iter(), 330).unwrap()).unwrap();
        let vocab = json["model"]["vocab"].as_object().unwrap();
        for (token, id) in
            [("<unk>", 0), ("<s>", 1), ("</s>", 2), ("<0x00>", 3), ("<0xFF>", 258), ("\u{2581}", 259)]
        {
            assert_eq!(vocab[token], id, "{token}");
        }
        assert_eq!(vocab.len(), 330);
        assert!(
            vocab.contains_key("\u{2581}chest") && vocab.contains_key("\u{2581}patient"),
            "frequent words"
        );
        for cut in ["12", "\n", "pain,"] {
            let token = vocab.keys().find(|token| token.contains(cut) && !token.starts_with("<0x"));
            assert_eq!(token, None, "a piece across {cut:?}");
        }
    }

    fn merges(text: &str) -> Vec<[String; 2]> {
        let json: serde_json::Value = serde_json::from_slice(&train([text].iter(), 400).unwrap()).unwrap();
        serde_json::from_value(json["model"]["merges"].clone()).unwrap()
    }

    #[test]
    fn the_most_frequent_pair_is_merged_next() {
        // (x, y) occurs seven times and (y, z) six times; but once x and y are one, (y, z) is left only twice.
        let merges = merges("1xyz1xyz1xyz1xyz1xy1xy1xy1yz1yz1ab1ab1ab");
        assert_eq!(merges, [["x", "y"], ["xy", "z"], ["a", "b"], ["y", "z"]]);
    }

    #[test]
    fn words_end_at_blanks_digits_signs_and_controls() {
        let words = count_words(["ab  ab,;12\tab\u{e9}"].iter());
        let expected = ["\u{2581}ab", "\u{2581}", "\u{2581}ab", ",;", "1", "2", "ab\u{e9}"];
        let mut counts = BTreeMap::new();
        for word in expected {
            *counts.entry(word.to_owned()).or_insert(0) += 1;
        }
        assert_eq!(words, counts);
        let long = count_words(["x".repeat(1000)].iter());
        assert!(long.keys().all(|word| word.len() <= MAX_WORD_BYTES), "a runaway line is cut");
        assert_eq!(long.iter().map(|(word, count)| word.len() as u64 * count).sum::<u64>(), 1003);
    }

    #[test]
    fn pieces_have_at_most_sixteen_characters() {
        let merges = merges("abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz");
        let longest = merges.iter().map(|[left, right]| left.chars().count() + right.chars().count()).max();
        assert_eq!(longest, Some(MAX_PIECE_CHARS));
    }

    #[test]
    fn frequent_characters_come_first_and_rare_ones_are_left_to_bytes() {
        let words = count_words(["a".repeat(3000) + &"b".repeat(5000) + "\u{60a3}"].iter());
        assert_eq!(choose_alphabet(&words, 50), [BLANK, 'b', 'a']);
        assert_eq!(choose_alphabet(&words, 2), [BLANK, 'b']);
    }

    #[test]
    fn training_does_not_depend_on_the_order_of_texts() {
        let forward = train(NOTES.iter(), 330).unwrap();
        assert_eq!(train(NOTES.iter(), 330).unwrap(), forward);
        assert_eq!(train(NOTES.iter().rev(), 330).unwrap(), forward);
        assert_ne!(train(NOTES[..2].iter(), 330).unwrap(), forward);
    }

    #[test]
    fn every_text_survives_a_round_trip() {
        let tokenizer = Tokenizer::train(NOTES.iter(), 330).unwrap();
        for text in [
            "",
            " ",
            "chest  pain\r\n\t\0",
            "na\u{ef}ve \u{1f600} \u{60a3}\u{8005}",
            "</s><0x0A>",
            "a\u{301} ",
        ] {
            let ids = tokenizer.encode(text, usize::MAX).unwrap();
            assert_eq!(ids[0], 1, "BOS first");
            assert!(!ids[1..].iter().any(|id| *id < 3), "no special token inside {text:?}");
            assert_eq!(tokenizer.decode(&ids).unwrap(), text);
        }
        let pieces = tokenizer.encode("patient admitted", usize::MAX).unwrap();
        assert!(pieces.len() <= 5, "frequent words are few pieces: {pieces:?}");
    }

    #[test]
    fn a_vocabulary_without_room_and_an_empty_corpus_are_refused() {
        let message = train(NOTES.iter(), 260).unwrap_err().to_string();
        assert!(message.contains("a vocabulary of 260 is too small"), "{message}");
        assert!(
            train([""].iter(), 300).unwrap_err().to_string().contains("no text"),
            "nothing to learn from"
        );
        let small = Tokenizer::train(["xy"].iter(), 100_000).unwrap();
        assert_eq!(small.vocab_size(), 262, "a corpus may be too small for the vocabulary asked for");
    }

    #[test]
    fn python_reads_a_trained_tokenizer_with_equal_ids() {
        let Ok(python) = std::env::var("CLINLORA_PYTHON") else {
            println!("skipped: set CLINLORA_PYTHON to a Python with `tokenizers`");
            return;
        };
        let golden = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/tokenizer");
        let file: serde_json::Value =
            serde_json::from_slice(&std::fs::read(format!("{golden}/cases.json")).unwrap()).unwrap();
        let texts: Vec<String> = serde_json::from_value(file["texts"].clone()).unwrap();
        let tokenizer = Tokenizer::train(texts.iter(), 400).unwrap();
        let cases: Vec<_> = texts
            .iter()
            .map(|text| serde_json::json!({"text": text, "ids": tokenizer.encode(text, usize::MAX).unwrap()}))
            .collect();
        let folder = std::env::temp_dir();
        let (json, ids) = (folder.join("clinlora-trained.json"), folder.join("clinlora-trained-ids.json"));
        std::fs::write(&json, tokenizer.to_json().unwrap()).unwrap();
        std::fs::write(&ids, serde_json::to_vec(&cases).unwrap()).unwrap();
        let check = format!("{golden}/check_trained.py");
        let status = std::process::Command::new(python).arg(check).args([json, ids]).status().unwrap();
        assert!(status.success(), "Python gives other ids; its list is above");
    }
}
