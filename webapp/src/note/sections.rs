//! Sections of an admission note by their headings: which are there, which are missing, and which are known only when a
//! patient leaves.
//!
//! The model was trained on the eight sections of a discharge summary that are known on admission (van Aken et al. 2021).
//! Headings are read as the cohort and MIMIC write them, in any case, with or without a colon at the end of a line; in a note
//! without line ends, with a colon behind them.

use std::ops::Range;

use super::words::words;

mod headings;

/// A section the model was trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SectionKind {
    /// Why the patient came.
    ChiefComplaint,
    /// How it began.
    PresentIllness,
    /// Earlier diseases.
    MedicalHistory,
    /// Medicines taken at home.
    Medications,
    /// Allergies.
    Allergies,
    /// Findings on admission.
    PhysicalExam,
    /// Diseases of the family.
    FamilyHistory,
    /// Work, home, smoking, drinking.
    SocialHistory,
}

impl SectionKind {
    /// All of them, in the order of the training notes.
    pub const ALL: [Self; 8] = [
        Self::ChiefComplaint,
        Self::PresentIllness,
        Self::MedicalHistory,
        Self::Medications,
        Self::Allergies,
        Self::PhysicalExam,
        Self::FamilyHistory,
        Self::SocialHistory,
    ];

    /// For a reader.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::ChiefComplaint => "Chief complaint",
            Self::PresentIllness => "History of present illness",
            Self::MedicalHistory => "Past medical history",
            Self::Medications => "Medications on admission",
            Self::Allergies => "Allergies",
            Self::PhysicalExam => "Physical exam",
            Self::FamilyHistory => "Family history",
            Self::SocialHistory => "Social history",
        }
    }

    /// As the training notes head it.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::ChiefComplaint => "CHIEF COMPLAINT",
            Self::PresentIllness => "PRESENT ILLNESS",
            Self::MedicalHistory => "MEDICAL HISTORY",
            Self::Medications => "MEDICATION ON ADMISSION",
            Self::Allergies => "ALLERGIES",
            Self::PhysicalExam => "PHYSICAL EXAM",
            Self::FamilyHistory => "FAMILY HISTORY",
            Self::SocialHistory => "SOCIAL HISTORY",
        }
    }
}

/// Text that is written when a patient leaves: with it, a prediction only repeats what has happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeakKind {
    /// What happened in hospital.
    HospitalCourse,
    /// Diagnoses at the end.
    DischargeDiagnosis,
    /// Medicines at the end.
    DischargeMedications,
    /// What the patient is told.
    DischargeInstructions,
    /// Where the patient goes.
    DischargeDisposition,
    /// How the patient is at the end.
    DischargeCondition,
    /// Findings at the end.
    DischargeExam,
    /// A sentence that tells the end: death, or the day of discharge.
    Outcome,
}

impl LeakKind {
    /// For a reader.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::HospitalCourse => "Hospital course",
            Self::DischargeDiagnosis => "Discharge diagnosis",
            Self::DischargeMedications => "Discharge medications",
            Self::DischargeInstructions => "Discharge instructions",
            Self::DischargeDisposition => "Discharge disposition",
            Self::DischargeCondition => "Discharge condition",
            Self::DischargeExam => "Exam or results at discharge",
            Self::Outcome => "Words that tell the outcome",
        }
    }
}

/// What a section is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// One the model was trained on.
    Admission(SectionKind),
    /// One that is written at the end.
    Leak(LeakKind),
    /// Text before the first heading, or under another known one.
    Other,
}

/// A section: a heading, if it has one, and what follows until the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// What it is.
    pub part: Part,
    /// Range of the heading's words, without the colon; empty for text before the first heading.
    pub heading: Range<usize>,
    /// Range of the text under it, without the blanks around it.
    pub body: Range<usize>,
    /// Range of heading and body up to the next section.
    pub range: Range<usize>,
}

