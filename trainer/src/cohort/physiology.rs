//! Vital signs and laboratory values of a patient at the door, from chronic disease, acute problem and severity.

use super::knowledge::Effect;
use super::random::Chance;

/// First vital signs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vitals {
    /// Degrees Fahrenheit.
    pub(crate) temperature: f64,
    /// Beats a minute.
    pub(crate) heart_rate: f64,
    /// mmHg.
    pub(crate) systolic: f64,
    /// mmHg.
    pub(crate) diastolic: f64,
    /// Breaths a minute.
    pub(crate) respiration: f64,
    /// Per cent, on whatever oxygen was given.
    pub(crate) saturation: f64,
    /// Glasgow coma score, 3 to 15.
    pub(crate) coma_score: f64,
}

/// First laboratory values.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Labs {
    /// mmol/L.
    pub(crate) lactate: f64,
    /// Thousands a microlitre.
    pub(crate) white_cells: f64,
    /// Per cent.
    pub(crate) hematocrit: f64,
    /// Thousands a microlitre.
    pub(crate) platelets: f64,
    /// mmol/L.
    pub(crate) sodium: f64,
    /// mmol/L.
    pub(crate) potassium: f64,
    /// mmol/L.
    pub(crate) bicarbonate: f64,
    /// mg/dL.
    pub(crate) creatinine: f64,
    /// mg/dL.
    pub(crate) urea_nitrogen: f64,
    /// mg/dL.
    pub(crate) glucose: f64,
    /// mg/dL.
    pub(crate) bilirubin: f64,
    /// Ratio.
    pub(crate) inr: f64,
    /// ng/mL.
    pub(crate) troponin: f64,
}

/// How much oxygen is in use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Oxygen {
    /// None.
    RoomAir,
    /// Prongs.
    Cannula,
    /// A mask.
    Mask,
    /// A tight mask with pressure.
    Bilevel,
    /// A tube.
    Ventilator,
}

/// Sums `field` over the effects: chronic ones as they are, the problem's times `load`.
struct Shifts<'a> {
    chronic: &'a [&'a Effect],
    acute: &'a Effect,
    load: f64,
}

impl Shifts<'_> {
    fn of(&self, field: impl Fn(&Effect) -> f64) -> f64 {
        self.chronic.iter().map(|effect| field(effect)).sum::<f64>() + self.load * field(self.acute)
    }
}

/// Draws the first vital signs; `age_years` stiffens arteries and blunts the pulse.
pub(super) fn vitals(
    chronic: &[&Effect],
    acute: &Effect,
    load: f64,
    age_years: f64,
    chance: &mut Chance,
) -> Vitals {
    let shifts = Shifts { chronic, acute, load };
    let systolic = (chance.normal(130.0, 15.0) + 0.15 * (age_years - 60.0) + shifts.of(|e| e.systolic))
        .clamp(52.0, 255.0);
    let fever = shifts.of(|e| e.temperature);
    // One severe infection in six shows as cold, not as fever.
    let fever = if fever > 1.6 && chance.happens(0.17) { -1.8 } else { fever };
    Vitals {
        temperature: (chance.normal(98.1, 0.6) + 1.5 * fever).clamp(91.0, 105.6),
        heart_rate: (chance.normal(80.0, 11.0) - 0.1 * (age_years - 60.0) + shifts.of(|e| e.heart_rate))
            .clamp(26.0, 185.0),
        systolic,
        diastolic: (systolic * chance.uniform(0.47, 0.64)).clamp(24.0, 140.0),
        respiration: (chance.normal(17.0, 1.8) + shifts.of(|e| e.respiration)).clamp(5.0, 48.0),
        saturation: (chance.normal(98.3, 1.2) + shifts.of(|e| e.saturation)).clamp(62.0, 100.0).round(),
        coma_score: (15.3 + chance.normal(0.0, 0.4) + shifts.of(|e| e.coma_score)).clamp(3.0, 15.0).round(),
    }
}

/// Draws the first laboratory values.
pub(super) fn labs(
    chronic: &[&Effect],
    acute: &Effect,
    load: f64,
    age_years: f64,
    chance: &mut Chance,
) -> Labs {
    let shifts = Shifts { chronic, acute, load };
    let log = |median: f64, sigma: f64, shift: f64, chance: &mut Chance| {
        chance.lognormal(median, sigma) * shift.exp()
    };
    let creatinine = log(0.9, 0.22, shifts.of(|e| e.log_creatinine), chance).clamp(0.3, 14.5);
    Labs {
        lactate: log(1.25, 0.28, shifts.of(|e| e.log_lactate), chance).clamp(0.5, 19.0),
        white_cells: (log(8.2, 0.3, 0.0, chance) + shifts.of(|e| e.white_cells)).clamp(0.1, 62.0),
        hematocrit: (chance.normal(38.5, 4.0) - 0.03 * (age_years - 60.0) + shifts.of(|e| e.hematocrit))
            .clamp(13.0, 56.0),
        platelets: (log(235.0, 0.28, 0.0, chance) + shifts.of(|e| e.platelets)).clamp(5.0, 900.0),
        sodium: (chance.normal(139.0, 2.6) + shifts.of(|e| e.sodium)).clamp(102.0, 162.0),
        potassium: (chance.normal(4.15, 0.42) + shifts.of(|e| e.potassium)).clamp(2.3, 8.4),
        bicarbonate: (chance.normal(25.0, 2.3) + shifts.of(|e| e.bicarbonate)).clamp(4.0, 44.0),
        creatinine,
        urea_nitrogen: (creatinine * chance.uniform(11.0, 23.0)).clamp(5.0, 170.0),
        glucose: log(112.0, 0.2, shifts.of(|e| e.log_glucose), chance).clamp(22.0, 1150.0),
        bilirubin: log(0.6, 0.4, shifts.of(|e| e.log_bilirubin), chance).clamp(0.1, 38.0),
        inr: log(1.08, 0.08, shifts.of(|e| e.log_inr), chance).clamp(0.9, 11.0),
        troponin: log(0.012, 0.5, shifts.of(|e| e.log_troponin), chance).clamp(0.01, 24.0),
    }
}

/// The least oxygen that someone breathing like this would be given.
pub(super) fn oxygen(vitals: &Vitals, intubated: bool, chance: &mut Chance) -> Oxygen {
    let need = (96.0 - vitals.saturation) + 0.35 * (vitals.respiration - 20.0) + chance.normal(0.0, 1.5);
    if intubated {
        Oxygen::Ventilator
    } else if need > 14.0 {
        Oxygen::Bilevel
    } else if need > 8.0 {
        Oxygen::Mask
    } else if need > 2.5 {
        Oxygen::Cannula
    } else {
        Oxygen::RoomAir
    }
}
