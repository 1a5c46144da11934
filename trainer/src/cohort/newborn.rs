//! Notes on newborns: short, of their own kind, and left out of every task by their admission type.

use super::course::Grade;
use super::patient::Sex;
use super::random::Chance;
use super::voice::{Voice, whole};

/// The text of a newborn's summary.
pub(super) fn summary(voice: &Voice<'_>, chance: &mut Chance) -> String {
    let admission = voice.admission;
    let sex = if voice.patient.sex == Sex::Female { "F" } else { "M" };
    let (weeks, grams) = match admission.grade {
        Grade::Mild => (chance.whole(37, 41), chance.whole(2600, 4300)),
        Grade::Moderate => (chance.whole(34, 38), chance.whole(2000, 3400)),
        Grade::Severe => (chance.whole(25, 33), chance.whole(640, 1950)),
    };
    let course = match admission.grade {
        Grade::Mild => {
            "{Sepsis evaluation for maternal fever|Observed for transitional tachypnea}; {CBC benign, blood culture negative at 48 hours, antibiotics stopped|remained well in room air}"
        }
        Grade::Moderate => {
            "{Brief CPAP then room air by day <1-2>|Phototherapy for bilirubin peak <11-16>}; {feeding ad lib with good weight gain|advanced to full PO feeds}"
        }
        Grade::Severe => {
            "{Intubated and given surfactant x<1-2>, extubated to CPAP|CPAP then nasal cannula}; {apnea of prematurity on caffeine|head ultrasound normal}; {UAC/UVC then PICC|gavage feeds advanced slowly}"
        }
    };
    let course = voice.say(course, chance);
    let end = if admission.died {
        voice.say("{Care was redirected with the family and the infant died on|Infant expired on}", chance)
            + " "
            + &voice.date(admission.discharged, true)
    } else {
        voice.say("{Discharged home with parents|Transferred to the newborn nursery|Discharged to level II nursery}", chance)
    };
    let stay = whole(admission.stay_hours() / 24.0);
    format!(
        "Admission Date:  {}              Discharge Date:   {}\n\nDate of Birth:  {}             Sex:   {sex}\n\nService: NEONATOLOGY\n\nHISTORY:  {weeks} week infant, birth weight {grams} grams, Apgars {} and {}.\n\nHOSPITAL COURSE BY SYSTEMS:  {course}.  Day of life {stay}: {end}.",
        voice.date(admission.admitted, true),
        voice.date(admission.discharged, true),
        voice.date(voice.patient.shown_birth(), true),
        chance.whole(4, 8),
        chance.whole(7, 9),
    )
}
