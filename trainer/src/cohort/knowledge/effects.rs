//! What diseases do to vital signs and laboratory values: shifts from a healthy adult's, in the units of
//! [`Vitals`](crate::cohort::Vitals) and [`Labs`](crate::cohort::Labs).
//!
//! A problem's shifts are scaled by how severe it is, a chronic disease's are taken as they are.

/// One row of shifts. Values that spread over orders of magnitude (lactate, creatinine, bilirubin, INR, troponin,
/// glucose) shift by factors: a shift of 0.7 doubles them.
#[derive(Debug, Clone, Copy)]
pub(in crate::cohort) struct Effect {
    pub(in crate::cohort) temperature: f64,
    pub(in crate::cohort) heart_rate: f64,
    pub(in crate::cohort) systolic: f64,
    pub(in crate::cohort) respiration: f64,
    pub(in crate::cohort) saturation: f64,
    pub(in crate::cohort) coma_score: f64,
    pub(in crate::cohort) log_lactate: f64,
    pub(in crate::cohort) white_cells: f64,
    pub(in crate::cohort) hematocrit: f64,
    pub(in crate::cohort) platelets: f64,
    pub(in crate::cohort) sodium: f64,
    pub(in crate::cohort) potassium: f64,
    pub(in crate::cohort) bicarbonate: f64,
    pub(in crate::cohort) log_creatinine: f64,
    pub(in crate::cohort) log_glucose: f64,
    pub(in crate::cohort) log_bilirubin: f64,
    pub(in crate::cohort) log_inr: f64,
    pub(in crate::cohort) log_troponin: f64,
}

/// Leaves everything as it is.
pub(in crate::cohort) const NONE: Effect = Effect {
    temperature: 0.0,
    heart_rate: 0.0,
    systolic: 0.0,
    respiration: 0.0,
    saturation: 0.0,
    coma_score: 0.0,
    log_lactate: 0.0,
    white_cells: 0.0,
    hematocrit: 0.0,
    platelets: 0.0,
    sodium: 0.0,
    potassium: 0.0,
    bicarbonate: 0.0,
    log_creatinine: 0.0,
    log_glucose: 0.0,
    log_bilirubin: 0.0,
    log_inr: 0.0,
    log_troponin: 0.0,
};

