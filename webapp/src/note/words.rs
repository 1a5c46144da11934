//! Words with their places, for the scanners.

use std::ops::Range;

/// A word: a run of letters, digits and apostrophes within a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word<'a> {
    /// As it stands.
    pub(crate) text: &'a str,
    /// First byte.
    pub(crate) start: usize,
}

impl Word<'_> {
    pub(crate) fn end(&self) -> usize {
        self.start + self.text.len()
    }

    pub(crate) fn is(&self, other: &str) -> bool {
        self.text.eq_ignore_ascii_case(other)
    }

    pub(crate) fn is_one_of(&self, others: &[&str]) -> bool {
        others.iter().any(|other| self.is(other))
    }

    /// One capital letter and small ones: `Smith`, `O'Brien`, `McKay`; no abbreviation.
    pub(crate) fn is_capitalised(&self) -> bool {
        let mut letters = self.text.chars();
        letters.next().is_some_and(char::is_uppercase)
            && self.text.chars().all(|c| c.is_alphabetic() || c == '\'')
            && letters.any(char::is_lowercase)
    }
}

/// The words of a text, in order.
pub(crate) fn words(text: &str) -> Vec<Word<'_>> {
    let mut words = Vec::new();
    let mut start = None;
    let mut push = |range: Range<usize>| {
        let word = text[range.clone()].trim_end_matches('\'');
        words.push(Word { text: word, start: range.start });
    };
    for (at, c) in text.char_indices() {
        match (c.is_alphanumeric() || (c == '\'' && start.is_some()), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    if let Some(from) = start {
        push(from..text.len());
    }
    words
}
