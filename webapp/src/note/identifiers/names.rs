//! Names behind a title, a heading, or the word "patient", and before a degree.

use super::super::words::Word;
use super::{Identifier, IdentifierKind, between};

const TITLES: [&str; 9] = ["Dr", "Mr", "Mrs", "Ms", "Miss", "Prof", "Professor", "DR", "MRS"];

/// Headings a name follows.
const HEADINGS: [&str; 13] = [
    "name",
    "attending",
    "physician",
    "pcp",
    "surgeon",
    "doctor",
    "provider",
    "patient",
    "spouse",
    "proxy",
    "contact",
    "author",
    "by",
];

const DEGREES: [&str; 6] = ["MD", "RN", "DO", "PA", "NP", "PhD"];

/// Capitalised words that are no names where one could stand.
const NOT_NAMES: [&str; 60] = [
    "The",
    "He",
    "She",
    "They",
    "Patient",
    "Pt",
    "Was",
    "Is",
    "Has",
    "Had",
    "On",
    "In",
    "At",
    "And",
    "For",
    "With",
    "Who",
    "Denies",
    "Reports",
    "States",
    "Presents",
    "Presented",
    "Admitted",
    "Transferred",
    "Known",
    "Unknown",
    "None",
    "No",
    "Not",
    "Contin",
    "Family",
    "History",
    "Medical",
    "Service",
    "Medicine",
    "Cardiology",
    "Surgery",
    "Neurology",
    "Emergency",
    "Department",
    "Hospital",
    "Clinic",
    "Home",
    "Hospice",
    "Name",
    "Date",
    "Sex",
    "Male",
    "Female",
    "Allergies",
    "Attending",
    "Chief",
    "Social",
    "Physical",
    "Past",
    "Reason",
    "This",
    "Primary",
    "Care",
    "To",
];

/// Adds likely names.
pub(super) fn scan(text: &str, words: &[Word<'_>], found: &mut Vec<Identifier>) {
    for at in 0..words.len() {
        if let Some(end) = titled(text, words, at) {
            found.push(Identifier { kind: IdentifierKind::Name, range: words[at].start..end });
        }
        if let Some((start, end)) = headed(text, words, at).or_else(|| before_degree(text, words, at)) {
            found.push(Identifier { kind: IdentifierKind::Name, range: start..end });
        }
    }
}

fn is_name(word: &Word<'_>) -> bool {
    word.is_capitalised() && word.text.chars().count() >= 2 && !NOT_NAMES.contains(&word.text)
}

fn is_capitals(word: &Word<'_>) -> bool {
    word.text.chars().count() >= 3
        && word.text.chars().all(char::is_uppercase)
        && !NOT_NAMES.iter().any(|other| word.is(other))
}

fn is_initial(word: &Word<'_>) -> bool {
    word.text.len() == 1 && word.text.chars().all(char::is_uppercase)
}

/// The end of a name that begins at this word: one to three names, initials between, marks as names have them.
fn name(text: &str, words: &[Word<'_>], at: usize, least: usize, capitals: bool) -> Option<usize> {
    let fits = |word: &Word<'_>| is_name(word) || (capitals && is_capitals(word));
    let (mut end, mut names) = (None, 0);
    for place in at..words.len().min(at + 4) {
        let joins =
            place == at || matches!(between(text, &words[place - 1], &words[place]), " " | ". " | "-" | ", ");
        // A full stop ends a name unless an initial is before it.
        let is_stopped = place > at
            && between(text, &words[place - 1], &words[place]).starts_with('.')
            && !is_initial(&words[place - 1]);
        if !joins || is_stopped || !(fits(&words[place]) || is_initial(&words[place])) {
            break;
        }
        if fits(&words[place]) {
            names += 1;
            end = Some(words[place].end());
        }
    }
    end.filter(|_| names >= least)
}

/// `Dr. Smith`, `Mrs Jane Doe`.
fn titled(text: &str, words: &[Word<'_>], at: usize) -> Option<usize> {
    if !TITLES.contains(&words[at].text) {
        return None;
    }
    let gap = between(text, &words[at], words.get(at + 1)?);
    let shouts = matches!(words[at].text, "DR" | "MRS");
    let is_title = if shouts { gap == ". " } else { matches!(gap, " " | ". " | ".") };
    if !is_title {
        return None;
    }
    // "Dr. Smith, Cardiology": a comma ends a titled name.
    let gap_has_comma = |place: &usize| between(text, &words[place - 1], &words[*place]).contains(',');
    let until = (at + 1..words.len().min(at + 6)).find(gap_has_comma).unwrap_or(words.len());
    name(text, &words[..until], at + 1, 1, shouts)
}

/// `Name: Doe, Jane`, `Attending: A. Smith`, `patient John Smith`.
fn headed(text: &str, words: &[Word<'_>], at: usize) -> Option<(usize, usize)> {
    let next = words.get(at + 1)?;
    let gap = between(text, &words[at], next);
    let is_patient = words[at].is_one_of(&["patient", "pt"]) && gap == " ";
    let is_headed =
        words[at].is_one_of(&HEADINGS) && gap.starts_with(':') && gap[1..].trim_matches(' ').is_empty();
    let is_named = words[at].is("named") && gap == " ";
    let ends_line = |place: &usize| between(text, &words[place - 1], &words[*place]).contains('\n');
    let until = (at + 2..words.len().min(at + 7)).find(ends_line).unwrap_or(words.len());
    let words = &words[..until];
    match (is_headed, is_named, is_patient) {
        (true, ..) => {
            name(text, words, at + 1, if words[at].is("name") { 1 } else { 2 }, words[at].is("name"))
        }
        (_, true, _) => name(text, words, at + 1, 1, false),
        (_, _, true) => name(text, words, at + 1, 2, false),
        _ => None,
    }
    .map(|end| (next.start, end))
}

/// `Jane Doe, MD`.
fn before_degree(text: &str, words: &[Word<'_>], at: usize) -> Option<(usize, usize)> {
    let is_degree = |place: usize| {
        let (word, before) = (words.get(place)?, &words[place - 1]);
        let is_dotted = word.text == "M" && text[word.end()..].starts_with(".D");
        (between(text, before, word) == ", " && (DEGREES.contains(&word.text) || is_dotted))
            .then_some(before.end())
    };
    let first = &words[at];
    if !is_name(first)
        || !words.get(at + 1).is_some_and(|second| {
            (is_name(second) || is_initial(second)) && between(text, first, second) == " "
        })
    {
        return None;
    }
    is_degree(at + 2).or_else(|| is_degree(at + 3)).map(|end| (first.start, end))
}
