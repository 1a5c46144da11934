//! The surrogate: a Gaussian process over the space, fitted to the trials by `egobox-gp`.
//!
//! Ordinary Kriging: an unknown constant mean, estimated; a Matérn 5/2 correlation of its own length an axis, which lets an
//! axis that does not matter fall out. After a dozen trials the likelihood alone says little of the lengths, and its peak is
//! often at none: so they maximise the likelihood times a prior, a log-normal one of median twice an axis's standard
//! deviation (as in Hvarfner, Hellsten and Nardi 2024, who make the case). Validation is a measurement: a hundredth of the
//! variance is taken for noise.

use egobox_gp::correlation_models::Matern52Corr;
use egobox_gp::mean_models::ConstantMean;
use egobox_gp::{GaussianProcess, GpParams, ThetaTuning};
use linfa::Dataset;
use linfa::traits::Fit;
use ndarray::{Array1, Array2};

/// Variance of noise on the diagonal, as a share of the process's own.
const NOISE: f64 = 1e-2;

/// Inverse lengths that are tried, on axes scaled to unit variance over the trials.
const INVERSE_LENGTHS: [f64; 5] = [0.03, 0.1, 0.3, 1.0, 3.0];

/// Median of an inverse length's prior; the standard deviation of its logarithm is 1.
const PRIOR_MEDIAN: f64 = 0.5;

/// Times every axis is looked at.
const ROUNDS: usize = 3;

/// Points predicted at once: their distances to all trials lie in memory together.
const CHUNK: usize = 1024;

type Process = GaussianProcess<f64, ConstantMean, Matern52Corr>;

/// A fitted surrogate of the cost.
#[derive(Debug)]
pub(crate) struct Surrogate(Process);

/// Mean and standard deviation of each of some points.
#[derive(Debug, Default)]
pub(crate) struct Prediction {
    pub(crate) means: Vec<f64>,
    pub(crate) deviations: Vec<f64>,
}

impl Surrogate {
    /// Fits to rows of [`super::space::Space::encode`] and their costs; none where the costs do not differ or no
    /// likelihood can be computed.
    pub(crate) fn fit(rows: &[Vec<f64>], costs: &[f64]) -> Option<Self> {
        if rows.len() < 2 || costs.iter().all(|cost| *cost == costs[0]) {
            return None;
        }
        let fit = |lengths: &[f64]| {
            let process = fit(rows, costs, lengths, NOISE)?;
            Some((log_posterior(&process, lengths), process))
        };
        // All axes alike first, then one after the other.
        let width = rows[0].len();
        let mut best: Option<(f64, Process)> = None;
        let mut lengths = vec![PRIOR_MEDIAN; width];
        for length in INVERSE_LENGTHS {
            let alike = vec![length; width];
            keep_better(&mut best, &mut lengths, fit(&alike), alike);
        }
        for axis in (0..ROUNDS).flat_map(|_| 0..width) {
            for length in INVERSE_LENGTHS.into_iter().filter(|_| width > 1) {
                let mut changed = lengths.clone();
                changed[axis] = length;
                if changed != lengths {
                    keep_better(&mut best, &mut lengths, fit(&changed), changed);
                }
            }
        }
        best.map(|(_, process)| Self(process))
    }

    /// The surrogate as if `rows` had given what it expects of them: so that another process, not yet done with them, is
    /// not followed to the same place.
    pub(crate) fn with_fantasies(self, rows: &[Vec<f64>]) -> Self {
        if rows.is_empty() {
            return self;
        }
        let expected = Array1::from(self.predict(rows).means);
        match self.0.clone().update(&matrix(rows), &expected) {
            Ok(process) => Self(process),
            Err(_) => self, // a pending point beside a tried one says nothing new
        }
    }

    /// Mean and standard deviation at each row.
    pub(crate) fn predict(&self, rows: &[Vec<f64>]) -> Prediction {
        let mut prediction = Prediction::default();
        for chunk in rows.chunks(CHUNK) {
            let (means, variances) =
                self.0.predict_valvar(&matrix(chunk)).expect("a fitted process predicts every point");
            prediction.means.extend(means);
            prediction.deviations.extend(variances.iter().map(|variance| variance.sqrt()));
        }
        prediction
    }
}

