//! Addenda to discharge summaries: what was forgotten, what came later, and phrases that everybody uses.

use super::course::Admission;
use super::discharge_summary::marked;
use super::patient::Patient;
use super::random::Chance;
use super::voice::{Marks, Voice};

/// Writes an addendum.
pub(super) fn addendum(
    patient: &Patient,
    admission: &Admission,
    marks: Marks,
    chance: &mut Chance,
) -> String {
    let voice = Voice { patient, admission, marks };
    // Word for word the same in many admissions, so that removing duplicates has something to remove.
    const BOILERPLATE: [&str; 3] = [
        "Addendum:\nNo changes to the above discharge summary.",
        "Addendum:\nMedication list reconciled with pharmacy. No other changes.",
        "Name has been corrected in this record.\n\nAddendum:\nSee above.",
    ];
    if chance.happens(0.12) {
        return marked(chance.pick(&BOILERPLATE), marks);
    }
    let said = if admission.died {
        "{Autopsy was {declined by|discussed with} the family|Family declined post-mortem examination|Medical examiner {notified and declined|accepted the} case}. {PCP Dr. <doctor> was notified|Attending was notified}."
    } else {
        "{Final read of {CXR|CT} without {change|acute process}|Urine culture {finalized as no growth|grew mixed flora}|Blood cultures from <date> with no growth to date}. {Warfarin dose changed to <2-6> mg daily, INR to be checked on <date>|Discharged on <3-10> more days of {levofloxacin|ciprofloxacin|cephalexin}|Discharge was delayed by one day {awaiting rehab bed|for transportation}|Patient {was seen by nutrition prior to discharge|tolerated regular diet}|PICC line placement confirmed in SVC}.{ Follow up with Dr. <doctor> in <1-4> weeks.|}"
    };
    let said = voice.say(said, chance);
    let text = if chance.happens(0.5) {
        format!(
            "Admission Date:  {}       Discharge Date:  {}\n\nService: {}\n\nAddendum:\n{said}",
            voice.date(admission.admitted, true),
            voice.date(admission.discharged, true),
            admission.problem.service.label(),
        )
    } else {
        format!("Addendum:\n{said}")
    };
    let text = match chance.index(3) {
        0 => text + "\n\nDischarge Disposition:\n" + super::hospital_course::disposition(&voice),
        1 => text + &voice.say("\n\n{Completed by:<date>|Dictated By: <doctor>}", chance),
        _ => text,
    };
    marked(&text, marks)
}
