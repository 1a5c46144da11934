//! The eight sections that are known when a patient comes in.
//!
//! A model sees the first hundred or two hundred tokens of them: chief complaint and the opening of the present illness.
//! So the opening says who it is, with what diseases, how they present and with what vital signs, as clinicians do.

use super::course::{Admission, Grade};
use super::knowledge::{FAMILY, Service, System};
use super::patient::Patient;
use super::phrasing::{capitalise, capitalised, mistype, wrap};
use super::physiology::Oxygen;
use super::present_illness::{self, oxygen_words};
use super::random::Chance;
use super::voice::Voice;

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

/// Bodies of the eight sections, in the order of [`Section`]; an empty one was not written.
pub(super) type Bodies = [String; 8];

/// Writes the eight sections; `studies` are the first results, which stand elsewhere too.
pub(super) fn write(voice: &Voice<'_>, studies: &str, chance: &mut Chance) -> Bodies {
    let careless = if chance.happens(0.25) { 70.0 } else { 260.0 };
    let bodies = [
        chief_complaint(voice, chance),
        present_illness::write(voice, studies, chance),
        medical_history(voice, chance),
        medications(voice, chance),
        allergies(voice, chance),
        physical_exam(voice, chance),
        family_history(voice, chance),
        social_history(voice, chance),
    ];
    bodies.map(|body| mistype(&body, careless, chance))
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
fn medical_history(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let patient = voice.patient;
    let mut items: Vec<String> =
        patient.chronic.iter().map(|chronic| voice.say(chronic.listed, chance)).collect();
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
        2 => items
            .iter()
            .enumerate()
            .map(|(at, item)| format!("{}. {item}", at + 1))
            .collect::<Vec<_>>()
            .join("\n"),
        3 => items.join("\n"),
        _ => items
            .iter()
            .enumerate()
            .map(|(at, item)| format!("{}) {item}", at + 1))
            .collect::<Vec<_>>()
            .join("\n"),
    }
}

