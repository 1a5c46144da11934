//! Who came, when, to which unit and with which codes: PATIENTS, ADMISSIONS, ICUSTAYS, `DIAGNOSES_ICD`, `PROCEDURES_ICD`.

use super::{Cell, Pages, Table};
use crate::cohort::course::{Admission, AdmissionKind, Origin};
use crate::cohort::discharge_summary::SYNTHETIC;
use crate::cohort::patient::{Patient, Sex};
use crate::cohort::random::{Chance, Purpose};
use Cell::{At, Decimal, Null, Text, Whole};

/// First of the `ICUSTAY_IDs`; an admission has room for two.
const FIRST_STAY: u64 = 200_000_000;

/// The identifier of the stay of this number.
pub(super) fn icustay_id(admission: &Admission, stay: usize) -> u64 {
    FIRST_STAY + 2 * admission.hadm_id + stay as u64
}

/// Adds the patient and all admissions.
pub(super) fn add(patient: &Patient, pages: &mut Pages) {
    add_patient(patient, pages);
    for admission in &patient.admissions {
        let mut chance = Chance::new(patient.seed, patient.index, Purpose::Register(admission.number));
        add_admission(patient, admission, pages, &mut chance);
        add_stays(patient, admission, pages, &mut chance);
        add_codes(patient, admission, pages, &mut chance);
    }
}

fn add_patient(patient: &Patient, pages: &mut Pages) {
    let in_hospital =
        patient.admissions.iter().find(|admission| admission.died).map(|last| last.discharged.midnight());
    let sex = if patient.sex == Sex::Female { "F" } else { "M" };
    let death = in_hospital.or(patient.died_later);
    // The registry of deaths knows of most, also of those in hospital.
    let registered = death.filter(|_| !patient.index.is_multiple_of(5) || in_hospital.is_none());
    pages.to(Table::Patients).add(&[
        Whole(patient.subject_id),
        Text(sex),
        At(patient.shown_birth()),
        Cell::at_or_null(death),
        Cell::at_or_null(in_hospital),
        Cell::at_or_null(registered),
        Whole(u64::from(death.is_some())),
    ]);
}

fn add_admission(patient: &Patient, admission: &Admission, pages: &mut Pages, chance: &mut Chance) {
    let kind = match admission.kind {
        AdmissionKind::Elective => "ELECTIVE",
        AdmissionKind::Emergency => "EMERGENCY",
        AdmissionKind::Urgent => "URGENT",
        AdmissionKind::Newborn => "NEWBORN",
    };
    let emergency_room = admission.kind == AdmissionKind::Emergency && admission.origin == Origin::Home;
    let from = match admission.origin {
        _ if emergency_room => "EMERGENCY ROOM ADMIT",
        Origin::OtherHospital => "TRANSFER FROM HOSP/EXTRAM",
        Origin::NursingHome if chance.happens(0.3) => "TRANSFER FROM SKILLED NUR",
        Origin::NursingHome => "EMERGENCY ROOM ADMIT",
        Origin::Clinic if !admission.planned() => "CLINIC REFERRAL/PREMATURE",
        Origin::Home | Origin::Clinic => "PHYS REFERRAL/NORMAL DELI",
    };
    let registered = (from == "EMERGENCY ROOM ADMIT")
        .then(|| admission.admitted.plus_hours(-chance.lognormal(4.0, 0.5)).minute());
    let left_emergency = registered.map(|_| admission.admitted.plus_hours(chance.uniform(0.2, 2.5)).minute());
    let background = &patient.background;
    let problem = format!("{} [{SYNTHETIC}]", admission.problem.label);
    pages.to(Table::Admissions).add(&[
        Whole(patient.subject_id),
        Whole(admission.hadm_id),
        At(admission.admitted),
        At(admission.discharged),
        Cell::at_or_null(admission.died.then_some(admission.discharged)),
        Text(kind),
        Text(from),
        Text(admission.destination),
        Text(insurance(admission.age_years, chance)),
        Cell::text_or_null(background.language),
        Text(background.religion),
        Cell::text_or_null(background.marital_status),
        Text(background.ethnicity),
        Cell::at_or_null(registered),
        Cell::at_or_null(left_emergency),
        Text(&problem),
        Whole(u64::from(admission.died)),
        Whole(1),
    ]);
}

fn insurance(age_years: f64, chance: &mut Chance) -> &'static str {
    if age_years >= 65.0 {
        chance.choose(&[("Medicare", 86.0), ("Private", 11.0), ("Medicaid", 2.0), ("Government", 1.0)])
    } else {
        chance.choose(&[
            ("Private", 62.0),
            ("Medicaid", 16.0),
            ("Medicare", 14.0),
            ("Government", 5.0),
            ("Self Pay", 3.0),
        ])
    }
}

fn add_stays(patient: &Patient, admission: &Admission, pages: &mut Pages, chance: &mut Chance) {
    for (number, stay) in admission.unit_stays.iter().enumerate() {
        let unit = admission.problem.service.unit();
        let ward = match unit {
            "MICU" => chance.pick(&[23, 50, 52]),
            "CCU" => 7,
            "CSRU" => chance.pick(&[12, 14, 15]),
            "SICU" => chance.pick(&[33, 57]),
            "TSICU" => 14,
            _ => chance.pick(&[26, 56]),
        };
        let seconds = chance.whole(0, 59);
        let start = super::Moment(admission.admitted.plus_hours(stay.start).minute().0 + seconds);
        let end = super::Moment(admission.admitted.plus_hours(stay.end).minute().0 + seconds);
        pages.to(Table::IcuStays).add(&[
            Whole(patient.subject_id),
            Whole(admission.hadm_id),
            Whole(icustay_id(admission, number)),
            Text(if admission.is_metavision() { "metavision" } else { "carevue" }),
            Text(unit),
            Text(unit),
            Whole(ward),
            Whole(ward),
            At(start),
            At(end),
            Decimal(end.hours_since(start) / 24.0, 4),
        ]);
    }
}

/// Codes in the order of coding; MIMIC-III has few admissions whose one diagnosis is null.
fn add_codes(patient: &Patient, admission: &Admission, pages: &mut Pages, chance: &mut Chance) {
    let uncoded = chance.happens(0.001);
    for (table, codes) in
        [(Table::Diagnoses, &admission.diagnoses), (Table::Procedures, &admission.procedures)]
    {
        if uncoded {
            if table == Table::Diagnoses {
                pages.to(table).add(&[Whole(patient.subject_id), Whole(admission.hadm_id), Null, Null]);
            }
            continue;
        }
        for (number, code) in (1..).zip(codes) {
            pages.to(table).add(&[
                Whole(patient.subject_id),
                Whole(admission.hadm_id),
                Whole(number),
                Text(code),
            ]);
        }
    }
}
