//! A synthetic hospital.

mod admission_note;
mod calendar;
mod coding;
mod course;
mod discharge_summary;
mod hospital_course;
mod knowledge;
mod newborn;
mod patient;
mod phrasing;
mod physiology;
mod random;
mod ventilation;
mod voice;

pub(crate) use course::{Admission, AdmissionKind};
pub(crate) use discharge_summary::{DischargeSummary, SYNTHETIC, discharge_summary};
pub(crate) use patient::{Patient, Sex};
pub(crate) use voice::Marks;

/// Simulates patients 0 to `patients - 1`; any prefix equals a smaller hospital of the same seed.
pub(crate) fn simulate(patients: usize, seed: u64) -> impl Iterator<Item = Patient> {
    (0..patients as u64).map(move |index| Patient::simulate(seed, index))
}
