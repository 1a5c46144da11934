//! What intensive care charts, of which ventilation can be reconstructed: CHARTEVENTS and `PROCEDUREEVENTS_MV`.
//!
//! Item numbers and values are those by which `ventdurations` of the MIMIC code repository tells a ventilator from a mask,
//! in both charting systems. A ventilator is charted every one to five hours, so that nothing within an episode looks
//! like its end, and an episode's first and last rows are its first and last minute.

use super::register::icustay_id;
use super::{Cell, Moment, Pages, Table};
use crate::cohort::course::Admission;
use crate::cohort::patient::Patient;
use crate::cohort::physiology::Oxygen;
use crate::cohort::random::{Chance, Purpose};
use crate::cohort::ventilation::{Episode, EpisodeEnd};
use Cell::{At, Decimal, Null, Text, Whole};

/// The item of the whole time on a ventilator, which `MetaVision` has beside its beginning and end.
const INVASIVE_VENTILATION: u64 = 225_792;

/// Adds what was charted in all admissions.
pub(super) fn add(patient: &Patient, pages: &mut Pages) {
    for admission in patient.admissions.iter().filter(|admission| !admission.unit_stays.is_empty()) {
        let mut chance = Chance::new(patient.seed, patient.index, Purpose::Chart(admission.number));
        let mut sheet =
            Sheet { patient, admission, metavision: admission.is_metavision(), pages, chance: &mut chance };
        sheet.vital_signs();
        sheet.oxygen_before();
        for episode in &admission.ventilation {
            sheet.ventilator(episode);
        }
    }
}

/// A flow sheet in the making; times are hours from admission.
struct Sheet<'a> {
    patient: &'a Patient,
    admission: &'a Admission,
    metavision: bool,
    pages: &'a mut Pages,
    chance: &'a mut Chance,
}

/// What a row of CHARTEVENTS says.
struct Entry<'a> {
    item: u64,
    value: &'a str,
    number: Option<f64>,
    unit: &'a str,
    error: bool,
}

