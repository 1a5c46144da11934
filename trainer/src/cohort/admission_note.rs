//! The eight sections that are known when a patient comes in.
//!
//! A model sees the first hundred or two hundred tokens of them: chief complaint and the opening of the present illness.
//! So the opening says who it is, with what diseases, how they present and with what vital signs, as clinicians do.

use super::course::{Admission, Grade, Origin};
use super::knowledge::{FAMILY, Service, System};
use super::patient::Patient;
use super::phrasing::{capitalise, mistype};
use super::physiology::Oxygen;
use super::random::Chance;
use super::voice::{Voice, whole};

/// The sections of an admission note, in the order in which extraction puts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Section {
    ChiefComplaint,
    PresentIllness,
    MedicalHistory,
    Medications,
    Allergies,
    PhysicalExam,
    FamilyHistory,
    SocialHistory,
}

impl Section {
    /// All, in order.
    pub(super) const ALL: [Self; 8] = [
        Self::ChiefComplaint,
        Self::PresentIllness,
        Self::MedicalHistory,
        Self::Medications,
        Self::Allergies,
        Self::PhysicalExam,
        Self::FamilyHistory,
        Self::SocialHistory,
    ];

    /// Its label in an admission note.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::ChiefComplaint => "CHIEF COMPLAINT",
            Self::PresentIllness => "PRESENT ILLNESS",
            Self::MedicalHistory => "MEDICAL HISTORY",
            Self::Medications => "MEDICATION ON ADMISSION",
            Self::Allergies => "ALLERGIES",
            Self::PhysicalExam => "PHYSICAL EXAM",
            Self::FamilyHistory => "FAMILY HISTORY",
            Self::SocialHistory => "SOCIAL HISTORY",
        }
    }
}

/// Bodies of the eight sections, in the order of [`Section::ALL`]; an empty one was not written.
pub(super) type Bodies = [String; 8];

/// Writes the eight sections; `studies` are the first results, which stand elsewhere too.
pub(super) fn write(voice: &Voice<'_>, studies: &str, chance: &mut Chance) -> Bodies {
    let careless = if chance.happens(0.25) { 70.0 } else { 260.0 };
    let bodies = [
        chief_complaint(voice, chance),
        present_illness(voice, studies, chance),
        medical_history(voice, chance),
        medications(voice, chance),
        allergies(voice, chance),
        physical_exam(voice, chance),
        family_history(voice, chance),
        social_history(voice, chance),
    ];
    bodies.map(|body| mistype(&body, careless, chance))
}

/// Joins bodies as section extraction does: line ends become blanks, every label stands, empty or not.
pub(super) fn join(bodies: &Bodies) -> String {
    let blocks = Section::ALL.iter().zip(bodies).map(|(section, body)| {
        let line = body.replace('\n', " ");
        format!("{}: {}", section.label(), line.trim()).trim_end().to_owned()
    });
    blocks.collect::<Vec<_>>().join("\n\n")
}

fn chief_complaint(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let admission = voice.admission;
    let mut text = if admission.planned() && chance.happens(0.35) {
        voice.say("{elective admission|admitted for elective procedure|here for elective surgery}", chance)
    } else {
        voice.say(admission.problem.complaint, chance)
    };
    if chance.happens(0.75) {
        capitalise(&mut text);
    }
    if admission.oxygen == Oxygen::Ventilator && chance.happens(0.2) {
        text.push_str(", intubated");
    }
    text
}

/// The diseases worth a mention in the first sentence.
fn brief_diseases(voice: &Voice<'_>, chance: &mut Chance) -> Vec<String> {
    let mut known: Vec<_> = voice.patient.chronic.iter().filter(|chronic| !chronic.brief.is_empty()).collect();
    chance.shuffle(&mut known);
    // What weighs most is mentioned first, more often than not.
    if chance.happens(0.7) {
        known.sort_by(|a, b| b.risk.total_cmp(&a.risk));
    }
    let limit = usize::try_from(chance.whole(2, 5)).unwrap_or(3);
    known.iter().take(limit).map(|chronic| voice.say(chronic.brief, chance)).collect()
}

