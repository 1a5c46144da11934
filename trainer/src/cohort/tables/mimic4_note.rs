//! MIMIC-IV-Note's discharge and radiology tables.

use super::{Cell, Moment, Pages, Table};
use crate::cohort::addendum::addendum;
use crate::cohort::discharge_summary::discharge_summary;
use crate::cohort::patient::Patient;
use crate::cohort::radiology_report;
use crate::cohort::random::{Chance, Purpose};
use crate::cohort::voice::Marks;
use Cell::{At, Bare, Null, Text, Whole};

/// Adds the notes of all admissions; newborns have none there.
pub(super) fn add(patient: &Patient, pages: &mut Pages) {
    if patient.newborn {
        return;
    }
    let mut sheet = Sheet { subject: patient.subject_id, sequence: [0; 2], pages };
    for admission in &patient.admissions {
        let mut chance = Chance::new(patient.seed, patient.index, Purpose::OtherNotes(admission.number));
        let chance = &mut chance;
        for report in radiology_report::reports(patient, admission, Marks::Underscores, chance) {
            // A third of the reports belong to no admission there: films of the clinics and the emergency room.
            let hadm_id = if chance.happens(0.33) { Null } else { Whole(admission.hadm_id) };
            sheet.note(Table::Radiology, "RR", hadm_id, report.taken, chance, &report.text);
        }
        let summary = discharge_summary(patient, admission, Marks::Underscores);
        let day = admission.discharged.midnight();
        sheet.note(Table::Discharge, "DS", Whole(admission.hadm_id), day, chance, &summary);
        if chance.happens(0.004) {
            let text = addendum(patient, admission, Marks::Underscores, chance);
            sheet.note(Table::Discharge, "AD", Whole(admission.hadm_id), day, chance, &text);
        }
    }
}

struct Sheet<'a> {
    subject: u64,
    /// Of the last discharge and radiology note of the patient.
    sequence: [u64; 2],
    pages: &'a mut Pages,
}

impl Sheet<'_> {
    fn note(
        &mut self,
        table: Table,
        kind: &str,
        hadm_id: Cell<'_>,
        at: Moment,
        chance: &mut Chance,
        text: &str,
    ) {
        let sequence = &mut self.sequence[usize::from(table == Table::Radiology)];
        *sequence += 1;
        let note_id = format!("{}-{kind}-{sequence}", self.subject);
        // Few have no time of storage.
        let stored = (!chance.happens(0.002)).then(|| at.plus_hours(chance.lognormal(5.0, 1.0)).minute());
        self.pages.to(table).add(&[
            Bare(&note_id),
            Whole(self.subject),
            hadm_id,
            Bare(kind),
            Whole(*sequence),
            At(at),
            Cell::at_or_null(stored),
            Text(text),
        ]);
    }
}
