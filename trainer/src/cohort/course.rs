//! What happens in hospital: problem, severity, complications, ventilation, stay, outcome.
//!
//! Severity is one hidden number drawn at the door. Vital signs, laboratory values, the way a patient presents, the
//! complications, the time on the ventilator, the stay and the chance of death all follow from it, each with noise of
//! its own: a note tells of it what a clinician could see, and no more.

use super::calendar::{DAY, Moment};
use super::coding;
use super::knowledge::{
    CHRONIC, COMPLICATIONS, Chronic, Complication, MECHANISMS, Mechanism, NEWBORN, ORGANISMS, Organism,
    Problem, Service, System, Who, effects, problems,
};
use super::patient::{Patient, Sex};
use super::physiology::{Labs, Oxygen, Vitals, labs, oxygen, vitals};
use super::random::{Chance, sigmoid};
use super::ventilation::Episode;

/// `ADMISSION_TYPE`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AdmissionKind {
    /// `ELECTIVE`
    Elective,
    /// `EMERGENCY`
    Emergency,
    /// `URGENT`
    Urgent,
    /// `NEWBORN`
    Newborn,
}

/// Where a patient comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    Home,
    NursingHome,
    OtherHospital,
    Clinic,
}

/// How grave a presentation looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Grade {
    Mild,
    Moderate,
    Severe,
}

/// A stay in an intensive care unit, in hours from admission.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnitStay {
    pub(super) start: f64,
    pub(super) end: f64,
}

/// Something that went wrong.
#[derive(Debug, Clone, Copy)]
pub(super) struct Event {
    pub(super) what: &'static Complication,
    pub(super) code: &'static str,
}

/// One admission.
#[derive(Debug, Clone)]
pub(crate) struct Admission {
    /// Which of the patient's it is, from 0.
    pub(super) number: u8,
    /// `HADM_ID`, outside the range of MIMIC's.
    pub(crate) hadm_id: u64,
    pub(super) admitted: Moment,
    pub(super) discharged: Moment,
    /// Age at admission.
    pub(crate) age_years: f64,
    /// `ADMISSION_TYPE`.
    pub(crate) kind: AdmissionKind,
    pub(super) origin: Origin,
    pub(super) problem: &'static Problem,
    pub(super) grade: Grade,
    /// The hidden severity: standard normal among those not admitted by appointment.
    pub(super) severity: f64,
    pub(super) vitals: Vitals,
    pub(super) labs: Labs,
    pub(super) oxygen: Oxygen,
    /// Ejection fraction, per cent.
    pub(super) ejection_fraction: u32,
    pub(super) left_side: bool,
    pub(super) organism: &'static Organism,
    pub(super) mechanism: &'static Mechanism,
    pub(super) no_resuscitation: bool,
    pub(super) events: Vec<Event>,
    /// Ventilation, in hours from admission.
    pub(super) ventilation: Vec<Episode>,
    pub(super) unit_stays: Vec<UnitStay>,
    /// The chance of dying in hospital as it stood at the door, noise excluded.
    pub(crate) death_risk: f64,
    /// `HOSPITAL_EXPIRE_FLAG`.
    pub(crate) died: bool,
    /// `DISCHARGE_LOCATION`.
    pub(super) destination: &'static str,
    /// ICD-9 diagnosis codes, the principal one first.
    pub(crate) diagnoses: Vec<&'static str>,
    /// ICD-9 procedure codes in the order of coding.
    pub(crate) procedures: Vec<&'static str>,
}

/// First of the `HADM_IDs`; a patient has room for eight.
const FIRST_ADMISSION: u64 = 30_000_000;

/// Makes in-hospital mortality what MIMIC-III's is.
const DEATH_LOGIT: f64 = -3.78;

