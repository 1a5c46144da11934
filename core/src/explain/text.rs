//! Parts of a note: sections by their headings, sentences, words. Byte ranges of the text; nothing is copied.

use std::ops::Range;

/// A section: a heading, if it has one, and what follows until the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Range of the heading's words, without the colon; empty for text before the first heading.
    pub heading: Range<usize>,
    /// Range of heading and body.
    pub range: Range<usize>,
}

/// A sentence, without the blanks around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sentence {
    /// Where it stands.
    pub range: Range<usize>,
    /// Place of its section.
    pub section: usize,
}

/// Words before a full stop that end no sentence.
const ABBREVIATIONS: [&str; 27] = [
    "dr", "mr", "mrs", "ms", "prof", "st", "vs", "e.g", "i.e", "etc", "approx", "no", "pt", "hx", "dx", "tx",
    "rx", "fx", "a.m", "p.m", "y.o", "b.i.d", "t.i.d", "q.d", "q.i.d", "p.o", "jr",
];

/// Most bytes of a heading.
const HEADING: usize = 48;

/// The sections of a note, covering all of it. A heading stands at the beginning of a line, holds no digit or full stop, and
/// ends with a colon: `CHIEF COMPLAINT:`, `Past Medical History:`.
#[must_use]
pub fn sections(text: &str) -> Vec<Section> {
    let mut starts: Vec<(usize, Range<usize>)> = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        if let Some(heading) = heading(line) {
            starts.push((at, at + heading.start..at + heading.end));
        }
        at += line.len();
    }
    if starts.first().is_none_or(|(start, _)| !text[..*start].trim().is_empty()) {
        starts.insert(0, (0, 0..0));
    } else if let Some(first) = starts.first_mut() {
        first.0 = 0; // blanks before the first heading are its own
    }
    let ends: Vec<usize> = starts.iter().skip(1).map(|(start, _)| *start).chain([text.len()]).collect();
    starts
        .into_iter()
        .zip(ends)
        .map(|((start, heading), end)| Section { heading, range: start..end })
        .collect()
}

/// Range of a heading's words at the beginning of a line.
fn heading(line: &str) -> Option<Range<usize>> {
    let indent = line.len() - line.trim_start().len();
    let colon = line.find(':')?;
    let words = line.get(indent..colon)?;
    let is_heading = (3..=HEADING).contains(&words.len())
        && words.chars().next().is_some_and(char::is_uppercase)
        && words.chars().all(|c| c.is_alphabetic() || matches!(c, ' ' | '/' | '-' | '&' | '(' | ')' | '\''))
        && words.split_whitespace().count() <= 6;
    is_heading.then_some(indent..colon)
}

/// The sentences of a note, in order. A sentence ends at `.`, `!` or `?` before a blank, unless the word is an abbreviation or
/// a single letter; at an empty line; and before a line that begins a list item or a section. A heading alone on its line is
/// part of the sentence after it.
#[must_use]
pub fn sentences(text: &str) -> Vec<Sentence> {
    let mut found = Vec::new();
    for (section, Section { heading, range }) in sections(text).into_iter().enumerate() {
        let body_from = if heading.is_empty() { range.start } else { heading.end + 1 };
        let mut start = range.start;
        let mut push = |start: usize, end: usize| {
            let part = &text[start..end];
            let from = start + (part.len() - part.trim_start().len());
            let until = start + part.trim_end().len();
            if from < until {
                found.push(Sentence { range: from..until, section });
            }
        };
        for (offset, c) in text[body_from..range.end].char_indices() {
            let at = body_from + offset;
            let next = at + c.len_utf8();
            let is_end = match c {
                '.' | '!' | '?' => ends_sentence(text, at, next),
                '\n' => ends_line(&text[next..range.end]),
                _ => false,
            };
            // A heading with nothing behind it yet is not a sentence of its own.
            if is_end && !text[start.max(body_from)..at].trim().is_empty() {
                push(start, next);
                start = next;
            }
        }
        push(start, range.end);
    }
    found
}

