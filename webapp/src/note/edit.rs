//! What-if changes of a note: a sentence struck, another age, another sex.
//!
//! A changed note differs from the first in the named words only, so that the difference of two predictions speaks of them.
//! Changes are listed, since rules on words err: "she" may be the daughter.

use std::ops::Range;

use super::age::{ages, find_age};
use super::sections::{Part, SectionKind, sections};
use super::text::{Sentence, sentences};
use super::words::{Word, words};

/// A replaced word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Where the new words stand in the new text; empty where words were struck.
    pub range: Range<usize>,
    /// What stood there.
    pub from: String,
    /// What stands there now.
    pub to: String,
}

/// A changed note.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Edited {
    /// The new text.
    pub text: String,
    /// What was changed, in order.
    pub changes: Vec<Change>,
}

/// Sex as a note states it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Sex {
    /// Female.
    Female,
    /// Male.
    Male,
}

impl Sex {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Female => Self::Male,
            Self::Male => Self::Female,
        }
    }

    /// In words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Female => "woman",
            Self::Male => "man",
        }
    }
}

/// The sentences of a note, as the model's explanation parts them.
#[must_use]
pub fn note_sentences(text: &str) -> Vec<Sentence> {
    sentences(text)
}

/// The note without a range, and without the blanks before it where blanks follow it, too. A range that is not within the text,
/// or not on borders of characters, changes nothing.
#[must_use]
pub fn strike(text: &str, range: Range<usize>) -> Edited {
    let Some(struck) = text.get(range.clone()).filter(|struck| !struck.is_empty()) else {
        return Edited { text: text.to_owned(), changes: Vec::new() };
    };
    let rest = &text[range.end..];
    let is_free = rest.is_empty() || rest.starts_with(char::is_whitespace);
    let before =
        if is_free { text[..range.start].trim_end_matches([' ', '\t']) } else { &text[..range.start] };
    Edited {
        text: format!("{before}{rest}"),
        changes: vec![Change {
            range: before.len()..before.len(),
            from: struck.to_owned(),
            to: String::new(),
        }],
    }
}

/// The note with other words in a range. What is said of [`strike`]'s range holds here.
#[must_use]
pub fn replace(text: &str, range: Range<usize>, with: &str) -> Edited {
    if text.get(range.clone()).is_none() {
        return Edited { text: text.to_owned(), changes: Vec::new() };
    }
    apply(text, vec![(range, with.to_owned())])
}

/// The note with another age, wherever the first one in it stands; none where no age is found.
#[must_use]
pub fn change_age(text: &str, years: u32) -> Option<Edited> {
    let now = find_age(text)?;
    let same = ages(text)
        .into_iter()
        .filter(|age| age.years == now.years && text[age.range.clone()] == text[now.range.clone()]);
    Some(apply(text, same.map(|age| (age.range, years.to_string())).collect()))
}

/// Pairs of words, the female first, that speak of the patient.
const PAIRS: [(&str, &str); 10] = [
    ("woman", "man"),
    ("female", "male"),
    ("lady", "gentleman"),
    ("girl", "boy"),
    ("she", "he"),
    ("herself", "himself"),
    ("hers", "his"),
    ("mrs", "mr"),
    ("ms", "mr"),
    ("gentlewoman", "gentleman"),
];

/// Words after "her" that make it "him" and not "his".
const AFTER_OBJECT: [&str; 26] = [
    "to", "with", "in", "on", "at", "for", "and", "from", "into", "by", "as", "that", "was", "is", "who",
    "up", "down", "because", "after", "before", "when", "the", "a", "not", "over", "out",
];

/// What a note says of the patient's sex: by the letter or word nearest behind the age, else by most words; none if it does not say.
#[must_use]
pub fn find_sex(text: &str) -> Option<Sex> {
    if let Some(age) = find_age(text) {
        if let Some(letter) = age.sex {
            return Some(if text[letter].eq_ignore_ascii_case("f") { Sex::Female } else { Sex::Male });
        }
        let behind = words(text).into_iter().filter(|word| word.start >= age.range.end).take(8);
        if let Some(sex) = behind.filter_map(|word| noun(&word)).next() {
            return Some(sex);
        }
    }
    let found = mentions(text);
    let female = found.iter().filter(|(sex, _)| *sex == Sex::Female).count();
    match female.cmp(&(found.len() - female)) {
        std::cmp::Ordering::Greater => Some(Sex::Female),
        std::cmp::Ordering::Less => Some(Sex::Male),
        std::cmp::Ordering::Equal => None,
    }
}