impl Admission {
    /// Simulates the admission of this number at this time.
    pub(super) fn simulate(patient: &Patient, number: usize, admitted: Moment, chance: &mut Chance) -> Self {
        let age_years = patient.age_years_at(admitted);
        let problem = choose_problem(patient, age_years, chance);
        let planned = chance.happens(problem.planned);
        let severity = if planned { chance.normal(-0.8, 0.6) } else { chance.normal(0.0, 1.0) };
        let load = (0.5 * severity).exp().clamp(0.3, 3.0) * if planned { 0.4 } else { 1.0 };
        let no_resuscitation =
            chance.happens(sigmoid(-5.2 + 0.085 * (age_years - 65.0) + 0.8 * patient.frailty()));

        let base: Vec<_> = patient.chronic.iter().map(|chronic| &chronic.effect).collect();
        let vitals = vitals(&base, problem.effect, load, age_years, chance);
        let labs = labs(&base, problem.effect, load, age_years, chance);

        let operated = problem.service.is_surgical();
        let mut admission = Self {
            number: u8::try_from(number).unwrap_or(u8::MAX),
            hadm_id: FIRST_ADMISSION + 8 * patient.index + number as u64,
            admitted,
            discharged: admitted,
            age_years,
            kind: kind(planned, chance),
            origin: origin(patient, planned, chance),
            problem,
            grade: grade(severity + chance.normal(0.0, 0.25)),
            severity,
            vitals,
            labs,
            oxygen: Oxygen::RoomAir,
            ejection_fraction: ejection_fraction(patient, problem, chance),
            left_side: chance.happens(0.5),
            organism: &ORGANISMS[chance.weighted(ORGANISMS.iter().map(|organism| organism.weight))],
            mechanism: mechanism(problem, age_years, chance),
            no_resuscitation,
            events: Vec::new(),
            ventilation: Vec::new(),
            unit_stays: Vec::new(),
            death_risk: 0.0,
            died: false,
            destination: "HOME",
            diagnoses: Vec::new(),
            procedures: Vec::new(),
        };

        let ventilated_hours = admission.draw_ventilation(planned, operated, chance);
        admission.draw_events(operated, ventilated_hours, chance);
        admission.decide_outcome(patient, planned, ventilated_hours, chance);
        let intubated_at_the_door =
            admission.ventilation.first().is_some_and(|episode| episode.start < 2.0) && !planned;
        admission.oxygen = oxygen(&admission.vitals, intubated_at_the_door, chance);
        admission.diagnoses = coding::diagnoses(patient, &admission, chance);
        admission.procedures = coding::procedures(&admission, chance);
        admission
    }

    /// The admission of being born.
    pub(super) fn of_newborn(patient: &Patient, admitted: Moment, chance: &mut Chance) -> Self {
        let severity = chance.normal(0.0, 1.0);
        let stay_hours = 24.0 * chance.lognormal(3.2, 0.35) * (0.9 * severity.max(0.0)).exp();
        let died = chance.happens(sigmoid(-7.0 + 1.7 * severity));
        let mut newborn = Self {
            number: 0,
            hadm_id: FIRST_ADMISSION + 8 * patient.index,
            admitted,
            discharged: admitted.plus_hours(stay_hours).minute(),
            age_years: 0.0,
            kind: AdmissionKind::Newborn,
            origin: Origin::Home,
            problem: &NEWBORN,
            grade: grade(severity),
            severity,
            vitals: vitals(&[], &effects::QUIET, 1.0, 30.0, chance),
            labs: labs(&[], &effects::QUIET, 1.0, 30.0, chance),
            oxygen: Oxygen::RoomAir,
            ejection_fraction: 60,
            left_side: false,
            organism: &ORGANISMS[0],
            mechanism: &MECHANISMS[0],
            no_resuscitation: false,
            events: Vec::new(),
            ventilation: Vec::new(),
            unit_stays: vec![UnitStay { start: 0.1, end: stay_hours }],
            death_risk: sigmoid(-7.0 + 1.7 * severity),
            died,
            destination: if died { "DEAD/EXPIRED" } else { "HOME" },
            diagnoses: Vec::new(),
            procedures: Vec::new(),
        };
        newborn.diagnoses = coding::newborn_diagnoses(&newborn, chance);
        newborn.procedures = coding::newborn_procedures(&newborn, chance);
        newborn
    }