fn keep_better(
    best: &mut Option<(f64, Process)>,
    lengths: &mut Vec<f64>,
    found: Option<(f64, Process)>,
    of: Vec<f64>,
) {
    if let Some(found) = found
        && best.as_ref().is_none_or(|best| found.0 > best.0)
    {
        *best = Some(found);
        *lengths = of;
    }
}

/// Up to a constant. The library's likelihood is twice the logarithm to base 10, variance and mean being at their best.
fn log_posterior(process: &Process, inverse_lengths: &[f64]) -> f64 {
    let prior = inverse_lengths.iter().map(|inverse| -0.5 * (inverse / PRIOR_MEDIAN).ln().powi(2));
    0.5 * std::f64::consts::LN_10 * process.likelihood() + prior.sum::<f64>()
}

fn fit(rows: &[Vec<f64>], costs: &[f64], inverse_lengths: &[f64], noise: f64) -> Option<Process> {
    let data = Dataset::new(matrix(rows), Array1::from(costs.to_vec()));
    let tuning = ThetaTuning::Fixed(Array1::from(inverse_lengths.to_vec()));
    let parameters = GpParams::new(ConstantMean::default(), Matern52Corr::default());
    let fitted = parameters.theta_tuning(tuning).nugget(noise).fit(&data).ok()?;
    fitted.likelihood().is_finite().then_some(fitted)
}

fn matrix(rows: &[Vec<f64>]) -> Array2<f64> {
    let width = rows.first().map_or(0, Vec::len);
    Array2::from_shape_vec((rows.len(), width), rows.concat()).expect("rows of one space are equally long")
}

#[cfg(test)]
mod tests {
    use super::super::acquisition::expected_improvement;
    use super::super::radial::golden::{Case, assert_close, cases};
    use super::*;

    /// scikit-learn's flat prior of the mean is a constant kernel of 1e7 times the process's variance.
    const TOLERANCE: f64 = 1e-6;

    #[test]
    fn the_posterior_and_expected_improvement_equal_scikit_learns() {
        for case in cases("kriging") {
            let Case { name, rows, costs, inverse_lengths, noise, points, .. } = &case;
            let inverse_lengths = inverse_lengths.as_ref().unwrap();
            let surrogate = Surrogate(fit(rows, costs, inverse_lengths, noise.unwrap()).expect(name));
            let Prediction { means, deviations } = surrogate.predict(points);
            assert_close(name, &means, &case.means, TOLERANCE);
            assert_close(name, &deviations, &case.deviations, TOLERANCE);
            let best = costs.iter().copied().fold(f64::INFINITY, f64::min);
            let improvements: Vec<f64> =
                means.iter().zip(&deviations).map(|(m, s)| expected_improvement(best - m, *s, 0.0)).collect();
            assert_close(name, &improvements, &case.improvements, TOLERANCE);
        }
    }

    #[test]
    fn a_fit_is_the_same_twice_and_passes_near_what_it_saw() {
        let rows: Vec<Vec<f64>> =
            (0..7).map(|i| vec![f64::from(i) / 6.0, f64::from(i * i % 5) / 4.0]).collect();
        let costs: Vec<f64> = rows.iter().map(|row| (3.0 * row[0]).sin() + row[1] * row[1]).collect();
        let fits = [(); 2].map(|()| Surrogate::fit(&rows, &costs).unwrap().predict(&rows));
        assert_eq!(fits[0].means, fits[1].means);
        for (mean, cost) in fits[0].means.iter().zip(&costs) {
            assert!((mean - cost).abs() < 0.05, "{mean} against {cost}");
        }
        assert!(Surrogate::fit(&rows, &[0.5; 7]).is_none(), "nothing to model");
    }

    #[test]
    fn a_fantasy_leaves_no_doubt_where_it_stands_and_the_mean_as_it_was() {
        let rows: Vec<Vec<f64>> = (0..5).map(|i| vec![f64::from(i) / 8.0]).collect();
        let costs: Vec<f64> = rows.iter().map(|row| (5.0 * row[0]).cos()).collect();
        let pending = [vec![0.9]];
        let before = Surrogate::fit(&rows, &costs).unwrap().predict(&pending);
        let after = Surrogate::fit(&rows, &costs).unwrap().with_fantasies(&pending).predict(&pending);
        assert!(after.deviations[0] < 0.5 * before.deviations[0]);
        assert!((after.means[0] - before.means[0]).abs() < 0.05);
    }
}
