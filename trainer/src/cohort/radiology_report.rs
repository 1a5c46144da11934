//! Radiology reports: the chest films of a stay, and the study that the problem calls for.

use super::calendar::Moment;
use super::course::{Admission, Grade};
use super::discharge_summary::marked;
use super::knowledge::{STUDIES, Study, System};
use super::patient::Patient;
use super::phrasing::mistype;
use super::random::Chance;
use super::voice::{Marks, Voice};

/// A report.
#[derive(Debug)]
pub(super) struct Report {
    /// As it was ordered.
    pub(super) name: &'static str,
    pub(super) taken: Moment,
    pub(super) text: String,
}

/// Writes the reports of an admission, in order of time.
pub(super) fn reports(
    patient: &Patient,
    admission: &Admission,
    marks: Marks,
    chance: &mut Chance,
) -> Vec<Report> {
    let voice = Voice { patient, admission, marks };
    let stay = admission.stay_hours();
    let mut hours = Vec::new();
    let lungs =
        matches!(admission.problem.system, System::Respiratory | System::Cardiac | System::Infectious);
    if chance.happens(if lungs { 0.95 } else { 0.7 }) {
        hours.push(chance.uniform(0.3, 3.0).min(stay * 0.5));
    }
    for episode in &admission.ventilation {
        hours.push((episode.start + 1.0).min(episode.end));
    }
    let further = (stay / 60.0).min(if admission.ventilation.is_empty() { 2.0 } else { 7.0 });
    for _ in 0..super::voice::whole(further * chance.unit()) {
        hours.push(chance.uniform(4.0, stay));
    }
    hours.sort_by(f64::total_cmp);
    let mut reports: Vec<Report> = hours
        .iter()
        .enumerate()
        .map(|(number, hours)| chest_film(&voice, *hours, number == 0, chance))
        .collect();
    for study in STUDIES {
        let named = study.keys.contains(&admission.problem.key);
        if (named || study.systems.contains(&admission.problem.system)) && chance.happens(study.done) {
            let at = chance.uniform(0.5, 20.0).min(stay * 0.8);
            reports.push(special(&voice, study, named, at, chance));
        }
    }
    reports.sort_by_key(|report| report.taken);
    reports
}

fn chest_film(voice: &Voice<'_>, hours: f64, first: bool, chance: &mut Chance) -> Report {
    let admission = voice.admission;
    let ventilated =
        admission.ventilation.iter().any(|episode| (episode.start..=episode.end).contains(&hours));
    let standing = first && !ventilated && admission.grade != Grade::Severe;
    let name = if standing { "CHEST (PA & LAT)" } else { "CHEST (PORTABLE AP)" };
    let technique =
        if standing { "PA and lateral views of the chest." } else { "Single AP portable view of the chest." };
    let question = if ventilated {
        "{ETT placement|tube position|interval change|? worsening infiltrate}"
    } else if first {
        "{? pneumonia|r/o infiltrate|eval for acute process|SOB|pre op|fever}"
    } else {
        "{interval change|? effusion|eval for CHF|s/p line placement|? pneumothorax}"
    };
    let mut findings = Vec::new();
    if ventilated {
        findings.push("{ETT|The endotracheal tube} {terminates|tip is} <2-6> cm above the carina. {NG tube {below the diaphragm|tip in the stomach}.|}");
    }
    let sick = !matches!(admission.grade, Grade::Mild);
    let (lungs, impression) = match (admission.problem.key, admission.problem.system) {
        ("pneumonia" | "aspiration" | "pneumocystis", _) if sick => (
            "{Patchy|Dense|Increasing} opacity in the <side> lower lobe{ with air bronchograms|}. {Small <side> effusion|No pleural effusion}. No pneumothorax.",
            "<Side> lower lobe pneumonia{, worse since prior|}.",
        ),
        ("pneumothorax", _) => (
            "{Moderate|Small apical} <side> pneumothorax {without mediastinal shift|measuring <1-4> cm}. {Chest tube in place|No effusion}.",
            "<Side> pneumothorax.",
        ),
        ("pleural effusion", _) => (
            "{Large|Moderate} <side> pleural effusion with {adjacent atelectasis|compressive atelectasis}. No pneumothorax.",
            "<Side> pleural effusion.",
        ),
        ("heart failure" | "stemi" | "mitral regurgitation" | "aortic stenosis", _) if sick => (
            "The heart is {moderately|} enlarged. {Perihilar haziness|Vascular redistribution} and {Kerley B lines|bilateral effusions}. No focal consolidation.",
            "{Moderate|Mild} {pulmonary edema|CHF}{ with effusions|}.",
        ),
        ("septic shock", _) if sick => (
            "{Low lung volumes|Bibasilar opacities}, {atelectasis versus early infiltrate|no definite consolidation}. No effusion.",
            "Bibasilar {atelectasis|opacities}, {infection not excluded|clinical correlation advised}.",
        ),
        ("copd exacerbation" | "asthma attack", _) => (
            "The lungs are hyperinflated {with flattened diaphragms|consistent with emphysema}. No consolidation{ or effusion|}.",
            "{Hyperinflation, no pneumonia.|COPD. No acute process.}",
        ),
        _ => (
            "{The lungs are clear|Lungs are well expanded and clear|Minor basilar atelectasis}. {The cardiomediastinal silhouette is {normal|stable|within normal limits}|Heart size is normal|Heart is mildly enlarged}. No {effusion|pleural effusion} or pneumothorax.",
            "{No acute cardiopulmonary process.|No evidence of pneumonia.|No acute process.|No change.}",
        ),
    };
    findings.push(lungs);
    let findings = findings.iter().map(|template| voice.say(template, chance)).collect::<Vec<_>>().join(" ");
    let text = Page { name, technique, question, findings, impression };
    text.write(voice, admission.admitted.plus_hours(hours).minute(), chance)
}

