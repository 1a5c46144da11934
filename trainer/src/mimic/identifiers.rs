//! What looks like an identifier although the notes are de-identified: counted by kind and file line, never quoted.
//!
//! MIMIC's own marks (`[** .. **]`) are passed over. Dates in MIMIC are shifted into the years 2100 to 2210, so a full date of
//! another year may be a real one. The patterns err on the side of finding too much: a hit asks for a look, it proves
//! nothing.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;
use serde::Serialize;

/// Lines listed for a kind.
const LISTED: usize = 100;

/// Years of shifted dates.
const SHIFTED: std::ops::RangeInclusive<u32> = 2100..=2210;

/// A kind of identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentifierKind {
    /// A North American telephone number.
    Phone,
    /// An e-mail address.
    Email,
    /// A United States social security number.
    SocialSecurity,
    /// A number called a medical record number.
    MedicalRecord,
    /// A full date whose year is not one of the shifted ones.
    Date,
}

impl fmt::Display for IdentifierKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Phone => "telephone number",
            Self::Email => "e-mail address",
            Self::SocialSecurity => "social security number",
            Self::MedicalRecord => "medical record number",
            Self::Date => "date outside the shifted years",
        })
    }
}

/// How often a kind was found in a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IdentifierCount {
    /// File name.
    pub file: String,
    /// What it looks like.
    pub kind: IdentifierKind,
    /// How often.
    pub count: u64,
    /// Lines of the first of them.
    pub lines: Vec<u64>,
}

/// Numbers and names of months that a closer look decides; one group a kind, in the order of [`KINDS`].
static PATTERN: LazyLock<Regex> = LazyLock::new(|| {
    let pattern = r"(?ix-u)
        ((?:\(\d{3}\)[\ ]?|\b\d{3}[-.\ ])\d{3}[-.]\d{4}\b)
        |(\b\d{3}-\d{2}-\d{4}\b)
        |(\b(?:mrn|medical\ record\ (?:number|no\.?|\#)|unit\ no\.?)[\ :\#]{0,4}\d{5,})
        |\b(\d{4})-\d{1,2}-\d{1,2}\b
        |\b\d{1,2}/\d{1,2}/(\d{4})\b
        |\b(?:jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\.?\ \d{1,2},?\ (\d{4})\b";
    Regex::new(pattern).expect("the pattern is well formed")
});

/// Kinds of the pattern's groups.
const KINDS: [IdentifierKind; 6] = [
    IdentifierKind::Phone,
    IdentifierKind::SocialSecurity,
    IdentifierKind::MedicalRecord,
    IdentifierKind::Date,
    IdentifierKind::Date,
    IdentifierKind::Date,
];

/// Kind and line of everything in `text` that looks like an identifier; `line` is the line the text begins on.
pub(super) fn scan(text: &str, line: u64) -> Vec<(IdentifierKind, u64)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let mark = text[at..].find("[**").map_or(text.len(), |offset| at + offset);
        scan_unmarked(&text[at..mark], |kind, offset| found.push((kind, at + offset)));
        at = text[mark..].find("**]").map_or(text.len(), |offset| mark + offset + 3);
    }
    let mut place = 0;
    let mut line = line;
    found.sort_unstable_by_key(|(kind, offset)| (*offset, *kind));
    let with_line = |(kind, offset): (IdentifierKind, usize)| {
        line += memchr::memchr_iter(b'\n', &text.as_bytes()[place..offset]).count() as u64;
        place = offset;
        (kind, line)
    };
    found.into_iter().map(with_line).collect()
}

fn scan_unmarked(text: &str, mut found: impl FnMut(IdentifierKind, usize)) {
    for at in memchr::memchr_iter(b'@', text.as_bytes()) {
        if is_email(text.as_bytes(), at) {
            found(IdentifierKind::Email, at);
        }
    }
    for captures in PATTERN.captures_iter(text) {
        for (group, kind) in captures.iter().skip(1).zip(KINDS) {
            let Some(group) = group else { continue };
            let shifted = kind == IdentifierKind::Date
                && group.as_str().parse().is_ok_and(|year| SHIFTED.contains(&year));
            if !shifted {
                found(kind, group.start());
            }
        }
    }
}

/// Whether the `@` at `at` has a name before it and a domain after it.
fn is_email(text: &[u8], at: usize) -> bool {
    let named =
        at > 0 && (text[at - 1].is_ascii_alphanumeric() || matches!(text[at - 1], b'_' | b'-' | b'.'));
    let domain: Vec<u8> = text[at + 1..]
        .iter()
        .copied()
        .take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.'))
        .collect();
    let ending = domain.rsplitn(2, |b| *b == b'.').next().unwrap_or_default();
    let dotted = domain.len() > ending.len() + 1;
    named && dotted && ending.len() >= 2 && ending.iter().all(u8::is_ascii_alphabetic)
}

/// Counts by file and kind.
#[derive(Debug, Default)]
pub(super) struct Identifiers(BTreeMap<(String, IdentifierKind), (u64, Vec<u64>)>);

impl Identifiers {
    /// Adds what [`scan`] found in `path`.
    pub(super) fn add(&mut self, path: &Path, found: &[(IdentifierKind, u64)]) {
        for (kind, line) in found {
            let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let (count, lines) = self.0.entry((file, *kind)).or_default();
            *count += 1;
            if lines.len() < LISTED {
                lines.push(*line);
            }
        }
    }

    pub(super) fn into_counts(self) -> Vec<IdentifierCount> {
        let count = |((file, kind), (count, lines))| IdentifierCount { file, kind, count, lines };
        self.0.into_iter().map(count).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_found_on_its_line_and_marks_are_passed_over() {
        let text = "Call (617) 555-0100 or\n617-555-0101 and 617.555.0102.\nnobody@example.org, MRN: 1234567\n\
            SSN 123-45-6789 on 1998-03-04, 3/4/2005, March 4, 1999\n[**Telephone/Fax (1) 617-555-0100**] 2151-7-16 x";
        let found: Vec<(IdentifierKind, u64)> = scan(text, 10);
        use IdentifierKind::{Date, Email, MedicalRecord, Phone, SocialSecurity};
        let expected = [
            (Phone, 10),
            (Phone, 11),
            (Phone, 11),
            (Email, 12),
            (MedicalRecord, 12),
            (SocialSecurity, 13),
            (Date, 13),
            (Date, 13),
            (Date, 13),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn clinical_writing_is_left_alone() {
        let text = "BP 120/80, 98.6 F, on 7/16 at 10:30, dose 100-200 mg, pH 7.35, 2151-07-16, 12/31/2150, s/p x 3 @ 5, \
            creat 1.2-2.3, [**Hospital1 18**] [**1998-1-1**], lot 12345-678";
        assert_eq!(scan(text, 1), []);
    }
}
