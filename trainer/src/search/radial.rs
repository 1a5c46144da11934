//! The surrogate of the authors' search engine (SWEEPS): scikit-learn's `GaussianProcessRegressor` with an isotropic
//! Matérn 3/2 kernel of variance 1, mean 0 and 1e-7 on the diagonal, on standardised targets.
//!
//! `egobox-gp` cannot be made to be it: there the mean and the variance of the process are always estimated, here both are
//! fixed; so its few lines stand here. The length maximises the likelihood over the same bounds; scikit-learn climbs from
//! three starts, this scans the bounds, which finds the best of all peaks.

use super::gp::Prediction;

/// On the diagonal of the kernel's matrix.
const NUGGET: f64 = 1e-7;

/// Added to the standard deviation of the targets, and to that of a prediction where it divides.
pub(super) const SOFTENING: f64 = 1e-6;

/// Logarithms of the lengths scikit-learn looks among: 1e-5 to 1e5.
const LOG_LENGTHS: (f64, f64) = (-11.512_925_464_970_229, 11.512_925_464_970_229);

/// Lengths of the scan.
const SCAN: u32 = 80;

/// Steps that narrow the best of them down, each by a third or so.
const NARROWINGS: usize = 25;

/// A process fitted to trials.
#[derive(Debug)]
pub(super) struct RadialProcess {
    rows: Vec<Vec<f64>>,
    log_length: f64,
    /// Lower triangle of the kernel matrix's Cholesky factor.
    factor: Vec<Vec<f64>>,
    /// The kernel matrix's inverse times the standardised targets.
    weights: Vec<f64>,
    pub(super) mean: f64,
    pub(super) scale: f64,
}

impl RadialProcess {
    /// Fits to two rows or more.
    pub(super) fn fit(rows: &[Vec<f64>], costs: &[f64]) -> Option<Self> {
        let targets = Targets::new(rows, costs);
        let likelihood = |log_length| {
            targets.with_length(log_length).map_or(f64::NEG_INFINITY, |fitted| fitted.likelihood)
        };
        let (low, high) = LOG_LENGTHS;
        let step = (high - low) / f64::from(SCAN);
        // From short to long: where no correlation at all is the likeliest, the bound is kept, and said to be one.
        let mut best = (f64::NEG_INFINITY, low);
        for i in 0..=SCAN {
            let log_length = low + f64::from(i) * step;
            let found = likelihood(log_length);
            if found > best.0 + 1e-9 {
                best = (found, log_length);
            }
        }
        let (mut left, mut right) = ((best.1 - step).max(low), (best.1 + step).min(high));
        for _ in 0..NARROWINGS {
            let third = (right - left) / 3.0;
            let inner = [left + third, right - third];
            let found = inner.map(likelihood);
            for (found, log_length) in found.into_iter().zip(inner) {
                if found > best.0 + 1e-12 {
                    best = (found, log_length);
                }
            }
            if found[0] > found[1] { right = inner[1] } else { left = inner[0] }
        }
        Self::of_length(rows, costs, best.1)
    }

    /// The process of a given length; none where the kernel's matrix is singular in floats.
    fn of_length(rows: &[Vec<f64>], costs: &[f64], log_length: f64) -> Option<Self> {
        let targets = Targets::new(rows, costs);
        let Fitted { factor, half, .. } = targets.with_length(log_length)?;
        let weights = solve_transposed(&factor, half);
        let Targets { mean, scale, .. } = targets;
        Some(Self { rows: rows.to_vec(), log_length, factor, weights, mean, scale })
    }

    /// Whether the likelihood has no peak between the bounds: the fit says nothing.
    pub(super) fn is_at_bound(&self) -> bool {
        let is_close = |bound: f64| (self.log_length - bound).abs() <= 1e-5 * bound.abs();
        is_close(LOG_LENGTHS.0) || is_close(LOG_LENGTHS.1)
    }

    /// Mean and standard deviation at each row, of standardised costs.
    pub(super) fn predict(&self, rows: &[Vec<f64>]) -> Prediction {
        let length = self.log_length.exp();
        let mut prediction = Prediction::default();
        for row in rows {
            let kernel: Vec<f64> =
                self.rows.iter().map(|other| matern(distance(row, other) / length)).collect();
            prediction.means.push(dot(&kernel, &self.weights));
            let explained: f64 = solve(&self.factor, &kernel).iter().map(|v| v * v).sum();
            prediction.deviations.push((1.0 - explained).max(0.0).sqrt());
        }
        prediction
    }
}

/// What a process is fitted to.
struct Targets {
    /// Of each row to those before it.
    distances: Vec<Vec<f64>>,
    standardised: Vec<f64>,
    mean: f64,
    scale: f64,
}

struct Fitted {
    factor: Vec<Vec<f64>>,
    /// The factor's inverse times the standardised targets.
    half: Vec<f64>,
    /// Logarithm of the marginal likelihood.
    likelihood: f64,
}

impl Targets {
    fn new(rows: &[Vec<f64>], costs: &[f64]) -> Self {
        let count = real(costs.len());
        let mean = costs.iter().sum::<f64>() / count;
        let scale = (costs.iter().map(|cost| (cost - mean).powi(2)).sum::<f64>() / count).sqrt() + SOFTENING;
        let to_those_before =
            |(i, row): (usize, &Vec<f64>)| rows[..i].iter().map(|other| distance(row, other)).collect();
        Self {
            distances: rows.iter().enumerate().map(to_those_before).collect(),
            standardised: costs.iter().map(|cost| (cost - mean) / scale).collect(),
            mean,
            scale,
        }
    }

