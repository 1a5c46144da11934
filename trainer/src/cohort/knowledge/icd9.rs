//! The ICD-9-CM codes this hospital uses, with the titles their tables give them.
//!
//! ICD-9-CM is in the public domain; the titles are those of its Centers for Medicare and Medicaid Services tables, as
//! the `D_ICD` tables of MIMIC-III carry them. Columns: code, short title, long title.

use std::collections::BTreeMap;
use std::sync::LazyLock;

const DIAGNOSES: &str = include_str!("icd9_diagnoses.tsv");
const PROCEDURES: &str = include_str!("icd9_procedures.tsv");

/// A code and its titles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cohort) struct Code {
    pub(in crate::cohort) code: &'static str,
    pub(in crate::cohort) short_title: &'static str,
    pub(in crate::cohort) long_title: &'static str,
}

/// Every diagnosis code, in order.
pub(in crate::cohort) fn diagnoses() -> impl Iterator<Item = Code> {
    rows(DIAGNOSES)
}

/// Every procedure code, in order.
pub(in crate::cohort) fn procedures() -> impl Iterator<Item = Code> {
    rows(PROCEDURES)
}

/// A procedure code's titles.
pub(in crate::cohort) fn procedure(code: &str) -> Option<Code> {
    static BY_CODE: LazyLock<BTreeMap<&'static str, Code>> =
        LazyLock::new(|| procedures().map(|row| (row.code, row)).collect());
    BY_CODE.get(code).copied()
}

/// Rows of a table whose fields are parted by tabs.
fn rows(table: &'static str) -> impl Iterator<Item = Code> {
    table.lines().map(|line| {
        let mut fields = line.split('\t');
        let mut next = || fields.next().expect("the tables built in have three fields a line");
        Code { code: next(), short_title: next(), long_title: next() }
    })
}
