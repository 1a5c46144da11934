//! Notes of the shifts: nurses' and respiratory therapists'.
//!
//! They tell how the patient is at that hour: nearer to the values at the door early on, nearer to health or to death
//! later, on the ventilator or off it.

use super::course::{Admission, Grade};
use super::discharge_summary::marked;
use super::knowledge::System;
use super::patient::Patient;
use super::phrasing::mistype;
use super::random::Chance;
use super::voice::{Marks, Voice, whole};

/// What a shift looks like from the bedside, at an hour after admission.
struct Shift<'a> {
    voice: Voice<'a>,
    hours: f64,
    ventilated: bool,
}

impl<'a> Shift<'a> {
    fn new(patient: &'a Patient, admission: &'a Admission, hours: f64) -> Self {
        let ventilated =
            admission.ventilation.iter().any(|episode| (episode.start..=episode.end).contains(&hours));
        Self { voice: Voice { patient, admission, marks: Marks::Brackets }, hours, ventilated }
    }

    /// How far the patient is from the values at the door: 0 there, 1 healthy, below 0 worse.
    fn recovery(&self) -> f64 {
        let passed = (self.hours / self.voice.admission.stay_hours()).clamp(0.0, 1.0);
        if self.voice.admission.died { 0.4 * passed - 0.9 * passed * passed } else { 0.85 * passed.sqrt() }
    }

    /// A value between that at the door and the healthy one.
    fn now(&self, at_the_door: f64, healthy: f64) -> i64 {
        whole(at_the_door + self.recovery() * (healthy - at_the_door))
    }

    /// A range around a value of the shift.
    fn range(&self, at_the_door: f64, healthy: f64, spread: i64, chance: &mut Chance) -> String {
        let middle = self.now(at_the_door, healthy);
        format!("{}-{}", middle - chance.whole(1, spread), middle + chance.whole(1, spread))
    }

    fn near_the_end(&self) -> bool {
        self.voice.admission.died && self.voice.admission.stay_hours() - self.hours < 14.0
    }
}

/// Writes a nursing note.
pub(super) fn nursing(patient: &Patient, admission: &Admission, hours: f64, chance: &mut Chance) -> String {
    let shift = Shift::new(patient, admission, hours);
    let voice = &shift.voice;
    let first = hours < admission.unit_stays.first().map_or(0.0, |stay| stay.start) + 12.0;
    let mut parts = Vec::new();
    let head = if first {
        "{NPN admit note|MICU NPN Admission|Admission note|Nursing admission note}: <age>{ yo| y/o} <man> {admitted with|adm from {ED|floor|OSH} with|transferred for} "
    } else {
        "{NPN {7a-7p|7p-7a|0700-1900|1900-0700}|Nursing progress note|CCU NPN|Focus note|Shift note}{: events|:|}"
    };
    let mut text = voice.say(head, chance);
    if first {
        text.push_str(&voice.say(admission.problem.complaint, chance));
        text.push('.');
    }
    for (name, body) in [
        ("{NEURO|Neuro|N}", neuro(&shift, chance)),
        ("{CV|Cardiac|CARDIAC}", cardiac(&shift, chance)),
        ("{RESP|Resp|Pulm}", breath(&shift, chance)),
        ("{GI|GI/Endo|GI/FEN}", "{Abd soft, {+ BS|hypoactive BS}|abd {soft, NT|softly distended}}, {NPO|TF at <10-60>cc/hr, minimal residuals|tolerating sips|taking PO's well|{no BM this shift|small BM, guaiac neg}}.{ FS <92-210>, covered per SS|}".to_owned()),
        ("{GU|Renal}", "{Foley draining {clear yellow|amber|dark} urine|UOP}, {<20-140> cc/hr|adequate amts|{marginal|good} u/o}.{ Cr <cr>.| lytes repleted.|}".to_owned()),
        ("{SKIN|Skin/access|ID}", "{intact|{coccyx|heels} reddened, turned q2h|{PIV x2|R IJ TLC|L radial a-line} {intact|site WNL}|<temp>, on {vanco|zosyn|levoflox}, cx pending|afebrile}.".to_owned()),
        ("{SOCIAL|Social|Family}", social(&shift)),
        ("{A/P|PLAN|Plan|P}", plan(&shift)),
    ] {
        if chance.happens(0.88) {
            let body = voice.say(&body, chance);
            parts.push(format!("{}: {}", voice.say(name, chance), body.trim_end()));
        }
    }
    let gap = if chance.happens(0.6) { "\n" } else { "\n\n" };
    let text = format!("{text}{gap}{}", parts.join(gap));
    marked(&mistype(&text, 60.0, chance), Marks::Brackets)
}

fn neuro(shift: &Shift<'_>, chance: &mut Chance) -> String {
    let score = shift.now(shift.voice.admission.vitals.coma_score, 15.0).clamp(3, 15);
    if shift.near_the_end() {
        return "{Unresponsive|minimally responsive}, {morphine gtt for comfort|pupils sluggish}.".to_owned();
    }
    if shift.ventilated {
        let settled = chance.index(2) == 0;
        let drug = "{propofol|fentanyl/versed|fent and midaz} gtt";
        return if settled {
            format!(
                "{{Sedated on|lightly sedated with}} {drug}, {{opens eyes to voice|MAE|follows commands inconsistently|PERRL}}."
            )
        } else {
            format!(
                "{{Requires|on}} {drug}{{, agitated when lightened|, wakes with stimulation|}}. {{Wrist restraints for safety.|}}"
            )
        };
    }
    match score {
        14..=15 => "{A&Ox3|alert and oriented x3}, {MAE|follows commands}, {pleasant and cooperative|c/o <2-6>/10 pain, medicated with {percocet|dilaudid|morphine}|denies pain}.".to_owned(),
        9..=13 => format!("{{Confused at times|lethargic but arousable|oriented x1}}, {{reoriented|MAE}}, GCS {score}."),
        _ => format!("{{Obtunded|arouses only to {{sternal rub|pain}}}}, GCS {score}, {{HO aware|team aware}}."),
    }
}

