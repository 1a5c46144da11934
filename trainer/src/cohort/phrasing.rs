//! The small template language in which everything a clinician may write is kept.
//!
//! - `{a|b|c}` is one of the alternatives, at even odds; they nest, and an empty one makes a phrase optional.
//! - `<3-7>` is a whole number from 3 to 7.
//! - `<name>` is a slot, filled by whoever speaks: an age, a laboratory value, a de-identified name.
//!
//! ```text
//! {p/w|presents with} <2-5> days of {worsening |}{DOE|dyspnea}, found to be <spo2>% on {RA|room air}
//! ```

use super::random::Chance;

/// Fills slots while a template is spoken.
pub(super) trait Slots {
    /// Appends what `<name>` stands for.
    fn fill(&self, name: &str, chance: &mut Chance, out: &mut String);
}

/// Speaks a template once.
pub(super) fn speak(template: &str, slots: &impl Slots, chance: &mut Chance) -> String {
    let mut out = String::with_capacity(template.len());
    speak_into(template, slots, chance, &mut out);
    out
}

fn speak_into(template: &str, slots: &impl Slots, chance: &mut Chance, out: &mut String) {
    let mut rest = template;
    while let Some(at) = rest.find(['{', '<']) {
        out.push_str(&rest[..at]);
        let opened = &rest[at..];
        if opened.starts_with('{') {
            let close = closing_brace(opened);
            let choices = alternatives(&opened[1..close]);
            let choice = choices[chance.index(choices.len())];
            speak_into(choice, slots, chance, out);
            rest = &opened[close + 1..];
        } else {
            let close =
                opened.find('>').unwrap_or_else(|| panic!("template: '<' is never closed: {template}"));
            let name = &opened[1..close];
            match range(name) {
                Some((low, high)) => {
                    let number = chance.whole(low, high);
                    out.push_str(&number.to_string());
                    rest = &opened[close + 1..];
                    if number == 1 {
                        rest = singular(rest, out);
                    }
                }
                None => {
                    slots.fill(name, chance, out);
                    rest = &opened[close + 1..];
                }
            }
        }
    }
    out.push_str(rest);
}

/// Drops the plural of the unit that follows a one; returns what is left of the template.
fn singular<'a>(rest: &'a str, out: &mut String) -> &'a str {
    const UNITS: [&str; 11] = [
        " days",
        " weeks",
        " months",
        " years",
        " hours",
        " units",
        " episodes",
        " rounds",
        " doses",
        " shocks",
        " beers",
    ];
    match UNITS.iter().find(|unit| rest.starts_with(**unit)) {
        Some(unit) => {
            out.push_str(&unit[..unit.len() - 1]);
            &rest[unit.len()..]
        }
        None => rest,
    }
}

/// Where the brace that opens `text` closes.
fn closing_brace(text: &str) -> usize {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at;
                }
            }
            _ => {}
        }
    }
    panic!("template: '{{' is never closed: {text}");
}

/// The parts of `body` between bars that stand outside inner braces.
fn alternatives(body: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0_usize, 0);
    for (at, byte) in body.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            b'|' if depth == 0 => {
                parts.push(&body[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&body[start..]);
    parts
}

fn range(name: &str) -> Option<(i64, i64)> {
    let (low, high) = name.split_once('-')?;
    Some((low.parse().ok()?, high.parse().ok()?))
}

/// Upper-cases the first letter.
pub(super) fn capitalise(text: &mut String) {
    if let Some(first) = text.chars().next().filter(|c| c.is_ascii_lowercase()) {
        text.replace_range(..1, first.to_ascii_uppercase().encode_utf8(&mut [0; 4]));
    }
}

/// The text with a large first letter.
pub(super) fn capitalised(mut text: String) -> String {
    capitalise(&mut text);
    text
}

/// The text with a small first letter, unless it begins with an abbreviation.
pub(super) fn uncapitalised(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.next()) {
        (Some(first), Some(second)) if first.is_ascii_uppercase() && second.is_ascii_lowercase() => {
            format!("{}{}", first.to_ascii_lowercase(), &text[1..])
        }
        _ => text.to_owned(),
    }
}

