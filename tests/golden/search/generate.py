"""Golden values of the search's surrogates: scikit-learn's Gaussian processes, and expected improvement by SciPy.

    python generate.py        # writes golden.json beside itself; see README.md for the versions

Two surrogates. `radial` is scikit-learn's regressor as the authors' search engine sets it up. `kriging` is an unknown
constant mean and a Matern 5/2 of each axis, multiplied; here a flat prior of the mean is a constant kernel far above the
process's variance, which is the maximum-likelihood one.
"""

import json
from pathlib import Path

import numpy as np
from scipy.stats import norm
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

HERE = Path(__file__).parent
rng = np.random.default_rng(41)


class OnAxis(Matern):
    """A Matern kernel that sees one column."""

    def __init__(self, axis=0, length_scale=1.0, nu=2.5):
        super().__init__(length_scale=length_scale, length_scale_bounds="fixed", nu=nu)
        self.axis = axis

    def __call__(self, X, Y=None, eval_gradient=False):
        column = lambda Z: None if Z is None else np.atleast_2d(Z)[:, [self.axis]]
        return super().__call__(column(X), column(Y))


def improvement(best, mean, deviation, softening):
    gain = best - mean
    z = gain / np.maximum(deviation + softening, 1e-300)
    return gain * norm.cdf(z) + deviation * norm.pdf(z)


def surface(rows):
    """Costs whose axes matter unequally, with a ripple."""
    weights = np.linspace(1.3, 0.2, rows.shape[1])
    return ((rows - 0.4) ** 2 @ weights) + 0.05 * np.sin(7 * rows[:, 0]) - 0.8


def radial(name, trials, width, length=None):
    rows = (rng.integers(0, 5, (trials, width)) + 1) / 5
    rows = np.unique(rows, axis=0)[rng.permutation(len(np.unique(rows, axis=0)))]
    costs = surface(rows)
    points = rng.random((11, width))
    targets = (costs - costs.mean()) / (costs.std() + 1e-6)
    is_fitted = length is None
    kernel = Matern(nu=1.5) if is_fitted else Matern(length, "fixed", nu=1.5)
    process = GaussianProcessRegressor(kernel, alpha=1e-7, n_restarts_optimizer=2, random_state=2)
    process.fit(rows, targets)
    means, covariance = process.predict(points, return_cov=True)
    deviations = np.sqrt(np.diag(covariance))
    return {
        "name": name,
        "surrogate": "radial",
        "rows": rows.tolist(),
        "costs": costs.tolist(),
        "length": float(process.kernel_.length_scale),
        "is_fitted": is_fitted,
        "likelihood": float(process.log_marginal_likelihood_value_),
        "points": points.tolist(),
        "means": means.tolist(),
        "deviations": deviations.tolist(),
        "improvements": improvement(targets.min(), means, deviations, 1e-6).tolist(),
    }


def kriging(name, trials, inverse_lengths, noise):
    width = len(inverse_lengths)
    rows = rng.random((trials, width))
    costs = surface(rows)
    points = np.concatenate([rng.random((9, width)), rows[:2]])
    centre, spread = rows.mean(0), rows.std(0, ddof=1)
    scaled = lambda Z: (Z - centre) / spread
    targets = (costs - costs.mean()) / costs.std(ddof=1)

    correlation = OnAxis(0, 1 / inverse_lengths[0])
    for axis in range(1, width):
        correlation = correlation * OnAxis(axis, 1 / inverse_lengths[axis])
    # The variance that maximises the likelihood: generalised least squares.
    matrix = correlation(scaled(rows)) + noise * np.eye(trials)
    ones = np.ones(trials)
    mean = ones @ np.linalg.solve(matrix, targets) / (ones @ np.linalg.solve(matrix, ones))
    variance = (targets - mean) @ np.linalg.solve(matrix, targets - mean) / trials

    kernel = ConstantKernel(variance, "fixed") * correlation + ConstantKernel(1e7 * variance, "fixed")
    process = GaussianProcessRegressor(kernel, alpha=noise * variance, optimizer=None)
    process.fit(scaled(rows), targets)
    means, deviations = process.predict(scaled(points), return_std=True)
    means, deviations = means * costs.std(ddof=1) + costs.mean(), deviations * costs.std(ddof=1)
    return {
        "name": name,
        "surrogate": "kriging",
        "rows": rows.tolist(),
        "costs": costs.tolist(),
        "inverse_lengths": inverse_lengths,
        "noise": noise,
        "points": points.tolist(),
        "means": means.tolist(),
        "deviations": deviations.tolist(),
        "improvements": improvement(costs.min(), means, deviations, 0.0).tolist(),
    }


CASES = [
    radial("two axes, length fitted", 11, 2),
    radial("three axes, length fitted", 9, 3),
    radial("five axes, length fitted", 17, 5),
    radial("three axes, short length", 9, 3, 0.17),
    radial("two axes, long length", 7, 2, 3.1),
    kriging("one axis", 5, [0.7], 1e-6),
    kriging("three axes", 9, [0.31, 1.9, 0.05], 1e-6),
    kriging("three axes with noise", 13, [0.9, 0.4, 0.2], 1e-2),
    kriging("seven axes", 19, [0.2, 0.9, 0.13, 0.4, 0.05, 1.1, 0.3], 1e-2),
]

if __name__ == "__main__":
    (HERE / "golden.json").write_text(json.dumps(CASES) + "\n")
