//! What this hospital knows of medicine: its problems, chronic diseases, complications, drugs and codes.
//!
//! Facts and wording only, as tables; how a patient comes to have them is [`course`](super::course), how they come to be
//! written down is [`voice`](super::voice) and the notes built on it. Wording is in the template language of
//! [`phrasing`](super::phrasing).

mod chronic;
mod complications;
mod drugs;
pub(super) mod effects;
mod habits;
pub(super) mod icd9;
mod imaging;
mod minor;
mod problems;
mod procedures;

pub(super) use chronic::{CHRONIC, Chronic};
pub(super) use complications::{COMPLICATIONS, Complication};
pub(super) use drugs::{DRUGS, Drug, drug};
pub(super) use effects::Effect;
pub(super) use habits::{ALLERGIES, Allergy, FAMILY, MECHANISMS, Mechanism, ORGANISMS, Organism};
pub(super) use imaging::{STUDIES, Study};
pub(super) use minor::{MINOR, Minor};
pub(super) use problems::NEWBORN;
use problems::PROBLEMS;
pub(super) use procedures::MINOR_PROCEDURES;

/// The organ system a problem belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum System {
    /// Heart.
    Cardiac,
    /// Great and peripheral vessels.
    Vascular,
    /// Lungs, pleura, airways.
    Respiratory,
    /// Infections that belong to no one organ, and sepsis.
    Infectious,
    /// Oesophagus to rectum.
    Gastrointestinal,
    /// Liver, bile ducts, pancreas.
    Hepatobiliary,
    /// Brain, cord, nerves.
    Neurological,
    /// Kidneys.
    Renal,
    /// Bladder, ureters, prostate.
    Urological,
    /// Hormones.
    Endocrine,
    /// Water, salts, acids.
    Metabolic,
    /// Blood.
    Haematological,
    /// Tumours.
    Oncological,
    /// Bones and joints.
    Musculoskeletal,
    /// Skin and soft tissue.
    Skin,
    /// Injuries.
    Trauma,
    /// Poisons and withdrawal.
    Toxicological,
    /// Womb, ovaries, pregnancy.
    Obstetric,
    /// Ear, nose, throat.
    EarNoseThroat,
    /// Allergy and autoimmunity.
    Immunological,
}

/// Where a patient is cared for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Service {
    /// General medicine.
    Medicine,
    /// Medical cardiology.
    Cardiology,
    /// Heart and chest surgery.
    Cardiothoracic,
    /// General surgery.
    Surgery,
    /// Vascular surgery.
    Vascular,
    /// Neurology.
    Neurology,
    /// Neurosurgery.
    Neurosurgery,
    /// Injuries.
    Trauma,
    /// Bones and joints.
    Orthopaedics,
    /// Cancer.
    Oncology,
    /// Urology.
    Urology,
    /// Women's health.
    Obstetrics,
    /// The newborn.
    Neonatology,
}

impl Service {
    /// As it stands in a discharge summary.
    pub(in crate::cohort) fn label(self) -> &'static str {
        match self {
            Self::Medicine => "MEDICINE",
            Self::Cardiology => "CARDIOLOGY",
            Self::Cardiothoracic => "CARDIOTHORACIC",
            Self::Surgery => "SURGERY",
            Self::Vascular => "VSU",
            Self::Neurology => "NEUROLOGY",
            Self::Neurosurgery => "NEUROSURGERY",
            Self::Trauma => "TRAUMA",
            Self::Orthopaedics => "ORTHOPAEDICS",
            Self::Oncology => "OMED",
            Self::Urology => "UROLOGY",
            Self::Obstetrics => "OBSTETRICS/GYNECOLOGY",
            Self::Neonatology => "NEONATOLOGY",
        }
    }

    /// The intensive care unit its patients go to.
    pub(in crate::cohort) fn unit(self) -> &'static str {
        match self {
            Self::Medicine | Self::Oncology => "MICU",
            Self::Cardiology => "CCU",
            Self::Cardiothoracic | Self::Vascular => "CSRU",
            Self::Surgery | Self::Urology | Self::Obstetrics => "SICU",
            Self::Neurology | Self::Neurosurgery | Self::Trauma | Self::Orthopaedics => "TSICU",
            Self::Neonatology => "NICU",
        }
    }

    /// Whether its patients come for operations.
    pub(in crate::cohort) fn is_surgical(self) -> bool {
        !matches!(self, Self::Medicine | Self::Cardiology | Self::Oncology | Self::Neurology | Self::Neonatology)
    }
}

/// Which sex a problem is confined to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    /// Either.
    Anyone,
    /// Women only.
    Women,
    /// Men only.
    Men,
}

/// Why someone is admitted. Chances and logits are those of a patient of middling severity, 65 years old.
#[derive(Debug)]
pub(in crate::cohort) struct Problem {
    /// Unique; other tables name it by this.
    pub(in crate::cohort) key: &'static str,
    /// How the discharge diagnosis is put.
    pub(in crate::cohort) title: &'static str,
    /// The free text of ADMISSIONS.DIAGNOSIS.
    pub(in crate::cohort) label: &'static str,
    pub(in crate::cohort) system: System,
    pub(in crate::cohort) service: Service,
    pub(in crate::cohort) who: Who,
    /// Relative frequency among admissions.
    pub(in crate::cohort) frequency: f64,
    /// Share that comes by appointment.
    pub(in crate::cohort) planned: f64,
    /// Typical age and how far around it the problem is common.
    pub(in crate::cohort) age: (f64, f64),
    /// Chronic diseases that make it more frequent, and how many times.
    pub(in crate::cohort) after: &'static [(&'static str, f64)],
    /// Principal diagnosis codes, the commonest first.
    pub(in crate::cohort) codes: &'static [&'static str],
    /// Codes that go with it, and their chance.
    pub(in crate::cohort) also: &'static [(&'static str, f64)],
    /// Procedure codes and their chance.
    pub(in crate::cohort) procedures: &'static [(&'static str, f64)],
    /// Logit of death in hospital, relative to the average problem.
    pub(in crate::cohort) lethality: f64,
    /// Median stay in days of those who leave alive.
    pub(in crate::cohort) stay_days: f64,
    /// Chance of mechanical ventilation.
    pub(in crate::cohort) ventilated: f64,
    /// What it does to vital signs and laboratory values, at severity 1.
    pub(in crate::cohort) effect: &'static Effect,
    /// Chief complaint.
    pub(in crate::cohort) complaint: &'static str,
    /// What happened, in mild, moderate and severe cases; a clause that follows "who presents with".
    pub(in crate::cohort) presents: [&'static str; 3],
    /// What the patient does not have.
    pub(in crate::cohort) denies: &'static str,
    /// What those are admitted for who come by appointment; empty if nobody does.
    pub(in crate::cohort) operation: &'static str,
    /// Findings on examination, in milder and graver cases.
    pub(in crate::cohort) exam: [&'static str; 2],
    /// First studies and what they showed.
    pub(in crate::cohort) studies: &'static str,
    /// What was given before the ward.
    pub(in crate::cohort) treated: &'static str,
    /// What was done in hospital.
    pub(in crate::cohort) course: &'static str,
}

/// All problems, in table order.
pub(super) fn problems() -> impl Iterator<Item = &'static Problem> + Clone {
    PROBLEMS.iter().flat_map(|room| room.iter())
}

#[cfg(test)]
mod tests;
