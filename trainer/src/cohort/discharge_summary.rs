//! Discharge summaries: the layout of the sections, with the irregularities of real ones.
//!
//! Most follow the form that an editor fills in; a fifth are dictated, with headings in capitals and the text beside
//! them. Some lack a section, name it otherwise or run two together; a few of those who die have a physical exam that
//! says so, which is what the removal of leaks is for. Of few admissions there is nothing but a letter.

use super::admission_note::{self, Bodies, Section};
use super::course::Admission;
use super::hospital_course as hospital;
use super::newborn;
use super::patient::{Patient, Sex};
use super::phrasing::wrap;
use super::random::{Chance, Purpose};
use super::voice::{Marks, Voice};

/// Stands in every note, so that none is ever taken for a real one.
pub(crate) const SYNTHETIC: &str = "SYNTHETIC RECORD - NOT A REAL PATIENT";

/// Writes the discharge summary of an admission.
pub(crate) fn discharge_summary(patient: &Patient, admission: &Admission, marks: Marks) -> String {
    let mut chance = Chance::new(patient.seed, patient.index, Purpose::Summary(admission.number));
    let chance = &mut chance;
    let voice = Voice { patient, admission, marks };
    if patient.newborn {
        return marked(&newborn::summary(&voice, chance), marks);
    }
    if chance.happens(LETTERS) {
        return marked(&letter(&voice, chance), marks);
    }
    let studies = voice.say(admission.problem.studies, chance);
    let mut bodies = admission_note::write(&voice, &studies, chance);
    leave_out(&mut bodies, chance);
    leak(&mut bodies, admission, chance);
    let text = if chance.happens(0.2) {
        dictated(&voice, &studies, &bodies, chance)
    } else {
        form(&voice, &studies, &bodies, chance)
    };
    marked(&text, marks)
}

/// Puts the mark of a synthetic record on a note: above it, or below where only the first tokens of a note are read.
pub(super) fn marked(text: &str, marks: Marks) -> String {
    match marks {
        Marks::Brackets => format!("{SYNTHETIC}\n\n{text}\n"),
        Marks::Underscores => format!("{text}\n\n{SYNTHETIC}\n").replace('\n', " \n"),
    }
}

/// Share of admissions of which only a letter is kept: it has no section, so that there is no admission note.
const LETTERS: f64 = 0.004;

/// A letter to the family's doctor.
fn letter(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let admission = voice.admission;
    let (from, to) = (voice.date(admission.admitted, true), voice.date(admission.discharged, true));
    let complaint = voice.say(admission.problem.complaint, chance);
    let opening = voice.say("Dear Dr. <doctor>,\n\nThank you for {referring|allowing us to see} <name>, a <age> year old <man> who was on our service from", chance);
    let end = voice.say("{A full summary will follow|The dictated summary is to follow}. Please call {the ward|<phone>} with any questions.\n\nSincerely,\n<doctor>", chance);
    wrap(&format!("{opening} {from} to {to} for {complaint}. {end}"))
}

/// Sections that someone did not write.
fn leave_out(bodies: &mut Bodies, chance: &mut Chance) {
    const ABSENT: [f64; 8] = [0.02, 0.01, 0.03, 0.03, 0.015, 0.03, 0.06, 0.05];
    for (body, p) in bodies.iter_mut().zip(ABSENT) {
        if chance.happens(p) {
            body.clear();
        }
    }
}

/// Few of those who die have it written where it should not be.
fn leak(bodies: &mut Bodies, admission: &Admission, chance: &mut Chance) {
    if !admission.died || !chance.happens(0.03) {
        return;
    }
    let exam = Section::PhysicalExam as usize;
    match chance.index(5) {
        0 => bodies[exam] = "Patient expired".to_owned(),
        1 => bodies[exam] = format!("pt had expired. {}", bodies[exam]),
        2 => bodies[Section::Medications as usize] = "patient deceased".to_owned(),
        3 => bodies[exam].push_str("\nAt time of death: no spontaneous respirations, pupils fixed"),
        _ => bodies[exam].push_str("\nPronounced expired, no heart sounds"),
    }
}

/// A heading, and whether the text stands beside it.
fn heading(section: Section, chance: &mut Chance) -> &'static str {
    let odd = chance.happens(0.02);
    match section {
        Section::ChiefComplaint => "Chief Complaint:",
        Section::PresentIllness if odd => "HPI:",
        Section::PresentIllness => "History of Present Illness:",
        Section::MedicalHistory if odd => "PMH:",
        Section::MedicalHistory => "Past Medical History:",
        Section::Medications if odd => "Home Medications:",
        Section::Medications => "Medications on Admission:",
        Section::Allergies => "Allergies:",
        Section::PhysicalExam if odd => "Physical Examination:",
        Section::PhysicalExam if chance.happens(0.04) => "Admission Physical Exam:",
        Section::PhysicalExam => "Physical Exam:",
        Section::FamilyHistory => "Family History:",
        Section::SocialHistory => "Social History:",
    }
}

/// Collects sections with blank lines between them, now and then forgetting one.
struct Page {
    text: String,
    careless: bool,
}

impl Page {
    fn add(&mut self, head: &str, body: &str, chance: &mut Chance) {
        if body.is_empty() {
            return;
        }
        if !self.text.is_empty() {
            let forgotten = self.careless && chance.happens(0.1);
            self.text.push_str(if forgotten { "\n" } else { "\n\n" });
            if chance.happens(0.1) && !forgotten {
                self.text.push('\n');
            }
        }
        self.text.push_str(head);
        self.text.push('\n');
        self.text.push_str(body);
    }
}

