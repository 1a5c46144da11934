//! Headings of notes: which there are, and where they stand in a text.

use std::ops::Range;

use super::{LeakKind, Part, SectionKind};

const fn admission(kind: SectionKind) -> Part {
    Part::Admission(kind)
}

/// Headings, in small letters with single blanks. Those that stand for themselves in running text, too, are found in the middle
/// of a line; the others only at the beginning of one.
const HEADINGS: [(Part, &[&str]); 16] = [
    (
        admission(SectionKind::ChiefComplaint),
        &["chief complaint", "chief complaints", "presenting complaint", "reason for admission", "cc"],
    ),
    (
        admission(SectionKind::PresentIllness),
        &[
            "history of present illness",
            "history of the present illness",
            "history of presenting illness",
            "present illness",
            "history of presenting complaint",
            "hpi",
            "history of present ilness",
        ],
    ),
    (
        admission(SectionKind::MedicalHistory),
        &[
            "past medical history",
            "past medical and surgical history",
            "past medical history/past surgical history",
            "past medical/surgical history",
            "medical history",
            "prior medical history",
            "pmh",
            "pmhx",
            "pmh/psh",
            "past history",
        ],
    ),
    (
        admission(SectionKind::Medications),
        &[
            "medications on admission",
            "medication on admission",
            "admission medications",
            "medications prior to admission",
            "meds on admission",
            "home medications",
            "home meds",
            "outpatient medications",
            "current medications",
            "preadmission medication list",
            "medications at home",
            "medications",
            "meds",
        ],
    ),
    (
        admission(SectionKind::Allergies),
        &[
            "allergies",
            "allergies/adverse reactions",
            "drug allergies",
            "allergies and adverse reactions",
            "allergy",
        ],
    ),
    (
        admission(SectionKind::PhysicalExam),
        &[
            "physical exam",
            "physical examination",
            "physical exam on admission",
            "physical examination on admission",
            "physical exam at admission",
            "admission physical exam",
            "admission exam",
            "examination on admission",
            "on exam",
            "pe",
            "exam",
            "examination",
        ],
    ),
    (
        admission(SectionKind::FamilyHistory),
        &["family history", "family medical history", "fh", "fhx", "famhx"],
    ),
    (admission(SectionKind::SocialHistory), &["social history", "sh", "shx", "sochx", "habits"]),
    (
        Part::Leak(LeakKind::HospitalCourse),
        &[
            "brief hospital course",
            "hospital course",
            "brief summary of hospital course",
            "summary of hospital course",
            "hospital course by system",
            "hospital course by systems",
            "hospital course by problem",
            "concise summary of hospital course",
        ],
    ),
    (
        Part::Leak(LeakKind::DischargeDiagnosis),
        &[
            "discharge diagnosis",
            "discharge diagnoses",
            "final diagnosis",
            "final diagnoses",
            "diagnosis at discharge",
        ],
    ),
    (
        Part::Leak(LeakKind::DischargeMedications),
        &[
            "discharge medications",
            "medications on discharge",
            "medications at discharge",
            "discharge meds",
            "discharge medication",
        ],
    ),
    (
        Part::Leak(LeakKind::DischargeInstructions),
        &[
            "discharge instructions",
            "followup instructions",
            "follow-up instructions",
            "follow up instructions",
            "discharge followup",
            "discharge plan",
        ],
    ),
    (
        Part::Leak(LeakKind::DischargeDisposition),
        &[
            "discharge disposition",
            "disposition",
            "discharged to",
            "discharge date",
            "date of discharge",
            "date of death",
        ],
    ),
    (
        Part::Leak(LeakKind::DischargeCondition),
        &["discharge condition", "condition on discharge", "condition at discharge", "discharge status"],
    ),
    (
        Part::Leak(LeakKind::DischargeExam),
        &[
            "discharge exam",
            "discharge physical exam",
            "physical exam on discharge",
            "physical examination on discharge",
            "physical exam at discharge",
            "exam on discharge",
            "discharge labs",
            "labs on discharge",
            "discharge weight",
        ],
    ),
    (
        Part::Other,
        &[
            "admission date",
            "date of birth",
            "sex",
            "service",
            "attending",
            "name",
            "unit no",
            "major surgical or invasive procedure",
            "pertinent results",
            "review of systems",
            "ros",
            "admission labs",
            "labs on admission",
            "labs",
            "laboratory data",
            "imaging",
            "ed course",
            "assessment and plan",
            "assessment",
            "impression",
            "plan",
            "past surgical history",
            "psh",
            "studies",
            "facility",
            "dictated by",
            "code status",
        ],
    ),
];

/// Shortest heading that is found in the middle of a line: shorter ones are words of running text.
const INLINE: usize = 9;

/// Headings of one word that running text has before a colon, too.
const NEVER_INLINE: [&str; 8] = [
    "medications",
    "assessment",
    "impression",
    "examination",
    "disposition",
    "discharged to",
    "attending",
    "admission labs",
];

/// Part and place of every heading, in order.
pub(super) fn headings(text: &str, folded: &str) -> Vec<(Part, Range<usize>)> {
    let mut found: Vec<(Part, Range<usize>)> = Vec::new();
    let mut line_start = 0;
    for line in folded.split_inclusive('\n') {
        let indent = line.len()
            - line.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, '#' | '*' | '_')).len();
        let start = line_start + indent;
        if let Some((part, end)) = at_line_start(folded, start, line_start + line.len()) {
            found.push((part, start..end));
        }
        line_start += line.len();
    }
    for (part, names) in &HEADINGS {
        for name in names.iter().filter(|name| name.len() >= INLINE && !NEVER_INLINE.contains(name)) {
            for (start, _) in folded.match_indices(name) {
                let end = start + name.len();
                let is_heading = folded[end..].trim_start_matches(' ').starts_with(':')
                    && text[..start].chars().next_back().is_none_or(|c| !c.is_alphanumeric())
                    && text[start..].starts_with(char::is_uppercase);
                if is_heading {
                    found.push((*part, start..end));
                }
            }
        }
    }
    // Of headings over one another the longest stands: "history of present illness" holds "present illness".
    found.sort_by_key(|(_, range)| (range.start, usize::MAX - range.end));
    let mut kept: Vec<(Part, Range<usize>)> = Vec::new();
    for heading in found {
        if kept.last().is_none_or(|(_, before)| heading.1.start >= before.end) {
            kept.push(heading);
        }
    }
    kept
}

/// A heading at the beginning of a line: with a colon, or alone on the line. Words in brackets may stand between.
fn at_line_start(folded: &str, start: usize, line_end: usize) -> Option<(Part, usize)> {
    let line =
        folded[start..line_end].trim_end_matches(|c: char| c.is_whitespace() || matches!(c, '*' | '_' | '#'));
    let before_colon = line.split(':').next().unwrap_or("");
    let has_colon = before_colon.len() < line.len();
    let words =
        before_colon.split(['(', '[']).next().unwrap_or("").trim_end_matches(|c: char| !c.is_alphanumeric());
    if words.len() > 60 {
        return None;
    }
    let name = words.split_whitespace().collect::<Vec<_>>().join(" ").replace(" / ", "/");
    let part = HEADINGS.iter().find(|(_, names)| names.contains(&name.as_str()))?.0;
    // Two letters alone on a line may be anything.
    (has_colon || name.len() > 3).then_some((part, start + words.len()))
}
