//! Labels of DIAG and PROC: ICD-9 codes cut to three or four characters.
//!
//! CORe's rules (`dia.py`, `pro.py`). Procedure codes are read as whole numbers before they are cut, so leading zeros vanish
//! and codes collide: 03.31 and 33.1x are both `331`. The paper's 711 labels rest on that.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use crate::error::Result;
use crate::mimic::defects::{Defect, DefectKind, Ledger};
use crate::mimic::mimic3::Code;
use crate::mimic::report::TableRows;
use crate::mimic::table;

/// Which of the two tables of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CodeKind {
    Diagnosis,
    Procedure,
}

impl CodeKind {
    fn table(self) -> &'static str {
        match self {
            Self::Diagnosis => "DIAGNOSES_ICD",
            Self::Procedure => "PROCEDURES_ICD",
        }
    }

    /// The label of `code`, or none if a procedure code is no whole number.
    fn short(self, code: &str) -> Option<String> {
        let cut = |code: &str, length| code.chars().take(length).collect();
        match self {
            Self::Diagnosis if code.starts_with(['V', 'E']) => Some(cut(code, 4)),
            Self::Diagnosis => Some(cut(code, 3)),
            Self::Procedure => {
                let digits = !code.is_empty() && code.bytes().all(|b| b.is_ascii_digit());
                let number: u64 = digits.then(|| code.parse().ok()).flatten()?;
                Some(cut(&number.to_string(), 3))
            }
        }
    }
}

/// The labels of a table of codes.
#[derive(Debug)]
pub(super) struct CodeLabels {
    /// In order of first appearance in the table.
    pub(super) names: Vec<String>,
    /// In words, one for each name.
    pub(super) descriptions: Vec<String>,
    /// Places of an admission's labels in `names`, in row order, without repeats.
    pub(super) of_admission: HashMap<u32, Vec<u16>>,
    /// Full codes that the code table lacks, though it has others of their category.
    pub(super) codes_without_title: usize,
}

impl CodeLabels {
    /// Labels of an admission, joined by commas; none if it has none.
    pub(super) fn joined(&self, admission: u32) -> Option<String> {
        let places = self.of_admission.get(&admission)?;
        let names: Vec<&str> = places.iter().map(|place| self.names[usize::from(*place)].as_str()).collect();
        Some(names.join(","))
    }
}

/// Reads the codes of all admissions. `see` gets `HADM_ID` and full code of every row.
///
/// A label whose category `code_table` lacks altogether is a defect of the row that brings it; the label is kept, without a
/// description, as the set of labels must be that of the table.
pub(super) fn read(
    folder: &Path,
    kind: CodeKind,
    code_table: &[Code],
    ledger: &mut Ledger,
    tables: &mut Vec<TableRows>,
    mut see: impl FnMut(u32, &str),
) -> Result<CodeLabels> {
    let path = table::require(folder, kind.table())?;
    let members = members(kind, code_table);
    let titled: HashSet<&str> = code_table.iter().map(|code| code.code.as_str()).collect();
    let mut places: HashMap<String, u16> = HashMap::new();
    let mut labels = CodeLabels {
        names: Vec::new(),
        descriptions: Vec::new(),
        of_admission: HashMap::new(),
        codes_without_title: 0,
    };
    let mut seen_rows = HashSet::new();
    let mut untitled: HashSet<String> = HashSet::new();
    let mut unknown_lines = Vec::new();
    let counts = table::read(&path, &["ROW_ID", "HADM_ID", "ICD9_CODE"], ledger, |row| {
        let id = row.number(0)?;
        let admission = row.number(1)?;
        let code = row.optional_text(2);
        let short = match &code {
            Some(code) => Some(kind.short(code).ok_or_else(|| row.defect(DefectKind::NotANumber, 2))?),
            None => None,
        };
        if !seen_rows.insert(id) {
            return Err(row.defect(DefectKind::DuplicateId, 0));
        }
        let (Some(code), Some(short)) = (code, short) else {
            return Ok(());
        };
        see(admission, &code);
        if !titled.contains(&*code) {
            untitled.insert(code.into_owned());
        }
        let place = *places.entry(short).or_insert_with_key(|short| {
            let place = u16::try_from(labels.names.len()).expect("ICD-9 has some thousand categories");
            labels.names.push(short.clone());
            match members.get(short) {
                Some(members) => labels.descriptions.push(describe(members)),
                None => {
                    unknown_lines.push(row.line_of(2));
                    labels.descriptions.push(String::new());
                }
            }
            place
        });
        let of_admission = labels.of_admission.entry(admission).or_default();
        if !of_admission.contains(&place) {
            of_admission.push(place);
        }
        Ok(())
    })?;
    for line in unknown_lines {
        ledger.add(&path, line, Defect::new(DefectKind::UnknownCode, "ICD9_CODE"))?;
    }
    ledger.check()?;
    counts.refuse_empty(&path)?;
    tables.push(TableRows::new(&path, counts));
    let known_category = |code: &&String| kind.short(code).is_some_and(|short| members.contains_key(&short));
    labels.codes_without_title = untitled.iter().filter(known_category).count();
    Ok(labels)
}

