"""Golden values of DeLong's variance and paired test, from every pair of notes.

    python generate.py        # writes golden.json beside itself; see README.md for the versions

The kernel psi(x, y) = 1 where a positive note scores above a negative one, 1/2 at a tie, 0 below, is written out as a
matrix; its row and column means are the structural components, and `numpy.cov` gives their covariances over the models.
No ranks are taken anywhere. Scores are made up here and belong to nobody.
"""

import json
from pathlib import Path

import numpy as np
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

HERE = Path(__file__).parent
rng = np.random.default_rng(41)


def components(truth, scores):
    positive, negative = scores[truth == 1], scores[truth == 0]
    psi = (positive[:, None] > negative[None, :]) + 0.5 * (positive[:, None] == negative[None, :])
    return psi.mean(axis=1), psi.mean(axis=0)


def covariance(truth, models):
    parts = [components(truth, scores) for scores in models]
    v10 = np.array([part[0] for part in parts])
    v01 = np.array([part[1] for part in parts])
    return np.atleast_2d(np.cov(v10)) / v10.shape[1] + np.atleast_2d(np.cov(v01)) / v01.shape[1]


def contrast(aurocs, cov, weights, of):
    difference = float(weights @ aurocs)
    variance = float(weights @ cov @ weights)
    if variance < 1e-18:
        variance = 0.0
        p_value = 1.0 if abs(difference) < 1e-15 else None
    else:
        p_value = float(2 * norm.sf(abs(difference) / np.sqrt(variance)))
    return {"of": of, "difference": difference, "variance": variance, "p_value": p_value}


def case(name, truth, models, seeds=False):
    aurocs = np.array([roc_auc_score(truth, scores) for scores in models])
    cov = covariance(truth, models)
    pairs = []
    for i in range(len(models)):
        for j in range(i + 1, len(models)):
            weights = np.zeros(len(models))
            weights[i], weights[j] = 1, -1
            pairs.append(contrast(aurocs, cov, weights, [i, j]))
    over_seeds = None
    if seeds:
        weights = np.full(len(models), 1 / (len(models) - 1))
        weights[0] = -1
        over_seeds = contrast(aurocs, cov, weights, [0, 0])
    return {
        "name": name,
        "truth": truth.tolist(),
        "models": [
            {"scores": scores.tolist(), "auroc": float(auroc), "variance": float(cov[i, i])}
            for i, (scores, auroc) in enumerate(zip(models, aurocs))
        ],
        "pairs": pairs,
        "contrast": over_seeds,
    }


def scores(truth, signal, step=None):
    values = rng.normal(0, 1, len(truth)) + signal * truth
    return np.round(values / step) * step if step else values


def truth(notes, positives):
    values = np.zeros(notes, dtype=int)
    values[rng.permutation(notes)[:positives]] = 1
    return values


plain, tied, rare, few = truth(101, 37), truth(83, 31), truth(211, 5), truth(4, 2)
same = truth(29, 11)
one = scores(same, 0.8)
CASES = [
    case("three models, two of them seeds of one", plain, [scores(plain, s) for s in (0.5, 1.0, 1.1)], seeds=True),
    case("ties", tied, [scores(tied, s, 0.5) for s in (0.3, 1.2)]),
    case("rare positives", rare, [scores(rare, s) for s in (0.2, 2.5)]),
    case("four notes", few, [scores(few, 0.2), scores(few, 0.1)]),
    case("the same scores", same, [one, 2 * one + 1]),
]
(HERE / "golden.json").write_text(json.dumps(CASES, separators=(",", ":")).replace('},{"name"', '},\n{"name"') + "\n")
