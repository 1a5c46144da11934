//! The discharge summaries of the tasks: which notes are kept, and in which order an admission's are joined.
//!
//! CORe's rules (`filter_notes`): notes of admissions other than newborns', discharge summaries, in the order of their dates;
//! of equal texts, over all admissions, only the last; an admission's texts joined by a blank line; admissions with a row
//! described as `Report`. CORe's sort is not stable, so admissions with tied dates can differ from its output; here the order
//! of the file breaks ties.
//!
//! Texts are not kept in memory: those that may be used go to a file, and are read back admission by admission.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs::File;
use std::io::{BufWriter, Read, Seek, SeekFrom, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::characters::strip;
use super::defects::{DefectKind, Ledger};
use super::identifiers::{self, Identifiers};
use super::mimic3::Admission;
use super::report::{Stages, TableRows};
use super::table;
use super::timestamp::{HOUR, Timestamp};
use crate::error::{AtPath, Result};

/// The category of discharge summaries.
const DISCHARGE_SUMMARY: &str = "Discharge summary";

/// Categories of notes written at the bedside, less the blanks around them.
const BEDSIDE: [&str; 3] = ["Nursing", "Nursing/other", "Respiratory"];

/// How long after the start of ventilation a bedside note counts.
const BEDSIDE_WINDOW: i64 = 48 * HOUR;

/// Start of ventilation of an admission, and whether a bedside note was written in the two days after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct VentilationStart {
    pub(super) start: Timestamp,
    pub(super) has_bedside_note: bool,
}

/// An admission with a discharge summary.
#[derive(Debug)]
pub(super) struct Summary {
    pub(super) admission: u32,
    /// Patient, as the last report says.
    pub(super) subject: Option<u32>,
    /// Places of the texts, in the order they are joined.
    texts: Vec<Span>,
}

/// A text in the file of texts.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u64,
    bytes: usize,
}

/// The summaries, by `HADM_ID` in ascending order, and the file their texts are in.
pub(super) struct Summaries {
    pub(super) all: Vec<Summary>,
    texts: File,
    folder: std::path::PathBuf,
}

/// A row that may be part of a summary.
struct Candidate {
    charted: Option<Timestamp>,
    admission: u32,
    subject: Option<u32>,
    is_report: bool,
    digest: [u8; 16],
    text: Span,
}

