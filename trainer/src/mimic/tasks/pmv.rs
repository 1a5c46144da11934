//! The cohort of prolonged mechanical ventilation: which admissions, and whether for more than seven days.
//!
//! The rules are those of the clinicalXLNet cohort (Huang et al. 2020), as far as they are published: adults in intensive
//! care, without certain neuromuscular diseases, burns, cancers of mouth and throat, and organ donors; ventilated for two
//! days or more; with a bedside note in the first two days. Two rules are not published and chosen here: which titles of
//! burns were picked by hand (here codes 941 and 9483 to 9489: face, head and neck, or 30 % of the body surface and more),
//! and how the base cohort of two days was cut (here like those of seven and fourteen).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::mimic::defects::{DefectKind, Ledger};
use crate::mimic::mimic3::{self, Admission, Code};
use crate::mimic::report::{Stages, TableRows};
use crate::mimic::selection::VentilationStart;
use crate::mimic::split::{Split, TENTHS};
use crate::mimic::timestamp::DAY;
use crate::mimic::{table, ventilation};

/// Youngest age, in years.
const ADULT_YEARS: f64 = 18.0;
/// Days in a year, as MIMIC's code counts ages.
const DAYS_A_YEAR: f64 = 365.242;
/// Codes of neuromuscular diseases that bring long ventilation by themselves.
const NEUROMUSCULAR: [&str; 4] = ["3589", "3590", "3591", "35801"];
/// Added to a span before it is compared with a whole number of days.
const SLACK: i64 = DAY / 4;

/// Label and split of an admission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labelled {
    pub(super) prolonged: bool,
    pub(super) split: Split,
}

/// Admissions excluded by their diagnoses.
#[derive(Debug, Default)]
pub(super) struct Excluded {
    donor_codes: HashSet<String>,
    admissions: HashSet<u32>,
}

impl Excluded {
    /// Donors are told by the titles of `diagnoses`.
    pub(super) fn new(diagnoses: &[Code]) -> Self {
        let donors = diagnoses.iter().filter(|code| code.title.to_lowercase().contains("donor"));
        Self { donor_codes: donors.map(|code| code.code.clone()).collect(), admissions: HashSet::new() }
    }

    /// Looks at a diagnosis of an admission.
    pub(super) fn see(&mut self, admission: u32, code: &str) {
        let next_is_digit = |rest: &str| rest.bytes().next().is_some_and(|b| b.is_ascii_digit());
        let throat = code.strip_prefix("14").is_some_and(next_is_digit);
        let burn = code.starts_with("941")
            || code.strip_prefix("948").is_some_and(|rest| matches!(rest.bytes().next(), Some(b'3'..=b'9')));
        if throat || burn || NEUROMUSCULAR.contains(&code) || self.donor_codes.contains(code) {
            self.admissions.insert(admission);
        }
    }
}

/// The tables the cohort needs.
pub(super) struct Tables {
    patients: PathBuf,
    icu_stays: PathBuf,
    chart_events: PathBuf,
    procedure_events: PathBuf,
}

impl Tables {
    /// Finds them in `folder`, or says which are not there.
    pub(super) fn find(folder: &Path) -> Result<std::result::Result<Self, String>> {
        const NAMES: [&str; 4] = ["PATIENTS", "ICUSTAYS", "CHARTEVENTS", "PROCEDUREEVENTS_MV"];
        let mut paths = Vec::new();
        let mut missing = Vec::new();
        for name in NAMES {
            match table::find(folder, name)? {
                Some(path) => paths.push(path),
                None => missing.push(name),
            }
        }
        Ok(match <[PathBuf; 4]>::try_from(paths) {
            Ok([patients, icu_stays, chart_events, procedure_events]) => {
                Ok(Self { patients, icu_stays, chart_events, procedure_events })
            }
            Err(_) => Err(format!("{} not there", missing.join(" and "))),
        })
    }
}

/// The cohort before notes are looked at.
pub(super) struct Cohort {
    /// Start of ventilation, by admission.
    pub(super) starts: HashMap<u32, VentilationStart>,
    /// Admissions ventilated for seven days or more.
    pub(super) prolonged: HashSet<u32>,
}

