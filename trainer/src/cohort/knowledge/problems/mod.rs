//! Acute problems, a room an organ system or two.

mod abdominal;
mod cardiac;
mod hepatobiliary;
mod infectious;
mod neurological;
mod newborn;
mod respiratory;

use super::Problem;
pub(in crate::cohort) use newborn::NEWBORN;

/// All rooms.
pub(in crate::cohort) static PROBLEMS: &[&[Problem]] = &[
    cardiac::CARDIAC,
    abdominal::ABDOMINAL,
    hepatobiliary::HEPATOBILIARY,
    infectious::INFECTIOUS,
    neurological::NEUROLOGICAL,
    respiratory::RESPIRATORY,
];