/// Reads the notes. `ventilated` gets a mark for every admission with a bedside note in time; `spill` is a folder for the
/// file of texts, which has no name and vanishes with the program.
///
/// # Errors
/// As [`table::read`], and whatever the file of texts meets.
pub(super) fn select(
    path: &Path,
    admissions: &BTreeMap<u32, Admission>,
    ventilated: &mut HashMap<u32, VentilationStart>,
    spill: &Path,
    ledger: &mut Ledger,
    stages: &mut Stages,
    identifiers: &mut Identifiers,
) -> Result<(Summaries, TableRows)> {
    let columns =
        &["ROW_ID", "SUBJECT_ID", "HADM_ID", "CHARTDATE", "CHARTTIME", "CATEGORY", "DESCRIPTION", "TEXT"];
    let [row_id, subject, hadm, date, time, category, description, text] = [0, 1, 2, 3, 4, 5, 6, 7];
    let adults: HashSet<u32> = admissions.iter().filter(|(_, a)| !a.newborn).map(|(id, _)| *id).collect();
    let mut texts = BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(spill).at(spill)?);
    let mut spilled = 0;
    let mut candidates = Vec::new();
    let mut seen_rows = HashSet::new();
    let (mut of_adults, mut with_text) = (0, 0);
    let counts = table::read(path, columns, ledger, |row| {
        let id = row.number(row_id)?;
        let subject = row.optional_number(subject)?;
        let admission = row.optional_number(hadm)?;
        let charted = row.optional_timestamp(date)?;
        if !seen_rows.insert(id) {
            return Err(row.defect(DefectKind::DuplicateId, row_id));
        }
        let Some(admission) = admission.filter(|id| adults.contains(id)) else {
            return Ok(());
        };
        let of_category = row.text(category);
        if let Some(ventilation) = ventilated.get_mut(&admission)
            && BEDSIDE.contains(&of_category.trim())
            && let Some(charted) = row.optional_timestamp(time)?
            && (0..=BEDSIDE_WINDOW).contains(&(charted.0 - ventilation.start.0))
        {
            ventilation.has_bedside_note = true;
        }
        let is_summary = of_category == DISCHARGE_SUMMARY;
        of_adults += 1;
        if row.is_missing(text) {
            return Ok(());
        }
        with_text += 1;
        if !is_summary {
            return Ok(());
        }
        let content = row.text(text);
        identifiers.add(path, &identifiers::scan(&content, row.line_of(text)));
        texts.write_all(content.as_bytes()).at(spill)?;
        candidates.push(Candidate {
            charted,
            admission,
            subject,
            is_report: row.text(description) == "Report",
            digest: Sha256::digest(content.as_bytes())[..16].try_into().expect("a digest has 32 bytes"),
            text: Span { start: spilled, bytes: content.len() },
        });
        spilled += content.len() as u64;
        Ok(())
    })?;
    let of_category = candidates.len() as u64;
    let (all, without_repeats, joined) = join(candidates);
    stages.chain(
        "notes",
        counts.rows,
        &[
            ("rows without a defect", counts.used),
            ("of an admission that is no newborn's", of_adults),
            ("with a text", with_text),
            ("discharge summaries", of_category),
            ("the last of equal texts", without_repeats),
            ("joined by admission", joined),
            ("admissions with a report", all.len() as u64),
        ],
    );
    let summaries = Summaries {
        all,
        texts: texts.into_inner().map_err(std::io::IntoInnerError::into_error).at(spill)?,
        folder: spill.to_owned(),
    };
    Ok((summaries, TableRows::new(path, counts)))
}

/// The summaries of `candidates`, in the order of the file; and how many candidates are left without repeats, and how many
/// admissions these belong to.
fn join(mut candidates: Vec<Candidate>) -> (Vec<Summary>, u64, u64) {
    // Without a date last; the sort is stable.
    candidates.sort_by_key(|candidate| (candidate.charted.is_none(), candidate.charted));
    let mut later = HashSet::new();
    let mut is_last: Vec<bool> =
        candidates.iter().rev().map(|candidate| later.insert(candidate.digest)).collect();
    is_last.reverse();
    drop(later);
    let mut by_admission: BTreeMap<u32, (Summary, bool)> = BTreeMap::new();
    let mut kept = 0;
    for (candidate, _) in candidates.into_iter().zip(is_last).filter(|(_, last)| *last) {
        kept += 1;
        let (summary, has_report) = by_admission.entry(candidate.admission).or_insert_with(|| {
            let summary = Summary { admission: candidate.admission, subject: None, texts: Vec::new() };
            (summary, false)
        });
        summary.texts.push(candidate.text);
        if candidate.is_report {
            *has_report = true;
            summary.subject = candidate.subject;
        }
    }
    let joined = by_admission.len() as u64;
    let all = by_admission
        .into_values()
        .filter(|(_, has_report)| *has_report)
        .map(|(summary, _)| summary)
        .collect();
    (all, kept, joined)
}

impl Summaries {
    /// The joined text of `summary`, stripped.
    pub(super) fn text(&mut self, summary: &Summary) -> Result<String> {
        let mut text = String::new();
        for span in &summary.texts {
            if !text.is_empty() {
                text.push_str("\n\n");
            }
            self.texts.seek(SeekFrom::Start(span.start)).at(&self.folder)?;
            let mut part = Read::by_ref(&mut self.texts).take(span.bytes as u64);
            part.read_to_string(&mut text).at(&self.folder)?;
        }
        Ok(strip(&text).to_owned())
    }
}
