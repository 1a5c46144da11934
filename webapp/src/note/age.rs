//! The patient's age in a note: `68F`, `68 year old`, `68-year-old`, `68 y/o`, `aged 68`.

use std::ops::Range;

use super::words::{Word, words};

/// An age that is written in a note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Age {
    /// Whole years; 0 for what is said in days, weeks or months.
    pub years: u32,
    /// Range of the number alone, or of MIMIC's placeholder `[**Age over 90 **]`.
    pub range: Range<usize>,
    /// Range of the letter behind it, in `68F`, `68 yo M`, `68 y/o F`.
    pub sex: Option<Range<usize>>,
}

/// Oldest age that is read; a larger number is something else.
const OLDEST: u32 = 125;

/// Every age in a note, in order, of whomever.
#[must_use]
pub fn ages(text: &str) -> Vec<Age> {
    let words = words(text);
    (0..words.len()).filter_map(|at| age(text, &words, at)).collect()
}

/// The patient's age: the first in the note, since notes open with it.
#[must_use]
pub fn find_age(text: &str) -> Option<Age> {
    ages(text).into_iter().next()
}

fn gap<'a>(text: &'a str, words: &[Word<'_>], at: usize) -> Option<&'a str> {
    words.get(at + 1).map(|next| &text[words[at].end()..next.start])
}

fn age(text: &str, words: &[Word<'_>], at: usize) -> Option<Age> {
    let word = &words[at];
    if let Some(range) = over_90(text, word) {
        let unit_end =
            words.get(at + 1).and_then(|next| unit(text, words, at + 1, next.text)).map(|(end, _)| end);
        return Some(Age { years: 90, range, sex: unit_end.and_then(|end| sex_letter(text, words, end)) });
    }
    let digits = word.text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=3).contains(&digits) || text[..word.start].ends_with(['.', '/', '$', '#', '<', '>', '=', '-']) {
        return None;
    }
    let years: u32 = word.text[..digits].parse().ok().filter(|years| *years <= OLDEST)?;
    let suffix = &word.text[digits..];
    let range = word.start..word.start + digits;
    // "yo", "y/o", "yr old", "years old", "year-old": which word ends the unit, and whether it is years.
    let (unit_end, is_years) = if suffix.is_empty() {
        if !matches!(gap(text, words, at), Some(" " | "-" | " - " | "  ")) {
            return behind_aged(text, words, at, years, range);
        }
        match unit(text, words, at + 1, words[at + 1].text) {
            Some(found) => found,
            None => {
                return letter(text, words, at, years, range.clone())
                    .or_else(|| behind_aged(text, words, at, years, range));
            }
        }
    } else {
        match suffix {
            "F" | "M" | "f" | "m" if is_adult_like(years, suffix, text, words, at) => {
                let sex = range.end..range.end + 1;
                return Some(Age { years, range, sex: Some(sex) });
            }
            "yoF" | "yoM" | "yof" | "yom" | "YOF" | "YOM" | "yF" | "yM" => {
                let sex = word.end() - 1..word.end();
                return Some(Age { years, range, sex: Some(sex) });
            }
            _ => unit(text, words, at, suffix)?,
        }
    };
    let sex = sex_letter(text, words, unit_end);
    Some(Age { years: if is_years { years } else { 0 }, range, sex })
}

/// The range of `[**Age over 90 **]` around its number.
fn over_90(text: &str, number: &Word<'_>) -> Option<Range<usize>> {
    let before = "[**Age over ";
    let is_placeholder = number.text == "90" && text[..number.start].ends_with(before);
    let rest = text[number.end()..].trim_start_matches(' ');
    (is_placeholder && rest.starts_with("**]"))
        .then(|| number.start - before.len()..text.len() - rest.len() + 3)
}

/// The place of the word that ends a unit of age beginning with `first` at `at`, and whether it counts years.
fn unit(text: &str, words: &[Word<'_>], at: usize, first: &str) -> Option<(usize, bool)> {
    let follows = |other: &str| {
        words.get(at + 1).is_some_and(|next| next.is(other))
            && gap(text, words, at).is_some_and(|gap| matches!(gap, " " | "-" | "/" | "." | ". " | " - "))
    };
    let is = |others: &[&str]| others.iter().any(|other| first.eq_ignore_ascii_case(other));
    if is(&["yo", "yoa", "yold"]) {
        Some((at, true))
    } else if (is(&["y"]) && follows("o"))
        || (is(&["year", "years", "yr", "yrs", "y"]) && (follows("old") || follows("o")))
    {
        Some((at + 1, true))
    } else if is(&["year", "years"]) && follows("of") && words.get(at + 2).is_some_and(|word| word.is("age"))
    {
        Some((at + 2, true))
    } else if is(&["month", "months", "mo", "week", "weeks", "day", "days", "wk"]) && follows("old") {
        // A wound may be three days old; a patient is a boy or a girl then.
        let who = words.get(at + 2)?;
        who.is_one_of(&["boy", "girl", "male", "female", "infant", "baby", "newborn", "m", "f", "neonate"])
            .then_some((at + 1, false))
    } else {
        None
    }
}

/// `68 F`, where nothing but an age makes sense: followed by a word for what the patient has, or a mark.
fn letter(text: &str, words: &[Word<'_>], at: usize, years: u32, range: Range<usize>) -> Option<Age> {
    let next = words.get(at + 1)?;
    let is_sex = matches!(next.text, "F" | "M" | "male" | "female" | "man" | "woman" | "Male" | "Female")
        && gap(text, words, at) == Some(" ");
    let is_story = text[next.end()..].starts_with([',', ';'])
        || words.get(at + 2).is_some_and(|word| {
            word.is_one_of(&[
                "with",
                "w",
                "h",
                "who",
                "s",
                "presenting",
                "presents",
                "admitted",
                "pmh",
                "history",
                "hx",
                "transferred",
                "found",
                "from",
                "p",
            ])
        });
    let sex = (next.text.len() == 1).then_some(next.start..next.end());
    (is_sex && is_story && years >= 1).then_some(Age { years, range, sex })
}

/// `68F` is an age and `98F` in the vitals a temperature.
fn is_adult_like(years: u32, suffix: &str, text: &str, words: &[Word<'_>], at: usize) -> bool {
    let is_after = |names: &[&str]| {
        at > 0 && words[at - 1].is_one_of(names) && words[at].start - words[at - 1].end() <= 2
    };
    let is_temperature = (95..=108).contains(&years)
        && suffix.eq_ignore_ascii_case("f")
        && (is_after(&["t", "temp", "temperature", "tmax", "tm", "tc", "fever", "of", "to", "vitals", "vs"])
            || text[words[at].end()..].trim_start().starts_with(|c: char| c.is_ascii_digit()));
    // "5m" walked and "10m" waited; a small letter is an age only at the age of adults and with a word behind it.
    let is_length = suffix.chars().all(char::is_lowercase)
        && !(years >= 18
            && words.get(at + 1).is_some_and(|word| word.is_one_of(&["with", "w", "h", "who", "s", "p"])));
    !is_temperature && !is_length && !is_after(&["foley", "french", "size", "catheter", "sheath"])
}

/// `aged 68`, `age 68`, `Age: 68`.
fn behind_aged(text: &str, words: &[Word<'_>], at: usize, years: u32, range: Range<usize>) -> Option<Age> {
    let before = &words[at.checked_sub(1)?];
    let between = &text[before.end()..words[at].start];
    let is_aged =
        before.is("aged") && between == " " || before.is("age") && matches!(between, " " | ": " | ":");
    // "died at age 83", "onset at age 50" tell of others and of earlier days.
    let is_of_then = at > 1 && words[at - 2].is_one_of(&["at", "of", "from", "since", "until"]);
    let goes_on = text[range.end..].starts_with(['/', '-', '.'])
        && text[range.end + 1..].starts_with(|c: char| c.is_ascii_digit());
    (is_aged && !is_of_then && !goes_on).then_some(Age { years, range, sex: None })
}

/// `F` or `M` behind the unit.
fn sex_letter(text: &str, words: &[Word<'_>], unit_end: usize) -> Option<Range<usize>> {
    let next = words.get(unit_end + 1)?;
    let is_near = matches!(gap(text, words, unit_end), Some(" " | "-" | "." | ". " | ", "));
    (is_near && matches!(next.text, "F" | "M")).then_some(next.start..next.end())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(u32, &str)> {
        ages(text)
            .into_iter()
            .map(|age| {
                assert!(
                    text.get(age.range.clone())
                        .is_some_and(|digits| digits.bytes().all(|b| b.is_ascii_digit())),
                    "{text}"
                );
                (age.years, age.sex.map_or("", |sex| &text[sex]))
            })
            .collect()
    }

    #[test]
    fn ages_are_read_as_notes_write_them() {
        for text in [
            "68F with pain",
            "68 F with pain",
            "68yoF s/p fall",
            "68 yo F",
            "68 y/o F",
            "68 y.o. F",
            "68yo F with",
            "68 year old F",
        ] {
            assert_eq!(found(text), [(68, "F")], "{text}");
        }
        for text in [
            "68 year old woman",
            "68-year-old",
            "68 years old",
            "68 yr old",
            "68yo woman",
            "68 y/o male",
            "aged 68",
            "Age: 68",
            "a 68 yrs old man",
            "68 years of age",
            "68 y.o. man",
            "This is a 68 female with pain",
        ] {
            assert_eq!(found(text), [(68, "")], "{text}");
        }
        assert_eq!(found("3 month old boy"), [(0, "")]);
    }

    #[test]
    fn a_placeholder_is_an_age_and_can_be_changed() {
        let note = "Pt is a [**Age over 90 **] year-old F with pain, [**Age over 90 **]yo.";
        let age = find_age(note).unwrap();
        assert_eq!((age.years, &note[age.range]), (90, "[**Age over 90 **]"));
        assert_eq!(&note[age.sex.unwrap()], "F");
        let edited = super::super::edit::change_age(note, 68).unwrap();
        assert_eq!(edited.text, "Pt is a 68 year-old F with pain, 68yo.");
        assert_eq!(super::super::identifiers::identifiers(note), []);
    }

    #[test]
    fn other_numbers_are_no_ages() {
        for text in [
            "T 98F",
            "temp 101 F",
            "Temp: 98F 80 120/80",
            "walked 50m",
            "5 day old wound",
            "68 mg",
            "BP 120/68",
            "for 10 years",
            "died at age 83",
            "Foley 16F",
            "x 3 days",
            "68%",
            "smoked 40 pack years",
            "in 68 M patients",
        ] {
            assert_eq!(found(text), [], "{text}");
        }
    }
}
