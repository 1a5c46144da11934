//! Being born, which is no problem but has an admission.

use super::super::{Problem, Service, System, Who, effects};

/// What newborns are admitted for.
pub(in crate::cohort) static NEWBORN: Problem = Problem {
    key: "newborn",
    title: "{Newborn|Term infant|Prematurity}",
    label: "NEWBORN",
    system: System::Obstetric,
    service: Service::Neonatology,
    who: Who::Anyone,
    frequency: 0.0,
    planned: 0.0,
    age: (0.0, 1.0),
    after: &[],
    codes: &["V3000"],
    also: &[],
    procedures: &[],
    lethality: 0.0,
    stay_days: 3.0,
    ventilated: 0.0,
    effect: &effects::QUIET,
    complaint: "newborn",
    presents: ["newborn", "newborn", "newborn"],
    denies: "",
    operation: "",
    exam: ["", ""],
    studies: "",
    treated: "",
    course: "",
};
