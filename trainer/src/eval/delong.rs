//! Variance of an AUROC and of differences between AUROCs on the same notes (DeLong, DeLong and Clarke-Pearson 1988).
//!
//! The AUROC is a mean over positive notes of the share of negatives each beats, and as well a mean over negative notes of
//! the share of positives each loses to. Those shares are the structural components; their sample variances, over the
//! numbers of notes, add up to the variance of the AUROC. Components of a difference of AUROCs are the differences of
//! components, those of a mean over seeds their means: so one type serves for all. They are read off midranks (Sun and
//! Xu 2014) in the time of two sorts.

use super::normal::two_sided;

/// Structural components of an AUROC, or of a difference or mean of some.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Components {
    /// Of each positive note, in the order of the data.
    positives: Vec<f64>,
    /// Of each negative note.
    negatives: Vec<f64>,
}

impl Components {
    /// Of notes given as score (not NaN) and whether they are positive; none without two of either kind, which a variance
    /// needs.
    pub(crate) fn new(notes: impl Iterator<Item = (f64, bool)>) -> Option<Self> {
        let notes: Vec<(f64, bool)> = notes.collect();
        let of = |positive: bool| -> Vec<f64> {
            notes.iter().filter(|note| note.1 == positive).map(|note| note.0).collect()
        };
        let (positive, negative) = (of(true), of(false));
        if positive.len() < 2 || negative.len() < 2 {
            return None;
        }
        let all: Vec<f64> = positive.iter().chain(&negative).copied().collect();
        let among_all = midranks(&all);
        let (m, n) = (positive.len() as f64, negative.len() as f64);
        // A note's rank among all less its rank among its own kind counts those of the other kind below it, ties by half.
        let beaten = |ranks: &[f64], own: &[f64]| -> Vec<f64> {
            ranks.iter().zip(midranks(own)).map(|(all, own)| all - own).collect()
        };
        let (first, rest) = among_all.split_at(positive.len());
        Some(Self {
            positives: beaten(first, &positive).into_iter().map(|below| below / n).collect(),
            negatives: beaten(rest, &negative).into_iter().map(|below| 1.0 - below / m).collect(),
        })
    }

    /// Of the mean of several AUROCs on the same notes; none of none.
    ///
    /// # Panics
    /// If they are not of the same notes.
    pub(crate) fn mean(all: &[Self]) -> Option<Self> {
        let first = all.first()?;
        let mean = |of: fn(&Self) -> &Vec<f64>| -> Vec<f64> {
            let length = of(first).len();
            assert!(all.iter().all(|c| of(c).len() == length), "components of the same notes");
            (0..length).map(|i| all.iter().map(|c| of(c)[i]).sum::<f64>() / all.len() as f64).collect()
        };
        Some(Self { positives: mean(|c| &c.positives), negatives: mean(|c| &c.negatives) })
    }

    /// Of the difference of two AUROCs on the same notes.
    ///
    /// # Panics
    /// If they are not of the same notes.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        let minus = |a: &[f64], b: &[f64]| -> Vec<f64> {
            assert_eq!(a.len(), b.len(), "components of the same notes");
            a.iter().zip(b).map(|(a, b)| a - b).collect()
        };
        Self {
            positives: minus(&self.positives, &other.positives),
            negatives: minus(&self.negatives, &other.negatives),
        }
    }

    /// The AUROC, or the difference.
    pub(crate) fn value(&self) -> f64 {
        mean(&self.positives)
    }

    /// Its variance.
    pub(crate) fn variance(&self) -> f64 {
        let part = |values: &[f64]| sample_variance(values) / values.len() as f64;
        part(&self.positives) + part(&self.negatives)
    }

    /// Two-sided p-value of a difference against none. Where nothing varies it is 1 for no difference, and there is none
    /// otherwise.
    pub(crate) fn p_value(&self) -> Option<f64> {
        let (value, variance) = (self.value(), self.variance());
        if variance > 0.0 {
            return Some(two_sided(value / variance.sqrt()));
        }
        (value == 0.0).then_some(1.0)
    }
}

/// Ranks from 1, equal values sharing the mean of theirs.
fn midranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_unstable_by(|a, b| values[*a].total_cmp(&values[*b]));
    let mut ranks = vec![0.0; values.len()];
    let mut start = 0;
    for group in order.chunk_by(|a, b| values[*a] == values[*b]) {
        let end = start + group.len();
        let rank = (start + 1 + end) as f64 / 2.0;
        group.iter().for_each(|place| ranks[*place] = rank);
        start = end;
    }
    ranks
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// With one degree of freedom less.
pub(crate) fn sample_variance(values: &[f64]) -> f64 {
    let mean = mean(values);
    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (values.len() - 1) as f64
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Case {
        name: String,
        truth: Vec<u8>,
        models: Vec<Model>,
        /// Of every pair of models, first less second.
        pairs: Vec<Pair>,
        /// Of the mean of all models but the first, less the first.
        contrast: Option<Pair>,
    }

    #[derive(Deserialize)]
    struct Model {
        scores: Vec<f64>,
        auroc: f64,
        variance: f64,
    }

    #[derive(Deserialize)]
    struct Pair {
        of: [usize; 2],
        difference: f64,
        variance: f64,
        p_value: Option<f64>,
    }

    #[test]
    fn components_equal_those_of_every_pair_of_notes() {
        // tests/golden/delong/generate.py looks at every pair of notes.
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/delong/golden.json");
        let text = std::fs::read_to_string(path).expect("the golden file is in the checkout");
        let cases: Vec<Case> = serde_json::from_str(&text).expect("the golden file is as generated");
        assert_eq!(cases.len(), 5);
        for case in cases {
            let close = |what: &str, actual: f64, expected: f64| {
                let bound = 1e-12 * expected.abs().max(1e-3);
                assert!(
                    (actual - expected).abs() < bound,
                    "{}: {what} {actual} against {expected}",
                    case.name
                );
            };
            let of = |model: &Model| {
                let positive = case.truth.iter().map(|truth| *truth == 1);
                Components::new(model.scores.iter().copied().zip(positive)).expect("two of either kind")
            };
            let models: Vec<Components> = case.models.iter().map(of).collect();
            for (components, golden) in models.iter().zip(&case.models) {
                close("AUROC", components.value(), golden.auroc);
                close("variance", components.variance(), golden.variance);
            }
            let check = |difference: &Components, golden: &Pair| {
                close("difference", difference.value(), golden.difference);
                close("variance of a difference", difference.variance(), golden.variance);
                match (difference.p_value(), golden.p_value) {
                    (Some(actual), Some(expected)) => {
                        let bound = 1e-9 * expected;
                        assert!((actual - expected).abs() <= bound, "{}: p {actual} {expected}", case.name);
                    }
                    (actual, expected) => assert_eq!(actual, expected, "{}", case.name),
                }
            };
            for pair in &case.pairs {
                check(&models[pair.of[0]].minus(&models[pair.of[1]]), pair);
            }
            if let Some(golden) = &case.contrast {
                check(&Components::mean(&models[1..]).expect("some").minus(&models[0]), golden);
            }
        }
    }

    #[test]
    fn a_variance_needs_two_notes_of_either_kind() {
        assert_eq!(Components::new([(0.1, true), (0.3, false), (0.2, false)].into_iter()), None);
        assert_eq!(Components::new([(0.1, true), (0.3, true)].into_iter()), None);
        assert_eq!(Components::mean(&[]), None);
    }
}
