//! Probabilities from logits, and their calibration: one fitted map for each task, the same in a trainer and a browser.
//!
//! - Temperature. Guo et al. 2017, arXiv 1706.04599: logits are divided by one number before softmax or sigmoid.
//! - Isotonic regression. Zadrozny and Elkan 2002: a rising function for each label, from its probability to the share of
//!   notes that had the label, linear between fitted points. With one label a note the results are divided by their sum.

use serde::{Deserialize, Serialize};

use crate::task::TaskKind;

/// Probability of each label for one note: softmax with one label per note, otherwise a sigmoid each.
///
/// # Panics
/// If `logits` is empty.
#[must_use]
pub fn probabilities(kind: TaskKind, logits: &[f32]) -> Vec<f64> {
    from_logits(kind, logits.iter().map(|x| f64::from(*x)).collect())
}

/// Logarithm of the odds of one label: the logit of a sigmoid, or that of the softmax's `p / (1 - p)`.
///
/// # Panics
/// If there is no such label.
#[must_use]
pub fn log_odds(kind: TaskKind, logits: &[f32], label: usize) -> f64 {
    let own = f64::from(logits[label]);
    match kind {
        TaskKind::Multilabel => own,
        TaskKind::Binary | TaskKind::Multiclass => {
            let others =
                || logits.iter().enumerate().filter(|(i, _)| *i != label).map(|(_, x)| f64::from(*x));
            let highest = others().fold(f64::NEG_INFINITY, f64::max);
            own - highest - others().map(|x| (x - highest).exp()).sum::<f64>().ln()
        }
    }
}

fn from_logits(kind: TaskKind, logits: Vec<f64>) -> Vec<f64> {
    match kind {
        TaskKind::Binary | TaskKind::Multiclass => softmax(&logits),
        TaskKind::Multilabel => logits.into_iter().map(sigmoid).collect(),
    }
}

