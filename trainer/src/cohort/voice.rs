//! Whoever writes a note: fills the slots of templates from one patient's admission, in one hospital's style.

use super::calendar::Moment;
use super::course::Admission;
use super::patient::{Patient, Sex};
use super::phrasing::{Slots, speak};
use super::random::{Chance, Purpose};

/// How identifiers were removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marks {
    /// `[**Known lastname 123**]`, as in MIMIC-III.
    Brackets,
    /// `___`, as in MIMIC-IV.
    Underscores,
}

/// A writer of notes on one admission.
#[derive(Debug, Clone, Copy)]
pub(super) struct Voice<'a> {
    pub(super) patient: &'a Patient,
    pub(super) admission: &'a Admission,
    pub(super) marks: Marks,
}

/// Every slot a template may name.
#[cfg(test)]
pub(super) const SLOTS: &[&str] = &[
    "age",
    "man",
    "he",
    "He",
    "his",
    "His",
    "him",
    "name",
    "hospital",
    "doctor",
    "date",
    "year",
    "phone",
    "side",
    "Side",
    "organism",
    "mechanism",
    "hr",
    "bp",
    "sbp",
    "rr",
    "temp",
    "spo2",
    "gcs",
    "lactate",
    "wbc",
    "hct",
    "plt",
    "na",
    "k",
    "hco3",
    "cr",
    "bun",
    "glucose",
    "bili",
    "inr",
    "trop",
    "ef",
];

impl Voice<'_> {
    /// Speaks a template.
    pub(super) fn say(&self, template: &str, chance: &mut Chance) -> String {
        speak(template, self, chance)
    }

    /// The problem's name as the doctors of this admission put it.
    pub(super) fn title(&self) -> String {
        let patient = self.patient;
        let mut chance = Chance::new(patient.seed, patient.index, Purpose::Title(self.admission.number));
        self.say(self.admission.problem.title, &mut chance).trim_end().to_owned()
    }

    /// A de-identified thing of this kind.
    fn mark(&self, kinds: &[&str], chance: &mut Chance) -> String {
        match self.marks {
            Marks::Underscores => "___".to_owned(),
            Marks::Brackets => {
                let kind = chance.pick(kinds);
                if kind.ends_with(')') {
                    format!("[**{kind} **]")
                } else {
                    format!("[**{kind} {}**]", chance.whole(1, 9999))
                }
            }
        }
    }

    /// A de-identified date.
    pub(super) fn date(&self, moment: Moment, with_year: bool) -> String {
        let (year, month, day) = moment.date();
        match (self.marks, with_year) {
            (Marks::Underscores, _) => "___".to_owned(),
            (Marks::Brackets, true) => format!("[**{year}-{month}-{day}**]"),
            (Marks::Brackets, false) => format!("[**{month}-{day}**]"),
        }
    }

    /// The patient's surname, with the number it always has.
    pub(super) fn surname(&self) -> String {
        match self.marks {
            Marks::Underscores => "___".to_owned(),
            Marks::Brackets => {
                format!(
                    "[**Known lastname {}**]",
                    self.patient.subject_id.wrapping_mul(2_654_435_761) % 99_991
                )
            }
        }
    }

    /// `Mr. X`.
    pub(super) fn title_and_surname(&self) -> String {
        let title = if self.patient.sex == Sex::Male { "Mr." } else { "Ms." };
        format!("{title} {}", self.surname())
    }

    /// Age as a note may show it.
    pub(super) fn age(&self) -> String {
        let age = whole(self.admission.age_years.floor());
        match (age >= 90, self.marks) {
            (true, Marks::Brackets) => "[**Age over 90 **]".to_owned(),
            (true, Marks::Underscores) => "___".to_owned(),
            _ => age.to_string(),
        }
    }

    /// One of two words by sex.
    fn by_sex(&self, woman: &'static str, man: &'static str) -> &'static str {
        if self.patient.sex == Sex::Female { woman } else { man }
    }
}

/// Rounds to a whole number.
pub(super) fn whole(value: f64) -> i64 {
    #[expect(clippy::cast_possible_truncation, reason = "clinical values are far below 2^53")]
    let rounded = value.round() as i64;
    rounded
}

impl Slots for Voice<'_> {
    fn fill(&self, name: &str, chance: &mut Chance, out: &mut String) {
        let (vitals, labs) = (&self.admission.vitals, &self.admission.labs);
        let text = match name {
            "age" => self.age(),
            "man" => {
                let (women, men) =
                    (["woman", "female", "F", "F", "lady"], ["man", "male", "M", "M", "gentleman"]);
                self.by_sex(chance.pick(&women), chance.pick(&men)).to_owned()
            }
            "he" => self.by_sex("she", "he").to_owned(),
            "He" => self.by_sex("She", "He").to_owned(),
            "his" => self.by_sex("her", "his").to_owned(),
            "His" => self.by_sex("Her", "His").to_owned(),
            "him" => self.by_sex("her", "him").to_owned(),
            "name" => self.title_and_surname(),
            "hospital" => self.mark(&["Hospital1", "Hospital", "Hospital3 "], chance),
            "doctor" => self.mark(
                &["Last Name (LF)", "Doctor Last Name", "Name (NI)", "Last Name (NamePattern1)"],
                chance,
            ),
            "phone" => self.mark(&["Telephone/Fax (1)", "Telephone/Fax (3)", "Pager number"], chance),
            "date" => self.date(self.admission.admitted.plus_hours(24.0 * chance.uniform(0.0, 6.0)), false),
            "year" => match self.marks {
                Marks::Underscores => "___".to_owned(),
                Marks::Brackets => {
                    format!("[**{}**]", self.admission.admitted.date().0 - chance.whole(1, 15))
                }
            },
            "side" => (if self.admission.left_side { "left" } else { "right" }).to_owned(),
            "Side" => (if self.admission.left_side { "L" } else { "R" }).to_owned(),
            "organism" => self.say(self.admission.organism.name, chance),
            "mechanism" => self.say(self.admission.mechanism.told, chance),
            "hr" => whole(vitals.heart_rate).to_string(),
            "bp" => format!("{}/{}", whole(vitals.systolic), whole(vitals.diastolic)),
            "sbp" => whole(vitals.systolic).to_string(),
            "rr" => whole(vitals.respiration).to_string(),
            "temp" => format!("{:.1}", vitals.temperature),
            "spo2" => whole(vitals.saturation).to_string(),
            "gcs" => whole(vitals.coma_score).to_string(),
            "lactate" => format!("{:.1}", labs.lactate),
            "wbc" => format!("{:.1}", labs.white_cells),
            "hct" => format!("{:.1}", labs.hematocrit),
            "plt" => whole(labs.platelets).to_string(),
            "na" => whole(labs.sodium).to_string(),
            "k" => format!("{:.1}", labs.potassium),
            "hco3" => whole(labs.bicarbonate).to_string(),
            "cr" => format!("{:.1}", labs.creatinine),
            "bun" => whole(labs.urea_nitrogen).to_string(),
            "glucose" => whole(labs.glucose).to_string(),
            "bili" => format!("{:.1}", labs.bilirubin),
            "inr" => format!("{:.1}", labs.inr),
            "trop" => format!("{:.2}", labs.troponin),
            "ef" => self.admission.ejection_fraction.to_string(),
            _ => panic!("no slot is called <{name}>"),
        };
        out.push_str(&text);
    }
}