fn present_illness(voice: &Voice<'_>, studies: &str, chance: &mut Chance) -> String {
    let admission = voice.admission;
    let mut sentences = vec![opening(voice, chance)];
    if admission.planned() {
        sentences.push(voice.say(
            "{Preop {labs|testing} {unremarkable|notable for Hct <hct>, Cr <cr>}|Cleared by cardiology|Preoperative vitals <temp>, HR <hr>, BP <bp>, <spo2>% RA|}",
            chance,
        ));
        sentences.push(voice.say(
            "{Risks and benefits were discussed|After discussion of options <he> elected to proceed|Presents today for surgery|Denies {recent fevers|recent illness}}",
            chance,
        ));
    } else {
        let mut rest = vec![denial(voice, chance)];
        let vitals = emergency_vitals(voice, chance);
        let labs = laboratory(voice, chance);
        let studies = studies.to_owned();
        let treated = treatment(voice, chance);
        if chance.happens(0.72) {
            sentences.push(vitals);
            sentences.push(labs);
            rest.insert(0, studies);
            rest.insert(1, treated);
        } else {
            sentences.append(&mut rest);
            sentences.push(vitals);
            rest = vec![labs, studies, treated];
        }
        sentences.append(&mut rest);
        sentences.push(disposition(voice, chance));
        if chance.happens(0.45) {
            sentences.push(voice.say(
                "{\n\n|}{On {arrival to|transfer to} the {ICU|floor|MICU}, <he> {was comfortable|appears fatigued|was in no distress|looked ill}|On ROS, {positive for fatigue|no recent travel|denies fevers, chills, night sweats}|{Of note, |}<he> was {recently discharged from <hospital>|last admitted <date>|seen by PCP Dr. <doctor> last week}|ROS otherwise {negative|unremarkable|limited by patient condition}}",
                chance,
            ));
        }
    }
    finish(sentences, chance)
}

/// Joins clauses into sentences: first letters are large, most of the time, and each ends with a full stop.
fn finish(sentences: Vec<String>, chance: &mut Chance) -> String {
    let sloppy = chance.happens(0.12);
    let mut text = String::new();
    for mut sentence in sentences {
        let trimmed = sentence.trim_end_matches([' ', '.']).len();
        sentence.truncate(trimmed);
        if sentence.trim().is_empty() {
            continue;
        }
        if !sloppy {
            capitalise(&mut sentence);
        }
        if !text.is_empty() && !sentence.starts_with('\n') {
            text.push_str(if chance.happens(0.5) { " " } else { "  " });
        }
        text.push_str(&sentence);
        text.push('.');
    }
    wrap(&text)
}

fn opening(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let admission = voice.admission;
    let who = voice.say("{<name> is a |This is a |Pt is a |Patient is a |The patient is a |||}<age>{ yo | y/o | year old |yo | year-old |y.o. |-year-old }<man>", chance);
    let diseases = brief_diseases(voice, chance);
    let history = if diseases.is_empty() {
        voice.say("{, previously healthy,| with no significant PMH| with no past medical history| without significant PMHx|}", chance)
    } else {
        let lead = voice.say("{ with| w/| with a history of| with h/o| with PMH of| with PMHx significant for| w/ hx of|, h/o}", chance);
        format!("{lead} {}", diseases.join(if chance.happens(0.9) { ", " } else { " and " }))
    };
    let grade = match admission.grade {
        Grade::Mild => 0,
        Grade::Moderate => 1,
        Grade::Severe => 2,
    };
    let story = voice.say(admission.problem.presents[grade], chance);
    if admission.planned() {
        let operation = voice.say(admission.problem.operation, chance);
        return match chance.index(3) {
            0 => format!("{who}{history} admitted for {}{operation}. {story}", voice.say("{elective |planned |}", chance)),
            1 => format!("{who}{history} with {story}, {} {operation}", voice.say("{here for|who presents for|now for|scheduled for}", chance)),
            _ => format!("{who}{history} who presents for {operation}. {} {story}", voice.say("{Briefly,|Has had|History of|Course notable for}", chance)),
        };
    }
    let lead = match admission.origin {
        Origin::OtherHospital => voice.say("{transferred from <hospital> with|who presented to OSH with|transferred from an OSH for|txf from <hospital> w/}", chance),
        Origin::NursingHome => voice.say("{sent from {nursing home|NH|rehab} with|who was BIBA from <his> nursing home with|from [SNF] with}", chance).replace("[SNF]", "SNF"),
        Origin::Clinic => voice.say("{referred from clinic with|sent in by PCP for|direct admit from clinic with}", chance),
        Origin::Home => voice.say("{who presents with|presenting with|p/w|who p/w|presented to the ED with|admitted with|BIBEMS with|who comes in with}", chance),
    };
    let mut text = format!("{who}{history} {lead} {story}");
    if admission.no_resuscitation && chance.happens(0.35) {
        text.push_str(&voice.say("{. <He> is DNR/DNI|. Code status DNR per {family|HCP}|. DNR/DNI on arrival}", chance));
    }
    text
}