fn ends_sentence(text: &str, at: usize, next: usize) -> bool {
    if !text[next..].chars().next().is_none_or(char::is_whitespace) {
        return false; // 98.6, q.d., an address
    }
    if !text[at..].starts_with('.') {
        return true;
    }
    let word = text[..at].rsplit(|c: char| c.is_whitespace() || matches!(c, '(' | ',')).next().unwrap_or("");
    let is_initial = word.chars().count() == 1 && word.chars().all(char::is_alphabetic);
    let is_item = !word.is_empty() && word.chars().all(|c| c.is_ascii_digit()) && word.len() <= 2;
    let is_number_of_list = is_item && text[..at - word.len()].trim_end_matches(' ').ends_with('\n');
    !(is_initial || is_number_of_list || ABBREVIATIONS.contains(&word.to_lowercase().as_str()))
}

/// Whether a sentence cannot go on in the line that begins here.
fn ends_line(rest: &str) -> bool {
    let line = rest.lines().next().unwrap_or("").trim_start();
    let digits = line.bytes().take_while(u8::is_ascii_digit).count();
    line.is_empty()
        || line.starts_with(['-', '*', '•', '#'])
        || (digits > 0 && digits <= 2 && line[digits..].starts_with(['.', ')']))
}

/// The words of a part of the text: runs without blanks.
#[must_use]
pub fn words(text: &str, part: Range<usize>) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let mut start = None;
    for (offset, c) in text[part.clone()].char_indices() {
        let at = part.start + offset;
        match (c.is_whitespace(), start) {
            (false, None) => start = Some(at),
            (true, Some(from)) => {
                words.push(from..at);
                start = None;
            }
            _ => {}
        }
    }
    words.extend(start.map(|from| from..part.end));
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "CHIEF COMPLAINT: Chest pain\n\nPRESENT ILLNESS: Mr. A. Doe is 71 y.o. and takes 2.5 mg b.i.d. daily. \
        He fell!\nThen he came in.\n- aspirin\n- warfarin\n1. Rest. 2 more\n\nAllergies:\nNone known";

    fn texts() -> Vec<&'static str> {
        sentences(NOTE).into_iter().map(|s| &NOTE[s.range]).collect()
    }

    #[test]
    fn sections_cover_the_note() {
        let sections = sections(NOTE);
        let headings: Vec<&str> = sections.iter().map(|s| &NOTE[s.heading.clone()]).collect();
        assert_eq!(headings, ["CHIEF COMPLAINT", "PRESENT ILLNESS", "Allergies"]);
        let all: String = sections.iter().map(|s| &NOTE[s.range.clone()]).collect();
        assert_eq!(all, NOTE);
    }

    #[test]
    fn sentences_end_where_a_reader_ends_them() {
        assert_eq!(
            texts(),
            [
                "CHIEF COMPLAINT: Chest pain",
                "PRESENT ILLNESS: Mr. A. Doe is 71 y.o. and takes 2.5 mg b.i.d. daily.",
                "He fell!",
                "Then he came in.",
                "- aspirin",
                "- warfarin",
                "1. Rest.",
                "2 more",
                "Allergies:\nNone known",
            ]
        );
        let of_section: Vec<usize> = sentences(NOTE).iter().map(|s| s.section).collect();
        assert_eq!(of_section, [0, 1, 1, 1, 1, 1, 1, 1, 2]);
    }

    #[test]
    fn any_text_is_parted_without_losing_a_letter() {
        for text in [
            "",
            " ",
            "\n\n",
            ":",
            "Ä: ö. ü",
            "a",
            "No heading here. Two.",
            "HPI:",
            "x\u{a0}.\u{2028}y",
            "A:\n\nB:",
        ] {
            let letters = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
            let joined: String = sentences(text).into_iter().map(|s| &text[s.range]).collect();
            assert_eq!(letters(&joined), letters(text), "{text:?}");
            let all: String = sections(text).into_iter().map(|s| &text[s.range]).collect();
            assert_eq!(all, text, "{text:?}");
        }
    }

    #[test]
    fn words_are_runs_without_blanks() {
        let words: Vec<&str> = words(NOTE, 17..28).into_iter().map(|w| &NOTE[w]).collect();
        assert_eq!(words, ["Chest", "pain"]);
    }
}
