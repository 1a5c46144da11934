//! From a course to ICD-9 codes, as a coder would list them.

use super::course::{Admission, Grade, Origin};
use super::knowledge::{MINOR_PROCEDURES, Service, System};
use super::patient::Patient;
use super::random::Chance;
use super::ventilation::EpisodeEnd;

/// MIMIC-III lists at most this many diagnoses.
const MOST_DIAGNOSES: usize = 39;

/// A list of codes without repeats.
#[derive(Default)]
struct Codes(Vec<&'static str>);

impl Codes {
    fn add(&mut self, code: &'static str) {
        if !code.is_empty() && !self.0.contains(&code) {
            self.0.push(code);
        }
    }

    /// Adds one of `codes`, each half as likely as the one before.
    fn add_one_of(&mut self, codes: &[&'static str], chance: &mut Chance) {
        self.add(one_of(codes, chance));
    }
}

fn one_of(codes: &[&'static str], chance: &mut Chance) -> &'static str {
    let weights = std::iter::successors(Some(1.0_f64), |weight| Some(weight * 0.55));
    codes[chance.weighted(weights.take(codes.len()))]
}

/// Diagnosis codes: the reason, what it brought along, chronic diseases, past events.
pub(super) fn diagnoses(patient: &Patient, admission: &Admission, chance: &mut Chance) -> Vec<&'static str> {
    let problem = admission.problem;
    let mut codes = Codes::default();
    let principal = one_of(problem.codes, chance);
    let infectious = is_infectious(admission);
    if principal.starts_with("038") {
        codes.add(if chance.happens(0.4) { admission.organism.septicaemia } else { principal });
        codes.add(if admission.grade == Grade::Mild { "99591" } else { "99592" });
        if admission.vitals.systolic < 92.0 {
            codes.add("78552");
        }
    } else {
        codes.add(principal);
    }
    for event in &admission.events {
        codes.add(event.code);
    }
    let graver = match admission.grade {
        Grade::Mild => 0.7,
        Grade::Moderate => 1.0,
        Grade::Severe => 1.35,
    };
    for (code, p) in problem.also {
        if chance.happens(p * graver) {
            codes.add(code);
        }
    }
    if infectious && chance.happens(0.35) {
        codes.add(admission.organism.code);
    }
    laboratory_codes(admission, &mut codes, chance);
    for chronic in &patient.chronic {
        if chance.happens(0.88) {
            codes.add_one_of(chronic.codes, chance);
            for (code, p) in chronic.also {
                if chance.happens(*p) {
                    codes.add(code);
                }
            }
        }
    }
    if problem.system == System::Trauma || problem.key == "hip fracture" {
        codes.add_one_of(admission.mechanism.codes, chance);
        if chance.happens(0.4) {
            codes.add_one_of(&["E8490", "E8495", "E8499", "E8497", "E8498"], chance);
        }
    }
    if problem.service.is_surgical() && chance.happens(0.12) {
        codes.add_one_of(&["E8788", "E8781", "E8782", "E8786", "E8791", "E8798"], chance);
    }
    if !admission.events.is_empty() && chance.happens(0.08) {
        codes.add_one_of(
            &["E9342", "E9331", "E9320", "E9352", "E9394", "E9305", "E9424", "E9444", "E9308", "E9479"],
            chance,
        );
    }
    for minor in &patient.minor {
        if chance.happens(0.6) {
            codes.add(minor.code);
        }
    }
    if patient.habits.smokes && chance.happens(0.6) {
        codes.add("3051");
    }
    for allergy in &patient.allergies {
        if chance.happens(0.25) {
            codes.add(allergy.code);
        }
    }
    if admission.no_resuscitation && chance.happens(0.5) {
        codes.add("V4986");
    }
    if admission.died && chance.happens(0.3) {
        codes.add("V667");
    }
    codes.0.truncate(MOST_DIAGNOSES);
    codes.0
}

/// Codes for values anyone would notice.
fn laboratory_codes(admission: &Admission, codes: &mut Codes, chance: &mut Chance) {
    let (vitals, labs) = (&admission.vitals, &admission.labs);
    let noticed: [(bool, &'static str); 12] = [
        (labs.sodium < 130.0, "2761"),
        (labs.sodium > 149.0, "2760"),
        (labs.potassium > 5.9, "2767"),
        (labs.potassium < 3.1, "2768"),
        (labs.lactate > 4.5, "2762"),
        (labs.platelets < 80.0, "2875"),
        (labs.inr > 2.8, "79092"),
        (labs.hematocrit < 24.0, "2859"),
        (vitals.systolic < 80.0, "78559"),
        (labs.white_cells > 24.0, "28860"),
        (labs.white_cells < 1.5, "28800"),
        (vitals.coma_score < 8.0, "78001"),
    ];
    for (abnormal, code) in noticed {
        if abnormal && chance.happens(0.45) {
            codes.add(code);
        }
    }
}

fn is_infectious(admission: &Admission) -> bool {
    matches!(admission.problem.system, System::Infectious | System::Skin | System::Urological)
        || matches!(admission.problem.key, "endocarditis" | "pneumonia" | "cholangitis" | "osteomyelitis")
}

/// Procedure codes: operations, then what intensive care adds.
pub(super) fn procedures(admission: &Admission, chance: &mut Chance) -> Vec<&'static str> {
    let problem = admission.problem;
    let mut codes = Codes::default();
    for (code, p) in problem.procedures {
        let graver = if problem.service.is_surgical() { 1.0 } else { (0.25 * admission.severity).exp() };
        if chance.happens((p * graver).min(0.98)) {
            codes.add(code);
        }
    }
    for event in &admission.events {
        for (code, p) in event.what.procedures {
            if chance.happens(*p) {
                codes.add(code);
            }
        }
    }
    let hours: f64 = admission.ventilation.iter().map(|episode| episode.hours()).sum();
    if hours > 0.0 {
        let routine = hours < 24.0 && problem.service.is_surgical();
        if !routine || chance.happens(0.12) {
            if admission.origin != Origin::OtherHospital || chance.happens(0.4) {
                codes.add("9604");
            }
            codes.add(if hours >= 96.0 { "9672" } else { "9671" });
        }
        if admission.ventilation.last().is_some_and(|episode| episode.how == EpisodeEnd::Weaned) {
            codes.add_one_of(&["311", "3129", "3121"], chance);
            if chance.happens(0.65) {
                codes.add_one_of(&["4311", "4319", "4639"], chance);
            }
        }
    }
    if chance.happens((0.34 + 0.14 * admission.severity).clamp(0.06, 0.75)) {
        codes.add_one_of(&["3893", "3897", "3895"], chance);
    }
    if chance.happens((0.14 + 0.08 * admission.severity).clamp(0.02, 0.4)) {
        codes.add("3891");
    }
    if admission.stay_hours() > 24.0 * 8.0 && chance.happens(0.22) {
        codes.add_one_of(&["966", "9915"], chance);
    }
    if admission.labs.hematocrit < 26.0 && chance.happens(0.6) {
        codes.add("9904");
    }
    if admission.labs.inr > 3.0 && chance.happens(0.4) {
        codes.add("9907");
    }
    add_minor_procedures(admission, &mut codes, chance);
    codes.0
}

/// The long tail: procedures that go with a system but with no one problem.
fn add_minor_procedures(admission: &Admission, codes: &mut Codes, chance: &mut Chance) {
    for (system, choices) in MINOR_PROCEDURES {
        let p = if system.is_none() {
            0.25
        } else if *system == Some(admission.problem.system) {
            0.17
        } else {
            0.0
        };
        if chance.happens(p) {
            codes.add(chance.choose(choices));
        }
    }
}

/// What a newborn is coded with.
pub(super) fn newborn_diagnoses(admission: &Admission, chance: &mut Chance) -> Vec<&'static str> {
    let mut codes = Codes::default();
    codes.add_one_of(&["V3000", "V3001", "V3001", "V3101"], chance);
    codes.add("V053");
    let ill: &[&[&'static str]] = match admission.grade {
        Grade::Mild => &[&["V290", "7742", "77931"]],
        Grade::Moderate => &[&["V290"], &["7742", "7746", "77081", "7756"]],
        Grade::Severe => {
            &[&["76516", "76517", "76518", "76515"], &["769", "77081", "7707"], &["7742", "77989"]]
        }
    };
    for choices in ill {
        codes.add_one_of(choices, chance);
    }
    codes.0
}

/// What is done to a newborn.
pub(super) fn newborn_procedures(admission: &Admission, chance: &mut Chance) -> Vec<&'static str> {
    let mut codes = Codes::default();
    if chance.happens(0.75) {
        codes.add("9955");
    }
    if chance.happens(0.25) {
        codes.add("640");
    }
    if admission.grade == Grade::Severe {
        codes.add_one_of(&["9604", "9390", "9983", "966"], chance);
        codes.add_one_of(&["3892", "9915", "3893"], chance);
    }
    debug_assert_eq!(admission.problem.service, Service::Neonatology, "only newborns are coded here");
    codes.0
}