fn denial(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let what = voice.say(voice.admission.problem.denies, chance);
    if what.contains("obtain") {
        return what;
    }
    let lead = "{Denies|<He> denies|Pt denies|No|denies any|Denied}";
    format!("{} {what}", voice.say(lead, chance))
}

/// The first set of vital signs, in one of the ways people write them.
fn emergency_vitals(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let vitals = &voice.admission.vitals;
    let oxygen = oxygen_words(voice, chance);
    let lead = match voice.admission.origin {
        Origin::OtherHospital if chance.happens(0.5) => "{At OSH|In the OSH ED|On arrival to <hospital>}",
        _ => "{In the ED|In ED|On arrival|In the emergency department|Upon arrival to the ED}",
    };
    let style = match chance.index(5) {
        0 => "{, |, initial |: }{VS|vitals} {were |}<temp> <hr> <bp> <rr> ",
        1 => "{, |: }T <temp>, HR <hr>, BP <bp>, RR <rr>, {sat |O2 sat |}",
        2 => "{, initial vitals|, triage vitals} {were |}T<temp>, P <hr>, BP <bp>, R <rr>, SpO2 ",
        3 => " {afebrile|T <temp>}, HR <hr>, {BP <bp>|SBP <sbp>}, RR <rr>, satting ",
        _ => "{, VS|, vs}: T <temp> BP <bp> HR <hr> RR <rr> O2sat ",
    };
    // "Afebrile" is for those who are.
    let style = if (97.0..100.4).contains(&vitals.temperature) {
        style.to_owned()
    } else {
        let said = if vitals.temperature > 99.0 { "{T <temp>|febrile to <temp>}" } else { "{T <temp>|cold to <temp>}" };
        style.replace("{afebrile|T <temp>}", said)
    };
    let mut text = voice.say(&format!("{lead}{style}"), chance);
    text.push_str(&oxygen);
    if vitals.coma_score < 14.0 && chance.happens(0.75) {
        text.push_str(&voice.say("{, GCS <gcs>|; GCS of <gcs>}", chance));
    } else if vitals.coma_score > 14.0 && chance.happens(0.2) {
        text.push_str(&voice.say("{, A&Ox3|, alert and oriented}", chance));
    }
    if vitals.systolic < 88.0 && chance.happens(0.6) {
        text.push_str(&voice.say("{, {given|received} <2-5>L {NS|IVF} {with minimal response|and started on levophed|without improvement}|; started on {levophed|norepinephrine|peripheral neo}}", chance));
    }
    text
}

fn oxygen_words(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let saturation = whole(voice.admission.vitals.saturation);
    let better = (saturation + chance.whole(5, 12)).clamp(88, 100);
    match voice.admission.oxygen {
        Oxygen::RoomAir => format!("{saturation}%{}", voice.say("{ RA| on RA| on room air|RA}", chance)),
        Oxygen::Cannula => match chance.index(3) {
            0 => format!("{saturation}% RA{} {better}% {}L", voice.say("{ ->|, |, up to}", chance), chance.whole(2, 4)),
            _ => format!("{better}%{}{}L{}", voice.say("{ on | }", chance), chance.whole(2, 6), voice.say("{ NC||NC}", chance)),
        },
        Oxygen::Mask => match chance.index(2) {
            0 => format!("{saturation}% RA{}", voice.say("{, put on NRB|, placed on non-rebreather|, facemask applied}", chance)),
            _ => format!("{better}% on {}", voice.say("{NRB|a non-rebreather|100% NRB|50% face mask}", chance)),
        },
        Oxygen::Bilevel => format!("{saturation}%{}", voice.say("{ RA, started on BiPAP| on NRB, escalated to BiPAP| on 15L, NIPPV initiated}", chance)),
        Oxygen::Ventilator => format!("{better}%{}", voice.say("{ {intubated|on vent}| after intubation| on FiO2 {100%|1.0}, intubated|, intubated for {airway protection|respiratory distress}}", chance)),
    }
}

