//! The history of the present illness: what brought the patient in, how they look, what was found first.

use super::course::{Grade, Origin};
use super::phrasing::{capitalise, capitalised, wrap};
use super::physiology::Oxygen;
use super::random::Chance;
use super::voice::{Voice, whole};

/// The diseases worth a mention in the first sentence.
fn brief_diseases(voice: &Voice<'_>, chance: &mut Chance) -> Vec<String> {
    let mut known: Vec<_> =
        voice.patient.chronic.iter().filter(|chronic| !chronic.brief.is_empty()).collect();
    chance.shuffle(&mut known);
    // What weighs most is mentioned first, more often than not.
    if chance.happens(0.7) {
        known.sort_by(|a, b| b.risk.total_cmp(&a.risk));
    }
    let limit = usize::try_from(chance.whole(2, 5)).unwrap_or(3);
    known
        .iter()
        .take(limit)
        .map(|chronic| voice.say(chronic.brief, chance).trim_start_matches("h/o ").to_owned())
        .collect()
}

/// Writes the present illness; `studies` are the first results.
pub(super) fn write(voice: &Voice<'_>, studies: &str, chance: &mut Chance) -> String {
    let admission = voice.admission;
    let opening = opening(voice, chance);
    let on_a_tube = speaks_of_a_tube(&opening);
    let mut sentences = vec![opening];
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
        let vitals = emergency_vitals(voice, on_a_tube, chance);
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
        format!("{lead} {}", enumerated(&diseases, chance))
    };
    let grade = match admission.grade {
        Grade::Mild => 0,
        Grade::Moderate => 1,
        Grade::Severe => 2,
    };
    let story = story(voice, admission.problem.presents[grade], chance);
    if admission.planned() {
        let operation = voice.say(admission.problem.operation, chance);
        return match chance.index(3) {
            0 => format!(
                "{who}{history} admitted for {}{operation}. {}",
                voice.say("{elective |planned |}", chance),
                capitalised(story)
            ),
            1 => format!(
                "{who}{history} with {story}, {} {operation}",
                voice.say("{here for|who presents for|now for|scheduled for}", chance)
            ),
            _ => format!(
                "{who}{history} who presents for {operation}. {} {story}",
                voice.say("{Briefly,|Has had|History of|Course notable for}", chance)
            ),
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
        text.push_str(
            &voice.say("{. <He> is DNR/DNI|. Code status DNR per {family|HCP}|. DNR/DNI on arrival}", chance),
        );
    }
    text
}

/// `a, b, c` or, now and then, `a, b and c`.
fn enumerated(items: &[String], chance: &mut Chance) -> String {
    match items {
        [first @ .., last] if !first.is_empty() && chance.happens(0.15) => {
            format!("{} and {last}", first.join(", "))
        }
        _ => items.join(", "),
    }
}

/// Tells what happened; no one is said to be intubated who is not, or to be in shock whose pressure is high.
fn story(voice: &Voice<'_>, template: &str, chance: &mut Chance) -> String {
    let ventilated = voice.admission.ventilation.first().is_some_and(|episode| episode.start < 12.0);
    let pressure = voice.admission.vitals.systolic;
    let mut told = voice.say(template, chance);
    for _ in 0..20 {
        let low = ["hypotens", "shock", "pressor", "levophed"].iter().any(|word| told.contains(word));
        if (ventilated || !speaks_of_a_tube(&told)) && (pressure < 112.0 || !low) {
            break;
        }
        told = voice.say(template, chance);
    }
    told
}

/// Whether a text says that the patient has been intubated.
fn speaks_of_a_tube(text: &str) -> bool {
    text.contains("intubated") || text.contains("intubation")
}

fn denial(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let what = voice.say(voice.admission.problem.denies, chance);
    if what.contains("obtain") || what.contains("unable") || what.contains("per staff") {
        return what;
    }
    let lead = "{Denies|<He> denies|Pt denies|No|denies any|Denied}";
    format!("{} {what}", voice.say(lead, chance))
}

/// The first set of vital signs, in one of the ways people write them.
fn emergency_vitals(voice: &Voice<'_>, on_a_tube: bool, chance: &mut Chance) -> String {
    let vitals = &voice.admission.vitals;
    let oxygen_used = if on_a_tube { Oxygen::Ventilator } else { voice.admission.oxygen };
    let oxygen = oxygen_words(voice, oxygen_used, chance);
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
        let said = if vitals.temperature > 99.0 {
            "{T <temp>|febrile to <temp>}"
        } else {
            "{T <temp>|cold to <temp>}"
        };
        style.replace("{afebrile|T <temp>}", said)
    };
    let mut text = voice.say(&format!("{lead}{style}"), chance);
    text.push_str(&oxygen);
    if vitals.coma_score < 14.0 && chance.happens(0.75) {
        text.push_str(&voice.say("{, GCS <gcs>|; GCS of <gcs>}", chance));
    } else if vitals.coma_score > 14.0 && oxygen_used != Oxygen::Ventilator && chance.happens(0.2) {
        text.push_str(&voice.say("{, A&Ox3|, alert and oriented}", chance));
    }
    if vitals.systolic < 88.0 && chance.happens(0.6) {
        text.push_str(&voice.say("{, {given|received} <2-5>L {NS|IVF} {with minimal response|and started on levophed|without improvement}|; started on {levophed|norepinephrine|peripheral neo}}", chance));
    }
    text
}

/// Saturation, and on what.
pub(super) fn oxygen_words(voice: &Voice<'_>, oxygen: Oxygen, chance: &mut Chance) -> String {
    let saturation = whole(voice.admission.vitals.saturation);
    let better = (saturation + chance.whole(5, 12)).clamp(88, 100);
    match oxygen {
        Oxygen::RoomAir => format!("{saturation}%{}", voice.say("{ RA| on RA| on room air|RA}", chance)),
        Oxygen::Cannula => match chance.index(3) {
            0 => format!("{saturation}% RA{} {better}% {}L", voice.say("{ ->|,|, up to}", chance), chance.whole(2, 4)),
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
        return voice.say(
            "{Labs {were unremarkable|unrevealing|within normal limits}|CBC and chem 7 {WNL|unremarkable}|}",
            chance,
        );
    }
    let limit = usize::try_from(chance.whole(2, 6)).unwrap_or(4);
    let lead = voice.say(
        "{Labs {notable for|significant for|with|remarkable for|showed}|Notable labs:|Initial labs}",
        chance,
    );
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
        Grade::Severe => {
            "{Admitted to the UNIT|Transferred to UNIT for {further management|hemodynamic monitoring}|To UNIT}"
        }
        Grade::Moderate => {
            "{Admitted to UNIT for {further management|close monitoring}|Admitted for further {care|workup}|}"
        }
        Grade::Mild => {
            "{Admitted for further {evaluation|management}|Admitted to the floor|Admitted to UNIT for monitoring|}"
        }
    };
    voice.say(wards, chance).replace("UNIT", if chance.happens(0.6) { unit } else { "ICU" })
}