fn special(voice: &Voice<'_>, study: &'static Study, named: bool, hours: f64, chance: &mut Chance) -> Report {
    let abnormal = named || study.keys.is_empty();
    let [findings, impression] = if abnormal { study.abnormal } else { study.normal };
    let findings = voice.say(findings, chance);
    let page =
        Page { name: study.name, technique: study.technique, question: study.question, findings, impression };
    page.write(voice, voice.admission.admitted.plus_hours(hours).minute(), chance)
}

/// What every report has.
struct Page {
    name: &'static str,
    technique: &'static str,
    question: &'static str,
    findings: String,
    impression: &'static str,
}

impl Page {
    fn write(&self, voice: &Voice<'_>, taken: Moment, chance: &mut Chance) -> Report {
        let who = voice.say("<age> year old <man> with ", chance)
            + &voice.say(voice.admission.problem.complaint, chance);
        let technique = voice.say(self.technique, chance);
        let question = voice.say(self.question, chance);
        let impression = voice.say(self.impression, chance);
        let comparison = voice.say("{None|None available|Prior film from <date>|<date>}", chance);
        let text = match voice.marks {
            Marks::Brackets => {
                let clock = voice.say("<1-12>:<10-59> {AM|PM}", chance);
                let clip = voice.say("[**Clip Number (Radiology) <100-99999>**]", chance);
                let rule = "_".repeat(78);
                format!(
                    " {} {clock}\n {:60} Clip # {clip}\n Reason: {question}\n Admitting Diagnosis: {}\n{rule}\n UNDERLYING MEDICAL CONDITION:\n  {who}\n REASON FOR THIS EXAMINATION:\n  {question}\n{rule}\n                                 FINAL REPORT\n {technique}\n\n COMPARISON:  {comparison}.\n\n FINDINGS:  {}\n\n IMPRESSION:  {impression}",
                    voice.date(taken, true),
                    self.name,
                    voice.admission.problem.label,
                    self.findings,
                )
            }
            Marks::Underscores => format!(
                "EXAMINATION:  {}\n\nINDICATION:  {who}  // {question}\n\nTECHNIQUE:  {technique}\n\nCOMPARISON:  {comparison}.\n\nFINDINGS: \n\n{}\n\nIMPRESSION: \n\n{impression}",
                self.name, self.findings,
            ),
        };
        Report { name: self.name, taken, text: marked(&mistype(&text, 300.0, chance), voice.marks) }
    }
}
