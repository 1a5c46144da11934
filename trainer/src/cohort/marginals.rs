//! What the hospital looks like from far away, to be held against what is published of MIMIC-III.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::course::AdmissionKind;
use super::hospital::Summary;
use super::knowledge::System;
use super::patient::{Patient, Sex};

/// Median and quartiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Quartiles {
    pub(crate) first: f64,
    pub(crate) median: f64,
    pub(crate) third: f64,
}

/// Shares and averages; of admissions other than newborns' where nothing else is said.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Marginals {
    /// Of patients.
    pub(crate) newborn_share: f64,
    /// Newborns' left out.
    pub(crate) admissions: u64,
    pub(crate) admissions_a_patient: f64,
    pub(crate) male_share: f64,
    /// 90 stands for all above.
    pub(crate) age_years: Quartiles,
    pub(crate) emergency_share: f64,
    pub(crate) elective_share: f64,
    pub(crate) mortality: f64,
    pub(crate) stay_days: Quartiles,
    pub(crate) unit_stay_days: Quartiles,
    /// Of those who left alive: up to 3 days, 7, 14, more.
    pub(crate) stay_classes: [f64; 4],
    pub(crate) ventilated_share: f64,
    /// Ventilated for two days or more, the cohort of the task.
    pub(crate) ventilated_two_days: u64,
    /// Of these, for seven days or more.
    pub(crate) prolonged_share: f64,
    pub(crate) diagnoses_an_admission: f64,
    pub(crate) procedures_an_admission: f64,
    /// Problems that someone was admitted for, and their systems.
    pub(crate) problems: usize,
    pub(crate) systems: usize,
    /// As the tasks shorten them.
    pub(crate) short_diagnosis_codes: usize,
    pub(crate) short_procedure_codes: usize,
    /// How well the hidden risk at the door tells who dies: what the best of models could reach.
    pub(crate) death_risk_auroc: f64,
    /// Share of patients, newborns included, with each of the diagnosis codes that are commonest in MIMIC-III.
    pub(crate) code_shares: BTreeMap<&'static str, f64>,
}

/// MIMIC-III's commonest diagnosis codes and how many of its 46,520 patients have them.
const COMMON_CODES: &[(&str, &str, f64)] = &[
    ("4019", "hypertension", 17_613.0),
    ("41401", "coronary atherosclerosis", 10_775.0),
    ("42731", "atrial fibrillation", 10_271.0),
    ("4280", "heart failure", 9_843.0),
    ("5849", "acute kidney failure", 7_687.0),
    ("2724", "hyperlipidemia", 7_465.0),
    ("25000", "diabetes", 7_370.0),
    ("51881", "acute respiratory failure", 6_719.0),
    ("5990", "urinary infection", 5_779.0),
    ("53081", "reflux", 5_272.0),
    ("486", "pneumonia", 4_423.0),
    ("2851", "anemia by bleeding", 4_241.0),
    ("2449", "hypothyroidism", 3_819.0),
    ("496", "chronic airway obstruction", 3_592.0),
    ("0389", "septicemia", 3_433.0),
    ("5070", "aspiration pneumonitis", 3_396.0),
];
const MIMIC_PATIENTS: f64 = 46_520.0;

/// Tenths of days up to the longest stay and a little more.
const STAY_BINS: usize = 1700;
const RISK_BINS: usize = 2000;

/// Counts from which [`Marginals`] follow; those of parts add up.
#[derive(Debug, Clone)]
pub(super) struct Tally {
    patients: u64,
    newborns: u64,
    admissions: u64,
    men: u64,
    kinds: BTreeMap<&'static str, u64>,
    died: u64,
    ventilated: u64,
    two_days: u64,
    seven_days: u64,
    diagnoses: u64,
    procedures: u64,
    stay_classes: [u64; 4],
    ages: Vec<u64>,
    stays: Vec<u64>,
    unit_stays: Vec<u64>,
    /// Risk at the door of those who lived and of those who died.
    risks: [Vec<u64>; 2],
    problems: BTreeMap<&'static str, u64>,
    systems: BTreeMap<System, u64>,
    /// Patients with each diagnosis and each procedure code.
    codes: [BTreeMap<&'static str, u64>; 2],
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            patients: 0,
            newborns: 0,
            admissions: 0,
            men: 0,
            kinds: BTreeMap::new(),
            died: 0,
            ventilated: 0,
            two_days: 0,
            seven_days: 0,
            diagnoses: 0,
            procedures: 0,
            stay_classes: [0; 4],
            ages: vec![0; 92],
            stays: vec![0; STAY_BINS],
            unit_stays: vec![0; STAY_BINS],
            risks: [vec![0; RISK_BINS], vec![0; RISK_BINS]],
            problems: BTreeMap::new(),
            systems: BTreeMap::new(),
            codes: [BTreeMap::new(), BTreeMap::new()],
        }
    }
}

/// The bin of a value that is not negative.
fn bin(value: f64, bins: usize) -> usize {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bounded by the number of bins"
    )]
    let at = value.floor() as usize;
    at.min(bins - 1)
}