    /// Length of stay in hours.
    pub(crate) fn stay_hours(&self) -> f64 {
        self.discharged.hours_since(self.admitted)
    }

    /// Whether it was arranged beforehand.
    pub(super) fn planned(&self) -> bool {
        self.kind == AdmissionKind::Elective
    }

    /// Whether its intensive care charted in `MetaVision`, which came after `CareVue`.
    pub(super) fn is_metavision(&self) -> bool {
        // The years are shifted at random, so the system is any property of the patient that no one sees.
        (self.hadm_id / 8).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 32 & 0xFF < 98
    }

    /// Hours between the first start and the last end of ventilation; zero without any.
    pub(crate) fn ventilated_span_hours(&self) -> f64 {
        match (self.ventilation.first(), self.ventilation.last()) {
            (Some(first), Some(last)) => last.end - first.start,
            _ => 0.0,
        }
    }

    /// The chronic disease that a survivor goes home with.
    pub(super) fn leaves_behind(&self) -> Option<&'static Chronic> {
        let key = match self.problem.key {
            "stemi" | "nstemi" | "coronary disease" => "cad",
            "ischemic stroke" | "intracerebral hemorrhage" => "stroke",
            "heart failure" => "chf",
            "rapid afib" => "afib",
            "seizure" => "epilepsy",
            _ => return None,
        };
        CHRONIC.iter().find(|chronic| chronic.key == key)
    }

    /// Decides on mechanical ventilation; returns its hours, before the stay is known.
    fn draw_ventilation(&mut self, planned: bool, operated: bool, chance: &mut Chance) -> f64 {
        let p = self.problem.ventilated.clamp(0.01, 0.97);
        let severity = if operated && p > 0.5 { 0.2 * self.severity } else { self.severity };
        let refusal = if self.no_resuscitation { 0.9 } else { 0.0 };
        if !chance.happens(sigmoid((p / (1.0 - p)).ln() + 0.95 * severity - refusal)) {
            return 0.0;
        }
        let routine = (planned || p > 0.6 && operated) && chance.happens(0.84 - 0.1 * self.severity);
        if routine {
            return chance.lognormal(8.0, 0.65) * (0.3 * self.severity).exp();
        }
        // What keeps people on a ventilator: lungs and chests longest, sleep that wears off shortest.
        let median = match self.problem.system {
            System::Neurological => 105.0,
            System::Respiratory | System::Trauma | System::Skin => 98.0,
            System::Infectious | System::Gastrointestinal | System::Hepatobiliary => 84.0,
            System::Toxicological | System::Endocrine | System::Obstetric => 38.0,
            _ => 64.0,
        };
        chance.lognormal(median, 0.97) * (0.42 * self.severity).exp()
    }

    fn draw_events(&mut self, operated: bool, ventilated_hours: f64, chance: &mut Chance) {
        let doublings = (ventilated_hours / 24.0).max(1.0).log2();
        for what in COMPLICATIONS {
            let failing = what.key == "respiratory failure";
            let p = if failing {
                if ventilated_hours > 18.0 { 0.85 } else { 0.02 }
            } else if what.not_in.contains(&self.problem.system) {
                0.0
            } else {
                let surgical = if operated { what.surgical } else { 0.0 };
                sigmoid(what.logit.0 + what.logit.1 * self.severity + surgical + what.ventilated * doublings)
            };
            if chance.happens(p) {
                let code =
                    what.codes[chance.weighted((0..).take(what.codes.len()).map(|rank| 0.5_f64.powi(rank)))];
                self.events.push(Event { what, code });
            }
        }
    }

    /// Death or discharge, and when; everything that lasts is fitted into the stay.
    fn decide_outcome(
        &mut self,
        patient: &Patient,
        planned: bool,
        ventilated_hours: f64,
        chance: &mut Chance,
    ) {
        let at_the_door = DEATH_LOGIT
            + self.problem.lethality
            + 0.034 * (self.age_years - 65.0)
            + patient.frailty().min(2.0)
            + 1.15 * self.severity
            + if planned { -0.6 } else { 0.0 }
            + if self.no_resuscitation { 0.7 } else { 0.0 };
        self.death_risk = sigmoid(at_the_door + 0.75);
        let later = self.events.iter().map(|event| event.what.risk).sum::<f64>()
            + if ventilated_hours > 24.0 { 0.6 } else { 0.0 }
            + chance.normal(0.0, 0.3);
        self.died = chance.happens(sigmoid(at_the_door + later));

        let longer: f64 = self.events.iter().map(|event| event.what.stay_factor).product();
        let median = self.problem.stay_days * 24.0 * (0.13 * self.severity).exp() * longer.min(4.0);
        let mut stay = chance.lognormal(median, 0.58).max(14.0);
        if ventilated_hours > 24.0 {
            stay = stay.max(ventilated_hours * chance.uniform(1.05, 1.5) + chance.lognormal(70.0, 0.6));
        }
        if self.died {
            // A third die early, the others anywhere in the stay that would have been.
            stay *= if chance.happens(0.33) { chance.uniform(0.03, 0.4) } else { chance.uniform(0.3, 1.2) };
            stay = stay.max(5.0);
        }
        stay = stay.min(24.0 * 160.0);
        let end = self.admitted.plus_hours(stay).minute();
        self.discharged = if self.died { end } else { daytime(end, self.admitted, chance) };
        self.destination = self.draw_destination(patient, chance);
        self.place_in_unit(ventilated_hours, planned, chance);
    }

    /// Where a patient goes: the older, the frailer and the longer in bed, the less often home.
    fn draw_destination(&self, patient: &Patient, chance: &mut Chance) -> &'static str {
        if self.died {
            return "DEAD/EXPIRED";
        }
        let need = -1.3 + 0.045 * (self.age_years - 65.0) + 0.06 * (self.stay_hours() / 24.0 - 7.0).min(25.0);
        let need = need + if patient.habits.nursing_home { 1.8 } else { 0.0 };
        if chance.happens(sigmoid(need)) {
            let long = self.ventilated_span_hours() > 200.0 || self.stay_hours() > 500.0;
            return if long && chance.happens(0.35) {
                "LONG TERM CARE HOSPITAL"
            } else {
                chance.choose(&[
                    ("SNF", 5.0),
                    ("REHAB/DISTINCT PART HOSP", 5.0),
                    ("SHORT TERM HOSPITAL", 0.4),
                    ("ICF", 0.1),
                ])
            };
        }
        let dying = patient.frailty() > 1.0 && self.no_resuscitation && chance.happens(0.25);
        if dying {
            return "HOSPICE-HOME";
        }
        chance.choose(&[("HOME", 5.0), ("HOME HEALTH CARE", 4.4), ("LEFT AGAINST MEDICAL ADVI", 0.1)])
    }

    /// Puts intensive care and ventilation on the time line of the stay.
    fn place_in_unit(&mut self, ventilated_hours: f64, planned: bool, chance: &mut Chance) {
        let stay = self.stay_hours();
        let late = !planned && chance.happens(0.22) && stay > 60.0;
        let start = if planned {
            chance.uniform(5.0, 14.0).min(stay * 0.4)
        } else if late {
            chance.uniform(12.0, 72.0).min(stay * 0.5)
        } else {
            chance.uniform(0.05, 5.0).min(stay * 0.3)
        };
        let first_episode = (start + chance.uniform(0.0, if late { 3.0 } else { 1.0 })).min(stay - 1.0);
        let room = stay - first_episode;
        let hours = ventilated_hours.min(room - 0.2);
        if hours > 1.0 {
            let until_death = self.died && (chance.happens(0.75) || room - hours < 12.0);
            let end = if until_death { stay } else { first_episode + hours };
            self.ventilation = Episode::course(first_episode, end, room, until_death, chance);
        }
        let last_ventilated = self.ventilation.last().map_or(start, |episode| episode.end);
        let after = chance.lognormal(42.0, 0.8) * (0.25 * self.severity).exp();
        let mut end = (last_ventilated + after).min(stay);
        if self.died && chance.happens(0.8) {
            end = stay;
        }
        self.unit_stays.push(UnitStay { start, end });
        if stay - end > 72.0 && chance.happens(0.08) {
            let again = end + chance.uniform(24.0, (stay - end) * 0.6);
            self.unit_stays
                .push(UnitStay { start: again, end: (again + chance.lognormal(36.0, 0.6)).min(stay) });
        }
    }
}

