//! What may befall a patient in hospital.

use super::System;

/// An event after admission.
#[derive(Debug)]
pub(in crate::cohort) struct Complication {
    /// Unique; other tables name it by this.
    pub(in crate::cohort) key: &'static str,
    /// Logit at middling severity, and what each unit of severity adds.
    pub(in crate::cohort) logit: (f64, f64),
    /// Added after operations.
    pub(in crate::cohort) surgical: f64,
    /// Added for each doubling of time on the ventilator beyond a day.
    pub(in crate::cohort) ventilated: f64,
    /// Systems of problems that bring it along, which therefore cannot be complicated by it.
    pub(in crate::cohort) not_in: &'static [System],
    /// Factor on the length of stay.
    pub(in crate::cohort) stay_factor: f64,
    /// Added to the logit of death.
    pub(in crate::cohort) risk: f64,
    /// Codes, the commonest first.
    pub(in crate::cohort) codes: &'static [&'static str],
    /// Procedures it calls for, and their chance.
    pub(in crate::cohort) procedures: &'static [(&'static str, f64)],
    /// As a further discharge diagnosis.
    pub(in crate::cohort) title: &'static str,
    /// As it is told in the hospital course.
    pub(in crate::cohort) told: &'static str,
}

const PLAIN: Complication = Complication {
    key: "",
    logit: (-4.0, 0.3),
    surgical: 0.0,
    ventilated: 0.0,
    not_in: &[],
    stay_factor: 1.0,
    risk: 0.0,
    codes: &[],
    procedures: &[],
    title: "",
    told: "",
};

