//! NOTEEVENTS: discharge summaries, their addenda, and the notes of the stay.

use super::{Cell, Moment, Pages, Table};
use crate::cohort::addendum::addendum;
use crate::cohort::calendar::DAY;
use crate::cohort::course::Admission;
use crate::cohort::discharge_summary::discharge_summary;
use crate::cohort::patient::Patient;
use crate::cohort::random::{Chance, Purpose};
use crate::cohort::voice::Marks;
use crate::cohort::{nursing_note, radiology_report};
use Cell::{Null, On, Text, Whole};

/// Of MIMIC-III's admissions, 52,726 of 58,976 have a discharge summary; many of the others are newborns'.
const SUMMARY_MISSING: f64 = 0.045;
/// MIMIC-III has 4,475 addenda beside 55,177 reports.
const ADDED_TO: f64 = 0.075;

/// Adds the notes of all admissions.
pub(super) fn add(patient: &Patient, pages: &mut Pages) {
    for admission in &patient.admissions {
        let mut chance = Chance::new(patient.seed, patient.index, Purpose::OtherNotes(admission.number));
        let chance = &mut chance;
        let mut sheet = Sheet { patient, admission, pages };
        sheet.summaries(chance);
        sheet.radiology(chance);
        if !patient.newborn {
            sheet.shifts(chance);
        }
    }
}

struct Sheet<'a> {
    patient: &'a Patient,
    admission: &'a Admission,
    pages: &'a mut Pages,
}

/// When a note was written: those of the editor have a day, those of the shift a time.
enum Written {
    On(Moment),
    At(Moment),
}

impl Sheet<'_> {
    fn note(&mut self, when: &Written, kind: (&str, &str), author: Option<u64>, text: &str) {
        self.write(when, kind, author, Whole(self.admission.hadm_id), false, text);
    }

    fn write(
        &mut self,
        when: &Written,
        kind: (&str, &str),
        author: Option<u64>,
        hadm_id: Cell<'_>,
        error: bool,
        text: &str,
    ) {
        let (day, time) = match *when {
            Written::On(day) => (day, None),
            Written::At(time) => (time, Some(time)),
        };
        let stored = author.and(time).map(|time| Moment(time.0 + 60 * 23));
        self.pages.to(Table::NoteEvents).add(&[
            Whole(self.patient.subject_id),
            hadm_id,
            On(day),
            Cell::at_or_null(time),
            Cell::at_or_null(stored),
            Text(kind.0),
            Text(kind.1),
            author.map_or(Null, Whole),
            if error { Text("1") } else { Null },
            Text(text),
        ]);
    }

    /// The discharge summary and what was added to it.
    fn summaries(&mut self, chance: &mut Chance) {
        let discharged = self.admission.discharged;
        if !chance.happens(SUMMARY_MISSING) {
            let summary = discharge_summary(self.patient, self.admission, Marks::Brackets);
            self.note(&Written::On(discharged), ("Discharge summary", "Report"), None, &summary);
            if chance.happens(0.004) {
                // Signed twice: word for word the same.
                self.note(
                    &Written::On(Moment(discharged.0 + DAY)),
                    ("Discharge summary", "Report"),
                    None,
                    &summary,
                );
            }
        }
        while chance.happens(ADDED_TO) {
            // Few bear the date of a day before the summary, and come first when notes are put in order.
            let days = if chance.happens(0.1) { -1 } else { chance.whole(0, 6) };
            let text = addendum(self.patient, self.admission, Marks::Brackets, chance);
            let day = Written::On(Moment(discharged.0 + days * DAY));
            self.note(&day, ("Discharge summary", "Addendum"), None, &text);
        }
    }

    fn radiology(&mut self, chance: &mut Chance) {
        for report in radiology_report::reports(self.patient, self.admission, Marks::Brackets, chance) {
            // Films taken before the patient was registered belong to no admission.
            let loose = chance.happens(0.03);
            let hadm_id = if loose { Null } else { Whole(self.admission.hadm_id) };
            self.write(
                &Written::At(report.taken),
                ("Radiology", report.name),
                None,
                hadm_id,
                false,
                &report.text,
            );
        }
    }

    /// Notes of the shifts in intensive care: two a day at first, one a day later, fourteen at most.
    fn shifts(&mut self, chance: &mut Chance) {
        let Some(stay) = self.admission.unit_stays.first().copied() else {
            return;
        };
        let metavision = self.admission.is_metavision();
        let nursing =
            if metavision { ("Nursing", "Nursing Progress Note") } else { ("Nursing/other", "Report") };
        let respiratory = if metavision {
            ("Respiratory ", "Respiratory Care Shift Note")
        } else {
            ("Nursing/other", "Report")
        };
        // One in eight stays has none: those notes are lost.
        let kept = !chance.happens(0.12);
        let mut hours = stay.start + chance.uniform(0.5, 6.0);
        let mut written = 0;
        while kept && hours < stay.end && written < 14 {
            let at = Written::At(self.admission.admitted.plus_hours(hours).minute());
            let author = chance.whole(14_000, 21_000).unsigned_abs();
            let text = nursing_note::nursing(self.patient, self.admission, hours, chance);
            let error = chance.happens(0.004);
            self.write(&at, nursing, Some(author), Whole(self.admission.hadm_id), error, &text);
            let ventilated = self
                .admission
                .ventilation
                .iter()
                .any(|episode| (episode.start..episode.end).contains(&hours));
            if ventilated && chance.happens(0.45) || !ventilated && chance.happens(0.03) {
                let text = nursing_note::respiratory(self.patient, self.admission, hours, chance);
                self.note(&at, respiratory, Some(author + 1), &text);
            }
            written += 1;
            hours += chance.normal(if written < 6 { 12.0 } else { 24.0 }, 1.0).max(6.0);
        }
    }
}
