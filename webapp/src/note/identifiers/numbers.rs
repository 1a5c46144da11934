//! Telephone, social security, record and Internet numbers, ZIP codes, streets, ages over 89.

use super::super::words::Word;
use super::{Identifier, IdentifierKind, between};

/// What a record number stands behind, as words.
const RECORDS: [&[&str]; 29] = [
    &["mrn"],
    &["mr", "number"],
    &["medical", "record"],
    &["medical", "record", "number"],
    &["record", "number"],
    &["record", "no"],
    &["unit", "no"],
    &["unit", "number"],
    &["hospital", "number"],
    &["patient", "id"],
    &["patient", "number"],
    &["account"],
    &["acct"],
    &["account", "number"],
    &["csn"],
    &["nhs"],
    &["license"],
    &["licence"],
    &["policy"],
    &["member", "id"],
    &["insurance", "id"],
    &["plan", "number"],
    &["serial"],
    &["serial", "number"],
    &["device", "id"],
    &["vin"],
    &["plate"],
    &["passport"],
    &["beneficiary"],
];

const STATES: [&str; 51] = [
    "AL", "AK", "AZ", "AR", "CA", "CO", "CT", "DE", "DC", "FL", "GA", "HI", "ID", "IL", "IN", "IA", "KS",
    "KY", "LA", "ME", "MD", "MA", "MI", "MN", "MS", "MO", "MT", "NE", "NV", "NH", "NJ", "NM", "NY", "NC",
    "ND", "OH", "OK", "OR", "PA", "RI", "SC", "SD", "TN", "TX", "UT", "VT", "VA", "WA", "WV", "WI", "WY",
];

const STREETS: [&str; 17] = [
    "Street",
    "St",
    "Avenue",
    "Ave",
    "Road",
    "Rd",
    "Drive",
    "Lane",
    "Ln",
    "Boulevard",
    "Blvd",
    "Court",
    "Terrace",
    "Way",
    "Parkway",
    "Pkwy",
    "Highway",
];

/// Units after a long number that make a dose or a count of it.
const UNITS: [&str; 11] =
    ["unit", "units", "u", "iu", "mg", "ml", "copies", "cells", "cfu", "colonies", "mcg"];

