//! Whether two models differ on the same notes.
//!
//! Binary tasks are compared by DeLong's test ([`super::delong`]). A macro average has no such variance; there the bootstrap
//! of [`super::interval`] is paired: both models meet the same resamples, and what is looked at is their difference in each.

use serde::Serialize;

use super::delong::Components;
use super::interval::Interval;

/// A model against a baseline.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Comparison {
    /// The AUROC less the baseline's.
    pub(crate) difference: f64,
    /// Lower end of the difference's 95 % interval.
    pub(crate) low: f64,
    /// Upper end.
    pub(crate) high: f64,
    /// Two-sided.
    pub(crate) p_value: f64,
    /// By what.
    pub(crate) test: Test,
}

/// A paired test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Test {
    /// DeLong's.
    DeLong,
    /// Resampling of notes.
    Bootstrap,
}

/// Standard errors to either side of a normal variable's middle 95 %.
const NORMAL_95: f64 = 1.959_963_984_540_054;

/// DeLong's test of a difference of AUROCs; none where neither varies and yet they differ.
pub(crate) fn delong(ours: &Components, baseline: &Components) -> Option<Comparison> {
    let difference = ours.minus(baseline);
    let (value, margin) = (difference.value(), NORMAL_95 * difference.variance().sqrt());
    Some(Comparison {
        difference: value,
        low: value - margin,
        high: value + margin,
        p_value: difference.p_value()?,
        test: Test::DeLong,
    })
}

/// The paired bootstrap: `difference` of the figures, and both figures in the same resamples. The p-value is twice the share
/// of resamples on the rarer side of no difference, these counted with one more as Davison and Hinkley (1997, 4.2) do.
/// None if there is no resample in which both figures exist.
///
/// # Panics
/// If the numbers of resamples differ.
pub(crate) fn bootstrap(
    difference: f64,
    ours: &[Option<f64>],
    baseline: &[Option<f64>],
) -> Option<Comparison> {
    assert_eq!(ours.len(), baseline.len(), "the same resamples");
    let differences: Vec<Option<f64>> = ours.iter().zip(baseline).map(|(a, b)| Some((*a)? - (*b)?)).collect();
    let interval = Interval::of(&differences)?;
    let count = |side: fn(&f64) -> bool| differences.iter().flatten().filter(|d| side(d)).count();
    let rarer = count(|d| *d <= 0.0).min(count(|d| *d >= 0.0));
    let p_value = (2.0 * (rarer + 1) as f64 / (interval.resamples + 1) as f64).min(1.0);
    let Interval { low, high, .. } = interval;
    Some(Comparison { difference, low, high, p_value, test: Test::Bootstrap })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paired_bootstrap_counts_the_resamples_on_the_rarer_side() {
        let ours: Vec<Option<f64>> = (0..99).map(|i| Some(0.7 + f64::from(i % 10) / 100.0)).collect();
        let mut theirs = vec![Some(0.705); 99];
        // 9 of 99 resamples are at 0.70, below; the tenth of its kind does not exist in one of the two.
        theirs[0] = None;
        let compared = bootstrap(0.04, &ours, &theirs).expect("resamples");
        assert_eq!(compared.p_value, 2.0 * 10.0 / 99.0);
        assert!(compared.low < 0.0 && compared.high > 0.08, "{compared:?}");
        assert_eq!((compared.difference, compared.test), (0.04, Test::Bootstrap));
        assert_eq!(bootstrap(0.0, &theirs, &theirs).expect("resamples").p_value, 1.0);
        assert_eq!(bootstrap(0.1, &[None, Some(1.0)], &[Some(1.0), None]), None);
    }

    #[test]
    fn delong_says_the_same_from_either_side() {
        let truth = [true, false, true, false, false, true, false];
        let of =
            |scores: [f64; 7]| Components::new(scores.into_iter().zip(truth)).expect("two of either kind");
        let (a, b) = (of([0.9, 0.1, 0.8, 0.2, 0.4, 0.3, 0.35]), of([0.5, 0.6, 0.8, 0.1, 0.55, 0.3, 0.2]));
        let (ab, ba) = (delong(&a, &b).expect("they vary"), delong(&b, &a).expect("they vary"));
        assert_eq!((ab.difference, ab.p_value), (-ba.difference, ba.p_value));
        assert!((ab.low + ba.high).abs() < 1e-15 && ab.p_value < 1.0);
        assert_eq!(delong(&a, &a).expect("no difference").p_value, 1.0);
    }
}