/// Patients leave between ten in the morning and seven at night.
fn daytime(end: Moment, admitted: Moment, chance: &mut Chance) -> Moment {
    let hour = chance.normal(14.3, 2.0).clamp(10.0, 19.5);
    let shifted = end.midnight().plus_hours(hour).minute();
    if shifted.hours_since(admitted) < 12.0 { Moment(shifted.0 + DAY) } else { shifted }
}

fn choose_problem(patient: &Patient, age_years: f64, chance: &mut Chance) -> &'static Problem {
    let weights = problems().map(|problem| {
        let fits = match problem.who {
            Who::Anyone => true,
            Who::Women => patient.sex == Sex::Female,
            Who::Men => patient.sex == Sex::Male,
        };
        if !fits {
            return 0.0;
        }
        let distance = (age_years - problem.age.0) / (1.25 * problem.age.1);
        let known: Vec<f64> =
            problem.after.iter().filter(|(key, _)| patient.has(key)).map(|(_, factor)| *factor).collect();
        // A factor of ten or more stands for what nobody else has: dialysis that was missed, a graft that fails.
        if known.is_empty() && problem.after.iter().any(|(_, factor)| *factor >= 10.0) {
            return 0.0;
        }
        let known: f64 = known.iter().product();
        problem.frequency * (-0.5 * distance * distance).exp() * known.min(14.0)
    });
    let index = chance.weighted(weights);
    problems().nth(index).expect("the index is that of a weight, and there is one weight a problem")
}