impl Sheet<'_> {
    fn at(&self, hours: f64) -> Moment {
        self.admission.admitted.plus_hours(hours).minute()
    }

    /// Chooses the item of the charting system.
    fn item(&self, carevue: u64, metavision: u64) -> u64 {
        if self.metavision { metavision } else { carevue }
    }

    fn chart(&mut self, hours: f64, entry: &Entry<'_>) {
        let at = self.at(hours);
        let stored = Moment(at.0 + 60 * self.chance.whole(1, 95));
        // Only MetaVision flags errors, only CareVue says that something goes on. The status, which neither uses for
        // what is charted by hand, says what all of it is.
        let (flag, stopped) =
            if self.metavision { (Whole(u64::from(entry.error)), Null) } else { (Null, Text("NotStopd")) };
        let nurse = self.nurse();
        self.pages.to(Table::ChartEvents).add(&[
            Whole(self.patient.subject_id),
            Whole(self.admission.hadm_id),
            Whole(icustay_id(self.admission, 0)),
            Whole(entry.item),
            At(at),
            At(stored),
            Whole(nurse),
            Cell::text_or_null(entry.value),
            entry.number.map_or(Null, |number| Decimal(number, 1)),
            Cell::text_or_null(entry.unit),
            if self.metavision { Whole(0) } else { Null },
            if entry.error { Whole(1) } else { flag },
            Text("SYNTHETIC"),
            stopped,
        ]);
    }

    fn nurse(&mut self) -> u64 {
        self.chance.whole(14_000, 21_000).unsigned_abs()
    }

    fn number(&mut self, hours: f64, item: u64, value: f64, unit: &str) {
        let value = if value < 20.0 { (value * 10.0).round() / 10.0 } else { value.round() };
        self.chart(
            hours,
            &Entry { item, value: &value.to_string(), number: Some(value), unit, error: false },
        );
    }

    fn word(&mut self, hours: f64, item: u64, value: &str) {
        self.chart(hours, &Entry { item, value, number: None, unit: "", error: false });
    }

    /// Pulse, pressure and saturation through the first day.
    fn vital_signs(&mut self) {
        let vitals = self.admission.vitals;
        let stay = self.admission.unit_stays[0];
        let mut hours = stay.start;
        while hours < stay.end.min(stay.start + 24.0) {
            let (pulse, pressure, saturation) =
                (self.item(211, 220_045), self.item(455, 220_179), self.item(646, 220_277));
            let calmer = (hours - stay.start) / 48.0;
            let pulse_now =
                vitals.heart_rate + calmer * (84.0 - vitals.heart_rate) + self.chance.normal(0.0, 4.0);
            let pressure_now =
                vitals.systolic + calmer * (122.0 - vitals.systolic) + self.chance.normal(0.0, 7.0);
            let saturation_now = (vitals.saturation.max(92.0) + self.chance.normal(1.0, 1.5)).min(100.0);
            self.number(hours, pulse, pulse_now.round(), if self.metavision { "bpm" } else { "BPM" });
            self.number(hours, pressure, pressure_now.round(), "mmHg");
            self.number(hours, saturation, saturation_now.round(), "%");
            hours += 4.0;
        }
    }

    /// Oxygen by prongs or mask, given before any tube or to those who never need one.
    fn oxygen_before(&mut self) {
        let device = match (self.admission.oxygen, self.metavision) {
            (Oxygen::RoomAir | Oxygen::Ventilator, _) => return,
            (Oxygen::Cannula, false) => "Nasal Cannula",
            (Oxygen::Cannula, true) => "Nasal cannula",
            (Oxygen::Mask, false) => "Non-Rebreather",
            (Oxygen::Mask, true) => "Non-rebreather",
            (Oxygen::Bilevel, false) => "Face Tent",
            (Oxygen::Bilevel, true) => "High flow neb",
        };
        let stay = self.admission.unit_stays[0];
        let until = self.admission.ventilation.first().map_or(stay.end, |episode| episode.start - 0.2);
        let mut hours = stay.start + 0.1;
        while hours < until.min(stay.start + 20.0) {
            self.word(hours, self.item(467, 226_732), device);
            hours += 6.0;
        }
    }

    /// An episode, from the first row to extubation, weaning or death.
    fn ventilator(&mut self, episode: &Episode) {
        let mode = self.chance.index(3);
        let machine = if self.metavision {
            self.chance.pick(&["Drager", "Hamilton", "Avea"])
        } else {
            self.chance.pick(&["Drager", "7200A"])
        };
        let mut hours = episode.start;
        let mut first = true;
        loop {
            if first || self.chance.happens(0.3) {
                let named = if first {
                    machine
                } else {
                    self.chance.pick(&[machine, machine, "Other/Remarks", "Other"])
                };
                self.word(hours, self.item(720, 223_848), named);
                if !self.metavision {
                    self.word(hours, 467, "Ventilator");
                }
            }
            self.settings(hours, mode);
            first = false;
            let next = hours + self.chance.uniform(1.0, 5.0);
            if next > episode.end - 0.4 {
                break;
            }
            hours = next;
        }
        match episode.how {
            EpisodeEnd::Died => self.settings(episode.end, mode),
            EpisodeEnd::Weaned => {
                self.settings(episode.end, mode);
                self.oxygen_after(episode.end, if self.metavision { "Trach mask " } else { "Trach Mask" });
            }
            EpisodeEnd::Extubated | EpisodeEnd::SelfExtubated => self.extubation(episode),
        }
        if self.metavision {
            self.procedure(INVASIVE_VENTILATION, episode.start, episode.end);
        }
    }

    /// Volumes and pressures of the moment; a few rows are empty or marked as errors.
    fn settings(&mut self, hours: f64, mode: usize) {
        let volume = 430.0 + 10.0 * f64::from(u8::try_from(self.chance.whole(0, 17)).unwrap_or(0));
        let peep = self.chance.pick(&[5.0, 5.0, 5.0, 8.0, 10.0, 12.0]);
        let rate = self.chance.uniform(12.0, 22.0);
        self.number(hours, self.item(506, 220_339), peep, "cmH2O");
        self.number(hours, self.item(682, 224_685), volume, if self.metavision { "mL" } else { "ml/B" });
        self.number(hours, self.item(448, 224_687), volume * rate / 1000.0, "L/min");
        if self.chance.happens(0.5) {
            self.number(hours, self.item(535, 224_695), peep + 14.0, "cmH2O");
        }
        if self.chance.happens(0.25) {
            self.number(hours, self.item(543, 224_696), peep + 11.0, "cmH2O");
        }
        if self.metavision {
            let named = ["CMV/ASSIST/AutoFlow", "PCV+Assist", "CPAP/PSV"][mode];
            self.word(hours, 223_849, named);
        } else if mode == 2 && self.chance.happens(0.4) {
            self.number(hours, 444, peep + 5.0, "cmH2O");
        }
        if self.chance.happens(0.01) {
            let (item, error) = (self.item(683, 224_684), self.chance.happens(0.5));
            let value = if error { "5000" } else { "" };
            self.chart(hours, &Entry { item, value, number: None, unit: "", error });
        }
    }

    fn extubation(&mut self, episode: &Episode) {
        let by_patient = episode.how == EpisodeEnd::SelfExtubated;
        if self.metavision {
            let item = if by_patient {
                225_468
            } else if self.chance.happens(0.02) {
                225_477
            } else {
                227_194
            };
            self.procedure(item, episode.end, episode.end);
            self.oxygen_after(episode.end, "Nasal cannula");
        } else {
            self.word(episode.end, 640, if by_patient { "Self Extubation" } else { "Extubated" });
            self.oxygen_after(episode.end, "Nasal Cannula");
        }
    }

    /// Oxygen once the ventilator is gone.
    fn oxygen_after(&mut self, end: f64, device: &str) {
        let next = self.admission.ventilation.iter().map(|episode| episode.start).find(|start| *start > end);
        let until = self.admission.unit_stays[0].end.min(end + 12.0).min(next.unwrap_or(f64::INFINITY) - 0.5);
        let mut hours = end + 0.25;
        while hours < until {
            self.word(hours, self.item(467, 226_732), device);
            hours += 4.0;
        }
    }

    /// A procedure with a beginning and an end; one without duration takes a minute.
    fn procedure(&mut self, item: u64, start: f64, end: f64) {
        let ventilation = item == INVASIVE_VENTILATION;
        let start = self.at(start);
        let end = self.at(end).max(Moment(start.0 + 60));
        let stored = Moment(end.0 + 60 * self.chance.whole(2, 40));
        let order = 4_000_000 + self.chance.whole(0, 4_999_999).unsigned_abs();
        let nurse = self.nurse();
        self.pages.to(Table::ProcedureEvents).add(&[
            Whole(self.patient.subject_id),
            Whole(self.admission.hadm_id),
            Whole(icustay_id(self.admission, 0)),
            At(start),
            At(end),
            Whole(item),
            Whole(((end.0 - start.0) / 60).unsigned_abs()),
            Text(if ventilation { "min" } else { "None" }),
            Null,
            Null,
            At(stored),
            Whole(nurse),
            Whole(order),
            Whole(order),
            Text(if ventilation { "Ventilation" } else { "Intubation/Extubation" }),
            Null,
            Text(if ventilation { "Task" } else { "Electrolytes" }),
            Whole(u64::from(ventilation)),
            Whole(0),
            Whole(0),
            Text("FinishedRunning"),
            Text("SYNTHETIC"),
            Null,
            Null,
        ]);
    }
}
