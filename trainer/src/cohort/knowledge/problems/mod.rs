//! Acute problems, a room an organ system or two.

mod abdominal;
mod blood;
mod bones;
mod cardiac;
mod endocrine;
mod hepatobiliary;
mod infectious;
mod neurological;
mod newborn;
mod poison;
mod renal;
mod respiratory;
mod throat;
mod trauma;
mod vascular;
mod women;

use super::Problem;
pub(in crate::cohort) use newborn::NEWBORN;

/// All rooms.
pub(in crate::cohort) static PROBLEMS: &[&[Problem]] = &[
    cardiac::CARDIAC,
    vascular::VASCULAR,
    respiratory::RESPIRATORY,
    infectious::INFECTIOUS,
    abdominal::ABDOMINAL,
    hepatobiliary::HEPATOBILIARY,
    neurological::NEUROLOGICAL,
    renal::RENAL,
    endocrine::ENDOCRINE,
    blood::BLOOD,
    bones::BONES,
    trauma::TRAUMA,
    poison::POISON,
    women::WOMEN,
    throat::THROAT,
];