/// Codes of the code table by label.
fn members(kind: CodeKind, code_table: &[Code]) -> HashMap<String, Vec<&Code>> {
    let mut members: HashMap<String, Vec<&Code>> = HashMap::new();
    for code in code_table {
        if let Some(short) = kind.short(&code.code) {
            members.entry(short).or_default().push(code);
        }
    }
    members
}

/// A label in words: the words its codes' titles share. Codes that collide, being of different chapters, are described one
/// by one.
fn describe(members: &[&Code]) -> String {
    let chapter = |code: &&&Code| code.code.chars().take(2).collect::<String>();
    let mut chapters: Vec<String> = Vec::new();
    for code in members {
        let chapter = chapter(&code);
        if !chapters.contains(&chapter) {
            chapters.push(chapter);
        }
    }
    let describe_one = |wanted: &String| {
        let titles: Vec<&str> =
            members.iter().filter(|code| chapter(code) == *wanted).map(|code| code.title.trim()).collect();
        shared_words(&titles)
    };
    let parts: Vec<String> = chapters.iter().map(describe_one).collect();
    parts.join(" / ")
}

/// The words all of `titles` begin with, or else end with, two at least; or the first title where they share less.
fn shared_words(titles: &[&str]) -> String {
    let words: Vec<Vec<&str>> = titles.iter().map(|title| title.split_whitespace().collect()).collect();
    let first = &words[0];
    let same = |a: &str, b: &str| {
        let bare = |word: &str| word.trim_matches([',', ';', '.']).to_lowercase();
        bare(a) == bare(b)
    };
    let shared = |from_end: bool| {
        let at = |words: &[&str], i: usize| {
            let place = if from_end { words.len().checked_sub(i + 1)? } else { i };
            words.get(place).map(|word| (*word).to_owned())
        };
        let all_have = |i: &usize| {
            at(first, *i)
                .is_some_and(|word| words.iter().all(|other| at(other, *i).is_some_and(|w| same(&w, &word))))
        };
        (0..first.len()).take_while(all_have).count()
    };
    let (start, end) = (shared(false), shared(true));
    let mut run = match (start, end) {
        (2.., _) => first[..start].to_vec(),
        (_, 2..) => first[first.len() - end..].to_vec(),
        _ if titles.len() == 1 => first.clone(),
        _ => return format!("{} and others", titles[0]),
    };
    while run.len() > 1 && run.last().is_some_and(|word| LINKS.contains(word)) {
        run.pop();
    }
    let text = run.join(" ");
    let text = text.trim_end_matches([',', ';']);
    let mut letters = text.chars();
    let capital: String = letters.next().map(|c| c.to_uppercase().collect()).unwrap_or_default();
    capital + letters.as_str()
}

/// Words that no description ends with.
const LINKS: [&str; 12] = ["of", "and", "or", "with", "without", "the", "in", "to", "by", "for", "a", "from"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_cut_as_core_cuts_them() {
        let short = |kind: CodeKind, code| kind.short(code).unwrap_or_default();
        for (code, label) in [
            ("4019", "401"),
            ("0389", "038"),
            ("V3000", "V300"),
            ("E8791", "E879"),
            ("V08", "V08"),
            ("42", "42"),
        ] {
            assert_eq!(short(CodeKind::Diagnosis, code), label);
        }
        for (code, label) in
            [("0331", "331"), ("3310", "331"), ("0034", "34"), ("966", "966"), ("9671", "967")]
        {
            assert_eq!(short(CodeKind::Procedure, code), label);
        }
        assert_eq!(CodeKind::Procedure.short("V123"), None);
    }

    #[test]
    fn a_label_is_described_by_what_its_codes_share() {
        let code = |code: &str, title: &str| Code { code: code.into(), title: title.into() };
        let codes = [
            code("4010", "Malignant essential hypertension"),
            code("4011", "Benign essential hypertension"),
            code("4019", "Unspecified essential hypertension"),
        ];
        assert_eq!(describe(&codes.iter().collect::<Vec<_>>()), "Essential hypertension");
        let codes = [code("0331", "Spinal tap"), code("3310", "Incision of bronchus")];
        assert_eq!(describe(&codes.iter().collect::<Vec<_>>()), "Spinal tap / Incision of bronchus");
        let codes = [
            code("4030", "Hypertensive chronic kidney disease, malignant, with stage V"),
            code("4031", "Hypertensive chronic kidney disease, benign, with stage V"),
        ];
        assert_eq!(describe(&codes.iter().collect::<Vec<_>>()), "Hypertensive chronic kidney disease");
        let codes = [code("7801", "Hallucinations"), code("7802", "Syncope and collapse")];
        assert_eq!(describe(&codes.iter().collect::<Vec<_>>()), "Hallucinations and others");
    }
}