/// Values worth reporting: the abnormal ones, the most abnormal first.
fn laboratory(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let labs = &voice.admission.labs;
    let mut notable: Vec<(f64, &str)> = vec![
        ((labs.lactate / 2.0).ln() * 2.2, "lactate {of |}<lactate>"),
        (((labs.white_cells - 8.0).abs() - 3.5) / 4.0, "{WBC|wbc|WBC count} <wbc>"),
        ((33.0 - labs.hematocrit) / 4.0, "{Hct|HCT|crit of} <hct>"),
        ((135.0 - labs.platelets) / 40.0, "{plt|platelets} <plt>"),
        (((labs.sodium - 138.5).abs() - 4.5) / 3.0, "Na <na>"),
        (((labs.potassium - 4.2).abs() - 0.9) / 0.45, "K <k>"),
        ((20.0 - labs.bicarbonate) / 3.5, "{HCO3|bicarb} <hco3>"),
        ((labs.creatinine / 1.3).ln() * 2.4, "{Cr |creatinine |BUN/Cr <bun>/}<cr>"),
        ((labs.glucose / 210.0).ln() * 3.0, "{glucose|FSBG} <glucose>"),
        ((labs.bilirubin / 1.6).ln() * 1.6, "{Tbili|T. bili} <bili>"),
        ((labs.inr / 1.5).ln() * 2.6, "INR <inr>"),
        ((labs.troponin / 0.08).ln() * 1.1, "{trop|troponin} {T |}<trop>"),
    ];
    notable.retain(|(score, _)| *score > 0.0);
    notable.sort_by(|a, b| b.0.total_cmp(&a.0));
    if notable.is_empty() {
        return voice.say("{Labs {were unremarkable|unrevealing|within normal limits}|CBC and chem 7 {WNL|unremarkable}|}", chance);
    }
    let limit = usize::try_from(chance.whole(2, 6)).unwrap_or(4);
    let lead = voice.say("{Labs {notable for|significant for|with|remarkable for|showed}|Notable labs:|Initial labs}", chance);
    let values: Vec<_> =
        notable.iter().take(limit).map(|(_, template)| voice.say(template, chance)).collect();
    format!("{lead} {}", values.join(", "))
}

fn treatment(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let given = voice.say(voice.admission.problem.treated, chance);
    if given.is_empty() {
        return given;
    }
    format!("{} {given}", voice.say("{Received|Given|<He> was given|Pt received|Got}", chance))
}

fn disposition(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let unit = voice.admission.problem.service.unit();
    let wards: &str = match voice.admission.grade {
        Grade::Severe => "{Admitted to the UNIT|Transferred to UNIT for {further management|hemodynamic monitoring}|To UNIT}",
        Grade::Moderate => "{Admitted to UNIT for {further management|close monitoring}|Admitted for further {care|workup}|}",
        Grade::Mild => "{Admitted for further {evaluation|management}|Admitted to the floor|Admitted to UNIT for monitoring|}",
    };
    voice.say(wards, chance).replace("UNIT", if chance.happens(0.6) { unit } else { "ICU" })
}

fn medical_history(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let patient = voice.patient;
    let mut items: Vec<String> = patient.chronic.iter().map(|chronic| voice.say(chronic.listed, chance)).collect();
    for minor in &patient.minor {
        if !minor.code.starts_with("V498") && minor.code != "3051" {
            items.push(voice.say(minor.listed, chance));
        }
    }
    if items.is_empty() {
        return voice.say("{None|none|Denies|No significant PMH|Non-contributory|healthy}", chance);
    }
    if chance.happens(0.5) {
        chance.shuffle(&mut items);
    }
    for item in &mut items {
        if chance.happens(0.4) {
            capitalise(item);
        }
    }
    list(&items, chance)
}

/// A list in one of the ways people write lists.
fn list(items: &[String], chance: &mut Chance) -> String {
    match chance.index(5) {
        0 => wrap(&items.join(", ")),
        1 => items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n"),
        2 => items.iter().enumerate().map(|(at, item)| format!("{}. {item}", at + 1)).collect::<Vec<_>>().join("\n"),
        3 => items.join("\n"),
        _ => items.iter().enumerate().map(|(at, item)| format!("{}) {item}", at + 1)).collect::<Vec<_>>().join("\n"),
    }
}

