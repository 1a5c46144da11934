//! `D_ICD_DIAGNOSES` and `D_ICD_PROCEDURES`: the codes and what they mean.

use super::{Cell, Rows, Table};
use crate::cohort::knowledge::icd9;

/// Both dictionaries, whole.
pub(in crate::cohort) fn rows() -> [Rows; 2] {
    let mut diagnoses = Rows::new(Table::DiagnosisCodes);
    let mut procedures = Rows::new(Table::ProcedureCodes);
    for (rows, codes) in [
        (&mut diagnoses, icd9::diagnoses().collect::<Vec<_>>()),
        (&mut procedures, icd9::procedures().collect()),
    ] {
        for entry in codes {
            rows.add(&[Cell::Text(entry.code), Cell::Text(entry.short_title), Cell::Text(entry.long_title)]);
        }
    }
    [diagnoses, procedures]
}
