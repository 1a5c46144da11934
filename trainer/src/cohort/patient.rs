//! Who a patient is: age, sex, background, chronic disease, habits, home medication.

use super::calendar::{DAY, Moment, YEAR};
use super::course::Admission;
use super::knowledge::{ALLERGIES, Allergy, CHRONIC, Chronic, Drug, MINOR, Minor, drug};
use super::random::{Chance, Purpose, sigmoid};

/// As the tables have it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sex {
    /// `F`
    Female,
    /// `M`
    Male,
}

/// Smoking, drinking, living.
#[derive(Debug, Clone)]
pub(super) struct Habits {
    /// Pack-years, of smokers and former smokers.
    pub(super) pack_years: Option<u32>,
    /// Still smoking.
    pub(super) smokes: bool,
    /// Drinks a week.
    pub(super) drinks: u32,
    /// Lives in a nursing home.
    pub(super) nursing_home: bool,
}

/// A drug taken at home, at one strength.
#[derive(Debug, Clone, Copy)]
pub(super) struct HomeDrug {
    pub(super) drug: &'static Drug,
    pub(super) strength: &'static str,
}

/// What the registration desk knows.
#[derive(Debug, Clone)]
pub(super) struct Background {
    pub(super) ethnicity: &'static str,
    pub(super) language: &'static str,
    pub(super) religion: &'static str,
    pub(super) marital_status: &'static str,
}

/// A synthetic patient and everything that happened to them.
#[derive(Debug, Clone)]
pub(crate) struct Patient {
    /// Position in the hospital: with the seed, all that a patient depends on.
    pub(super) index: u64,
    pub(super) seed: u64,
    /// `SUBJECT_ID`, outside the range of MIMIC's.
    pub(crate) subject_id: u64,
    /// Sex.
    pub(crate) sex: Sex,
    /// True date of birth; tables show another for those who pass 89, see [`Self::shown_birth`].
    pub(super) birth: Moment,
    /// Whether the one admission is that of being born.
    pub(crate) newborn: bool,
    pub(super) background: Background,
    pub(super) habits: Habits,
    pub(super) chronic: Vec<&'static Chronic>,
    pub(super) minor: Vec<&'static Minor>,
    pub(super) allergies: Vec<&'static Allergy>,
    pub(super) drugs: Vec<HomeDrug>,
    /// Death after discharge, known from a registry.
    pub(super) died_later: Option<Moment>,
    /// Admissions in order of time.
    pub(crate) admissions: Vec<Admission>,
}

/// First of the `SUBJECT_IDs`: MIMIC-III's end below 100,000 and MIMIC-IV's begin at 10,000,000.
pub(super) const FIRST_SUBJECT: u64 = 1_000_000;

/// Patients who are born here: MIMIC-III has 7,870 among 46,520.
const NEWBORN_SHARE: f64 = 7870.0 / 46_520.0;

impl Patient {
    /// Simulates the patient at `index`; nothing else is needed, so patients can be made in any order.
    pub(crate) fn simulate(seed: u64, index: u64) -> Self {
        let mut chance = Chance::new(seed, index, Purpose::Life);
        let chance = &mut chance;
        let newborn = chance.happens(NEWBORN_SHARE);
        let sex = if chance.happens(0.559) { Sex::Male } else { Sex::Female };
        let first_admission =
            Moment::of_date(2100, 1, 1).plus_hours(chance.uniform(0.0, 100.0 * 365.25 * 24.0));
        let age_years = if newborn { 0.0 } else { adult_age(chance) };
        #[expect(clippy::cast_possible_truncation, reason = "an age in seconds is far below 2^53")]
        let birth = Moment(first_admission.0 - (age_years * 31_556_952.0) as i64);
        let mut patient = Self {
            index,
            seed,
            subject_id: FIRST_SUBJECT + index,
            sex,
            birth,
            newborn,
            background: background(age_years, chance),
            habits: Habits { pack_years: None, smokes: false, drinks: 0, nursing_home: false },
            chronic: Vec::new(),
            minor: Vec::new(),
            allergies: Vec::new(),
            drugs: Vec::new(),
            died_later: None,
            admissions: Vec::new(),
        };
        if newborn {
            patient.admissions = vec![Admission::of_newborn(&patient, first_admission.minute(), chance)];
        } else {
            patient.chronic = chronic_diseases(sex, age_years, chance);
            patient.minor = minor_conditions(sex, age_years, chance);
            patient.habits = habits(&patient, age_years, chance);
            patient.allergies = allergies(chance);
            patient.drugs = home_drugs(&patient.chronic, chance);
            patient.live(first_admission.minute(), chance);
        }
        patient
    }