impl Tally {
    /// Counts a patient and all admissions.
    pub(super) fn add(&mut self, patient: &Patient) {
        self.patients += 1;
        self.newborns += u64::from(patient.newborn);
        let diagnoses: BTreeSet<&str> =
            patient.admissions.iter().flat_map(|a| a.diagnoses.iter().copied()).collect();
        let procedures: BTreeSet<&str> =
            patient.admissions.iter().flat_map(|a| a.procedures.iter().copied()).collect();
        for (codes, counts) in [diagnoses, procedures].into_iter().zip(&mut self.codes) {
            for code in codes {
                *counts.entry(code).or_default() += 1;
            }
        }
        for admission in &patient.admissions {
            let kind = match admission.kind {
                AdmissionKind::Newborn => continue,
                AdmissionKind::Elective => "elective",
                AdmissionKind::Emergency => "emergency",
                AdmissionKind::Urgent => "urgent",
            };
            *self.kinds.entry(kind).or_default() += 1;
            self.admissions += 1;
            self.men += u64::from(patient.sex == Sex::Male);
            self.died += u64::from(admission.died);
            self.diagnoses += admission.diagnoses.len() as u64;
            self.procedures += admission.procedures.len() as u64;
            self.ages[bin(admission.age_years, 91)] += 1;
            let days = admission.stay_hours() / 24.0;
            self.stays[bin(10.0 * days, STAY_BINS)] += 1;
            if !admission.died {
                let class = [3.05, 7.05, 14.05].iter().filter(|edge| days > **edge).count();
                self.stay_classes[class] += 1;
            }
            for stay in &admission.unit_stays {
                self.unit_stays[bin((stay.end - stay.start) / 2.4, STAY_BINS)] += 1;
            }
            let span = admission.ventilated_span_hours();
            self.ventilated += u64::from(span > 0.0);
            self.two_days += u64::from(span >= 42.0);
            self.seven_days += u64::from(span >= 162.0);
            self.risks[usize::from(admission.died)]
                [bin(RISK_BINS as f64 * admission.death_risk, RISK_BINS)] += 1;
            *self.problems.entry(admission.problem.key).or_default() += 1;
            *self.systems.entry(admission.problem.system).or_default() += 1;
        }
    }

    /// Adds the counts of others.
    pub(super) fn merge(&mut self, other: &Self) {
        for (mine, theirs) in [
            (&mut self.patients, other.patients),
            (&mut self.newborns, other.newborns),
            (&mut self.admissions, other.admissions),
            (&mut self.men, other.men),
            (&mut self.died, other.died),
            (&mut self.ventilated, other.ventilated),
            (&mut self.two_days, other.two_days),
            (&mut self.seven_days, other.seven_days),
            (&mut self.diagnoses, other.diagnoses),
            (&mut self.procedures, other.procedures),
        ] {
            *mine += theirs;
        }
        add_counts(&mut self.stay_classes, &other.stay_classes);
        add_counts(&mut self.ages, &other.ages);
        add_counts(&mut self.stays, &other.stays);
        add_counts(&mut self.unit_stays, &other.unit_stays);
        for (mine, theirs) in self.risks.iter_mut().zip(&other.risks) {
            add_counts(mine, theirs);
        }
        add_entries(&mut self.kinds, &other.kinds);
        add_entries(&mut self.problems, &other.problems);
        add_entries(&mut self.systems, &other.systems);
        for (mine, theirs) in self.codes.iter_mut().zip(&other.codes) {
            add_entries(mine, theirs);
        }
    }

    /// What the counts say.
    pub(super) fn marginals(&self) -> Marginals {
        let of = |count: u64| share(count, self.admissions);
        let short = |codes: &BTreeMap<&'static str, u64>, shorten: fn(&str) -> String| {
            codes.keys().map(|code| shorten(code)).collect::<BTreeSet<_>>().len()
        };
        let code_shares = COMMON_CODES
            .iter()
            .map(|(code, _, _)| (*code, share(self.codes[0].get(code).copied().unwrap_or(0), self.patients)));
        Marginals {
            newborn_share: share(self.newborns, self.patients),
            admissions: self.admissions,
            admissions_a_patient: share(self.admissions, self.patients - self.newborns),
            male_share: of(self.men),
            age_years: quartiles(&self.ages, 1.0),
            emergency_share: of(self.kinds.get("emergency").copied().unwrap_or(0)),
            elective_share: of(self.kinds.get("elective").copied().unwrap_or(0)),
            mortality: of(self.died),
            stay_days: quartiles(&self.stays, 0.1),
            unit_stay_days: quartiles(&self.unit_stays, 0.1),
            stay_classes: self.stay_classes.map(|count| share(count, self.admissions - self.died)),
            ventilated_share: of(self.ventilated),
            ventilated_two_days: self.two_days,
            prolonged_share: share(self.seven_days, self.two_days),
            diagnoses_an_admission: of(self.diagnoses),
            procedures_an_admission: of(self.procedures),
            problems: self.problems.len(),
            systems: self.systems.len(),
            short_diagnosis_codes: short(&self.codes[0], short_diagnosis),
            short_procedure_codes: short(&self.codes[1], short_procedure),
            death_risk_auroc: auroc(&self.risks),
            code_shares: code_shares.collect(),
        }
    }
}