fn noun(word: &Word<'_>) -> Option<Sex> {
    PAIRS[..4].iter().find_map(|(female, male)| {
        if word.is(female) {
            Some(Sex::Female)
        } else if word.is(male) {
            Some(Sex::Male)
        } else {
            None
        }
    })
}

/// The note about a patient of this sex. The family history is left as it is: its "he" and "she" are relatives. A note that says
/// nothing of a sex is returned without changes.
#[must_use]
pub fn change_sex(text: &str, sex: Sex) -> Edited {
    let changes = mentions(text)
        .into_iter()
        .filter(|(said, _)| *said != sex)
        .map(|(_, range)| {
            let now = &text[range.clone()];
            let other = other_word(text, &range, sex).to_owned();
            (range, like(now, &other))
        })
        .collect();
    apply(text, changes)
}

/// Words that tell the patient's sex, with what they tell, in order.
fn mentions(text: &str) -> Vec<(Sex, Range<usize>)> {
    let relatives: Vec<Range<usize>> = sections(text)
        .into_iter()
        .filter(|section| section.part == Part::Admission(SectionKind::FamilyHistory))
        .map(|section| section.range)
        .collect();
    let letters: Vec<Range<usize>> = ages(text).into_iter().filter_map(|age| age.sex).collect();
    let all = words(text);
    let mut found: Vec<(Sex, Range<usize>)> = letters
        .iter()
        .filter(|range| matches!(&text[(*range).clone()], "F" | "M" | "f" | "m"))
        .map(|range| {
            (
                if text[range.clone()].eq_ignore_ascii_case("f") { Sex::Female } else { Sex::Male },
                range.clone(),
            )
        })
        .collect();
    for (at, word) in all.iter().enumerate() {
        let range = word.start..word.end();
        let is_after_heading = at > 0
            && all[at - 1].is_one_of(&["sex", "gender"])
            && text[all[at - 1].end()..word.start].trim() == ":";
        let sex = if is_after_heading && word.is_one_of(&["f", "m"]) {
            Some(if word.is("f") { Sex::Female } else { Sex::Male })
        } else {
            word_sex(word)
        };
        // "MS Contin", "MR angiography", and a title that is not followed by a name.
        let is_shouted = word.is_one_of(&["mr", "ms"]) && word.text.chars().all(char::is_uppercase);
        if let Some(sex) = sex.filter(|_| {
            !is_shouted && letters.binary_search_by_key(&range.start, |letter| letter.start).is_err()
        }) {
            found.push((sex, range));
        }
    }
    found.retain(|(_, range)| !relatives.iter().any(|section| section.contains(&range.start)));
    found.sort_by_key(|(_, range)| range.start);
    found
}

fn word_sex(word: &Word<'_>) -> Option<Sex> {
    if word.is("her") || PAIRS.iter().any(|(female, _)| word.is(female)) {
        Some(Sex::Female)
    } else if word.is_one_of(&["him", "his"]) || PAIRS.iter().any(|(_, male)| word.is(male)) {
        Some(Sex::Male)
    } else {
        None
    }
}

/// What stands for the word in `range` of a patient of the other sex, in small letters.
fn other_word(text: &str, range: &Range<usize>, sex: Sex) -> &'static str {
    let word = Word { text: &text[range.clone()], start: range.start };
    match (sex, word.text.to_ascii_lowercase().as_str()) {
        (Sex::Male, "f") => "m",
        (Sex::Female, "m") => "f",
        (Sex::Female, "him" | "his") => "her",
        (Sex::Female, "mr") => "ms",
        (Sex::Male, "her") => {
            let rest = text[range.end..].trim_start_matches([' ', '\n']);
            let next: &str = rest.split(|c: char| !c.is_alphanumeric()).next().unwrap_or("");
            let is_object =
                next.is_empty() || AFTER_OBJECT.iter().any(|other| next.eq_ignore_ascii_case(other));
            if is_object { "him" } else { "his" }
        }
        (Sex::Male, _) => PAIRS.iter().find(|(female, _)| word.is(female)).map_or("", |(_, male)| male),
        (Sex::Female, _) => PAIRS.iter().find(|(_, male)| word.is(male)).map_or("", |(female, _)| female),
    }
}