fn medications(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let (drugs, admission) = (&voice.patient.drugs, voice.admission);
    if drugs.is_empty() {
        return voice.say("{None|none|No medications|Denies}", chance);
    }
    if chance.happens(0.04) {
        let unknown = match admission.oxygen {
            Oxygen::Ventilator => "{Unable to obtain|unknown, patient intubated}",
            _ => "{Unknown|See OMR list|per family unsure of meds|unable to recall, pharmacy closed}",
        };
        return voice.say(unknown, chance);
    }
    let style = chance.index(4);
    let items: Vec<String> = drugs
        .iter()
        .map(|home| {
            let name = if chance.happens(0.4) { home.drug.trade } else { home.drug.name };
            match style {
                0 => format!("{name} {} {} {}", home.strength, home.drug.route, home.drug.times),
                1 => format!("{name} {} {}", home.strength.replace(' ', ""), home.drug.times.to_lowercase()),
                2 => format!(
                    "{name} {} {} {} {}",
                    home.strength, home.drug.form, home.drug.route, home.drug.times
                ),
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
    let oxygen = oxygen_words(voice, admission.oxygen, chance);
    let general = match (admission.oxygen, admission.grade) {
        (Oxygen::Ventilator, _) => {
            "{intubated, sedated|sedated on vent, not following commands|intubated, opens eyes to voice}"
        }
        (_, Grade::Severe) => {
            "{ill appearing|in moderate distress|toxic, lethargic|uncomfortable, diaphoretic|frail, chronically ill appearing}"
        }
        (_, Grade::Moderate) => {
            "{NAD|mildly uncomfortable|tired appearing but comfortable|A&Ox3, mild distress}"
        }
        (_, Grade::Mild) => "{NAD|WDWN, pleasant, NAD|comfortable, conversant|well appearing}",
    };
    let general = voice.say(general, chance);
    let eyes = voice.say(
        "{PERRL, EOMI|NCAT, MMM|anicteric, OP clear|sclera anicteric, MM dry|PERRLA, oropharynx clear}",
        chance,
    );
    let neck = voice.say("{supple|no LAD|supple, no JVD|no thyromegaly, no bruits}", chance);
    let belly =
        voice.say("{soft, NT/ND|soft, nontender, +BS|obese, soft, NT|NABS, soft, no HSM|benign}", chance);
    let limbs = voice
        .say("{WWP, no edema|no c/c/e|no edema, 2+ DP pulses|trace edema b/l|warm, well perfused}", chance);
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
    let belly = matches!(
        admission.problem.system,
        System::Gastrointestinal | System::Hepatobiliary | System::Obstetric
    );
    let nerves = matches!(admission.problem.system, System::Neurological | System::Toxicological);
    let limbs = matches!(
        admission.problem.system,
        System::Vascular | System::Musculoskeletal | System::Skin | System::Trauma
    ) || admission.problem.key == "heart failure";
    match part {
        "ABDOMEN" | "Abd" => belly || admission.problem.service == Service::Surgery,
        "EXT" | "Ext" => limbs,
        "NEURO" | "Neuro" => nerves,
        _ => false,
    }
}

fn family_history(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let count = if chance.happens(0.6) { 1 } else { 2 };
    let first = chance.index(FAMILY.len());
    // Whatever comes second is another line of the list, and nobody adds to "unknown".
    let lines: Vec<String> =
        (0..count).map(|number| voice.say(FAMILY[(first + 5 * number) % FAMILY.len()], chance)).collect();
    lines.join(". ")
}

fn social_history(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let Patient { habits, background, .. } = voice.patient;
    let home = if habits.nursing_home {
        "{Lives at {nursing home|NH|assisted living}|Resident of <hospital> rehab|NH resident x <1-6> years}"
    } else {
        match background.marital_status {
            "MARRIED" => {
                "{Lives with {spouse|<his> family}|Married, <1-5> children|Lives at home with partner}"
            }
            "WIDOWED" => "{Widowed, lives alone|Lives with daughter|Widowed. Lives in senior housing}",
            _ => "{Lives alone|Lives with roommate|Single, lives with mother|Lives independently}",
        }
    };
    let mut lines = vec![voice.say(home, chance)];
    if chance.happens(0.4) {
        lines.push(voice.say("{Retired {teacher|engineer|mechanic|nurse|postal worker|electrician|from construction}|Works {as a cook|in retail|in an office|as a driver}|On disability|Currently unemployed|Worked in {shipyard|factory|a bakery}}", chance));
    }
    lines.push(match habits.pack_years {
        Some(years) if habits.smokes => format!(
            "{} {years}{}",
            voice.say("{Tobacco:|Smokes,|Current smoker,|+ tobacco,}", chance),
            voice.say("{ pk-yrs| pack years|py}", chance)
        ),
        Some(years) => format!(
            "{} {years}{}",
            voice.say("{Former smoker,|Quit tobacco <2-30> years ago,|Ex-smoker,}", chance),
            voice.say("{ pk-yrs| pack years|py}", chance)
        ),
        None => voice.say("{Never smoked|Denies tobacco|No tob|Tobacco: none}", chance),
    });
    lines.push(match habits.drinks {
        0 => voice.say("{Denies EtOH|No etoh|no alcohol|EtOH: none}", chance),
        drinks @ 1..=13 => format!(
            "{} {drinks}{}",
            voice.say("{EtOH:|Alcohol:|Drinks}", chance),
            voice.say("{ drinks/wk| drinks per week|/week}", chance)
        ),
        drinks => format!(
            "{} {} {}",
            voice.say("{Heavy EtOH,|EtOH abuse,|Drinks}", chance),
            drinks / 7,
            voice.say("{beers/day|drinks daily|shots of vodka daily}", chance)
        ),
    });
    let drugs = voice.patient.has("iv drug use") || voice.patient.has("cocaine");
    if drugs {
        lines.push(voice.say(
            "{+ IVDU|Uses heroin, cocaine|h/o cocaine and heroin use|Last used <1-9> days ago}",
            chance,
        ));
    } else if chance.happens(0.6) {
        lines.push(voice.say("{No illicits|Denies IVDU|no drugs|Illicits: none}", chance));
    }
    lines.join(chance.pick(&[". ", "\n", "; "]))
}
