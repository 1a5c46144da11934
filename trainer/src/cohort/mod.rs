//! A synthetic hospital: patients who never were, in the tables of MIMIC-III and MIMIC-IV-Note.
//!
//! A [`patient`] is simulated first: age, habits, chronic diseases. An admission follows a [`course`]: a problem, a hidden
//! severity, and all that comes of it. Only then is anything written down: notes by [`admission_note`],
//! [`discharge_summary`], [`nursing_note`] and [`radiology_report`], rows by [`tables`], files by [`hospital`]. So labels
//! follow from texts through medicine and not through keywords, and no two tables contradict each other. What is known of
//! medicine is data, in [`knowledge`].

mod addendum;
mod admission_note;
mod calendar;
mod coding;
mod course;
mod discharge_summary;
mod hospital;
mod hospital_course;
#[rustfmt::skip] // Tables: a row stands on a line.
mod knowledge;
mod marginals;
mod newborn;
mod nursing_note;
mod patient;
mod phrasing;
mod physiology;
mod present_illness;
mod radiology_report;
mod random;
mod tables;
#[cfg(test)]
mod tests;
mod ventilation;
mod voice;

pub(crate) use hospital::{MOST_PATIENTS, write};
pub(crate) use marginals::table;
pub(crate) use tables::{MIMIC3, MIMIC4_NOTE};