fn cardiac(shift: &Shift<'_>, chance: &mut Chance) -> String {
    let vitals = &shift.voice.admission.vitals;
    let rate = shift.range(vitals.heart_rate, 80.0, 8, chance);
    let pressure = shift.range(vitals.systolic, 124.0, 10, chance);
    let rhythm = if shift.voice.patient.has("afib") {
        "{afib|AF, rare PVC|afib with VR}"
    } else {
        "{NSR|SR|SR no ectopy|ST|rare PVC}"
    };
    let low = shift.now(vitals.systolic, 124.0) < 95;
    let pressors = if low {
        "{, on levo {titrated|at 0.<05-30> mcg/kg/min} to keep MAP >60|, {fluid bolus|500cc NS} x<1-3>|, neo gtt}"
    } else {
        "{, lopressor given|, no gtts|, pulses palp|}"
    };
    format!("HR {rate} {rhythm}, {{SBP|BP|NBP}} {pressure}{pressors}. {{Hct <hct>.|}}")
}

fn breath(shift: &Shift<'_>, chance: &mut Chance) -> String {
    let saturation = shift.now(shift.voice.admission.vitals.saturation, 97.0).clamp(70, 100);
    if shift.ventilated {
        return format!(
            "{{Remains|}} {{vented on|orally intubated,}} {{AC|SIMV|CPAP+PS}} <40-60>%/<5-10>{{ peep|}}, {{LS coarse|lungs coarse bilat|LS clear, dim bases}}, {{sxn q<2-4>h for {{thick tan|white|blood tinged}} secretions|scant secretions}}, O2 sat {saturation}%."
        );
    }
    let oxygen = match chance.index(3) {
        0 if saturation > 95 => "{RA|room air}",
        0 | 1 => "<2-5>L NC",
        _ => "{face tent <40-50>%|<2-4>L n/c}",
    };
    format!(
        "{{Sats|O2 sat}} {saturation}% on {oxygen}, {{LS clear|crackles at bases|LS dim at bases, {{clear|rhonchi}} upper}}, {{no resp distress|RR <rr>|{{strong|weak}} cough}}."
    )
}

fn social(shift: &Shift<'_>) -> String {
    if shift.near_the_end() {
        return "{Family at bedside, support given|family meeting held, pt made CMO|priest {called|visited}}.".to_owned();
    }
    "{{wife|family|daughter|son} {in to visit|called}, updated {by RN|on POC}|no contact from family|pt's {daughter|HCP} spoke with {MD|team}|full code}.".to_owned()
}

fn plan(shift: &Shift<'_>) -> String {
    if shift.near_the_end() {
        return "{Comfort measures|Cont to support family}.".to_owned();
    }
    if shift.ventilated {
        return "{Wean vent as tol|? extubate in am|cont current vent support|SBT in AM}, {follow lytes|monitor hemodynamics|cont abx|wean sedation}.".to_owned();
    }
    match shift.voice.admission.problem.system {
        System::Gastrointestinal => "{Serial hcts|monitor for bleeding}, {advance diet|NPO for procedure}.",
        System::Neurological => "{Neuro checks q<1-4>h|SBP goal below <120-160>}, {MRI today|OOB}.",
        _ => "{Monitor resp status|cont abx|follow hct|pulm toilet|OOB to chair}, {c/o to floor when bed available|cont to monitor|PT consult|follow lytes}.",
    }
    .to_owned()
}

/// Writes a respiratory therapist's note.
pub(super) fn respiratory(
    patient: &Patient,
    admission: &Admission,
    hours: f64,
    chance: &mut Chance,
) -> String {
    let shift = Shift::new(patient, admission, hours);
    let graver = admission.grade == Grade::Severe;
    let template = if shift.ventilated {
        if graver {
            "{Respiratory Care|Resp care note|RESP CARE}: Pt remains {intubated (#<7-8>.0 ETT)|on vent}, {AC|PCV} <450-600> x <14-26> {Fio2|O2} <50-100>% peep <8-15>. {BS coarse bilat|BS diminished}; sxn {mod|copious} {tan|thick} secretions. {ABG 7.<20-39>/<32-58>/<58-110>|Plateau <24-34>}. {Unable to wean|RSBI not done d/t peep|Cont full support}."
        } else {
            "{Respiratory Care|Resp care note|RESP CARE}: Pt {remains|received} {intubated #<7-8>.0 ETT, <20-24> @ lip|on vent}. {SIMV|AC|PSV <5-14>} <450-600> x <10-16> <40-50>% +<5-8>. {BS clear|BS slightly coarse}, sxn {scant|small} {white|tan}. {ABG 7.<34-45>/<35-44>/<80-150>}. RSBI <35-110>. {Plan: wean to extubate|Cont PSV as tol|SBT today}."
        }
    } else {
        "{Respiratory Care|Resp care note}: Pt on {<2-6>L nc|cool aerosol <35-50>%}. {Albuterol/atrovent nebs given|MDI's as ordered|chest PT done}, BS {clear|exp wheezes|dim bases}. {Sats <92-98>%|No distress}. Will follow."
    };
    marked(&shift.voice.say(template, chance), Marks::Brackets)
}