/// Adds what numbers give away.
pub(super) fn scan(text: &str, words: &[Word<'_>], found: &mut Vec<Identifier>) {
    for at in 0..words.len() {
        let mut push = |kind, start: usize, end: usize| found.push(Identifier { kind, range: start..end });
        if let Some((start, end)) = record(text, words, at) {
            push(IdentifierKind::Number, start, end);
        }
        let word = &words[at];
        if !word.text.starts_with(|c: char| c.is_ascii_digit()) {
            continue;
        }
        if let Some((kind, start, end)) = grouped(text, words, at) {
            push(kind, start, end);
        } else if let Some(end) = internet(text, words, at) {
            push(IdentifierKind::Ip, word.start, end);
        } else if is_zip(text, words, at) {
            push(IdentifierKind::Address, word.start, word.end());
        } else if let Some(end) = street(text, words, at) {
            push(IdentifierKind::Address, word.start, end);
        } else if is_long(text, words, at) {
            push(IdentifierKind::Number, word.start, word.end());
        }
    }
    for age in super::super::age::ages(text) {
        if age.years > 89 {
            found.push(Identifier { kind: IdentifierKind::Age, range: age.range });
        }
    }
}

fn digits(word: &Word<'_>) -> Option<usize> {
    word.text.bytes().all(|b| b.is_ascii_digit()).then_some(word.text.len())
}

/// Groups of digits: `123-45-6789`, `(617) 555-0123`, `617.555.0123`, `1-800-555-0123`.
fn grouped(text: &str, words: &[Word<'_>], at: usize) -> Option<(IdentifierKind, usize, usize)> {
    let before = text[..words[at].start].chars().next_back();
    if before.is_some_and(|c| matches!(c, '-' | '.' | '/')) {
        return None;
    }
    let size = |place: usize| words.get(at + place).and_then(digits);
    let gap = |place: usize| {
        words.get(at + place + 1).map_or("", |second| between(text, &words[at + place], second))
    };
    let ends = |place: usize| {
        let end = words[at + place].end();
        let goes_on =
            text[end..].starts_with(['-', '/']) && text[end + 1..].starts_with(|c: char| c.is_ascii_digit());
        (!goes_on).then_some(end)
    };
    let start = words[at].start;
    if (size(0), size(1), size(2)) == (Some(3), Some(2), Some(4)) && gap(0) == "-" && gap(1) == "-" {
        return Some((IdentifierKind::SocialSecurity, start, ends(2)?));
    }
    let is_country = size(0).is_some_and(|size| size <= 2) && (before == Some('+') || gap(0) == "-");
    let from = usize::from(is_country && size(1) == Some(3));
    let is_phone = (size(from), size(from + 1), size(from + 2)) == (Some(3), Some(3), Some(4));
    // Blanks alone also stand between three laboratory values, so a bracket or a mark is asked for once at least.
    let gaps = [gap(from), gap(from + 1)];
    let is_mark = |gap: &&str| matches!(*gap, "-" | "." | ") " | ")" | ")-" | "/");
    if is_phone && gaps.iter().all(|gap| is_mark(gap) || *gap == " ") && gaps.iter().any(is_mark) {
        let start = if from == 0 && before == Some('(') { start - 1 } else { start };
        return Some((IdentifierKind::Phone, start, ends(from + 2)?));
    }
    let is_local = (size(0), size(1)) == (Some(3), Some(4)) && gap(0) == "-";
    let is_named = at > 0
        && words[at - 1].is_one_of(&[
            "phone",
            "tel",
            "telephone",
            "fax",
            "pager",
            "cell",
            "call",
            "beeper",
            "mobile",
        ])
        && between(text, &words[at - 1], &words[at]).len() <= 3;
    (is_local && is_named).then(|| ends(1)).flatten().map(|end| (IdentifierKind::Phone, start, end))
}

/// `192.168.0.1`: the end of it.
fn internet(text: &str, words: &[Word<'_>], at: usize) -> Option<usize> {
    let octet = |place: usize| {
        let word = words.get(at + place)?;
        (word.text.len() <= 3 && word.text.parse::<u32>().ok()? <= 255).then_some(word)
    };
    for place in 0..4 {
        octet(place)?;
        if place > 0 && between(text, &words[at + place - 1], &words[at + place]) != "." {
            return None;
        }
    }
    let end = words[at + 3].end();
    let goes_on =
        text[end..].strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
    let is_inside = text[..words[at].start].ends_with('.');
    (!goes_on && !is_inside).then_some(end)
}

/// A word for a record and a value with four digits or more near behind it.
fn record(text: &str, words: &[Word<'_>], at: usize) -> Option<(usize, usize)> {
    let name = RECORDS
        .iter()
        .filter(|name| {
            name.iter().enumerate().all(|(i, part)| words.get(at + i).is_some_and(|word| word.is(part)))
        })
        .max_by_key(|name| name.len())?;
    let mut place = at + name.len();
    while words.get(place).is_some_and(|word| word.is_one_of(&["no", "number", "num", "id"])) {
        place += 1;
    }
    let value = words.get(place)?;
    let gap = between(text, &words[place - 1], value);
    let is_near = gap.len() <= 5 && gap.chars().all(|c| matches!(c, ' ' | ':' | '#' | '.' | '-' | '='));
    let mut end = value.end();
    let mut count = value.text.bytes().filter(u8::is_ascii_digit).count();
    while let Some(next) = words.get(place + 1).filter(|next| between(text, &words[place], next) == "-") {
        (end, count, place) =
            (next.end(), count + next.text.bytes().filter(u8::is_ascii_digit).count(), place + 1);
    }
    (is_near && count >= 4).then_some((value.start, end))
}

/// `MA 02115`, `zip 02115`, `02115-1234`.
fn is_zip(text: &str, words: &[Word<'_>], at: usize) -> bool {
    let is_five = digits(&words[at]) == Some(5);
    let before = at
        .checked_sub(1)
        .map(|place| &words[place])
        .filter(|before| between(text, before, &words[at]).len() <= 2);
    let after_place = before.is_some_and(|before| {
        STATES.contains(&before.text) || before.is_one_of(&["zip", "zipcode", "postcode"])
    }) || (at > 1 && words[at - 1].is("code") && words[at - 2].is("zip"));
    is_five && after_place
}

/// `12 Main Street`: the end of it.
fn street(text: &str, words: &[Word<'_>], at: usize) -> Option<usize> {
    digits(&words[at]).filter(|size| *size <= 5)?;
    for place in 1..=3 {
        let word = words.get(at + place)?;
        if !between(text, &words[at + place - 1], word).trim_matches(['.', ' ']).is_empty()
            || !word.is_capitalised()
        {
            return None;
        }
        if place > 1 && STREETS.contains(&word.text) {
            return Some(word.end());
        }
    }
    None
}

/// Seven digits or more on their own.
fn is_long(text: &str, words: &[Word<'_>], at: usize) -> bool {
    let word = &words[at];
    let before = text[..word.start].chars().next_back();
    let is_part = before.is_some_and(|c| matches!(c, '.' | ',' | '/' | '_'))
        || text[word.end()..].starts_with(['.', ',', '_'])
            && text[word.end() + 1..].starts_with(|c: char| c.is_ascii_digit());
    let is_amount = words.get(at + 1).is_some_and(|next| next.is_one_of(&UNITS));
    digits(word).is_some_and(|size| size >= 7) && !is_part && !is_amount
}
