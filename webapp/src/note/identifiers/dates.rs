//! Dates more exact than a year.

use super::super::words::Word;
use super::{Identifier, IdentifierKind, between};

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

const SHORT_MONTHS: [&str; 13] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Sept", "Oct", "Nov", "Dec"];

/// Words before `3/14` that make a date of it.
const BEFORE: [&str; 9] = ["on", "since", "until", "dated", "through", "date", "born", "admitted", "seen"];

/// Words after `5/5` that make something else of it.
const AFTER: [&str; 18] = [
    "ns",
    "normal",
    "tab",
    "tabs",
    "tablet",
    "tablets",
    "dose",
    "strength",
    "systolic",
    "diastolic",
    "murmur",
    "sem",
    "pain",
    "bottles",
    "pack",
    "packs",
    "in",
    "throughout",
];

/// Adds dates in numbers and in words.
pub(super) fn scan(text: &str, words: &[Word<'_>], found: &mut Vec<Identifier>) {
    let mut push =
        |start: usize, end: usize| found.push(Identifier { kind: IdentifierKind::Date, range: start..end });
    for (at, word) in words.iter().enumerate() {
        if let Some(end) = in_words(text, words, at) {
            push(word.start, end);
        } else if let Some(end) = in_numbers(text, words, at) {
            push(word.start, end);
        }
    }
}

fn number(word: &Word<'_>) -> Option<u32> {
    (word.text.len() <= 4).then(|| word.text.parse().ok()).flatten()
}

/// A day, `3`, `03`, `3rd`.
fn day(word: &Word<'_>) -> Option<u32> {
    let digits = word.text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let suffix = &word.text[digits.len()..];
    let is_day = suffix.is_empty() || ["st", "nd", "rd", "th"].iter().any(|s| suffix.eq_ignore_ascii_case(s));
    let day = digits.parse().ok().filter(|day| (1..=31).contains(day));
    if is_day && digits.len() <= 2 { day } else { None }
}

fn is_year(number: u32) -> bool {
    (1850..=2250).contains(&number)
}

fn is_month(word: &Word<'_>) -> bool {
    MONTHS.contains(&word.text)
        || SHORT_MONTHS.contains(&word.text)
        || (word.text.len() > 3 && MONTHS.iter().any(|month| word.text == month.to_uppercase()))
}

/// `March 3`, `March 3rd, 2021`, `3 March 2021`, `March 2021`: the end of the date that begins with this word.
fn in_words(text: &str, words: &[Word<'_>], at: usize) -> Option<usize> {
    let near = |first: usize, second: usize| {
        let gap = words.get(second).map(|second| between(text, &words[first], second))?;
        (gap.len() <= 3 && gap.chars().all(|c| matches!(c, ' ' | ',' | '.' | '-' | '/'))).then_some(())
    };
    let year = |place: usize| words.get(place).and_then(number).filter(|year| is_year(*year));
    let followed_by_year =
        |place: usize| near(place, place + 1).and(year(place + 1)).map(|_| words[place + 1].end());
    if is_month(&words[at]) {
        near(at, at + 1)?;
        if let Some(end) = year(at + 1).map(|_| words[at + 1].end()) {
            return Some(end);
        }
        day(&words[at + 1])?;
        // "May 2 tablets" is no date, and "Mar 2 mg" no march.
        let is_dose = words.get(at + 2).is_some_and(|next| {
            next.is_one_of(&["tablets", "tablet", "mg", "units", "puffs", "times", "days"])
        });
        return (!is_dose).then(|| followed_by_year(at + 1).unwrap_or(words[at + 1].end()));
    }
    day(&words[at])?;
    near(at, at + 1)?;
    is_month(&words[at + 1]).then(|| followed_by_year(at + 1).unwrap_or(words[at + 1].end()))
}

/// `3/14/2021`, `2021-03-14`, `14.3.21`, `3/2021`, `on 3/14`: the end of the date that begins with this word.
fn in_numbers(text: &str, words: &[Word<'_>], at: usize) -> Option<usize> {
    let first = number(&words[at])?;
    let before = text[..words[at].start].chars().next_back();
    if before.is_some_and(|c| matches!(c, '.' | '/' | '-' | '\u{2013}' | '%' | '+')) {
        return None; // the middle of something longer
    }
    let separator =
        |first: usize| match words.get(first + 1).map(|second| between(text, &words[first], second)) {
            Some("/") => Some('/'),
            Some("-") => Some('-'),
            Some(".") => Some('.'),
            _ => None,
        };
    let mark = separator(at)?;
    let second = number(&words[at + 1])?;
    if separator(at + 1) == Some(mark) {
        let last = &words[at + 2];
        let third = number(last)?;
        let is_longer = separator(at + 2) == Some(mark);
        let digits = last.text.len();
        let month_and_day = |a: u32, b: u32| {
            ((1..=12).contains(&a) && (1..=31).contains(&b))
                || ((1..=31).contains(&a) && (1..=12).contains(&b))
        };
        let ends_with_year =
            month_and_day(first, second) && ((digits == 4 && is_year(third)) || (digits == 2 && mark != '.'));
        let begins_with_year = words[at].text.len() == 4 && is_year(first) && month_and_day(second, third);
        // Two digits of a year between dashes or dots are as often a range or a version.
        let is_date = begins_with_year || (ends_with_year && (digits == 4 || mark == '/'));
        return (is_date && !is_longer).then(|| last.end());
    }
    if mark != '/' {
        return None;
    }
    let end = words[at + 1].end();
    let is_followed = text[end..].starts_with(['/', '%']) || decimal(text, end);
    let month_and_year = (1..=12).contains(&first) && words[at + 1].text.len() == 4 && is_year(second);
    let is_after_word = at > 0
        && words[at - 1].is_one_of(&BEFORE)
        && between(text, &words[at - 1], &words[at]).trim_matches([' ', ':']).is_empty();
    let is_other = words
        .get(at + 2)
        .is_some_and(|next| next.is_one_of(&AFTER) && text[end..next.start].trim().is_empty());
    let month_and_day = (1..=12).contains(&first) && (1..=31).contains(&second) && is_after_word && !is_other;
    ((month_and_year || month_and_day) && !is_followed).then_some(end)
}

/// Whether a decimal goes on here: `.5`.
fn decimal(text: &str, end: usize) -> bool {
    text[end..].strip_prefix('.').is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
}
