//! The surrogate: a Gaussian process over the space, fitted to the trials by `egobox-gp`.
//!
//! Ordinary Kriging: an unknown constant mean, estimated; a Matérn 5/2 correlation of its own length an axis, which lets an
//! axis that does not matter fall out; lengths by maximum likelihood from several seeded starts. Validation is a noisy
//! measure, so the share of noise is chosen by likelihood too, among a few.

use egobox_gp::correlation_models::Matern52Corr;
use egobox_gp::mean_models::ConstantMean;
use egobox_gp::{GaussianProcess, GpParams, ThetaTuning};
use linfa::Dataset;
use linfa::traits::Fit;
use ndarray::{Array1, Array2, array};

/// Variance of noise on the diagonal, as a share of the process's own.
const NOISE_SHARES: [f64; 2] = [1e-6, 1e-2];

/// Starts of the likelihood's optimiser beside the first.
const STARTS: usize = 4;

/// Inverse lengths, on axes scaled to unit variance over the trials.
const INVERSE_LENGTHS: (f64, f64) = (1e-2, 1e1);

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
        let tuning =
            ThetaTuning::Full { init: array![1.0], bounds: array![(INVERSE_LENGTHS.0, INVERSE_LENGTHS.1)] };
        let fitted = NOISE_SHARES.iter().filter_map(|noise| fit(rows, costs, tuning.clone(), *noise));
        fitted.max_by(|a, b| a.likelihood().total_cmp(&b.likelihood())).map(Self)
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

fn fit(rows: &[Vec<f64>], costs: &[f64], tuning: ThetaTuning<f64>, noise: f64) -> Option<Process> {
    let data = Dataset::new(matrix(rows), Array1::from(costs.to_vec()));
    let parameters = GpParams::new(ConstantMean::default(), Matern52Corr::default());
    let fitted = parameters.theta_tuning(tuning).n_start(STARTS).nugget(noise).fit(&data).ok()?;
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
            let tuning = ThetaTuning::Fixed(Array1::from(inverse_lengths.clone().unwrap()));
            let surrogate = Surrogate(fit(rows, costs, tuning, noise.unwrap()).expect(name));
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
    fn a_fit_is_the_same_twice_and_passes_through_what_it_saw() {
        let rows: Vec<Vec<f64>> =
            (0..7).map(|i| vec![f64::from(i) / 6.0, f64::from(i * i % 5) / 4.0]).collect();
        let costs: Vec<f64> = rows.iter().map(|row| (3.0 * row[0]).sin() + row[1] * row[1]).collect();
        let fits = [(); 2].map(|()| Surrogate::fit(&rows, &costs).unwrap().predict(&rows));
        assert_eq!(fits[0].means, fits[1].means);
        for (mean, cost) in fits[0].means.iter().zip(&costs) {
            assert!((mean - cost).abs() < 1e-3, "{mean} against {cost}");
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
        assert!(after.deviations[0] < 0.2 * before.deviations[0]);
        assert!((after.means[0] - before.means[0]).abs() < 0.05);
    }
}
