//! When patients were on a ventilator: `ventdurations` of the MIMIC Code Repository.
//!
//! A row of CHARTEVENTS is a sign of ventilation, of oxygen therapy or of extubation by its item and value; a row of
//! `PROCEDUREEVENTS_MV` can be an extubation. The signs of one stay and moment are taken together, and from their order in time
//! come the events (`mimic-iii/concepts/durations/ventilation_{classification,durations}.sql`).
//!
//! One item differs: 459 is on the list of airway pressures there, but a filter before it leaves it out. It counts here, as
//! in the rules this project is built from.

use std::collections::HashMap;
use std::path::Path;

use super::defects::Ledger;
use super::report::TableRows;
use super::table;
use super::timestamp::{HOUR, Timestamp};
use crate::error::Result;

/// Signs of one moment, as bits.
pub(super) type Signs = u8;

/// On a ventilator.
pub(super) const VENTILATED: Signs = 1;
/// Breathing oxygen without one.
pub(super) const OXYGEN: Signs = 2;
/// Taken off.
pub(super) const EXTUBATED: Signs = 4;

/// A longer gap between two signs of ventilation parts two events.
const GAP: i64 = 8 * HOUR;

/// Settings that only a ventilator has.
const SETTINGS: &[(&str, &[u32])] = &[
    ("minute volume", &[445, 448, 449, 450, 1340, 1486, 1600, 224687]),
    ("tidal volume", &[639, 654, 681, 682, 683, 684, 224684, 224685, 224686]),
    ("airway pressure", &[218, 436, 535, 444, 459, 224697, 224695, 224696, 224746, 224747]),
    ("inspiratory pressure", &[221, 1, 1211, 1655, 2000, 226873, 224738, 224419, 224750, 227187]),
    ("plateau pressure", &[543]),
    ("airway pressure release", &[5865, 5866, 224705, 224706, 224707, 224709]),
    ("end-expiratory pressure", &[60, 437, 505, 506, 686, 220339, 224700]),
    ("high pressure relief", &[3459]),
    ("pressure control", &[501, 502, 503, 224702]),
    ("time cycled pressure control", &[223, 667, 668, 669, 670, 671, 672]),
    ("pressure support", &[224701]),
];

const VENTILATOR_TYPE_CAREVUE: u32 = 720;
const VENTILATOR_TYPE: u32 = 223_848;
const VENTILATOR_MODE: u32 = 223_849;
const OXYGEN_DEVICE_CAREVUE: u32 = 467;
const OXYGEN_DEVICE: u32 = 226_732;
const EXTUBATION_CAREVUE: u32 = 640;

/// Values of 467 that are no ventilator.
const DEVICES_CAREVUE: [&str; 16] = [
    "Cannula",
    "Nasal Cannula",
    "Face Tent",
    "Aerosol-Cool",
    "Trach Mask",
    "Hi Flow Neb",
    "Non-Rebreather",
    "Venti Mask",
    "Medium Conc Mask",
    "Vapotherm",
    "T-Piece",
    "Hood",
    "Hut",
    "TranstrachealCat",
    "Heated Neb",
    "Ultrasonic Neb",
];

/// Values of 226732 that are no ventilator, less the blanks some end with.
const DEVICES: [&str; 12] = [
    "Nasal cannula",
    "Face tent",
    "Aerosol-cool",
    "Trach mask",
    "High flow neb",
    "Non-rebreather",
    "Venti mask",
    "Medium conc mask",
    "T-piece",
    "High flow nasal cannula",
    "Ultrasonic neb",
    "Vapomist",
];

/// Procedures that are extubations: planned, by the patient, by mishap.
const EXTUBATIONS: [u32; 3] = [227_194, 225_468, 225_477];

/// Items that may be signs, by number.
#[derive(Debug)]
struct Items {
    may_be_sign: Vec<bool>,
    is_setting: Vec<bool>,
}

impl Items {
    fn new() -> Self {
        let settings = || SETTINGS.iter().flat_map(|(_, items)| items.iter().copied());
        let others = [
            VENTILATOR_TYPE_CAREVUE,
            VENTILATOR_TYPE,
            VENTILATOR_MODE,
            OXYGEN_DEVICE_CAREVUE,
            OXYGEN_DEVICE,
            EXTUBATION_CAREVUE,
        ];
        let flags = |items: &mut dyn Iterator<Item = u32>| {
            let mut flags = vec![false; 230_000];
            items.for_each(|item| flags[item as usize] = true);
            flags
        };
        Self { may_be_sign: flags(&mut settings().chain(others)), is_setting: flags(&mut settings()) }
    }

