//! The small tables of MIMIC-III: admissions, patients, stays in intensive care, code tables.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use super::defects::{DefectKind, Ledger};
use super::report::TableRows;
use super::table;
use super::timestamp::Timestamp;
use crate::error::Result;

/// A row of ADMISSIONS.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admission {
    pub(super) subject: u32,
    pub(super) admitted: Timestamp,
    pub(super) discharged: Timestamp,
    pub(super) newborn: bool,
    /// Died in hospital.
    pub(super) died: bool,
}

/// A row of ICUSTAYS.
#[derive(Debug, Clone, Copy)]
pub(super) struct IcuStay {
    pub(super) id: u32,
    pub(super) admission: u32,
    pub(super) subject: u32,
    pub(super) admitted: Timestamp,
}

/// A row of `D_ICD_DIAGNOSES` or `D_ICD_PROCEDURES`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) code: String,
    pub(super) title: String,
}

/// Admissions by `HADM_ID`.
pub(super) fn admissions(
    folder: &Path,
    ledger: &mut Ledger,
    tables: &mut Vec<TableRows>,
) -> Result<BTreeMap<u32, Admission>> {
    let path = table::require(folder, "ADMISSIONS")?;
    let columns =
        &["HADM_ID", "SUBJECT_ID", "ADMITTIME", "DISCHTIME", "ADMISSION_TYPE", "HOSPITAL_EXPIRE_FLAG"];
    let mut admissions = BTreeMap::new();
    let counts = table::read(&path, columns, ledger, |row| {
        let id = row.number(0)?;
        let admission = Admission {
            subject: row.number(1)?,
            admitted: row.timestamp(2)?,
            discharged: row.timestamp(3)?,
            newborn: row.text(4) == "NEWBORN",
            died: match row.number(5)? {
                0 => false,
                1 => true,
                _ => return Err(row.defect(DefectKind::UnknownValue, 5)),
            },
        };
        if admissions.contains_key(&id) {
            return Err(row.defect(DefectKind::DuplicateId, 0));
        }
        admissions.insert(id, admission);
        Ok(())
    })?;
    counts.refuse_empty(&path)?;
    tables.push(TableRows::new(&path, counts));
    Ok(admissions)
}

/// Dates of birth by `SUBJECT_ID`.
pub(super) fn births(
    path: &Path,
    ledger: &mut Ledger,
    tables: &mut Vec<TableRows>,
) -> Result<HashMap<u32, Timestamp>> {
    let mut births = HashMap::new();
    let counts = table::read(path, &["SUBJECT_ID", "DOB"], ledger, |row| {
        let (subject, birth) = (row.number(0)?, row.timestamp(1)?);
        if births.contains_key(&subject) {
            return Err(row.defect(DefectKind::DuplicateId, 0));
        }
        births.insert(subject, birth);
        Ok(())
    })?;
    counts.refuse_empty(path)?;
    tables.push(TableRows::new(path, counts));
    Ok(births)
}

/// Stays in intensive care, in the order of the file.
pub(super) fn icu_stays(
    path: &Path,
    ledger: &mut Ledger,
    tables: &mut Vec<TableRows>,
) -> Result<Vec<IcuStay>> {
    let mut stays = Vec::new();
    let mut seen = HashSet::new();
    let counts = table::read(path, &["ICUSTAY_ID", "HADM_ID", "SUBJECT_ID", "INTIME"], ledger, |row| {
        let stay = IcuStay {
            id: row.number(0)?,
            admission: row.number(1)?,
            subject: row.number(2)?,
            admitted: row.timestamp(3)?,
        };
        if !seen.insert(stay.id) {
            return Err(row.defect(DefectKind::DuplicateId, 0));
        }
        stays.push(stay);
        Ok(())
    })?;
    counts.refuse_empty(path)?;
    tables.push(TableRows::new(path, counts));
    Ok(stays)
}

/// Codes and their long titles, in the order of table `name`.
pub(super) fn code_table(
    folder: &Path,
    name: &str,
    ledger: &mut Ledger,
    tables: &mut Vec<TableRows>,
) -> Result<Vec<Code>> {
    let path = table::require(folder, name)?;
    let mut codes = Vec::new();
    let mut seen = HashSet::new();
    let counts = table::read(&path, &["ICD9_CODE", "LONG_TITLE"], ledger, |row| {
        let code = row.text(0).into_owned();
        if code.is_empty() {
            return Err(row.defect(DefectKind::MissingValue, 0));
        }
        if !seen.insert(code.clone()) {
            return Err(row.defect(DefectKind::DuplicateId, 0));
        }
        let title = row.text(1).into_owned();
        codes.push(Code { code, title });
        Ok(())
    })?;
    counts.refuse_empty(&path)?;
    tables.push(TableRows::new(&path, counts));
    Ok(codes)
}
