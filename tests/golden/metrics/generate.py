"""Golden values of the classification metrics: scikit-learn on random scores.

    python generate.py        # writes golden.json beside itself; see README.md for the versions

Scores are made up here and belong to nobody. Ties are exact in any arithmetic: notes whose logits are copies of
another note's, and, for sigmoids, logits on a coarse grid. `assert_no_near_ties` makes sure that no other two scores
are so close that rounding decides their order.
"""

import json
from pathlib import Path

import numpy as np
from scipy.special import expit, log_softmax, softmax
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    brier_score_loss,
    f1_score,
    log_loss,
    roc_auc_score,
)
from sklearn.preprocessing import label_binarize

HERE = Path(__file__).parent
rng = np.random.default_rng(29)


# ---- data -----------------------------------------------------------------------------------------------------------


def with_copies(logits):
    """Every third note gets the logits of another one."""
    notes = len(logits)
    copied = rng.permutation(notes)[: notes // 3]
    logits[copied] = logits[rng.integers(0, notes, len(copied))]
    return logits


def on_grid(values, step):
    return (np.round(values / step) * step).astype(np.float32)


def single_label(notes, num_labels, signal, only=None, rarity=1.0):
    """Classes of growing rarity; `only` limits the truth to some of them, every one of which occurs."""
    classes = np.array(only if only else range(num_labels))
    share = np.arange(1.0, len(classes) + 1) ** -rarity
    truth = rng.choice(classes, notes, p=share / share.sum())
    truth[: len(classes)] = classes
    logits = rng.normal(0, 1.5, (notes, num_labels)) + signal * np.eye(num_labels)[truth]
    return truth, with_copies(on_grid(logits, 1 / 128))


def multilabel(notes, num_labels, signal, never=(), always=()):
    base_rates = rng.uniform(0.05, 0.6, num_labels)
    truth = rng.random((notes, num_labels)) < base_rates
    truth[:, list(never)] = False
    truth[:, list(always)] = True
    logits = rng.normal(-0.5, 1.5, (notes, num_labels)) + signal * truth
    return truth, with_copies(on_grid(logits, 1 / 8))


# ---- metrics --------------------------------------------------------------------------------------------------------


def assert_no_near_ties(scores):
    for column in scores.T:
        gaps = np.diff(np.unique(column))
        assert np.all(gaps > 1e-12), "choose another seed"


def expected_calibration_error(confidence, hit, bins=15):
    edges = np.arange(bins + 1) / bins
    total = 0.0
    for m in range(bins):
        inside = (confidence > edges[m]) & (confidence <= edges[m + 1])
        if m == 0:
            inside |= confidence == 0
        if inside.any():
            total += inside.mean() * abs(hit[inside].mean() - confidence[inside].mean())
    return total


def separates(y):
    return 0 < np.sum(y) < len(y)


def column_aurocs(truth, scores):
    return [roc_auc_score(y, s) if separates(y) else None for y, s in zip(truth.T, scores.T)]


def column_auprcs(truth, scores):
    return [average_precision_score(y, s) if y.any() else None for y, s in zip(truth.T, scores.T)]


def column_f1s(truth, predicted):
    scores = [f1_score(y, p, zero_division=np.nan) for y, p in zip(truth.T, predicted.T)]
    return [None if np.isnan(score) else score for score in scores]


def mean(values):
    values = [v for v in values if v is not None]
    return float(np.mean(values)) if values else None


def auroc_of_classes(truth, scores):
    num_labels = scores.shape[1]
    if len(np.unique(truth)) < num_labels:
        return None
    if num_labels == 2:
        return roc_auc_score(truth, scores[:, 1])
    return roc_auc_score(truth, scores, multi_class="ovo", average="macro")


def metrics_of_classes(truth, logits):
    logits = logits.astype(np.float64)
    p = softmax(logits, axis=1)
    assert_no_near_ties(p)
    notes, num_labels = p.shape
    labels = list(range(num_labels))
    predicted = p.argmax(axis=1)
    one_hot = np.eye(num_labels, dtype=int)[truth]
    all_present = len(np.unique(truth)) == num_labels
    binary = num_labels == 2
    auprc = None
    if all_present:
        auprc = (average_precision_score(truth, p[:, 1]) if binary
                 else average_precision_score(label_binarize(truth, classes=labels), p, average="macro"))
    return {
        "auroc": auroc_of_classes(truth, p),
        "auroc_ovr": (roc_auc_score(truth, p, multi_class="ovr", average="macro")
                      if all_present and not binary else None),
        "auroc_softmax": None,
        "auprc": auprc,
        "f1_micro": f1_score(truth, predicted, average="micro"),
        "f1_macro": f1_score(truth, predicted, average="macro"),
        "accuracy": accuracy_score(truth, predicted),
        "brier": (brier_score_loss(truth, p[:, 1], pos_label=1) if binary
                  else brier_score_loss(truth, p, labels=labels, scale_by_half=False)),
        "ece": expected_calibration_error(p.max(axis=1), predicted == truth),
        "loss": float(-np.mean(log_softmax(logits, axis=1)[np.arange(notes), truth])),
        "class_auroc": column_aurocs(one_hot, p),
        "class_auprc": column_auprcs(one_hot, p),
        "class_f1": column_f1s(one_hot, np.eye(num_labels, dtype=int)[predicted]),
    }


def metrics_of_labels(truth, logits):
    logits = logits.astype(np.float64)
    p, shares = expit(logits), softmax(logits, axis=1)
    assert_no_near_ties(p)
    assert_no_near_ties(shares)
    predicted = p > 0.5
    some = truth.any() or predicted.any()
    if truth.shape[1] > 1 and some:
        assert f1_score(truth, predicted, average="micro") == f1_score(truth.ravel(), predicted.ravel())
        by_table = f1_score(truth, predicted, average="macro", zero_division=np.nan)
        assert np.isclose(by_table, mean(column_f1s(truth, predicted)), rtol=1e-14)
    return {
        "auroc": mean(column_aurocs(truth, p)),
        "auroc_ovr": None,
        "auroc_softmax": mean(column_aurocs(truth, shares)),
        "auprc": mean(column_auprcs(truth, p)),
        # Column by column and pooled: scikit-learn takes a table of one column for a binary task of two classes.
        "f1_micro": f1_score(truth.ravel(), predicted.ravel()) if some else None,
        "f1_macro": mean(column_f1s(truth, predicted)),
        "accuracy": accuracy_score(truth, predicted),
        "brier": float(np.mean((p - truth) ** 2)),
        "ece": expected_calibration_error(p.ravel(), truth.ravel()),
        "loss": log_loss(truth.ravel(), p.ravel(), labels=[0, 1]),
        "class_auroc": column_aurocs(truth, p),
        "class_auprc": column_auprcs(truth, p),
        "class_f1": column_f1s(truth, predicted),
    }


# ---- resamples ------------------------------------------------------------------------------------------------------


def auroc_of(kind, truth, logits):
    logits = logits.astype(np.float64)
    if kind == "multilabel":
        return mean(column_aurocs(truth, expit(logits)))
    return auroc_of_classes(truth, softmax(logits, axis=1))


def resampled(kind, truth, logits, count):
    """AUROC of resamples written out in full, with how often each drew every note."""
    notes = len(truth)
    cases = []
    for _ in range(count):
        drawn = rng.integers(0, notes, notes)
        value = auroc_of(kind, truth[drawn], logits[drawn])
        cases.append({"weights": np.bincount(drawn, minlength=notes).tolist(), "auroc": value})
    return cases


def interval(kind, truth, logits, resamples):
    notes = len(truth)
    values = []
    for _ in range(resamples):
        drawn = rng.integers(0, notes, notes)
        values.append(auroc_of(kind, truth[drawn], logits[drawn]))
    defined = [v for v in values if v is not None]
    low, high = np.percentile(defined, [2.5, 97.5])
    return {"low": low, "high": high, "skipped_share": 1 - len(defined) / resamples}


def case(name, kind, truth, logits, interval_resamples=0):
    of = metrics_of_labels if kind == "multilabel" else metrics_of_classes
    return {
        "name": name,
        "kind": kind,
        "num_labels": logits.shape[1],
        "truth": truth.astype(int).ravel().tolist(),
        "logits": logits.ravel().tolist(),
        "metrics": of(truth, logits),
        "resampled": resampled(kind, truth, logits, 3),
        "interval": interval(kind, truth, logits, interval_resamples) if interval_resamples else None,
    }


CASES = [
    case("binary", "binary", *single_label(101, 2, 1.2), interval_resamples=4000),
    case("binary, rare positives", "binary", *single_label(61, 2, 0.8, rarity=4.5), interval_resamples=4000),
    case("binary, one class only", "binary", *single_label(23, 2, 1.0, only=[0])),
    case("binary, one note", "binary", *single_label(1, 2, 1.0, only=[1])),
    case("four classes", "multiclass", *single_label(97, 4, 1.5), interval_resamples=2000),
    case("seven classes", "multiclass", *single_label(113, 7, 1.0)),
    case("a class that is never true", "multiclass", *single_label(47, 5, 1.0, only=[0, 2, 3, 4])),
    case("multilabel", "multilabel", *multilabel(83, 7, 1.1), interval_resamples=1000),
    case("multilabel, labels that do not vary", "multilabel", *multilabel(67, 19, 0.9, never=[0, 5, 18], always=[3])),
    case("multilabel, no label at all", "multilabel", *multilabel(13, 3, 0.0, never=[0, 1, 2])),
    case("multilabel, nothing present, nothing predicted", "multilabel",
         np.zeros((5, 2), bool), on_grid(rng.normal(-9, 1, (5, 2)), 1 / 8)),
    case("multilabel, one label", "multilabel", *multilabel(31, 1, 1.0)),
]
text = json.dumps(CASES, separators=(",", ":")).replace('},{"name"', '},\n{"name"')
(HERE / "golden.json").write_text(text + "\n")