fn softmax(logits: &[f64]) -> Vec<f64> {
    let highest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let powers: Vec<f64> = logits.iter().map(|x| (x - highest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Neither form overflows on its side.
fn sigmoid(x: f64) -> f64 {
    if x >= 0.0 {
        1.0 / (1.0 + (-x).exp())
    } else {
        let power = x.exp();
        power / (1.0 + power)
    }
}

/// A fitted map from a model's logits to probabilities that can be taken at their word.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "kind", deny_unknown_fields)]
pub enum Calibrator {
    /// Probabilities as the model gives them.
    #[default]
    None,
    /// Logits divided by a number.
    Temperature {
        /// The number, above 0.
        temperature: f64,
    },
    /// A rising function for each label.
    Isotonic {
        /// Points `(probability of the model, calibrated probability)` of each label, rising in both; a label without points
        /// keeps its probability.
        curves: Vec<Vec<(f64, f64)>>,
    },
}

impl Calibrator {
    /// Calibrated probability of each label for one note.
    ///
    /// # Panics
    /// If `logits` is empty, or has another number of labels than the calibration.
    #[must_use]
    pub fn probabilities(&self, kind: TaskKind, logits: &[f32]) -> Vec<f64> {
        match self {
            Self::None => probabilities(kind, logits),
            Self::Temperature { temperature } => {
                from_logits(kind, logits.iter().map(|x| f64::from(*x) / temperature).collect())
            }
            Self::Isotonic { curves } => {
                assert_eq!(curves.len(), logits.len(), "one curve for each label");
                let raw = probabilities(kind, logits);
                let mapped: Vec<f64> = curves.iter().zip(&raw).map(|(curve, p)| along(curve, *p)).collect();
                match (kind, mapped.iter().sum::<f64>()) {
                    (TaskKind::Binary | TaskKind::Multiclass, sum) if sum > 0.0 => {
                        mapped.into_iter().map(|p| p / sum).collect()
                    }
                    // No label is left any probability: then the model's own say is all there is.
                    (TaskKind::Binary | TaskKind::Multiclass, _) => raw,
                    (TaskKind::Multilabel, _) => mapped,
                }
            }
        }
    }

    /// Whether it is one for this many labels; says what is wrong.
    pub(crate) fn validate(&self, labels: usize) -> Result<(), String> {
        match self {
            Self::None => Ok(()),
            Self::Temperature { temperature } if temperature.is_finite() && *temperature > 0.0 => Ok(()),
            Self::Temperature { temperature } => Err(format!("calibration: temperature = {temperature}")),
            Self::Isotonic { curves } if curves.len() != labels => {
                Err(format!("calibration has {} curves for {labels} labels", curves.len()))
            }
            Self::Isotonic { curves } => {
                let is_share = |p: f64| (0.0..=1.0).contains(&p);
                let rises = |curve: &Vec<(f64, f64)>| {
                    curve.iter().all(|(from, to)| is_share(*from) && is_share(*to))
                        && curve.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
                };
                let all = curves.iter().all(rises);
                if all { Ok(()) } else { Err("calibration: a curve does not rise within 0 and 1".to_owned()) }
            }
        }
    }
}

/// The curve's value at `p`: level before its first point and behind its last.
fn along(curve: &[(f64, f64)], p: f64) -> f64 {
    let (Some(first), Some(last)) = (curve.first(), curve.last()) else {
        return p;
    };
    let after = curve.partition_point(|(from, _)| *from <= p);
    if after == 0 {
        return first.1;
    }
    if after == curve.len() {
        return last.1;
    }
    let ((x0, y0), (x1, y1)) = (curve[after - 1], curve[after]);
    y0 + (y1 - y0) * (p - x0) / (x1 - x0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_hold_at_any_size_of_the_logits() {
        assert_eq!(probabilities(TaskKind::Multilabel, &[0.0, -2000.0, 2000.0]), [0.5, 0.0, 1.0]);
        assert_eq!(probabilities(TaskKind::Binary, &[-3e38, 3e38]), [0.0, 1.0]);
        let thirds = probabilities(TaskKind::Multiclass, &[1e30; 3]);
        assert_eq!(thirds, [1.0 / 3.0; 3]);
        let one = probabilities(TaskKind::Multilabel, &[3_f32.ln()])[0];
        assert!((one - 0.75).abs() < 1e-7, "{one}");
    }

    #[test]
    fn log_odds_are_those_of_the_probability() {
        for kind in [TaskKind::Multiclass, TaskKind::Multilabel] {
            let logits = [0.3, -1.2, 2.5];
            for (label, p) in probabilities(kind, &logits).into_iter().enumerate() {
                let odds = log_odds(kind, &logits, label);
                assert!((odds - (p / (1.0 - p)).ln()).abs() < 1e-12, "{kind:?} {label}: {odds}");
            }
        }
    }

    #[test]
    fn a_temperature_of_two_halves_the_logits() {
        let calibrated = Calibrator::Temperature { temperature: 2.0 };
        let expected = probabilities(TaskKind::Multiclass, &[1.0, 2.0, -0.5]);
        assert_eq!(calibrated.probabilities(TaskKind::Multiclass, &[2.0, 4.0, -1.0]), expected);
    }

    #[test]
    fn curves_are_linear_between_points_and_level_outside() {
        let curve = vec![(0.2, 0.1), (0.6, 0.5), (0.8, 0.5)];
        for (p, expected) in [(0.0, 0.1), (0.2, 0.1), (0.4, 0.3), (0.6, 0.5), (0.7, 0.5), (1.0, 0.5)] {
            assert!((along(&curve, p) - expected).abs() < 1e-12, "at {p}");
        }
        let calibrated = Calibrator::Isotonic { curves: vec![curve, Vec::new()] };
        let logits = [0.0, 0.0];
        assert_eq!(calibrated.probabilities(TaskKind::Multilabel, &logits)[1], 0.5, "no points, no change");
        let binary = calibrated.probabilities(TaskKind::Binary, &logits);
        assert!((binary.iter().sum::<f64>() - 1.0).abs() < 1e-12, "{binary:?}");
    }

    #[test]
    fn calibrations_that_are_none_are_named() {
        let isotonic = |curve: &[(f64, f64)]| Calibrator::Isotonic { curves: vec![curve.to_vec()] };
        for bad in [
            Calibrator::Temperature { temperature: 0.0 },
            isotonic(&[(0.5, 0.5), (0.4, 0.6)]),
            isotonic(&[(0.1, 0.5), (0.4, 0.4)]),
            isotonic(&[(0.1, 1.5)]),
            Calibrator::Isotonic { curves: Vec::new() },
        ] {
            bad.validate(1).expect_err("no calibration");
        }
    }
}