    fn with_length(&self, log_length: f64) -> Option<Fitted> {
        let length = log_length.exp();
        let mut factor: Vec<Vec<f64>> = Vec::with_capacity(self.distances.len());
        for distances in &self.distances {
            let kernel: Vec<f64> = distances.iter().map(|distance| matern(distance / length)).collect();
            let mut line = solve(&factor, &kernel);
            let rest = 1.0 + NUGGET - dot(&line, &line);
            line.push((rest > 0.0).then(|| rest.sqrt())?);
            factor.push(line);
        }
        let half = solve(&factor, &self.standardised);
        let log_determinant: f64 = factor.iter().map(|line| line[line.len() - 1].ln()).sum();
        let likelihood =
            -0.5 * dot(&half, &half) - log_determinant - 0.5 * real(half.len()) * std::f64::consts::TAU.ln();
        Some(Fitted { factor, half, likelihood })
    }
}

/// Matérn 3/2 of a distance in lengths.
fn matern(distance: f64) -> f64 {
    let scaled = 3f64.sqrt() * distance;
    (1.0 + scaled) * (-scaled).exp()
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

#[expect(clippy::cast_precision_loss, reason = "a count of trials")]
fn real(count: usize) -> f64 {
    count as f64
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Solves `factor x = right` for a lower triangle.
fn solve(factor: &[Vec<f64>], right: &[f64]) -> Vec<f64> {
    let mut x: Vec<f64> = Vec::with_capacity(right.len());
    for (i, value) in right.iter().enumerate() {
        let line = &factor[i];
        x.push((value - dot(&line[..i], &x)) / line[i]);
    }
    x
}

/// Solves `factorᵀ x = right` for a lower triangle.
fn solve_transposed(factor: &[Vec<f64>], mut right: Vec<f64>) -> Vec<f64> {
    for i in (0..right.len()).rev() {
        right[i] /= factor[i][i];
        let (above, at) = right.split_at_mut(i);
        for (value, entry) in above.iter_mut().zip(&factor[i]) {
            *value -= entry * at[0];
        }
    }
    right
}

/// What scikit-learn and `SciPy` have for the same numbers.
#[cfg(test)]
pub(super) mod golden {
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    pub(crate) struct Case {
        pub(crate) name: String,
        pub(crate) surrogate: String,
        pub(crate) rows: Vec<Vec<f64>>,
        pub(crate) costs: Vec<f64>,
        /// Kriging: given, on axes scaled to unit variance.
        pub(crate) inverse_lengths: Option<Vec<f64>>,
        pub(crate) noise: Option<f64>,
        /// Radial: fitted by scikit-learn where `is_fitted`, else given.
        pub(crate) length: Option<f64>,
        #[serde(default)]
        pub(crate) is_fitted: bool,
        pub(crate) likelihood: Option<f64>,
        pub(crate) points: Vec<Vec<f64>>,
        pub(crate) means: Vec<f64>,
        pub(crate) deviations: Vec<f64>,
        pub(crate) improvements: Vec<f64>,
    }

    pub(crate) fn cases(surrogate: &str) -> Vec<Case> {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/search/golden.json");
        let text = std::fs::read_to_string(path).expect("the golden file is in the checkout");
        let mut cases: Vec<Case> = serde_json::from_str(&text).expect("the golden file is as generated");
        cases.retain(|case| case.surrogate == surrogate);
        assert!(cases.len() >= 3, "{} cases of {surrogate}", cases.len());
        cases
    }

    pub(crate) fn assert_close(name: &str, ours: &[f64], theirs: &[f64], tolerance: f64) {
        assert_eq!(ours.len(), theirs.len(), "{name}");
        for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
            assert!((a - b).abs() <= tolerance * b.abs().max(1.0), "{name}, point {i}: {a} against {b}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::acquisition::expected_improvement;
    use super::golden::{Case, assert_close, cases};
    use super::*;

    #[test]
    fn the_posterior_and_expected_improvement_equal_scikit_learns() {
        for case in cases("radial") {
            let Case { name, rows, costs, points, .. } = &case;
            let length = case.length.unwrap();
            let process = RadialProcess::of_length(rows, costs, length.ln()).expect(name);
            let likelihood = Targets::new(rows, costs).with_length(length.ln()).expect(name).likelihood;
            assert_close(name, &[likelihood], &[case.likelihood.unwrap()], 1e-9);
            // A deviation near 0 is the root of a difference of nearly equal numbers.
            let Prediction { means, deviations } = process.predict(points);
            assert_close(name, &means, &case.means, 1e-9);
            assert_close(name, &deviations, &case.deviations, 1e-7);
            let best = (costs.iter().copied().fold(f64::INFINITY, f64::min) - process.mean) / process.scale;
            let improvements: Vec<f64> = means
                .iter()
                .zip(&deviations)
                .map(|(m, s)| expected_improvement(best - m, *s, SOFTENING))
                .collect();
            assert_close(name, &improvements, &case.improvements, 1e-7);
            if case.is_fitted {
                let fitted = RadialProcess::fit(rows, costs).unwrap();
                assert!(
                    (fitted.log_length - length.ln()).abs() < 1e-3,
                    "{name}: {}",
                    fitted.log_length.exp()
                );
            }
        }
    }

    #[test]
    fn a_length_without_a_peak_is_told() {
        // Two costs lie on both sides of their mean: the less they have to do with each other, the likelier.
        let rows = [vec![0.25, 0.5], vec![1.0, 0.5]];
        assert!(RadialProcess::fit(&rows, &[0.7, 0.9]).unwrap().is_at_bound());
        let rows: Vec<Vec<f64>> = (0..8).map(|i| vec![f64::from(i) / 7.0]).collect();
        let costs: Vec<f64> = rows.iter().map(|row| (9.0 * row[0]).sin()).collect();
        assert!(!RadialProcess::fit(&rows, &costs).unwrap().is_at_bound());
    }
}