fn kind(planned: bool, chance: &mut Chance) -> AdmissionKind {
    if planned {
        AdmissionKind::Elective
    } else if chance.happens(0.03) {
        AdmissionKind::Urgent
    } else {
        AdmissionKind::Emergency
    }
}

fn origin(patient: &Patient, planned: bool, chance: &mut Chance) -> Origin {
    if planned {
        Origin::Clinic
    } else if patient.habits.nursing_home && chance.happens(0.85) {
        Origin::NursingHome
    } else if chance.happens(0.24) {
        Origin::OtherHospital
    } else if chance.happens(0.08) {
        Origin::Clinic
    } else {
        Origin::Home
    }
}

fn grade(severity: f64) -> Grade {
    if severity < -0.4 {
        Grade::Mild
    } else if severity < 0.75 {
        Grade::Moderate
    } else {
        Grade::Severe
    }
}

fn ejection_fraction(patient: &Patient, problem: &Problem, chance: &mut Chance) -> u32 {
    let mean =
        if patient.has("chf") || problem.key == "heart failure" || problem.key == "ventricular tachycardia" {
            36.0
        } else if patient.has("cad") || problem.service == Service::Cardiology {
            48.0
        } else {
            58.0
        };
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 2 and 16")]
    let fifths = (chance.normal(mean, 10.0).clamp(10.0, 75.0) / 5.0).round() as u32;
    5 * fifths
}

fn mechanism(problem: &Problem, age_years: f64, chance: &mut Chance) -> &'static Mechanism {
    let penetrating = problem.key == "penetrating trauma";
    let weights = MECHANISMS.iter().map(|mechanism| {
        let distance = (age_years - mechanism.age.0) / mechanism.age.1;
        let fits = mechanism.penetrating == penetrating;
        if fits { 1e-6 + mechanism.weight * (-0.5 * distance * distance).exp() } else { 0.0 }
    });
    &MECHANISMS[chance.weighted(weights)]
}
