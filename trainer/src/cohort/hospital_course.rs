//! What a discharge summary says after the admission note: results, course, outcome, plans.

use super::knowledge::{DRUGS, icd9};
use super::phrasing::{capitalise, uncapitalised, wrap};
use super::random::Chance;
use super::voice::{Voice, whole};

/// "Major Surgical or Invasive Procedure".
pub(super) fn major_procedures(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let codes: Vec<_> = voice.admission.procedures.iter().take(5).collect();
    if codes.is_empty() || chance.happens(0.06) {
        return voice.say("{None|none|none.|Mechanical ventilation|None this admission}", chance);
    }
    let named: Vec<String> = codes
        .iter()
        .map(|code| {
            let title = icd9::procedure(code).map_or("procedure", |entry| entry.long_title);
            let plain = title.split([',', '[', '(']).next().unwrap_or(title).trim();
            if chance.happens(0.5) { plain.to_lowercase() } else { plain.to_owned() }
        })
        .collect();
    named.join("\n")
}

/// "Pertinent Results".
pub(super) fn results(voice: &Voice<'_>, studies: &str, chance: &mut Chance) -> String {
    let labs = &voice.admission.labs;
    let stamp = voice.date(voice.admission.admitted, true);
    let mut text = match chance.index(3) {
        0 => voice.say("ADMISSION LABS\nWBC-<wbc> Hct-<hct> Plt Ct-<plt>\nPT-INR-<inr>\nGlucose-<glucose> UreaN-<bun> Creat-<cr> Na-<na> K-<k> HCO3-<hco3>\n", chance),
        1 => voice.say("Labs on Admission:\nCBC <wbc>/<hct>/<plt>, INR <inr>\nNa <na>, K <k>, bicarb <hco3>, BUN <bun>, Cr <cr>, glc <glucose>\n", chance),
        _ => {
            let body = voice.say("BLOOD WBC-<wbc> Hct-<hct> Plt Ct-<plt>", chance);
            let body_too = voice.say("BLOOD Glucose-<glucose> UreaN-<bun> Creat-<cr> Na-<na> K-<k> HCO3-<hco3>", chance);
            format!("{stamp} {body}\n{stamp} {body_too}\n")
        }
    };
    if labs.lactate > 2.0 || chance.happens(0.3) {
        text.push_str(&voice.say("Lactate-<lactate>\n", chance));
    }
    if labs.troponin > 0.05 {
        text.push_str(&voice.say("cTropnT-<trop>\n", chance));
    }
    text.push_str(&wrap(&format!("{stamp}: {studies}")));
    text
}

/// "Brief Hospital Course".
pub(super) fn course(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let admission = voice.admission;
    let title = voice.title();
    let mut paragraphs = vec![
        voice.say("<age> {yo|y/o|year old} <man> {admitted with|with} ", chance)
            + &uncapitalised(&title)
            + ".",
    ];
    let bullet = chance.pick(&["# ", "# ", "", "* ", "- "]);
    paragraphs.push(format!("{bullet}{title}: {}", voice.say(admission.problem.course, chance)));
    for event in &admission.events {
        paragraphs.push(format!("{bullet}{}", voice.say(event.what.told, chance)));
    }
    if let (Some(first), Some(last)) = (admission.ventilation.first(), admission.ventilation.last()) {
        let end = voice.date(admission.admitted.plus_hours(last.end), false);
        let days = whole((last.end - first.start) / 24.0);
        if !admission.died && days >= 1 {
            let told = voice
                .say("{Extubated|Weaned from the ventilator|Came off vent|Liberated from MV} on ", chance);
            paragraphs.push(format!("{told}{end} (vent day {days})."));
        }
    }
    for chronic in &voice.patient.chronic {
        if !chronic.managed.is_empty() && chance.happens(0.65) {
            let name =
                voice.say(if chronic.brief.is_empty() { chronic.listed } else { chronic.brief }, chance);
            paragraphs.push(format!("{bullet}{name}: {}", voice.say(chronic.managed, chance)));
        }
    }
    if chance.happens(0.4) {
        paragraphs.push(voice.say("{# FEN: {cardiac|regular|diabetic} diet, lytes repleted. PPX: {SC heparin|pneumoboots}, {PPI|H2 blocker}.|{Code: full|Full code|Communication with <his> {wife|family|daughter|son}}.|Access: PIV{, PICC|, RIJ}.}", chance));
    }
    paragraphs.push(ending(voice, chance));
    let gap = if chance.happens(0.6) { "\n\n" } else { "\n" };
    paragraphs.iter().map(|paragraph| wrap(paragraph)).collect::<Vec<_>>().join(gap)
}

fn ending(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let admission = voice.admission;
    if admission.died {
        let when = voice.date(admission.discharged, true);
        let how = voice.say(
            "{Despite {maximal|aggressive} support {<he> continued to decline|multiorgan failure progressed}|Family meeting was held and goals were changed to comfort|<He> was made CMO after discussion with {family|HCP}|Overnight <he> became {bradycardic then asystolic|progressively hypotensive}}{, pressors {were weaned off|withdrawn}|}. ",
            chance,
        );
        return how + &voice.say("{Patient expired|Pt expired|<He> passed away|The patient died|Pronounced dead} {peacefully |with family at bedside |}on ", chance) + &when + ".";
    }
    match admission.destination {
        "HOME" | "HOME HEALTH CARE" => voice.say("{Discharged home {in stable condition|with follow-up}|At discharge ambulating{, tolerating PO|}|<He> was discharged to home{ with VNA|}}.", chance),
        "HOSPICE-HOME" => voice.say("Discharged {to|with} {home hospice|hospice care}.", chance),
        "LEFT AGAINST MEDICAL ADVI" => voice.say("{Left AMA|Patient left against medical advice despite discussion of risks}.", chance),
        _ => voice.say("{Seen by PT who recommended rehab|Discharged to {rehab|extended care facility|SNF}|Screened and accepted at <hospital>}.", chance),
    }
}