/// Discharge-only text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// What it is.
    pub kind: LeakKind,
    /// Where it stands.
    pub range: Range<usize>,
}

/// Phrases that tell the end wherever they stand.
const OUTCOMES: [&str; 10] = [
    "time of death",
    "pronounced dead",
    "patient expired",
    "pt expired",
    "patient passed away",
    "pt passed away",
    "died in the hospital",
    "on the day of discharge",
    "was discharged in stable condition",
    "autopsy was",
];

/// The sections of a note, covering all of it, in order.
#[must_use]
pub fn sections(text: &str) -> Vec<Section> {
    // ASCII folding keeps every place where it was.
    let folded = text.to_ascii_lowercase();
    let mut starts = headings::headings(text, &folded);
    if starts.first().is_none_or(|(_, heading)| !text[..heading.start].trim().is_empty()) {
        starts.insert(0, (Part::Other, 0..0));
    }
    let mut ends: Vec<usize> = starts.iter().skip(1).map(|(_, heading)| heading.start).collect();
    ends.push(text.len());
    let mut from = 0;
    let mut sections = Vec::new();
    for ((part, heading), end) in starts.into_iter().zip(ends) {
        let body = &text[heading.end..end];
        let skipped = body.len() - body.trim_start_matches(is_around_body).len();
        let start = heading.end + skipped;
        let body =
            start..start + text[start..end].trim_end_matches(|c: char| c.is_whitespace() || c == '#').len();
        sections.push(Section { part, heading, body, range: from..end });
        from = end;
    }
    sections
}

fn is_around_body(c: char) -> bool {
    c.is_whitespace() || matches!(c, ':' | '*' | '_' | '#' | '=')
}

/// Which of the eight sections a note lacks or has no word under.
#[must_use]
pub fn missing(text: &str, sections: &[Section]) -> Vec<SectionKind> {
    let has_words = |section: &&Section| text[section.body.clone()].chars().any(char::is_alphanumeric);
    let has = |kind: &SectionKind| {
        sections
            .iter()
            .filter(|section| section.part == Part::Admission(*kind))
            .any(|section| has_words(&section))
    };
    SectionKind::ALL.into_iter().filter(|kind| !has(kind)).collect()
}

/// Discharge-only text: whole sections, and phrases elsewhere; in order.
#[must_use]
pub fn leakage(text: &str, sections: &[Section]) -> Vec<Leak> {
    let mut leaks: Vec<Leak> = sections
        .iter()
        .filter_map(|section| match section.part {
            Part::Leak(kind) => {
                Some(Leak { kind, range: section.heading.start..section.body.end.max(section.heading.end) })
            }
            _ => None,
        })
        .collect();
    let folded = text.to_ascii_lowercase();
    for phrase in OUTCOMES {
        for (start, _) in folded.match_indices(phrase) {
            let section = sections.partition_point(|section| section.range.end <= start);
            let part = sections.get(section).map(|section| section.part);
            // Relatives died, too, and a section of the end is told as a whole.
            if !matches!(part, Some(Part::Leak(_) | Part::Admission(SectionKind::FamilyHistory))) {
                leaks.push(Leak { kind: LeakKind::Outcome, range: start..start + phrase.len() });
            }
        }
    }
    leaks.sort_by_key(|leak| leak.range.start);
    leaks
}

