//! What is wrong with the tables: counted, listed with its place, and never quoted.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use serde::Serialize;

use crate::error::{Error, Result};

/// Defects listed with their place; more are only counted.
const LISTED: usize = 20;

/// Reading stops this many defects beyond what is tolerated.
const ENOUGH: u64 = 100;

/// A kind of defect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DefectKind {
    /// The gzip stream ends early.
    TruncatedGzip,
    /// The gzip stream is damaged.
    DamagedGzip,
    /// A quote opens a field and never closes.
    UnclosedQuote,
    /// A row has more or fewer fields than the header.
    WrongFieldCount,
    /// Bytes that are no UTF-8.
    InvalidUtf8,
    /// The header lacks a column.
    MissingColumn,
    /// There is no row, or not even a header.
    EmptyTable,
    /// A field that must not be empty is.
    MissingValue,
    /// Something else where a whole number is wanted.
    NotANumber,
    /// A date or time that is on no calendar.
    ImpossibleDate,
    /// A value outside those the column can have.
    UnknownValue,
    /// An identifier that an earlier row has.
    DuplicateId,
    /// A code whose category the code table lacks.
    UnknownCode,
    /// A patient in two of the split lists.
    PatientInTwoSplits,
}

impl fmt::Display for DefectKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TruncatedGzip => "truncated gzip",
            Self::DamagedGzip => "damaged gzip",
            Self::UnclosedQuote => "a quote that never closes",
            Self::WrongFieldCount => "wrong number of fields",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::MissingColumn => "missing column",
            Self::EmptyTable => "empty table",
            Self::MissingValue => "missing value",
            Self::NotANumber => "not a whole number",
            Self::ImpossibleDate => "impossible date",
            Self::UnknownValue => "not a value of this column",
            Self::DuplicateId => "duplicate id",
            Self::UnknownCode => "not in the code table",
            Self::PatientInTwoSplits => "patient in two splits",
        })
    }
}

/// A defect of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Defect {
    pub(crate) kind: DefectKind,
    /// Name of the column, where it is one column's.
    pub(crate) column: Option<&'static str>,
}

impl Defect {
    pub(crate) fn new(kind: DefectKind, column: &'static str) -> Self {
        Self { kind, column: Some(column) }
    }
}

/// Why a row cannot be used, or reading cannot go on.
#[derive(Debug)]
pub(crate) enum Problem {
    Defect(Defect),
    Fatal(Error),
}

impl From<Defect> for Problem {
    fn from(defect: Defect) -> Self {
        Self::Defect(defect)
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Fatal(error)
    }
}

/// How often a kind of defect was met in a column.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DefectCount {
    /// File name.
    pub file: String,
    /// Its column, if it is one column's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What is wrong.
    pub kind: DefectKind,
    /// Rows.
    pub count: u64,
    /// Lines of the first of them.
    pub lines: Vec<u64>,
}

/// File, column and kind.
type Place = (String, Option<&'static str>, DefectKind);

/// How many, and the first of them.
type Lines = (u64, Vec<u64>);

/// All defects met so far, and how many are tolerated.
#[derive(Debug)]
pub(crate) struct Ledger {
    tolerated: u64,
    total: u64,
    counts: BTreeMap<Place, Lines>,
    listed: Vec<String>,
}

impl Ledger {
    /// Tolerates so many.
    pub(crate) fn new(tolerated: u64) -> Self {
        Self { tolerated, total: 0, counts: BTreeMap::new(), listed: Vec::new() }
    }

    /// Counts a defect.
    ///
    /// # Errors
    /// There are far too many.
    pub(crate) fn add(&mut self, path: &Path, line: u64, defect: Defect) -> Result<()> {
        self.total += 1;
        let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        let (count, lines) = self.counts.entry((file, defect.column, defect.kind)).or_default();
        *count += 1;
        if lines.len() < LISTED {
            lines.push(line);
        }
        if self.listed.len() < LISTED {
            let column = defect.column.map_or_else(String::new, |column| format!("column {column}: "));
            self.listed.push(format!("{}:{line}: {column}{}", path.display(), defect.kind));
        }
        if self.total > self.tolerated.saturating_add(ENOUGH) {
            return Err(self.refusal("reading stopped here"));
        }
        Ok(())
    }

    /// Called at the end of each table.
    ///
    /// # Errors
    /// More defects were met than are tolerated.
    pub(crate) fn check(&self) -> Result<()> {
        if self.total > self.tolerated {
            return Err(self.refusal("nothing was written"));
        }
        Ok(())
    }

    /// What was met, by file, column and kind.
    pub(crate) fn counts(&self) -> Vec<DefectCount> {
        let count = |((file, column, kind), (count, lines)): (&Place, &Lines)| DefectCount {
            file: file.clone(),
            column: column.map(str::to_owned),
            kind: *kind,
            count: *count,
            lines: lines.clone(),
        };
        self.counts.iter().map(count).collect()
    }

    fn refusal(&self, consequence: &str) -> Error {
        let mut message = format!(
            "{} defects in the tables, {} tolerated (--skip-bad-rows); {consequence}",
            self.total, self.tolerated
        );
        for line in &self.listed {
            message.push_str("\n  ");
            message.push_str(line);
        }
        let more = self.total - self.listed.len() as u64;
        if more > 0 {
            message.push_str("\n  and more:");
            for count in self.counts() {
                let column = count.column.map_or_else(String::new, |column| format!(", column {column}"));
                message.push_str(&format!("\n  {}{column}: {} x {}", count.file, count.count, count.kind));
            }
        }
        Error::Input(message)
    }
}