/// Finds the ventilated stays of two days and more, one for each admission.
///
/// # Errors
/// As [`table::read`].
pub(super) fn cohort(
    paths: &Tables,
    admissions: &BTreeMap<u32, Admission>,
    excluded: &Excluded,
    ledger: &mut Ledger,
    tables: &mut Vec<TableRows>,
    stages: &mut Stages,
) -> Result<Cohort> {
    let births = mimic3::births(&paths.patients, ledger, tables)?;
    let mut stays = mimic3::icu_stays(&paths.icu_stays, ledger, tables)?;
    let all = stays.len() as u64;
    stays.retain(|stay| admissions.contains_key(&stay.admission) && births.contains_key(&stay.subject));
    let joined = stays.len() as u64;
    stays.retain(|stay| {
        let days =
            admissions[&stay.admission].admitted.0.div_euclid(DAY) - births[&stay.subject].0.div_euclid(DAY);
        #[expect(clippy::cast_precision_loss, reason = "days of a life")]
        let years = days as f64 / DAYS_A_YEAR;
        years >= ADULT_YEARS
    });
    let adult = stays.len() as u64;
    stays.retain(|stay| !excluded.admissions.contains(&stay.admission));
    let included = stays.len() as u64;

    let wanted = stays.iter().map(|stay| stay.id);
    let events = ventilation::events(&paths.chart_events, &paths.procedure_events, wanted, ledger, tables)?;
    stays.retain(|stay| events.contains_key(&stay.id));
    let ventilated = stays.len() as u64;
    // The span of a stay: wall clock from its first event to the end of its last, gaps included.
    let span = |id: u32| {
        let of_stay = &events[&id];
        let end = of_stay.iter().map(|event| event.end).max().expect("a stay here has an event");
        end.0 - of_stay[0].start.0 + SLACK
    };
    stays.retain(|stay| span(stay.id) >= 2 * DAY);
    let base = stays.len() as u64;
    stays.sort_by_key(|stay| (stay.admission, stay.admitted, stay.id));
    let prolonged = stays.iter().filter(|stay| span(stay.id) >= 7 * DAY).map(|stay| stay.admission).collect();
    stays.dedup_by_key(|stay| stay.admission);
    stages.chain(
        "pmv",
        all,
        &[
            ("stays with admission and patient", joined),
            ("of patients of 18 years and more", adult),
            ("without an excluded diagnosis", included),
            ("ventilated", ventilated),
            ("for two days and more", base),
            ("the first stay of an admission", stays.len() as u64),
        ],
    );
    let start = |id: u32| VentilationStart { start: events[&id][0].start, has_bedside_note: false };
    let starts = stays.iter().map(|stay| (stay.admission, start(stay.id))).collect();
    Ok(Cohort { starts, prolonged })
}

impl Cohort {
    /// Label and split of the admissions with a bedside note. The split is by admission, 80/10/10, as the cohort's authors
    /// split it: a patient may be in two.
    pub(super) fn labels(&self, stages: &mut Stages) -> BTreeMap<u32, Labelled> {
        let labelled: BTreeMap<u32, Labelled> = self
            .starts
            .iter()
            .filter(|(_, start)| start.has_bedside_note)
            .map(|(admission, _)| {
                let labelled =
                    Labelled { prolonged: self.prolonged.contains(admission), split: TENTHS.of(*admission) };
                (*admission, labelled)
            })
            .collect();
        let before = self.starts.len() as u64;
        stages.add("pmv", "with a bedside note in the first 48 h", before, labelled.len() as u64);
        labelled
    }
}

/// Reads a published list: CSV with `hadm_id`, `label` (0 or 1) and `split` (train, val or test).
///
/// # Errors
/// As [`table::read`].
pub(super) fn read_labels(
    path: &Path,
    ledger: &mut Ledger,
    tables: &mut Vec<TableRows>,
) -> Result<BTreeMap<u32, Labelled>> {
    let mut labels = BTreeMap::new();
    let counts = table::read(path, &["HADM_ID", "LABEL", "SPLIT"], ledger, |row| {
        let admission = row.number(0)?;
        let prolonged = match row.number(1)? {
            0 => false,
            1 => true,
            _ => return Err(row.defect(DefectKind::UnknownValue, 1)),
        };
        let split = Split::parse(&row.text(2)).ok_or_else(|| row.defect(DefectKind::UnknownValue, 2))?;
        if labels.contains_key(&admission) {
            return Err(row.defect(DefectKind::DuplicateId, 0));
        }
        labels.insert(admission, Labelled { prolonged, split });
        Ok(())
    })?;
    counts.refuse_empty(path)?;
    tables.push(TableRows::new(path, counts));
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn diagnoses_that_exclude_are_those_of_the_cohort() {
        let donor = Code { code: "V594".into(), title: "Kidney donors".into() };
        let excludes = |code: &str| {
            let mut excluded = Excluded::new(std::slice::from_ref(&donor));
            excluded.see(7, code);
            excluded.admissions.contains(&7)
        };
        for code in ["1400", "149", "3589", "3590", "3591", "35801", "94100", "94830", "94899", "V594"] {
            assert!(excludes(code), "{code}");
        }
        for code in ["14", "0140", "3588", "35800", "9400", "94820", "948", "V593"] {
            assert!(!excludes(code), "{code}");
        }
    }
}