    fn may_be_sign(&self, item: u32) -> bool {
        self.may_be_sign.get(item as usize) == Some(&true)
    }

    /// Signs of a charted value that is not missing.
    fn signs(&self, item: u32, value: &str) -> Signs {
        let if_so = |holds: bool, sign| if holds { sign } else { 0 };
        match item {
            VENTILATOR_TYPE_CAREVUE => if_so(value != "Other/Remarks", VENTILATED),
            VENTILATOR_TYPE => if_so(value != "Other", VENTILATED),
            VENTILATOR_MODE => VENTILATED,
            OXYGEN_DEVICE_CAREVUE => {
                if_so(value == "Ventilator", VENTILATED) | if_so(DEVICES_CAREVUE.contains(&value), OXYGEN)
            }
            OXYGEN_DEVICE => if_so(DEVICES.contains(&value.trim_end_matches(' ')), OXYGEN),
            EXTUBATION_CAREVUE => if_so(matches!(value, "Extubated" | "Self Extubation"), EXTUBATED),
            _ => if_so(self.is_setting.get(item as usize) == Some(&true), VENTILATED),
        }
    }
}

/// Signs of one stay: time and signs in one number, so that the rows of years fit in memory.
#[derive(Debug, Default)]
struct Signed(Vec<i64>);

/// Bits of a packed sign.
const SIGN_BITS: u32 = 3;

impl Signed {
    fn push(&mut self, time: Timestamp, signs: Signs) {
        // Most moments have many rows: joining them before growing keeps one number a moment.
        if self.0.len() == self.0.capacity() && self.0.len() >= 64 {
            self.join();
            if self.0.len() * 2 > self.0.capacity() {
                self.0.reserve(self.0.capacity());
            }
        }
        self.0.push(time.0 << SIGN_BITS | i64::from(signs));
    }

    /// Sorts by time and takes the signs of a moment together.
    fn join(&mut self) {
        self.0.sort_unstable();
        self.0.dedup_by(|later, earlier| {
            let same = *later >> SIGN_BITS == *earlier >> SIGN_BITS;
            if same {
                *earlier |= *later;
            }
            same
        });
    }

    fn into_moments(mut self) -> Vec<(Timestamp, Signs)> {
        self.join();
        let unpack = |packed: i64| {
            let signs = Signs::try_from(packed & ((1 << SIGN_BITS) - 1)).expect("three bits");
            (Timestamp(packed >> SIGN_BITS), signs)
        };
        self.0.into_iter().map(unpack).collect()
    }
}

/// A stretch of ventilation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) start: Timestamp,
    pub(super) end: Timestamp,
}

/// Events of the stays in `wanted`, each stay's in the order of time.
///
/// # Errors
/// As [`table::read`].
pub(super) fn events(
    chart_events: &Path,
    procedure_events: &Path,
    wanted: impl IntoIterator<Item = u32>,
    ledger: &mut Ledger,
    tables: &mut Vec<TableRows>,
) -> Result<HashMap<u32, Vec<Event>>> {
    let items = Items::new();
    let mut stays: HashMap<u32, Signed> = wanted.into_iter().map(|stay| (stay, Signed::default())).collect();
    let columns = &["ICUSTAY_ID", "ITEMID", "CHARTTIME", "VALUE", "ERROR"];
    let counts = table::read(chart_events, columns, ledger, |row| {
        let (item, time) = (row.number(1)?, row.timestamp(2)?);
        if !items.may_be_sign(item) {
            return Ok(());
        }
        let value = row.text(3);
        if value.is_empty() || row.optional_number(4)? == Some(1) {
            return Ok(());
        }
        let signs = items.signs(item, &value);
        if signs != 0
            && let Some(stay) = row.optional_number(0)?.and_then(|stay| stays.get_mut(&stay))
        {
            stay.push(time, signs);
        }
        Ok(())
    })?;
    counts.refuse_empty(chart_events)?;
    tables.push(TableRows::new(chart_events, counts));
    let counts = table::read(procedure_events, &["ICUSTAY_ID", "ITEMID", "STARTTIME"], ledger, |row| {
        let (item, time) = (row.number(1)?, row.timestamp(2)?);
        if EXTUBATIONS.contains(&item)
            && let Some(stay) = row.optional_number(0)?.and_then(|stay| stays.get_mut(&stay))
        {
            stay.push(time, EXTUBATED);
        }
        Ok(())
    })?;
    counts.refuse_empty(procedure_events)?;
    tables.push(TableRows::new(procedure_events, counts));
    let durations = |(stay, signed): (u32, Signed)| (stay, stay_events(&signed.into_moments()));
    Ok(stays.into_iter().map(durations).filter(|(_, events)| !events.is_empty()).collect())
}

