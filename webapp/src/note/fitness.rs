//! Whether a note is of the kind the model was trained on: flags, each with a sentence for a reader. A flag forbids nothing; it
//! says why the numbers may be worth less.

use super::age::find_age;
use super::sections::{Part, sections};
use super::words::{Word, words};

/// Why a prediction on a note may be worth little.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FlagKind {
    /// Nothing to read.
    Empty,
    /// Fewer words than any training note.
    TooShort,
    /// Longer than the model reads.
    Cut,
    /// Written in another language.
    NotEnglish,
    /// Neither headings nor words of an admission note, or words the tokenizer does not know.
    Unlike,
    /// About a child; the training patients were adults.
    Child,
}

/// A flag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Why.
    pub kind: FlagKind,
    /// In plain words.
    pub sentence: String,
}

/// Fewest words of a note that tells a story: shorter than nearly all notes of the synthetic cohort.
const FEWEST_WORDS: usize = 30;

/// Tokens of a word above which most words were taken apart letter by letter.
const MOST_TOKENS_PER_WORD: f64 = 5.0;

/// Share of clinical words in a text without headings below which it is no admission note.
const FEWEST_CLINICAL: f64 = 0.03;

/// Words of English that every longer text has.
const ENGLISH: [&str; 28] = [
    "the", "and", "of", "to", "with", "was", "is", "in", "for", "on", "he", "she", "has", "had", "at",
    "from", "not", "by", "his", "her", "this", "which", "were", "who", "that", "an", "as", "are",
];

/// Words of other languages that every longer text has, and that English and clinical shorthand have not.
const FOREIGN: [&str; 52] = [
    "der", "die", "das", "und", "mit", "ist", "ein", "eine", "nicht", "wurde", "bei", "von", "le", "la",
    "les", "des", "et", "une", "avec", "dans", "est", "pour", "el", "los", "las", "con", "por", "una", "del",
    "que", "y", "il", "di", "che", "per", "della", "nel", "um", "uma", "com", "não", "het", "een", "van",
    "med", "och", "som", "av", "für", "zur", "paciente", "presenta",
];

/// Words and shorthand that admission notes are full of.
const CLINICAL: [&str; 86] = [
    "patient",
    "pt",
    "history",
    "hx",
    "h",
    "pain",
    "chest",
    "fever",
    "cough",
    "dyspnea",
    "nausea",
    "vomiting",
    "abdominal",
    "blood",
    "pressure",
    "bp",
    "hr",
    "rr",
    "o2",
    "ra",
    "ed",
    "icu",
    "ct",
    "cxr",
    "ekg",
    "ecg",
    "mri",
    "wbc",
    "hct",
    "cr",
    "na",
    "k",
    "ptt",
    "inr",
    "mg",
    "ml",
    "daily",
    "bid",
    "tid",
    "prn",
    "po",
    "iv",
    "denies",
    "presents",
    "presented",
    "presenting",
    "admitted",
    "transferred",
    "s",
    "p",
    "w",
    "yo",
    "y",
    "o",
    "hypertension",
    "htn",
    "diabetes",
    "dm",
    "cad",
    "chf",
    "copd",
    "afib",
    "renal",
    "cardiac",
    "pulmonary",
    "liver",
    "heart",
    "lung",
    "stroke",
    "surgery",
    "allergies",
    "medications",
    "exam",
    "vitals",
    "vs",
    "temp",
    "afebrile",
    "acute",
    "chronic",
    "bilateral",
    "infection",
    "symptoms",
    "syncope",
    "hypotension",
    "tablet",
    "neuro",
];

/// The flags of a note. `tokens` is how many tokens it has and how many the model reads, once that is known.
#[must_use]
pub fn flags(text: &str, tokens: Option<(usize, usize)>) -> Vec<Flag> {
    let words = words(text);
    let mut flags = Vec::new();
    let mut flag = |kind, sentence: String| flags.push(Flag { kind, sentence });
    if words.is_empty() {
        flag(FlagKind::Empty, "There is no text to read.".to_owned());
        return flags;
    }
    if words.len() < FEWEST_WORDS {
        let count = words.len();
        let plural = if count == 1 { "" } else { "s" };
        flag(
            FlagKind::TooShort,
            format!(
                "The note has only {count} word{plural}; the model was trained on whole admission notes."
            ),
        );
    }
    if let Some((count, limit)) = tokens.filter(|(count, limit)| count > limit) {
        flag(
            FlagKind::Cut,
            format!(
                "The model reads the first {limit} of this note's {count} tokens (pieces of words); the greyed-out rest has no \
                 effect."
            ),
        );
    }
    let is_foreign = is_foreign(text, &words);
    if is_foreign {
        flag(
            FlagKind::NotEnglish,
            "The note does not seem to be in English; the model was trained on English notes.".to_owned(),
        );
    }
    if !is_foreign && is_unlike(text, &words, tokens) {
        flag(
            FlagKind::Unlike,
            "This does not look like an admission note: it has none of the usual headings and few clinical words, or words the model \
             does not know."
                .to_owned(),
        );
    }
    if let Some(age) = find_age(text).filter(|age| age.years < 18) {
        let said = match age.years {
            0 => "a baby".to_owned(),
            1 => "a child of 1 year".to_owned(),
            years => format!("a child of {years} years"),
        };
        flag(
            FlagKind::Child,
            format!("The patient seems to be {said}; the model was trained on adults only."),
        );
    }
    flags
}