/// All of them, from which each patient draws at most a handful.
pub(in crate::cohort) static COMPLICATIONS: &[Complication] = &[
    Complication {
        key: "kidney injury",
        logit: (-1.6, 0.65),
        not_in: &[System::Renal],
        stay_factor: 1.14,
        risk: 0.4,
        codes: &["5849", "5845"],
        procedures: &[("3995", 0.12), ("3895", 0.12)],
        title: "{Acute renal failure|Acute kidney injury|ATN}",
        told: "{ARF|Acute kidney injury}: Cr {peaked at|rose to} <2-5>.<1-9>, {felt prerenal vs ATN|muddy brown casts on sediment|FeNa less than 1%}. {Improved with IVF|Renal was consulted|Nephrotoxins held}.",
        ..PLAIN
    },
    Complication {
        key: "respiratory failure",
        logit: (-9.0, 0.0),
        codes: &["51881", "51882", "51851"],
        title: "{Acute respiratory failure|Hypoxic respiratory failure|Respiratory failure}",
        told: "Respiratory failure: {ventilated with low tidal volumes|remained on AC then weaned to PS}, {daily SBTs|sedation weaned as tolerated}.",
        ..PLAIN
    },
    Complication {
        key: "sepsis",
        logit: (-3., 0.55),
        surgical: 0.2,
        ventilated: 0.25,
        not_in: &[System::Infectious],
        stay_factor: 1.3,
        risk: 0.8,
        codes: &["0389", "99591", "99592"],
        procedures: &[("3893", 0.6), ("3891", 0.4)],
        title: "Sepsis",
        told: "{Sepsis|SIRS/sepsis}: {developed fever and hypotension|became febrile to 10<1-3>} on HD <3-9>, {pan-cultured|cultures sent}, {broad coverage with vanc/zosyn started|vancomycin and cefepime begun}{, required levophed|}.",
    },
    Complication {
        key: "pneumonia",
        logit: (-2.75, 0.4),
        surgical: 0.1,
        ventilated: 0.35,
        not_in: &[System::Respiratory],
        stay_factor: 1.25,
        risk: 0.35,
        codes: &["486", "5070", "99731", "48241"],
        procedures: &[("3324", 0.3)],
        title: "{Pneumonia|Ventilator associated pneumonia|Aspiration pneumonia|HAP}",
        told: "{Pneumonia|VAP|Aspiration PNA}: {new {RLL|LLL} infiltrate on CXR|increased secretions and fever}, sputum with {GNRs|MRSA|oral flora}; {treated with an 8 day course of vanc/cefepime|completed course of zosyn|levoflox/flagyl}.",
    },
    Complication {
        key: "urinary infection",
        logit: (-1.9, 0.15),
        not_in: &[System::Urological],
        stay_factor: 1.08,
        codes: &["5990", "99664"],
        title: "{UTI|Urinary tract infection}",
        told: "UTI: {UA positive|urine cx grew <organism>}; {treated with cipro x <3-7> days|ceftriaxone then PO|foley exchanged}.",
        ..PLAIN
    },
    Complication {
        key: "atrial fibrillation",
        logit: (-3.1, 0.2),
        surgical: 0.6,
        not_in: &[],
        stay_factor: 1.1,
        risk: 0.1,
        codes: &["42731"],
        procedures: &[("9961", 0.08)],
        title: "{Post-op atrial fibrillation|New onset AF|AF with RVR}",
        told: "AF: {went into rapid AF|developed AF w/ RVR} on {POD|HD} <2-5>, {treated with amio bolus and lopressor|converted with amiodarone|rate controlled}{; anticoagulation deferred|}.",
        ..PLAIN
    },
    Complication {
        key: "delirium",
        logit: (-2.9, 0.3),
        surgical: 0.15,
        ventilated: 0.2,
        not_in: &[System::Neurological],
        stay_factor: 1.12,
        risk: 0.1,
        codes: &["2930", "29281", "78009", "34831"],
        title: "{Delirium|ICU delirium|Toxic-metabolic encephalopathy}",
        told: "{Delirium|AMS}: {waxing and waning mental status|agitated overnight}, {improved with reorientation, low dose haldol|seroquel qhs|CT head negative}.",
        ..PLAIN
    },
    Complication {
        key: "blood loss anemia",
        logit: (-2.3, 0.2),
        surgical: 0.9,
        not_in: &[System::Haematological],
        stay_factor: 1.05,
        risk: 0.05,
        codes: &["2851", "2859", "28529"],
        procedures: &[("9904", 0.65)],
        title: "{Acute blood loss anemia|Anemia}",
        told: "Anemia: Hct nadir <19-26>, {transfused <1-4> units PRBC|received <1-3>u pRBCs with appropriate bump}{; no source found, guaiac negative|}.",
        ..PLAIN
    },
    Complication {
        key: "thrombocytopenia",
        logit: (-3.2, 0.4),
        surgical: 0.2,
        not_in: &[System::Haematological],
        stay_factor: 1.08,
        risk: 0.25,
        codes: &["2875", "28984", "28749"],
        procedures: &[("9905", 0.3)],
        title: "Thrombocytopenia",
        told: "Thrombocytopenia: plts {nadired at|fell to} <22-85>; {HIT antibody negative|heparin products stopped, HIT Ab sent|likely consumptive}.",
        ..PLAIN
    },
    Complication {
        key: "clostridium difficile",
        logit: (-4.1, 0.25),
        ventilated: 0.25,
        stay_factor: 1.3,
        risk: 0.2,
        codes: &["00845"],
        title: "{C. diff colitis|Clostridium difficile infection}",
        told: "C diff: {loose stools, toxin positive|leukocytosis to <18-35>, toxin assay +}; {PO vanco|flagyl} x 14 days.",
        ..PLAIN
    },
    Complication {
        key: "venous thrombosis",
        logit: (-4.1, 0.2),
        surgical: 0.3,
        ventilated: 0.2,
        stay_factor: 1.2,
        risk: 0.1,
        codes: &["45341", "45382", "45381", "45340"],
        procedures: &[("387", 0.2)],
        title: "{DVT|Deep vein thrombosis}",
        told: "DVT: {LENIs|US} with {R|L} {common femoral|IJ|subclavian} clot{ associated with line|}; {heparin gtt bridged to coumadin|lovenox started|IVC filter placed given bleeding risk}.",
        ..PLAIN
    },
    Complication {
        key: "pulmonary embolism",
        logit: (-5.0, 0.25),
        surgical: 0.4,
        not_in: &[System::Vascular],
        stay_factor: 1.2,
        risk: 0.4,
        codes: &["41519", "41511"],
        procedures: &[("387", 0.2)],
        title: "Pulmonary embolism",
        told: "PE: {became acutely hypoxic|tachycardic} on day <4-10>, CTA with {segmental|subsegmental} PE; {anticoagulated|heparin started}.",
        ..PLAIN
    },
    Complication {
        key: "gastrointestinal bleeding",
        logit: (-4.4, 0.35),
        not_in: &[System::Gastrointestinal, System::Hepatobiliary],
        stay_factor: 1.2,
        risk: 0.35,
        codes: &["5789", "5781", "53140"],
        procedures: &[("4513", 0.5), ("9904", 0.6)],
        title: "GI bleed",
        told: "GIB: {melena|coffee ground NG output} with Hct drop; {EGD with gastritis|EGD: duodenal ulcer, clipped|scope deferred, PPI gtt started}.",
        ..PLAIN
    },
    Complication {
        key: "line infection",
        logit: (-4.5, 0.3),
        ventilated: 0.4,
        not_in: &[System::Infectious],
        stay_factor: 1.25,
        risk: 0.25,
        codes: &["99931", "99662", "7907"],
        procedures: &[("3893", 0.6), ("8872", 0.15)],
        title: "{Line infection|Bacteremia}",
        told: "Bacteremia: <1-4>/4 bottles {coag neg staph|MSSA|enterococcus}; {line pulled and tip cultured|PICC removed}; {TTE without vegetation|surveillance cx negative}.",
        ..PLAIN
    },
    Complication {
        key: "heart attack",
        logit: (-4.4, 0.35),
        not_in: &[System::Cardiac],
        stay_factor: 1.1,
        risk: 0.5,
        codes: &["41071"],
        title: "{NSTEMI|Demand ischemia}",
        told: "{NSTEMI|Troponin leak}: trop {peaked at|to} 0.<15-95>, {felt demand in setting of acute illness|cards consulted, medically managed}.",
        ..PLAIN
    },
    Complication {
        key: "heart failure",
        logit: (-3.7, 0.25),
        not_in: &[System::Cardiac],
        stay_factor: 1.12,
        risk: 0.2,
        codes: &["4280", "42821", "42831"],
        procedures: &[("9390", 0.15)],
        title: "{Acute CHF|Pulmonary edema}",
        told: "Volume overload: {flash pulmonary edema|increasing O2 requirement after IVF}; {diuresed with lasix|lasix gtt}; TTE EF <ef>%.",
        ..PLAIN
    },
    Complication {
        key: "effusion",
        logit: (-3.6, 0.2),
        surgical: 0.3,
        not_in: &[System::Respiratory],
        stay_factor: 1.1,
        codes: &["5119", "5180"],
        procedures: &[("3491", 0.5), ("3404", 0.25)],
        title: "Pleural effusion",
        told: "Effusion: {<300-1500> cc drained by thoracentesis, transudative|small, followed by serial CXR|chest tube placed}.",
        ..PLAIN
    },
    Complication {
        key: "pressure ulcer",
        logit: (-3.7, 0.2),
        ventilated: 0.3,
        stay_factor: 1.12,
        risk: 0.05,
        codes: &["70703", "70705", "70722", "70707"],
        procedures: &[("8628", 0.12)],
        title: "Sacral decubitus ulcer",
        told: "Skin: {stage II sacral decub|coccyx ulcer, wound care followed}.",
        ..PLAIN
    },
    Complication {
        key: "hypernatremia",
        logit: (-3.5, 0.25),
        ventilated: 0.2,
        not_in: &[System::Metabolic],
        stay_factor: 1.04,
        codes: &["2760", "2761"],
        title: "{Hypernatremia|Hyponatremia}",
        told: "Sodium: {Na to <148-158>, free water given|hyponatremic, fluid restricted}.",
        ..PLAIN
    },
    Complication {
        key: "acidosis",
        logit: (-3.1, 0.7),
        stay_factor: 1.0,
        risk: 0.25,
        codes: &["2762", "2768", "2767"],
        title: "{Lactic acidosis|Metabolic acidosis|Electrolyte disarray}",
        told: "{Acidosis|Lactate}: {cleared with resuscitation|bicarb gtt started}.",
        ..PLAIN
    },
    Complication {
        key: "wound infection",
        logit: (-8.0, 0.2),
        surgical: 4.4,
        stay_factor: 1.3,
        risk: 0.05,
        codes: &["99859", "99832", "99851"],
        procedures: &[("8604", 0.4), ("8622", 0.3)],
        title: "Wound infection",
        told: "Wound: {erythema and drainage from incision, opened at bedside|wound vac placed|Kefzol for cellulitis around incision}.",
        ..PLAIN
    },
    Complication {
        key: "ileus",
        logit: (-7.5, 0.2),
        surgical: 4.3,
        stay_factor: 1.2,
        codes: &["5601", "99749"],
        procedures: &[("9607", 0.3), ("9915", 0.25)],
        title: "Postoperative ileus",
        told: "Ileus: {NGT replaced for distension|KUB with dilated loops}; {resolved with conservative management|TPN started}.",
        ..PLAIN
    },
    Complication {
        key: "postoperative bleeding",
        logit: (-8.0, 0.3),
        surgical: 4.3,
        stay_factor: 1.2,
        risk: 0.35,
        codes: &["99811", "99812"],
        procedures: &[("9904", 0.8), ("3403", 0.15), ("5412", 0.12), ("9907", 0.4)],
        title: "Postoperative bleeding",
        told: "Bleeding: {taken back to OR for washout and hemostasis|high drain output, given FFP and platelets|hematoma observed}.",
        ..PLAIN
    },
    Complication {
        key: "stroke",
        logit: (-5.1, 0.2),
        surgical: 0.3,
        not_in: &[System::Neurological],
        stay_factor: 1.35,
        risk: 0.7,
        codes: &["43491", "99702", "43411"],
        title: "Stroke",
        told: "CVA: {noted to have new {L|R} sided weakness|not moving R side}; MRI with {MCA|watershed} infarct{s|}; neurology consulted.",
        ..PLAIN
    },
    Complication {
        key: "coagulopathy",
        logit: (-4.0, 0.55),
        not_in: &[System::Haematological],
        stay_factor: 1.05,
        risk: 0.35,
        codes: &["2869", "2866"],
        procedures: &[("9907", 0.6)],
        title: "{Coagulopathy|DIC}",
        told: "Coagulopathy: INR to <2-5>.<0-9>, {FFP and vit K given|fibrinogen low, DIC labs followed}.",
        ..PLAIN
    },
    Complication {
        key: "malnutrition",
        logit: (-3.3, 0.25),
        ventilated: 0.35,
        stay_factor: 1.15,
        risk: 0.15,
        codes: &["2639", "261", "262"],
        procedures: &[("966", 0.5), ("4311", 0.15), ("9915", 0.2)],
        title: "Malnutrition",
        told: "Nutrition: {tube feeds advanced to goal|failed swallow eval, Dobhoff placed|TPN}{; PEG placed|}.",
        ..PLAIN
    },
];