/// A diagnosis code as the task shortens it: four characters of those that begin with V or E, three of others.
pub(super) fn short_diagnosis(code: &str) -> String {
    code.chars().take(if code.starts_with(['V', 'E']) { 4 } else { 3 }).collect()
}

/// A procedure code as the task shortens it: three characters of the integer.
pub(super) fn short_procedure(code: &str) -> String {
    code.trim_start_matches('0').chars().take(3).collect()
}

fn add_counts(mine: &mut [u64], theirs: &[u64]) {
    for (mine, theirs) in mine.iter_mut().zip(theirs) {
        *mine += theirs;
    }
}

fn add_entries<K: Ord + Copy>(mine: &mut BTreeMap<K, u64>, theirs: &BTreeMap<K, u64>) {
    for (key, count) in theirs {
        *mine.entry(*key).or_default() += count;
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts of people")]
fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Quartiles of a histogram whose bins are `width` wide, by the middle of the bin.
fn quartiles(counts: &[u64], width: f64) -> Quartiles {
    let total: u64 = counts.iter().sum();
    let at = |fraction: f64| {
        let mut below = 0;
        for (bin, count) in (0_u32..).zip(counts) {
            below += count;
            if share(below, total) >= fraction {
                return (f64::from(bin) + 0.5) * width;
            }
        }
        0.0
    };
    Quartiles { first: at(0.25), median: at(0.5), third: at(0.75) }
}

/// Area under the curve of the two histograms; a tie counts half.
fn auroc(risks: &[Vec<u64>; 2]) -> f64 {
    let (mut below, mut area) = (0.0, 0.0);
    for (lived, died) in risks[0].iter().zip(&risks[1]) {
        let (lived, died) = (share(*lived, 1), share(*died, 1));
        area += died * (below + 0.5 * lived);
        below += lived;
    }
    let died = share(risks[1].iter().sum(), 1);
    if below * died > 0.0 { area / (below * died) } else { 0.5 }
}

/// The marginals beside MIMIC-III's, as a table of text.
///
/// Published: Johnson et al., MIMIC-III, Scientific Data 3:160035 (2016), tables 1 and 2, for adults; the classes of stay and
/// the mortality of admission notes are those of van Aken et al., EACL 2021 (CORe); codes are counted in the tables.
pub(crate) fn table(summary: &Summary) -> String {
    let m = &summary.marginals;
    let percent = |share: f64| format!("{:.1} %", 100.0 * share);
    let spread = |q: Quartiles| format!("{:.1} ({:.1}-{:.1})", q.median, q.first, q.third);
    let classes = m.stay_classes.map(|share| format!("{:.0}", 100.0 * share)).join(" / ") + " %";
    let lines = [
        ("admissions, newborns' left out", m.admissions.to_string(), "51,113"),
        ("newborns among patients", percent(m.newborn_share), "16.9 %"),
        ("admissions a patient", format!("{:.2}", m.admissions_a_patient), "1.32"),
        ("men", percent(m.male_share), "55.9 %"),
        ("age, median (quartiles)", spread(m.age_years), "65.8 (52.8-77.8)"),
        ("emergencies", percent(m.emergency_share), "82.3 %"),
        ("by appointment", percent(m.elective_share), "15.1 %"),
        ("died in hospital", percent(m.mortality), "11.5 %; 10.5 % of notes"),
        ("days in hospital", spread(m.stay_days), "6.9 (4.1-11.9)"),
        ("days in intensive care", spread(m.unit_stay_days), "2.1 (1.2-4.6)"),
        ("up to 3, 7, 14, more days", classes, "13 / 37 / 31 / 19 %"),
        ("ventilated", percent(m.ventilated_share), ""),
        ("ventilated two days or more", m.ventilated_two_days.to_string(), "9,483"),
        ("of these seven days or more", percent(m.prolonged_share), "45.3 %"),
        ("diagnoses an admission", format!("{:.1}", m.diagnoses_an_admission), "11.0"),
        ("procedures an admission", format!("{:.1}", m.procedures_an_admission), "4.1"),
        ("short diagnosis codes", m.short_diagnosis_codes.to_string(), "1,266"),
        ("short procedure codes", m.short_procedure_codes.to_string(), "711"),
        ("problems, systems", format!("{}, {}", m.problems, m.systems), ""),
        ("AUROC of the hidden risk", format!("{:.3}", m.death_risk_auroc), ""),
    ];
    let mut table = format!("{:>54}  MIMIC-III", "here");
    for (name, here, there) in lines {
        table += &format!("\n{name:34}{here:>20}  {there}");
    }
    for (code, name, count) in COMMON_CODES {
        let there = percent(count / MIMIC_PATIENTS);
        let name = format!("{code} {name}");
        table += &format!("\n{name:34}{:>20}  {there}", percent(m.code_shares[code]));
    }
    table
}