/// Events in the signs of one stay, which are in the order of time.
///
/// A new event starts at a sign of ventilation or extubation if the one before was an extubation, at a sign of ventilation
/// more than 8 hours after the last one, and wherever oxygen therapy begins without ventilation. An event spans its signs of
/// ventilation and extubation, and is kept if it spans any time and has a sign of ventilation.
fn stay_events(moments: &[(Timestamp, Signs)]) -> Vec<Event> {
    let mut events = Vec::new();
    let mut current: Option<(Event, bool)> = None;
    let mut after_extubation = false;
    let mut last_ventilated: Option<Timestamp> = None;
    for &(time, signs) in moments {
        let ventilated = signs & VENTILATED != 0;
        let counts = signs & (VENTILATED | EXTUBATED) != 0;
        let long_gap = ventilated && last_ventilated.is_some_and(|last| time.0 - last.0 > GAP);
        let oxygen_alone = !ventilated && signs & OXYGEN != 0;
        if (counts && after_extubation) || oxygen_alone || long_gap {
            events.extend(current.take());
        }
        if counts {
            let (event, has_ventilation) = current.get_or_insert((Event { start: time, end: time }, false));
            event.end = time;
            *has_ventilation |= ventilated;
            after_extubation = signs & EXTUBATED != 0;
        }
        if ventilated {
            last_ventilated = Some(time);
        }
    }
    events.extend(current);
    let kept = |(event, has_ventilation): (Event, bool)| {
        (has_ventilation && event.start != event.end).then_some(event)
    };
    events.into_iter().filter_map(kept).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spans(moments: &[(i64, Signs)]) -> Vec<(i64, i64)> {
        let moments: Vec<_> = moments.iter().map(|(hour, signs)| (Timestamp(hour * HOUR), *signs)).collect();
        stay_events(&moments).iter().map(|e| (e.start.0 / HOUR, e.end.0 / HOUR)).collect()
    }

    #[test]
    fn events_end_at_extubation_oxygen_and_long_gaps() {
        let (v, o, e) = (VENTILATED, OXYGEN, EXTUBATED);
        assert_eq!(spans(&[(0, v), (8, v), (16, v), (25, v), (26, v)]), [(0, 16), (25, 26)]);
        assert_eq!(spans(&[(0, v), (3, e), (4, v), (6, v)]), [(0, 3), (4, 6)]);
        assert_eq!(spans(&[(0, v), (2, v), (3, o), (4, v), (5, v)]), [(0, 2), (4, 5)]);
        assert_eq!(spans(&[(0, v), (2, v | o), (3, v)]), [(0, 3)], "oxygen beside a ventilator");
        assert_eq!(spans(&[(0, o), (1, e), (2, e)]), [], "never ventilated");
        assert_eq!(spans(&[(0, v), (1, o), (2, v)]), [], "events of a moment");
        assert_eq!(spans(&[(0, v), (20, e)]), [(0, 20)], "an extubation belongs to the ventilation before");
        assert_eq!(spans(&[(0, v), (1, e | v), (2, v), (3, v)]), [(0, 1), (2, 3)]);
    }

    #[test]
    fn signs_of_a_moment_are_taken_together_however_many_rows_it_has() {
        let mut signed = Signed::default();
        for row in 0..10_000_i64 {
            signed.push(Timestamp(-5 + row % 7), if row % 3 == 0 { OXYGEN } else { VENTILATED });
        }
        assert!(signed.0.capacity() < 300, "{}", signed.0.capacity());
        let moments = signed.into_moments();
        assert_eq!(moments.len(), 7);
        assert!(
            moments.iter().all(|(time, signs)| *signs == VENTILATED | OXYGEN && (-5..2).contains(&time.0))
        );
    }
}
