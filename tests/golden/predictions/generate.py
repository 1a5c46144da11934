"""Predictions as `clinlora evaluate` writes them, and scikit-learn's AUROC of each file.

    python generate.py        # writes {pmv,los,diag}.{toml,csv} and golden.json beside itself; see README.md

Truth and probabilities are made up here and belong to nobody. `pmv` has two classes, `los` four (one-vs-one, macro), `diag`
any number of labels a note, one that no note has and one that all have. Ties are exact: probabilities are rounded.
"""

import csv
import json
from pathlib import Path

import numpy as np
from scipy.special import expit, logit, softmax
from sklearn.metrics import roc_auc_score

HERE = Path(__file__).parent
rng = np.random.default_rng(53)


def separates(y):
    return 0 < np.sum(y) < len(y)


def column_aurocs(truth, scores):
    return [float(roc_auc_score(y, s)) if separates(y) else None for y, s in zip(truth.T, scores.T)]


def mean(values):
    return float(np.mean([v for v in values if v is not None]))


def write(name, kind, labels, truth, p):
    quoted = ", ".join(f'{{ name = "{label}" }}' for label in labels)
    (HERE / f"{name}.toml").write_text(f'name = "{name}"\nkind = "{kind}"\nlabels = [{quoted}]\n')
    with (HERE / f"{name}.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["id", "label"] + [f"score_{label}" for label in labels])
        for i, (row, scores) in enumerate(zip(truth, p)):
            present = ",".join(label for label, has in zip(labels, row) if has)
            writer.writerow([f"n{i}", present] + [repr(float(score)) for score in scores])


def single_label(name, kind, labels, notes):
    k = len(labels)
    classes = rng.integers(0, k, notes)
    truth = np.eye(k, dtype=int)[classes]
    p = softmax(np.round(rng.normal(0, 1, (notes, k)) + 0.8 * truth, 1), axis=1)
    write(name, kind, labels, truth, p)
    auroc = (roc_auc_score(classes, p[:, 1]) if k == 2
             else roc_auc_score(classes, p, multi_class="ovo", average="macro"))
    return {"auroc": float(auroc), "auroc_softmax": float(auroc), "classes": column_aurocs(truth, p)}


def multilabel(name, labels, notes):
    truth = rng.random((notes, len(labels))) < rng.uniform(0.1, 0.6, len(labels))
    truth[:, 2], truth[:, 5] = False, True
    p = expit(np.round(rng.normal(-0.5, 1.5, truth.shape) + 1.1 * truth, 1))
    write(name, "multilabel", labels, truth, p)
    # The softmax over logits, which the sigmoids alone give again; rounded so far that ties stay ties.
    shares = softmax(np.round(logit(p), 1), axis=1)
    return {
        "auroc": mean(column_aurocs(truth, p)),
        "auroc_softmax": mean(column_aurocs(truth, shares)),
        "classes": column_aurocs(truth, p),
    }


golden = {
    "pmv": single_label("pmv", "binary", ["LT1W", "GT1W"], 97),
    "los": single_label("los", "multiclass", ["LT3D", "3DTO7D", "1WTO2W", "GT2W"], 111),
    "diag": multilabel("diag", ["401", "428", "V45", "584", "038", "E87", "250"], 83),
}
(HERE / "golden.json").write_text(json.dumps(golden, indent=1) + "\n")
