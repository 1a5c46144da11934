"""Compares the AUROCs of a table with scikit-learn's on the predictions beside it.

    python check.py TABLE_FOLDER NAME        # as in: check.py table3 table3

Reads NAME.json, and of every run that was tested `test/predictions.csv`; paths are those of the folder the command ran in.
"""

import csv
import json
import sys
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score


def read(path):
    with path.open(newline="") as file:
        header, *rows = csv.reader(file)
    names = [column.removeprefix("score_") for column in header[2:]]
    present = [set(row[1].split(",")) for row in rows]
    truth = np.array([[name in labels for name in names] for labels in present])
    return truth, np.array([[float(score) for score in row[2:]] for row in rows])


def auroc(task, truth, scores):
    if task in ("DIAG", "PROC"):
        varying = [k for k in range(truth.shape[1]) if 0 < truth[:, k].sum() < len(truth)]
        return np.mean([roc_auc_score(truth[:, k], scores[:, k]) for k in varying]) if varying else None
    if not truth.any(axis=0).all():
        return None
    if task == "LOS":
        return roc_auc_score(truth.argmax(axis=1), scores, multi_class="ovo", average="macro")
    return roc_auc_score(truth[:, 1], scores[:, 1])


table = json.loads((Path(sys.argv[1]) / f"{sys.argv[2]}.json").read_text())
compared = worst = 0
for row in table["rows"]:
    for cell in row["cells"]:
        for run in cell["runs"]:
            if run["diverged"]:
                continue
            expected = auroc(cell["task"], *read(Path(run["run"]) / "test" / "predictions.csv"))
            assert (expected is None) == (run["auroc"] is None), (row["row"], cell["task"], expected, run["auroc"])
            if expected is not None:
                worst = max(worst, abs(expected - run["auroc"]))
                compared += 1
assert compared and worst < 1e-12, (compared, worst)
print(f"{compared} AUROCs equal scikit-learn's; the largest difference is {worst:.1e}")
