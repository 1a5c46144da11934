//! Texts of the mortality task: notes that tell of the patient's death are cleaned of it or left out.
//!
//! CORe's rules (`mp.py`). In two blocks, where such words speak of relatives or are slips, a phrase is deleted; anywhere
//! else it drops the sample. `pt` has no word boundary: "script expired" drops a sample too.

use crate::mimic::characters::{find_ignoring_case, is_space, prefix_ignoring_case};

/// Blocks in which a phrase is deleted; their labels count wherever they stand in the text.
const FORGIVING: [&str; 2] = ["physical exam:", "medication on admission:"];

const PERSONS: [&str; 2] = ["patient", "pt"];
const AUXILIARIES: [&str; 2] = ["had", "has"];
const VERBS: [&str; 4] = ["expired", "died", "passed away", "deceased"];

/// Words that drop a sample; the first is also in "she expired" and "the expired".
const TELLING: [&str; 3] = ["he expired", "pronounced expired", "time of death"];

/// `note` without the phrases that may go, and how many went; or none if it still tells of a death.
pub(super) fn without_death(note: &str) -> (Option<String>, usize) {
    let (text, deleted) = delete_phrases(note);
    let tells = has_phrase(&text) || TELLING.iter().any(|words| find_ignoring_case(&text, words).is_some());
    ((!tells).then_some(text), deleted)
}

/// Deletes, after each forgiving label, the first phrase that begins on its line. A label within what was just passed over
/// does not count again.
fn delete_phrases(note: &str) -> (String, usize) {
    let mut kept = String::with_capacity(note.len());
    let mut deleted = 0;
    let mut at = 0;
    while let Some(label) = next_label(note, at) {
        let phrase = line_starts(&note[label.end..])
            .map(|offset| label.end + offset)
            .find_map(|start| phrase(&note[start..], Person::Optional).map(|length| start..start + length));
        match phrase {
            Some(phrase) => {
                kept.push_str(&note[at..phrase.start]);
                deleted += 1;
                at = phrase.end;
            }
            None => {
                let next = label.start + 1; // labels begin with an ASCII letter
                kept.push_str(&note[at..next]);
                at = next;
            }
        }
    }
    kept.push_str(&note[at..]);
    (kept, deleted)
}

fn next_label(note: &str, from: usize) -> Option<std::ops::Range<usize>> {
    let found = FORGIVING.iter().filter_map(|label| find_ignoring_case(&note[from..], label));
    found.min_by_key(|range| range.start).map(|range| from + range.start..from + range.end)
}

/// Places in `text` up to and with its first line end.
fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    let line_end = text.find('\n').unwrap_or(text.len());
    text.char_indices().map(|(at, _)| at).take_while(move |at| *at <= line_end)
}

fn has_phrase(text: &str) -> bool {
    // A person begins with the letter p, which has no case beyond ASCII.
    let starts = text.bytes().enumerate().filter(|(_, b)| b.eq_ignore_ascii_case(&b'p'));
    starts.map(|(at, _)| at).any(|at| phrase(&text[at..], Person::Required).is_some())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Person {
    Optional,
    Required,
}

/// Length of a death phrase at the start of `text`: person, white space, perhaps an auxiliary and one white-space character,
/// verb.
fn phrase(text: &str, person: Person) -> Option<usize> {
    let persons = PERSONS.iter().filter_map(|words| prefix_ignoring_case(text, words));
    let nobody = (person == Person::Optional).then_some(0);
    persons.chain(nobody).find_map(|length| {
        let rest = text[length..].trim_start_matches(is_space);
        let verb_at = text.len() - rest.len();
        if verb_at == length {
            return None;
        }
        let plain = || verb(rest).map(|verb| verb_at + verb);
        with_auxiliary(rest).map(|tail| verb_at + tail).or_else(plain)
    })
}

fn with_auxiliary(text: &str) -> Option<usize> {
    AUXILIARIES.iter().find_map(|words| {
        let auxiliary = prefix_ignoring_case(text, words)?;
        let space = text[auxiliary..].chars().next().filter(|c| is_space(*c))?;
        let verb_at = auxiliary + space.len_utf8();
        verb(&text[verb_at..]).map(|verb| verb_at + verb)
    })
}

fn verb(text: &str) -> Option<usize> {
    VERBS.iter().find_map(|words| prefix_ignoring_case(text, words))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_phrase_after_a_forgiving_label_goes_and_the_blanks_around_it_stay() {
        let (text, deleted) =
            without_death("PHYSICAL EXAM: Mother PT  has\texpired of old age\n\nFAMILY HISTORY: x");
        assert_eq!(
            (text.as_deref(), deleted),
            (Some("PHYSICAL EXAM: Mother  of old age\n\nFAMILY HISTORY: x"), 1)
        );
        let (text, _) = without_death("PHYSICAL EXAM: wheeze on expired air");
        assert_eq!(text.as_deref(), Some("PHYSICAL EXAM: wheeze on air"), "no person is needed");
        let (text, _) = without_death("PHYSICAL EXAM: patient died, then the pt died");
        assert_eq!(text, None, "one phrase a label");
        let (text, deleted) = without_death("Medication on admission:expired; physical exam: died\nx");
        assert_eq!(
            (text.as_deref(), deleted),
            (Some("Medication on admission:expired; physical exam:\nx"), 1)
        );
    }

    #[test]
    fn a_death_told_elsewhere_drops_the_sample() {
        for told in [
            "FAMILY HISTORY: the patient passed away",
            "ALLERGIES: script expired",
            "PRESENT ILLNESS: She expired",
            "x Pronounced Expired",
            "TIME OF DEATH",
            "PT\n\nhad died",
        ] {
            assert_eq!(without_death(told).0, None, "{told}");
        }
        for other in [
            "FAMILY HISTORY: father died",
            "patient had  died",
            "patientdied",
            "patient who died",
            "passed away",
        ] {
            assert_eq!(without_death(other).0.as_deref(), Some(other));
        }
    }
}