fn medications(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let drugs = &voice.patient.drugs;
    if drugs.is_empty() {
        return voice.say("{None|none|No medications|Denies}", chance);
    }
    if chance.happens(0.04) {
        return voice.say("{Unable to obtain|unknown, patient intubated|See OMR list|per family unsure of meds}", chance);
    }
    let style = chance.index(4);
    let items: Vec<String> = drugs
        .iter()
        .map(|home| {
            let name = if chance.happens(0.4) { home.drug.trade } else { home.drug.name };
            match style {
                0 => format!("{name} {} {} {}", home.strength, home.drug.route, home.drug.times),
                1 => format!("{name} {} {}", home.strength.replace(' ', ""), home.drug.times.to_lowercase()),
                2 => format!("{name} {} {} {} {}", home.strength, home.drug.form, home.drug.route, home.drug.times),
                _ => format!("{name} {}", home.strength),
            }
        })
        .collect();
    list(&items, chance)
}

fn allergies(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let known = &voice.patient.allergies;
    if known.is_empty() {
        return voice.say("{Patient recorded as having No Known Allergies to Drugs|No Known Allergies / Adverse Drug Reactions|NKDA|nkda|No known drug allergies|None}", chance);
    }
    known.iter().map(|allergy| voice.say(allergy.listed, chance)).collect::<Vec<_>>().join(" / ")
}

fn physical_exam(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let admission = voice.admission;
    let finding = voice.say(admission.problem.exam[usize::from(admission.grade == Grade::Severe)], chance);
    let vitals = voice.say("{VS|Vitals|Vital signs|VITALS}{: |- }{T <temp> |T: <temp> |<temp> }{HR <hr> BP <bp> RR <rr>|BP: <bp> P: <hr> R: <rr>|BP <bp>, HR <hr>, R <rr>}", chance);
    let oxygen = oxygen_words(voice, chance);
    let general = match (admission.oxygen, admission.grade) {
        (Oxygen::Ventilator, _) => "{intubated, sedated|sedated on vent, not following commands|intubated, opens eyes to voice}",
        (_, Grade::Severe) => "{ill appearing|in moderate distress|toxic, lethargic|uncomfortable, diaphoretic|frail, chronically ill appearing}",
        (_, Grade::Moderate) => "{NAD|mildly uncomfortable|tired appearing but comfortable|A&Ox3, mild distress}",
        (_, Grade::Mild) => "{NAD|WDWN, pleasant, NAD|comfortable, conversant|well appearing}",
    };
    let general = voice.say(general, chance);
    let eyes = voice.say("{PERRL, EOMI|NCAT, MMM|anicteric, OP clear|sclera anicteric, MM dry|PERRLA, oropharynx clear}", chance);
    let neck = voice.say("{supple|no LAD|supple, no JVD|no thyromegaly, no bruits}", chance);
    let belly = voice.say("{soft, NT/ND|soft, nontender, +BS|obese, soft, NT|NABS, soft, no HSM|benign}", chance);
    let limbs = voice.say("{WWP, no edema|no c/c/e|no edema, 2+ DP pulses|trace edema b/l|warm, well perfused}", chance);
    let nerves = if admission.vitals.coma_score < 13.0 {
        voice.say("{GCS <gcs>|lethargic, arousable to {sternal rub|voice}|not oriented, moves all extremities|unable to cooperate with exam}", chance)
    } else {
        voice.say("{A&Ox3, CN II-XII intact|grossly intact|nonfocal|AAOx3, strength 5/5 throughout|moving all 4 extremities}", chance)
    };
    let break_lines = chance.happens(0.7);
    let colon = if chance.happens(0.8) { ": " } else { " - " };
    let names: [&str; 7] = if chance.happens(0.5) {
        ["GENERAL", "HEENT", "NECK", "EXAM", "ABDOMEN", "EXT", "NEURO"]
    } else {
        ["Gen", "HEENT", "Neck", "Pertinent", "Abd", "Ext", "Neuro"]
    };
    let mut lines = vec![format!("{vitals} {oxygen}"), format!("{}{colon}{general}", names[0])];
    for (name, body) in names[1..].iter().zip([eyes, neck, finding, belly, limbs, nerves]) {
        let pertinent = *name == "EXAM" || *name == "Pertinent";
        if pertinent {
            lines.push(capitalised(body));
        } else if !hides(admission, name) && chance.happens(0.85) {
            lines.push(format!("{name}{colon}{body}"));
        }
    }
    lines.join(if break_lines { "\n" } else { ". " })
}