/// How many words a note has.
#[must_use]
pub fn word_count(text: &str) -> usize {
    words(text).len()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COHORT: &str = "CHIEF COMPLAINT: Chest pain\n\nPRESENT ILLNESS: 68M with CAD, found to be in pain.\n\nMEDICAL HISTORY: \
        CAD\n\nMEDICATION ON ADMISSION: aspirin\n\nALLERGIES: None\n\nPHYSICAL EXAM: Vitals: 98.6\nNeuro: intact\n\nFAMILY \
        HISTORY: \n\nSOCIAL HISTORY: Lives alone.";

    fn kinds(text: &str) -> Vec<SectionKind> {
        sections(text)
            .into_iter()
            .filter_map(|section| match section.part {
                Part::Admission(kind) => Some(kind),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn the_training_notes_have_their_eight_sections() {
        let found = sections(COHORT);
        assert_eq!(kinds(COHORT), SectionKind::ALL);
        let exam = found.iter().find(|s| s.part == Part::Admission(SectionKind::PhysicalExam)).unwrap();
        assert_eq!(
            &COHORT[exam.body.clone()],
            "Vitals: 98.6\nNeuro: intact",
            "no heading of the exam ends it"
        );
        assert_eq!(missing(COHORT, &found), [SectionKind::FamilyHistory], "an empty one is missing");
        assert!(leakage(COHORT, &found).is_empty());
    }

    #[test]
    fn headings_are_read_in_their_variants() {
        let note = "cc:\npain\nHPI: 1 day\n  PMH : none\n## Home Meds\naspirin\n**Allergies:** none\nPhysical Examination (ED):\n\
            well\nFHx: none\nSocial history:nil";
        assert_eq!(kinds(note), SectionKind::ALL);
        let inline = "Allergies: None Chief Complaint: Confusion History of Present Illness: 61M with exam: fine Past Medical \
            History: HTN Family History: none Physical Exam: well Medications on Admission: none";
        let found = kinds(inline);
        assert_eq!(found.len(), 7, "{found:?}");
        assert_eq!(found[2], SectionKind::PresentIllness);
    }

    #[test]
    fn running_text_has_no_sections() {
        let note =
            "The patient has a long medical history and allergies to pollen. On exam he was well: no pain.";
        assert_eq!(kinds(note), []);
        assert_eq!(sections(note).len(), 1);
    }

    #[test]
    fn what_is_written_at_the_end_is_found() {
        let note = "Chief Complaint: pain\n\nBrief Hospital Course:\nHe did well.\n\nDischarge Medications:\n1. Aspirin\n\n\
            Discharge Disposition:\nExpired\n\nDischarge Diagnosis:\nNSTEMI\n\nDischarge Condition:\nGood\n\nDischarge \
            Instructions:\nRest";
        let found = leakage(note, &sections(note));
        let kinds: Vec<LeakKind> = found.iter().map(|leak| leak.kind).collect();
        let expected = [
            LeakKind::HospitalCourse,
            LeakKind::DischargeMedications,
            LeakKind::DischargeDisposition,
            LeakKind::DischargeDiagnosis,
            LeakKind::DischargeCondition,
            LeakKind::DischargeInstructions,
        ];
        assert_eq!(kinds, expected);
        assert_eq!(&note[found[2].range.clone()], "Discharge Disposition:\nExpired");
        let told = "HPI: The patient expired at 4 am; time of death noted.\nFamily history: father, time of death unknown";
        let kinds: Vec<LeakKind> = leakage(told, &sections(told)).iter().map(|leak| leak.kind).collect();
        assert_eq!(kinds, [LeakKind::Outcome, LeakKind::Outcome]);
        let before =
            "HPI: recently discharged from rehab, discharged to home last week. Past medical history: none";
        assert!(leakage(before, &sections(before)).is_empty(), "an earlier stay");
    }

    #[test]
    fn ranges_cover_any_text() {
        for text in [
            "",
            " \n",
            ":",
            "\u{c4}llergies: \u{1f600}\nAllergies: \u{1f600}",
            "HPI",
            "Allergies:",
            "\u{202e}PE: x\r\nSH:\r\n",
        ] {
            let joined: String = sections(text).into_iter().map(|section| &text[section.range]).collect();
            assert_eq!(joined, text, "{text:?}");
            for section in sections(text) {
                assert!(text.get(section.heading).is_some() && text.get(section.body).is_some(), "{text:?}");
            }
        }
    }
}