/// The form of the editor.
fn form(voice: &Voice<'_>, studies: &str, bodies: &Bodies, chance: &mut Chance) -> String {
    let body = |section: Section| bodies[section as usize].as_str();
    let mut page = Page { text: banner(voice, chance), careless: chance.happens(0.08) };
    let early_medications = chance.happens(0.06);
    page.add(heading(Section::Allergies, chance), body(Section::Allergies), chance);
    page.text.push_str(&format!("\n\nAttending:{}", voice.say("<doctor>", chance)));
    page.add(heading(Section::ChiefComplaint, chance), body(Section::ChiefComplaint), chance);
    page.add("Major Surgical or Invasive Procedure:", &hospital::major_procedures(voice, chance), chance);
    page.add(heading(Section::PresentIllness, chance), body(Section::PresentIllness), chance);
    page.add(heading(Section::MedicalHistory, chance), body(Section::MedicalHistory), chance);
    if early_medications {
        page.add(heading(Section::Medications, chance), body(Section::Medications), chance);
    }
    let mut habits = [Section::SocialHistory, Section::FamilyHistory];
    if chance.happens(0.15) {
        habits.reverse();
    }
    for section in habits {
        page.add(heading(section, chance), body(section), chance);
    }
    page.add(heading(Section::PhysicalExam, chance), body(Section::PhysicalExam), chance);
    if chance.happens(0.12) && !voice.admission.died {
        let later = voice.say("{VSS|T 98.<0-9> HR <62-96> BP <104-142>/<54-84>}, {comfortable, NAD|A&Ox3, lungs clear|incision c/d/i}", chance);
        page.add("Discharge Physical Exam:", &later, chance);
    }
    page.add("Pertinent Results:", &hospital::results(voice, studies, chance), chance);
    page.add("Brief Hospital Course:", &hospital::course(voice, chance), chance);
    if !early_medications {
        page.add(heading(Section::Medications, chance), body(Section::Medications), chance);
    }
    page.add("Discharge Medications:", &hospital::discharge_medications(voice, chance), chance);
    page.add("Discharge Disposition:", hospital::disposition(voice), chance);
    if hospital::disposition(voice) == "Extended Care" {
        page.add("Facility:", &voice.say("<hospital>", chance), chance);
    }
    page.add("Discharge Diagnosis:", &hospital::diagnosis(voice, chance), chance);
    page.add("Discharge Condition:", &hospital::condition(voice, chance), chance);
    let (told, follow) = hospital::instructions(voice, chance);
    page.add("Discharge Instructions:", &told, chance);
    page.add("Followup Instructions:", &follow, chance);
    page.text
}

/// A dictation: capitals, text beside the heading, paragraphs.
fn dictated(voice: &Voice<'_>, studies: &str, bodies: &Bodies, chance: &mut Chance) -> String {
    let mut text = banner(voice, chance);
    let mut add = |head: &str, body: &str| {
        if !body.is_empty() {
            text.push_str("\n\n");
            text.push_str(head);
            text.push_str(":  ");
            text.push_str(body);
        }
    };
    let examined = if chance.happens(0.35) { "PHYSICAL EXAMINATION" } else { "PHYSICAL EXAM" };
    let body = |section: Section| bodies[section as usize].as_str();
    add("CHIEF COMPLAINT", body(Section::ChiefComplaint));
    add("HISTORY OF PRESENT ILLNESS", body(Section::PresentIllness));
    add("PAST MEDICAL HISTORY", body(Section::MedicalHistory));
    add("MEDICATIONS ON ADMISSION", body(Section::Medications));
    add("ALLERGIES", body(Section::Allergies));
    add("SOCIAL HISTORY", body(Section::SocialHistory));
    add("FAMILY HISTORY", body(Section::FamilyHistory));
    add(examined, body(Section::PhysicalExam));
    add("LABORATORY DATA", &hospital::results(voice, studies, chance));
    add("HOSPITAL COURSE", &hospital::course(voice, chance));
    add("DISCHARGE DIAGNOSES", &hospital::diagnosis(voice, chance));
    add("DISCHARGE STATUS", hospital::disposition(voice));
    add("CONDITION ON DISCHARGE", &hospital::condition(voice, chance));
    add("DISCHARGE MEDICATIONS", &hospital::discharge_medications(voice, chance));
    let signed = voice.say("\n\n{Dictated|DICTATED} BY: <doctor>", chance);
    text + &signed
}

/// Dates, birth, sex, service.
fn banner(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let admission = voice.admission;
    let sex = if voice.patient.sex == Sex::Female { "F" } else { "M" };
    let name = match voice.marks {
        Marks::Underscores => "Name:  ___                     Unit No:   ___\n\n",
        Marks::Brackets => "",
    };
    let service = admission.problem.service.label();
    let gap = if chance.happens(0.9) { "\n\n" } else { "\n" };
    format!(
        "{name}Admission Date:  {}              Discharge Date:   {}\n\nDate of Birth:  {}             Sex:   {sex}{gap}Service: {service}",
        voice.date(admission.admitted, true),
        voice.date(admission.discharged, true),
        voice.date(voice.patient.shown_birth(), true),
    )
}