/// `word` in the case of `model`.
fn like(model: &str, word: &str) -> String {
    let mut letters = model.chars();
    let is_capital = letters.next().is_some_and(char::is_uppercase);
    match (is_capital, letters.next().map(char::is_uppercase)) {
        (true, None | Some(true)) => word.to_uppercase(),
        (true, Some(false)) => word[..1].to_uppercase() + &word[1..],
        _ => word.to_owned(),
    }
}

/// The text with other words in some ranges, which are in order and apart.
fn apply(text: &str, replacements: Vec<(Range<usize>, String)>) -> Edited {
    let mut edited = Edited::default();
    let mut at = 0;
    for (range, with) in replacements {
        edited.text.push_str(&text[at..range.start]);
        let start = edited.text.len();
        edited.text.push_str(&with);
        at = range.end;
        if text[range.clone()] != with {
            edited.changes.push(Change {
                range: start..edited.text.len(),
                from: text[range].to_owned(),
                to: with,
            });
        }
    }
    edited.text.push_str(&text[at..]);
    edited
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(edited: Edited) -> String {
        for change in &edited.changes {
            assert_eq!(edited.text[change.range.clone()], change.to);
        }
        edited.text
    }

    #[test]
    fn a_struck_sentence_leaves_no_hole() {
        let note = "First. He fell! \u{1f600} Last.";
        let second = note_sentences(note)[1].range.clone();
        assert_eq!(&note[second.clone()], "He fell!");
        assert_eq!(strike(note, second).text, "First. \u{1f600} Last.");
        assert_eq!(strike("A. B.", 3..5).text, "A.");
        assert_eq!(strike(note, 17..18).text, note, "within a character");
        assert_eq!(strike(note, 0..999).text, note);
        assert_eq!(replace("A. B.", 0..2, "\u{e9}!").text, "\u{e9}! B.");
    }

    #[test]
    fn the_age_is_changed_wherever_it_is_said() {
        let note = "68F with CAD. The 68-year-old was given 68 mg; mother died at age 68.";
        let edited = change_age(note, 9).unwrap();
        assert_eq!(edited.changes.len(), 2);
        assert_eq!(checked(edited), "9F with CAD. The 9-year-old was given 68 mg; mother died at age 68.");
        assert_eq!(change_age("no age", 3), None);
    }

    #[test]
    fn the_sex_is_changed_with_every_word_that_tells_it() {
        let note = "Mrs. [**Name**] is a 68 y/o F. She took her pills; this woke her. HER son called her, she said.\n\
            Family history: Her mother died; she had CAD.\nSocial history: Lady lives with her husband.";
        assert_eq!(find_sex(note), Some(Sex::Female));
        let male = checked(change_sex(note, Sex::Male));
        assert_eq!(
            male,
            "Mr. [**Name**] is a 68 y/o M. He took his pills; this woke him. HIS son called him, he said.\n\
             Family history: Her mother died; she had CAD.\nSocial history: Gentleman lives with his husband."
        );
        assert_eq!(find_sex(&male), Some(Sex::Male));
        let again = checked(change_sex(&male, Sex::Female));
        assert!(
            again.starts_with("Ms. [**Name**] is a 68 y/o F. She took her pills; this woke her. HER son"),
            "{again}"
        );
        assert_eq!(change_sex(note, Sex::Female).changes, []);
        assert_eq!(
            checked(change_sex("Sex: M\n45M, MS Contin, MR brain, given to him.", Sex::Female)),
            "Sex: F\n45F, MS Contin, MR brain, given to her."
        );
        assert_eq!(find_sex("Sex not said."), None);
    }

    #[test]
    fn no_text_is_broken() {
        for text in
            ["", "her", "\u{1f600}her\u{301} 68F\u{e9}", "Mr", "68", "M", "68yoF", "\u{130}he SHE \u{df}"]
        {
            for sex in [Sex::Female, Sex::Male] {
                let _ = checked(change_sex(text, sex));
            }
            let _ = change_age(text, 120).map(checked);
            for start in 0..=text.len() {
                let _ = strike(text, start..text.len());
            }
        }
    }
}