macro_rules! effects {
    ($($(#[doc = $doc:literal])* $name:ident { $($field:ident: $shift:literal),+ $(,)? })+) => {
        $($(#[doc = $doc])* pub(in crate::cohort) static $name: Effect = Effect { $($field: $shift),+, ..NONE };)+
    };
}

effects! {
    /// Nothing much: planned operations.
    QUIET { heart_rate: 3.0, white_cells: 0.8, hematocrit: -2.0 }
    /// Infection of the blood.
    SEPSIS {
        temperature: 1.1, heart_rate: 22.0, systolic: -22.0, respiration: 5.0, saturation: -2.0, coma_score: -0.7,
        log_lactate: 0.55, white_cells: 6.5, platelets: -35.0, bicarbonate: -3.0, log_creatinine: 0.35,
        log_glucose: 0.15, log_inr: 0.12,
    }
    /// Infection that stays where it began.
    INFECTION {
        temperature: 1.0, heart_rate: 14.0, systolic: -8.0, respiration: 2.0, log_lactate: 0.2, white_cells: 5.5,
        log_creatinine: 0.12, log_glucose: 0.1,
    }
    /// Infection of the lungs.
    LUNG_INFECTION {
        temperature: 1.0, heart_rate: 16.0, systolic: -10.0, respiration: 7.0, saturation: -6.0, coma_score: -0.3,
        log_lactate: 0.3, white_cells: 5.5, bicarbonate: -1.0, log_creatinine: 0.15,
    }
    /// Failing lungs without infection.
    BREATHLESS {
        temperature: 0.1, heart_rate: 15.0, systolic: 4.0, respiration: 9.0, saturation: -7.0, log_lactate: 0.15,
        white_cells: 2.0, bicarbonate: 2.0,
    }
    /// A failing heart, wet and still with pressure.
    CONGESTION {
        heart_rate: 12.0, systolic: -4.0, respiration: 6.0, saturation: -5.0, log_lactate: 0.15, sodium: -2.5,
        log_creatinine: 0.25, log_troponin: 0.9, log_bilirubin: 0.2,
    }
    /// A heart short of blood.
    ISCHEMIA {
        heart_rate: 8.0, systolic: -10.0, respiration: 3.0, saturation: -2.0, log_lactate: 0.2, white_cells: 2.0,
        log_troponin: 2.4, log_glucose: 0.15, log_creatinine: 0.1,
    }
    /// A heart that no longer carries the circulation.
    SHOCK {
        temperature: -0.5, heart_rate: 18.0, systolic: -28.0, respiration: 6.0, saturation: -5.0, coma_score: -3.0,
        log_lactate: 0.9, white_cells: 4.0, bicarbonate: -5.0, log_creatinine: 0.35, log_troponin: 1.6,
        log_inr: 0.15, log_glucose: 0.3,
    }
    /// A heart that beats too fast.
    FAST { heart_rate: 45.0, systolic: -8.0, respiration: 2.0, saturation: -1.0, log_troponin: 0.4 }
    /// A heart that beats too slowly.
    SLOW { heart_rate: -30.0, systolic: -10.0, log_lactate: 0.15, log_creatinine: 0.12 }
    /// Pressure too high.
    HYPERTENSIVE { heart_rate: 6.0, systolic: 62.0, respiration: 2.0, saturation: -1.0, log_creatinine: 0.25 }
    /// Loss of blood.
    BLEEDING {
        heart_rate: 20.0, systolic: -18.0, respiration: 2.0, log_lactate: 0.35, hematocrit: -9.0, platelets: -25.0,
        log_creatinine: 0.12, log_inr: 0.1, bicarbonate: -1.5,
    }
    /// Loss of blood from a failing liver.
    LIVER_BLEEDING {
        heart_rate: 20.0, systolic: -20.0, coma_score: -0.8, log_lactate: 0.5, hematocrit: -9.0, platelets: -60.0,
        sodium: -2.0, log_creatinine: 0.2, log_bilirubin: 0.7, log_inr: 0.3, bicarbonate: -2.0,
    }
    /// A failing liver.
    LIVER {
        heart_rate: 8.0, systolic: -10.0, coma_score: -1.2, log_lactate: 0.35, hematocrit: -3.0, platelets: -50.0,
        sodium: -4.0, log_creatinine: 0.3, log_bilirubin: 1.3, log_inr: 0.4, white_cells: 1.5,
    }
    /// Bile that does not flow.
    BILIARY {
        temperature: 0.9, heart_rate: 15.0, systolic: -12.0, respiration: 2.0, log_lactate: 0.3, white_cells: 6.0,
        log_bilirubin: 1.3, log_creatinine: 0.15,
    }
    /// A belly that needs the surgeon.
    ABDOMEN {
        temperature: 0.6, heart_rate: 16.0, systolic: -10.0, respiration: 3.0, log_lactate: 0.4, white_cells: 6.0,
        sodium: -1.5, bicarbonate: -2.0, log_creatinine: 0.2, log_glucose: 0.12,
    }
    /// Damage within the skull.
    BRAIN {
        temperature: 0.2, heart_rate: 2.0, systolic: 22.0, respiration: 1.0, coma_score: -3.2, white_cells: 2.0,
        log_glucose: 0.12, sodium: -1.0,
    }
    /// A clouded mind, whatever the reason.
    CLOUDED { heart_rate: 8.0, respiration: 1.0, coma_score: -2.2, sodium: -1.5, log_lactate: 0.15, log_creatinine: 0.1 }
    /// Weakness that reaches the breath.
    WEAKNESS { heart_rate: 7.0, respiration: 5.0, saturation: -3.0, bicarbonate: 1.5 }
    /// Injury.
    INJURY {
        heart_rate: 17.0, systolic: -12.0, respiration: 3.0, saturation: -1.5, coma_score: -1.6, log_lactate: 0.4,
        white_cells: 4.0, hematocrit: -6.0, platelets: -20.0, log_glucose: 0.15,
    }
    /// Kidneys that stop.
    KIDNEY {
        heart_rate: 5.0, systolic: 4.0, respiration: 2.0, coma_score: -0.5, potassium: 0.9, bicarbonate: -4.0,
        log_creatinine: 1.1, hematocrit: -3.0, log_lactate: 0.15,
    }
    /// Sugar without insulin.
    KETOACIDOSIS {
        heart_rate: 22.0, systolic: -10.0, respiration: 6.0, coma_score: -0.7, log_lactate: 0.3, white_cells: 4.0,
        sodium: -6.0, potassium: 0.7, bicarbonate: -10.0, log_creatinine: 0.3, log_glucose: 1.4,
    }
    /// Too little sodium.
    DILUTED { sodium: -15.0, coma_score: -0.9, heart_rate: 4.0 }
    /// Too little sugar.
    SUGARLESS { log_glucose: -1.0, coma_score: -2.0, heart_rate: 8.0 }
    /// Sedatives and opiates.
    SEDATED { heart_rate: -2.0, systolic: -10.0, respiration: -4.0, saturation: -5.0, coma_score: -4.0, log_lactate: 0.2 }
    /// Stimulated, shaking, sweating.
    AGITATED { temperature: 0.6, heart_rate: 28.0, systolic: 20.0, respiration: 4.0, coma_score: -1.0, log_lactate: 0.25 }
    /// Blood without its cells.
    CYTOPENIA {
        temperature: 0.8, heart_rate: 16.0, systolic: -10.0, respiration: 2.0, white_cells: -6.0, hematocrit: -8.0,
        platelets: -130.0, log_lactate: 0.25, log_bilirubin: 0.2,
    }
    /// Tumour that has spread.
    WASTING {
        heart_rate: 14.0, systolic: -9.0, respiration: 4.0, saturation: -3.0, log_lactate: 0.3, white_cells: 2.5,
        hematocrit: -6.0, sodium: -3.0, log_creatinine: 0.15, log_bilirubin: 0.4, platelets: -20.0,
    }
    /// A clot in the lung.
    CLOT {
        heart_rate: 22.0, systolic: -12.0, respiration: 7.0, saturation: -6.0, log_lactate: 0.3, log_troponin: 1.1,
    }
}