    /// Admissions until there is no further one.
    fn live(&mut self, first: Moment, chance: &mut Chance) {
        let mut next = first;
        loop {
            let admission = Admission::simulate(self, self.admissions.len(), next, chance);
            let (died, left) = (admission.died, admission.discharged);
            let returns = 0.2 + 0.07 * self.frailty().min(3.0);
            self.admissions.push(admission);
            if died {
                return;
            }
            if self.admissions.len() == MOST_ADMISSIONS || !chance.happens(returns) {
                break;
            }
            next = Moment(left.0 + 2 * DAY).plus_hours(chance.lognormal(130.0, 1.3) * 24.0).minute();
            let behind = self.admissions.last().and_then(|last| last.leaves_behind());
            if let Some(chronic) = behind.filter(|chronic| !self.has(chronic.key)) {
                self.chronic.push(chronic);
            }
        }
        let left = self.admissions.last().map_or(first, |last| last.discharged);
        let age = self.age_years_at(left);
        if chance.happens(sigmoid(-2.3 + 0.05 * (age - 65.0) + self.frailty())) {
            self.died_later = Some(left.plus_hours(24.0 * chance.lognormal(400.0, 1.2)).midnight());
        }
    }

    /// Whether the patient has the chronic disease of this key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.chronic.iter().any(|chronic| chronic.key == key)
    }

    /// What chronic disease adds to the logit of death in hospital.
    pub(super) fn frailty(&self) -> f64 {
        self.chronic.iter().map(|chronic| chronic.risk).sum::<f64>()
    }

    /// Age in years at a moment, by the true date of birth.
    #[expect(clippy::cast_precision_loss, reason = "seconds of a life are below 2^53")]
    pub(super) fn age_years_at(&self, moment: Moment) -> f64 {
        (moment.0 - self.birth.0) as f64 / YEAR as f64
    }

    /// DOB as the tables show it: 300 years before the first admission for those who pass 89, as MIMIC-III does.
    pub(super) fn shown_birth(&self) -> Moment {
        let oldest = self.admissions.iter().map(|a| self.age_years_at(a.admitted)).fold(0.0, f64::max);
        match self.admissions.first() {
            Some(first) if oldest >= 90.0 => Moment(first.admitted.0 - 300 * YEAR).midnight(),
            _ => self.birth.midnight(),
        }
    }
}

/// No patient comes more often: identifiers leave room for eight.
const MOST_ADMISSIONS: usize = 8;

fn adult_age(chance: &mut Chance) -> f64 {
    loop {
        let age = if chance.happens(0.16) { chance.uniform(17.0, 62.0) } else { chance.normal(68.5, 14.5) };
        if (16.0..101.0).contains(&age) {
            return age;
        }
    }
}

fn chronic_diseases(sex: Sex, age_years: f64, chance: &mut Chance) -> Vec<&'static Chronic> {
    let decades = (age_years - 65.0) / 10.0;
    let mut found: Vec<&'static Chronic> = Vec::new();
    for chronic in CHRONIC {
        let mut logit = chronic.logit.0 + chronic.logit.1 * decades;
        if sex == Sex::Male {
            logit += chronic.male;
        }
        for (key, added) in chronic.with {
            if found.iter().any(|other| other.key == *key) {
                logit += added;
            }
        }
        if chance.happens(sigmoid(logit)) {
            found.push(chronic);
        }
    }
    // Kidneys that have failed are no longer chronically diseased.
    if found.iter().any(|chronic| chronic.key == "esrd") {
        found.retain(|chronic| chronic.key != "ckd");
    }
    found
}

fn minor_conditions(sex: Sex, age_years: f64, chance: &mut Chance) -> Vec<&'static Minor> {
    let wanted = chance.lognormal(1.9, 0.7).min(8.0) * (0.3 + age_years / 90.0);
    let letter = if sex == Sex::Female { 'F' } else { 'M' };
    let weights = MINOR.iter().map(|minor| {
        let distance = (age_years - minor.age) / 20.0;
        let fits = minor.sex == ' ' || minor.sex == letter;
        if fits { minor.weight * (-0.5 * distance * distance).exp() } else { 0.0 }
    });
    let mut found: Vec<&'static Minor> = Vec::new();
    while f64::from(u32::try_from(found.len()).unwrap_or(u32::MAX)) + 0.5 < wanted {
        let minor = &MINOR[chance.weighted(weights.clone())];
        if found.iter().any(|other| other.code == minor.code) {
            break;
        }
        found.push(minor);
    }
    found
}