/// Whether the problem's own findings speak for this part of the body, so that the normal phrase must not.
fn hides(admission: &Admission, part: &str) -> bool {
    let belly = matches!(admission.problem.system, System::Gastrointestinal | System::Hepatobiliary | System::Obstetric);
    let nerves = matches!(admission.problem.system, System::Neurological | System::Toxicological);
    let limbs = matches!(admission.problem.system, System::Vascular | System::Musculoskeletal | System::Skin | System::Trauma)
        || admission.problem.key == "heart failure";
    match part {
        "ABDOMEN" | "Abd" => belly || admission.problem.service == Service::Surgery,
        "EXT" | "Ext" => limbs,
        "NEURO" | "Neuro" => nerves,
        _ => false,
    }
}

fn capitalised(mut text: String) -> String {
    capitalise(&mut text);
    text
}

fn family_history(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let count = if chance.happens(0.6) { 1 } else { 2 };
    let mut lines: Vec<String> = Vec::new();
    for _ in 0..count {
        lines.push(voice.say(chance.pick(FAMILY), chance));
    }
    lines.join(". ")
}

fn social_history(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let Patient { habits, background, .. } = voice.patient;
    let home = if habits.nursing_home {
        "{Lives at {nursing home|NH|assisted living}|Resident of <hospital> rehab|NH resident x <1-6> years}"
    } else {
        match background.marital_status {
            "MARRIED" => "{Lives with {spouse|<his> family}|Married, <1-5> children|Lives at home with partner}",
            "WIDOWED" => "{Widowed, lives alone|Lives with daughter|Widowed. Lives in senior housing}",
            _ => "{Lives alone|Lives with roommate|Single, lives with mother|Lives independently}",
        }
    };
    let mut lines = vec![voice.say(home, chance)];
    if chance.happens(0.4) {
        lines.push(voice.say("{Retired {teacher|engineer|mechanic|nurse|postal worker|electrician|from construction}|Works {as a cook|in retail|in an office|as a driver}|On disability|Currently unemployed|Worked in {shipyard|factory|a bakery}}", chance));
    }
    lines.push(match habits.pack_years {
        Some(years) if habits.smokes => format!("{} {years}{}", voice.say("{Tobacco:|Smokes,|Current smoker,|+ tobacco,}", chance), voice.say("{ pk-yrs| pack years|py}", chance)),
        Some(years) => format!("{} {years}{}", voice.say("{Former smoker,|Quit tobacco <2-30> years ago,|Ex-smoker,}", chance), voice.say("{ pk-yrs| pack years|py}", chance)),
        None => voice.say("{Never smoked|Denies tobacco|No tob|Tobacco: none}", chance),
    });
    lines.push(match habits.drinks {
        0 => voice.say("{Denies EtOH|No etoh|no alcohol|EtOH: none}", chance),
        drinks @ 1..=13 => format!("{} {drinks}{}", voice.say("{EtOH:|Alcohol:|Drinks}", chance), voice.say("{ drinks/wk| drinks per week|/week}", chance)),
        drinks => format!("{} {} {}", voice.say("{Heavy EtOH,|EtOH abuse,|Drinks}", chance), drinks / 7, voice.say("{beers/day|drinks daily|shots of vodka daily}", chance)),
    });
    let drugs = voice.patient.has("iv drug use") || voice.patient.has("cocaine");
    if drugs {
        lines.push(voice.say("{+ IVDU|Uses heroin, cocaine|h/o cocaine and heroin use|Last used <1-9> days ago}", chance));
    } else if chance.happens(0.6) {
        lines.push(voice.say("{No illicits|Denies IVDU|no drugs|Illicits: none}", chance));
    }
    lines.join(chance.pick(&[". ", "\n", "; "]))
}

/// Breaks lines before the eightieth column, as transcription does.
pub(super) fn wrap(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    for (at, line) in text.split('\n').enumerate() {
        if at > 0 {
            out.push('\n');
        }
        let mut column = 0;
        for word in line.split(' ') {
            if column > 0 && column + 1 + word.len() > 78 {
                out.push('\n');
                column = 0;
            } else if column > 0 {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            column += word.len().max(1);
        }
    }
    out
}