#[expect(clippy::cast_precision_loss, reason = "words are far fewer than 2^52")]
fn share(part: usize, of: usize) -> f64 {
    part as f64 / of.max(1) as f64
}

/// Mostly other scripts, or more of other languages' commonest words than of English ones.
fn is_foreign(text: &str, words: &[Word<'_>]) -> bool {
    let letters = text.chars().filter(|c| c.is_alphabetic()).count();
    let latin = text.chars().filter(|c| c.is_alphabetic() && *c < '\u{250}').count();
    if letters > 0 && share(letters - latin, letters) > 0.3 {
        return true;
    }
    let count =
        |list: &[&str]| words.iter().filter(|word| list.contains(&word.text.to_lowercase().as_str())).count();
    let (foreign, english) = (count(&FOREIGN), count(&ENGLISH));
    foreign >= 3 && foreign > english && share(foreign, words.len()) > 0.05
}

fn is_unlike(text: &str, words: &[Word<'_>], tokens: Option<(usize, usize)>) -> bool {
    // Very short texts are flagged as that.
    if words.len() < 8 {
        return false;
    }
    let runs = text.split_whitespace().count();
    let is_taken_apart = tokens.is_some_and(|(count, _)| share(count, runs) > MOST_TOKENS_PER_WORD);
    let has_heading = sections(text).iter().any(|section| matches!(section.part, Part::Admission(_)));
    let clinical = words.iter().filter(|word| word.is_one_of(&CLINICAL)).count();
    is_taken_apart || (!has_heading && share(clinical, words.len()) < FEWEST_CLINICAL)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTE: &str = "CHIEF COMPLAINT: Chest pain\n\nPRESENT ILLNESS: 68M with h/o CAD, HTN presents with chest pain radiating to \
        the left arm for 2 hours, with nausea. In the ED BP 120/80, HR 90, given aspirin and nitro with relief.\n\nMEDICAL HISTORY: \
        CAD s/p CABG, HTN";

    fn kinds(text: &str, tokens: Option<(usize, usize)>) -> Vec<FlagKind> {
        flags(text, tokens).into_iter().map(|flag| flag.kind).collect()
    }

    #[test]
    fn a_note_like_the_training_notes_has_no_flag() {
        assert_eq!(kinds(NOTE, Some((128, 128))), []);
        let shorthand = "68F h/o CHF, COPD, AF on coumadin p/w SOB x3d, +orthopnea, LE edema, wt up 5 kg. VS 98.1 88 129/69 23 \
            94% 2L. CXR pulm edema. IV lasix 80, nitro gtt, admit to ICU.";
        assert_eq!(kinds(shorthand, None), []);
    }

    #[test]
    fn each_defect_has_its_flag() {
        assert_eq!(kinds(" \n", None), [FlagKind::Empty]);
        assert_eq!(kinds("68M with chest pain, admitted", None), [FlagKind::TooShort]);
        assert_eq!(kinds(NOTE, Some((129, 128))), [FlagKind::Cut]);
        assert_eq!(kinds(NOTE, Some((900, 1000))), [FlagKind::Unlike], "letter by letter");
        let story = "It was a bright cold day in April, and the clocks were striking thirteen. Winston slipped quickly through the \
            glass doors of the mansions, though not quickly enough to prevent a swirl of gritty dust from entering along with him.";
        assert_eq!(kinds(story, None), [FlagKind::Unlike]);
        let child = NOTE.replace("68M", "6 year old boy");
        assert_eq!(kinds(&child, None), [FlagKind::Child]);
        assert!(flags(&child, None)[0].sentence.contains("a child of 6 years"));
        assert_eq!(kinds(&NOTE.replace("68M", "3 week old girl"), None), [FlagKind::Child]);
    }

    #[test]
    fn other_languages_are_told_from_english() {
        for text in [
            "Der Patient ist 68 Jahre alt und wurde mit Brustschmerzen bei bekannter koronarer Herzkrankheit eingeliefert. Die \
             Schmerzen strahlen in den linken Arm aus, eine Besserung trat mit Nitro nicht ein, das EKG ist auffällig und zeigt",
            "Paciente de 68 años que presenta dolor en el pecho con irradiación al brazo izquierdo desde hace dos horas, con náuseas \
             y sudoración. Los antecedentes del paciente son hipertensión y diabetes. En la exploración por la tarde no hay",
            "患者さんは胸の痛みで来院しました",
        ] {
            assert!(kinds(text, None).contains(&FlagKind::NotEnglish), "{text}");
        }
        assert!(
            !kinds(&format!("{NOTE} EF 50, La Paz, per OSH, via Med con"), None)
                .contains(&FlagKind::NotEnglish)
        );
    }
}