/// "Discharge Medications": home drugs, a few stopped, a few new.
pub(super) fn discharge_medications(voice: &Voice<'_>, chance: &mut Chance) -> String {
    if voice.admission.died {
        return voice.say("{None|N/A|n/a|Expired|none - pt expired}", chance);
    }
    let mut lines = Vec::new();
    for home in &voice.patient.drugs {
        if chance.happens(0.88) {
            lines.push((home.drug, home.strength));
        }
    }
    for _ in 0..chance.whole(0, 4) {
        let drug = &DRUGS[chance.index(DRUGS.len())];
        let usual = matches!(
            drug.name,
            "docusate"
                | "senna"
                | "pantoprazole"
                | "aspirin"
                | "oxycodone"
                | "acetaminophen"
                | "metoprolol tartrate"
                | "ciprofloxacin"
                | "levofloxacin"
                | "metronidazole"
                | "cephalexin"
                | "enoxaparin"
                | "hydromorphone"
                | "furosemide"
                | "ranitidine"
        );
        if usual && !lines.iter().any(|(known, _)| known.name == drug.name) {
            lines.push((drug, chance.pick(drug.strengths)));
        }
    }
    if lines.is_empty() {
        return voice.say("{None|none|No medications at discharge}", chance);
    }
    let written = lines.iter().enumerate().map(|(at, (drug, strength))| {
        let mut name = drug.name.to_owned();
        capitalise(&mut name);
        format!(
            "{}. {name} {strength} {} Sig: One (1) {} {} {}.",
            at + 1,
            drug.form,
            drug.form,
            drug.route,
            drug.times
        )
    });
    written.collect::<Vec<_>>().join("\n")
}

/// "Discharge Disposition".
pub(super) fn disposition(voice: &Voice<'_>) -> &'static str {
    match voice.admission.destination {
        "DEAD/EXPIRED" => "Expired",
        "HOME" | "LEFT AGAINST MEDICAL ADVI" => "Home",
        "HOME HEALTH CARE" | "HOSPICE-HOME" => "Home With Service",
        _ => "Extended Care",
    }
}

/// "Discharge Diagnosis".
pub(super) fn diagnosis(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let mut lines = vec![voice.title()];
    for event in &voice.admission.events {
        lines.push(voice.say(event.what.title, chance));
    }
    for chronic in voice.patient.chronic.iter().take(5) {
        if chance.happens(0.6) {
            lines.push(voice.say(chronic.listed, chance));
        }
    }
    for line in &mut lines {
        let kept = line.trim_end().len();
        line.truncate(kept);
    }
    let headed = chance.happens(0.4) && lines.len() > 1;
    if headed {
        format!("PRIMARY\n{}\nSECONDARY\n{}", lines[0], lines[1..].join("\n"))
    } else {
        lines.join("\n")
    }
}

/// "Discharge Condition".
pub(super) fn condition(voice: &Voice<'_>, chance: &mut Chance) -> String {
    if voice.admission.died {
        return voice.say("{Expired|expired|Deceased|N/A}", chance);
    }
    let frail = voice.admission.age_years > 78.0 || voice.admission.destination.contains("REHAB");
    voice.say(
        if frail {
            "{Stable|stable, ambulating with walker|Mental Status: Clear and coherent.\nActivity Status: Out of Bed with assistance to chair or wheelchair.|Fair|Hemodynamically stable, afebrile}"
        } else {
            "{Good|Stable|good, ambulating|Mental Status: Clear and coherent.\nActivity Status: Ambulatory - Independent.|Vital signs stable, tolerating PO}"
        },
        chance,
    )
}

/// "Discharge Instructions" and "Followup Instructions".
pub(super) fn instructions(voice: &Voice<'_>, chance: &mut Chance) -> (String, String) {
    if voice.admission.died {
        return ("N/A".to_owned(), voice.say("{N/A|n/a|None}", chance));
    }
    let told = "{You were admitted with {a serious illness|symptoms that needed treatment in the hospital}. |}{Please take all medications as prescribed.|Take your medicines as listed.} {Call your doctor or return to the ED for {fever, chest pain or shortness of breath|any concerning symptoms|bleeding, worsening pain or confusion}.|}{\nNo driving while on narcotics. No lifting more than 10 lbs.|}{\nWeigh yourself every morning, call MD if weight up more than 3 lbs.|}";
    let follow = "{Please follow up with your PCP <doctor> in <2-3> weeks|PCP within <7-14> days|Dr. <doctor> in <2-6> weeks, call <phone>|Provider: <doctor>, MD Phone: <phone>\nDate/Time: <date> <1-11>:30}{\nFollow up in clinic as scheduled|}.";
    (wrap(&voice.say(told, chance)), voice.say(follow, chance))
}