/// Mistypes about one word in `one_in`: letters swapped, dropped or doubled, never the first one, never in words that are
/// short, hold a digit or stand inside a de-identification mark.
pub(super) fn mistype(text: &str, one_in: f64, chance: &mut Chance) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut inside_mark = false;
    for piece in text.split_inclusive([' ', '\n']) {
        let word = piece.trim_end_matches([' ', '\n', ',', '.', ':', ';']);
        inside_mark |= piece.contains("[**");
        let plain = word.len() >= 6 && word.bytes().all(|b| b.is_ascii_lowercase());
        if plain && !inside_mark && chance.happens(1.0 / one_in) {
            out.push_str(&slip(word, chance));
            out.push_str(&piece[word.len()..]);
        } else {
            out.push_str(piece);
        }
        inside_mark &= !piece.contains("**]");
    }
    out
}

fn slip(word: &str, chance: &mut Chance) -> String {
    let mut letters: Vec<u8> = word.bytes().collect();
    let at = 1 + chance.index(letters.len() - 2);
    match chance.index(3) {
        0 => letters.swap(at, at + 1),
        1 => {
            letters.remove(at);
        }
        _ => letters.insert(at, letters[at]),
    }
    letters.into_iter().map(char::from).collect()
}

/// Checks a template: braces and angles balance, and every slot is among `known`.
#[cfg(test)]
pub(super) fn check(template: &str, known: &[&str]) -> Result<(), String> {
    let mut depth = 0_i32;
    let mut slot: Option<usize> = None;
    for (at, byte) in template.bytes().enumerate() {
        match (byte, slot) {
            (b'{', None) => depth += 1,
            (b'}', None) => depth -= 1,
            (b'<', None) => slot = Some(at + 1),
            (b'>', Some(start)) => {
                let name = &template[start..at];
                if range(name).is_none_or(|(low, high)| low >= high) && !known.contains(&name) {
                    return Err(format!("unknown slot <{name}> in: {template}"));
                }
                slot = None;
            }
            (b'|', None) if depth == 0 => return Err(format!("bar outside braces in: {template}")),
            (b'{' | b'}' | b'|' | b'<', Some(_)) => {
                return Err(format!("stray {:?} in: {template}", char::from(byte)));
            }
            _ => {}
        }
        if depth < 0 {
            return Err(format!("'}}' without '{{' in: {template}"));
        }
    }
    if depth != 0 || slot.is_some() { Err(format!("unclosed: {template}")) } else { Ok(()) }
}

/// Breaks lines before the eightieth column, as transcription does.
pub(super) fn wrap(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for (at, line) in text.split('\n').map(str::trim_end).enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let mut column = 0;
        for word in line.split(' ') {
            if column > 0 && column + 1 + word.len() > 78 {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += word.len().max(1);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::random::Purpose;
    use super::*;

    struct Sex;
    impl Slots for Sex {
        fn fill(&self, name: &str, _: &mut Chance, out: &mut String) {
            out.push_str(if name == "he" { "she" } else { "?" });
        }
    }

    #[test]
    fn every_combination_is_spoken_and_no_other() {
        let mut chance = Chance::new(5, 0, Purpose::Life);
        let said: BTreeSet<String> =
            (0..400).map(|_| speak("{a {b|c}|<he>}{|!} <4-5>", &Sex, &mut chance)).collect();
        let expected =
            ["a b 4", "a b 5", "a b! 4", "a b! 5", "a c 4", "a c 5", "a c! 4", "a c! 5", "she 4", "she 5"];
        let mut expected: BTreeSet<String> = expected.into_iter().map(String::from).collect();
        expected.extend(["she! 4".to_owned(), "she! 5".to_owned()]);
        assert_eq!(said, expected);
    }

    #[test]
    fn the_check_finds_each_kind_of_slip() {
        assert_eq!(check("{a|<he>} <2-3>", &["he"]), Ok(()));
        for wrong in ["{a", "a}", "a|b", "<she>", "<3-2>", "<he", "{<h|e>}"] {
            assert!(check(wrong, &["he"]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn marks_numbers_and_first_letters_are_never_mistyped() {
        let mut chance = Chance::new(6, 0, Purpose::Life);
        let text = "[**lastname firstname**] pneumonia 12345678 Hospital";
        for _ in 0..200 {
            let typed = mistype(text, 1.0, &mut chance);
            assert!(typed.starts_with("[**lastname firstname**] p") && typed.ends_with(" 12345678 Hospital"));
        }
    }
}