fn habits(patient: &Patient, age_years: f64, chance: &mut Chance) -> Habits {
    let lungs = patient.has("copd") || patient.has("lung cancer");
    let smoked = chance.happens(if lungs { 0.93 } else { 0.45 });
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and 150")]
    let pack_years =
        smoked.then(|| chance.lognormal(if lungs { 45.0 } else { 22.0 }, 0.6).clamp(1.0, 150.0) as u32);
    let smokes = smoked && chance.happens(if age_years < 55.0 { 0.6 } else { 0.28 });
    let drinks = if patient.has("alcohol") { chance.whole(14, 84) } else { chance.whole(-12, 12).max(0) };
    let dependent = patient.has("dementia") || patient.has("stroke");
    let nursing_home =
        chance.happens(sigmoid(-4.3 + 0.06 * (age_years - 65.0) + if dependent { 1.7 } else { 0.0 }));
    Habits { pack_years, smokes, drinks: u32::try_from(drinks).unwrap_or(0), nursing_home }
}

fn allergies(chance: &mut Chance) -> Vec<&'static Allergy> {
    let mut found: Vec<&'static Allergy> = Vec::new();
    while found.len() < 4 && chance.happens(0.4) {
        let allergy = &ALLERGIES[chance.weighted(ALLERGIES.iter().map(|allergy| allergy.weight))];
        if !found.iter().any(|other| std::ptr::eq(*other, allergy)) {
            found.push(allergy);
        }
    }
    found
}

/// Drugs nobody needs a diagnosis for, and their chance.
const COMMON_DRUGS: &[(&str, f64)] = &[
    ("docusate", 0.16),
    ("multivitamin", 0.14),
    ("aspirin", 0.14),
    ("omeprazole", 0.08),
    ("acetaminophen", 0.1),
    ("zolpidem", 0.07),
    ("ferrous sulfate", 0.07),
    ("senna", 0.08),
    ("lorazepam", 0.05),
    ("vitamin d", 0.06),
];

fn home_drugs(chronic: &[&'static Chronic], chance: &mut Chance) -> Vec<HomeDrug> {
    let mut found: Vec<HomeDrug> = Vec::new();
    for (name, p) in chronic.iter().flat_map(|chronic| chronic.drugs).chain(COMMON_DRUGS) {
        if chance.happens(*p) && !found.iter().any(|home| home.drug.name == *name) {
            let drug = drug(name);
            found.push(HomeDrug { drug, strength: chance.pick(drug.strengths) });
        }
    }
    found
}

fn background(age_years: f64, chance: &mut Chance) -> Background {
    let ethnicity = chance.choose(&[
        ("WHITE", 70.0),
        ("BLACK/AFRICAN AMERICAN", 9.5),
        ("HISPANIC OR LATINO", 3.5),
        ("HISPANIC/LATINO - PUERTO RICAN", 0.7),
        ("ASIAN", 2.5),
        ("ASIAN - CHINESE", 0.6),
        ("OTHER", 2.6),
        ("UNKNOWN/NOT SPECIFIED", 8.2),
        ("UNABLE TO OBTAIN", 1.6),
        ("PATIENT DECLINED TO ANSWER", 0.8),
    ]);
    let foreign = match ethnicity {
        "HISPANIC OR LATINO" | "HISPANIC/LATINO - PUERTO RICAN" => "SPAN",
        "ASIAN - CHINESE" => "MAND",
        "WHITE" if chance.happens(0.04) => "RUSS",
        _ => "ENGL",
    };
    let language = if chance.happens(0.4) {
        ""
    } else if chance.happens(0.6) {
        foreign
    } else {
        "ENGL"
    };
    let religion = chance.choose(&[
        ("CATHOLIC", 36.0),
        ("NOT SPECIFIED", 20.0),
        ("PROTESTANT QUAKER", 13.0),
        ("JEWISH", 9.0),
        ("UNOBTAINABLE", 14.0),
        ("OTHER", 5.0),
        ("GREEK ORTHODOX", 1.0),
        ("MUSLIM", 1.0),
        ("BUDDHIST", 1.0),
    ]);
    let old = ((age_years - 40.0) / 50.0).clamp(0.0, 1.0);
    let marital_status = if age_years < 1.0 {
        ""
    } else {
        chance.choose(&[
            ("MARRIED", 0.45),
            ("SINGLE", 0.5 - 0.35 * old),
            ("WIDOWED", 0.01 + 0.4 * old),
            ("DIVORCED", 0.07),
            ("SEPARATED", 0.01),
            ("", 0.04),
        ])
    };
    Background { ethnicity, language, religion, marital_status }
}
