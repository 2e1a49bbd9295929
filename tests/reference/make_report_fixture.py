#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/report/classes.json: what scikit-learn says of a few predictions, and in which order torch has
losses.

    pip install numpy==2.4.6 scikit-learn==1.9.1
    make_report_fixture.py

Seven classes: 4 is predicted but never right, 5 occurs nowhere, 6 is never predicted. Several labels: 3 is nobody's.
Losses are those of -log softmax.
"""
import json
import warnings
from pathlib import Path

import numpy as np
import sklearn
from sklearn.metrics import classification_report, confusion_matrix

warnings.filterwarnings("ignore")
OUT = Path(__file__).resolve().parent.parent / "fixtures" / "report" / "classes.json"
rng = np.random.default_rng(11)


def rows(report, names):
    return [[report[name][key] for key in ("precision", "recall", "f1-score", "support")] for name in names]


def one_class():
    n, c = 43, 7
    y = rng.choice([0, 1, 2, 3, 6], size=n)
    x = rng.normal(size=(n, c))
    x[np.arange(n), y] += 1.2
    x[:, 5:] -= 9
    x = x.round(2)
    p = x.argmax(1)
    every = classification_report(y, p, labels=range(c), output_dict=True, zero_division=0)
    present = classification_report(y, p, output_dict=True, zero_division=0)  # its averages leave class 5 out
    micro = classification_report(y, p, labels=[0, 1, 2, 3, 4, 6], output_dict=True, zero_division=0)
    accuracy = micro.get("accuracy", micro.get("micro avg", {}).get("precision"))
    e = np.exp(x - x.max(1, keepdims=True))
    probability = e / e.sum(1, keepdims=True)
    return {"output": x.tolist(), "target": y.tolist(), "confusion": confusion_matrix(y, p, labels=range(c)).tolist(),
            "classes": rows(every, map(str, range(c))), "accuracy": accuracy,
            "averages": rows(present, ["macro avg", "weighted avg"]),
            "losses": (-np.log(probability[np.arange(n), y])).tolist(), "probabilities": probability.max(1).tolist()}


def labels():
    n, c = 31, 4
    y = (rng.random((n, c)) < 0.35).astype(int)
    y[:, 3] = 0
    x = (rng.normal(size=(n, c)) + 1.5 * y - 0.5).round(2)
    x[:, 3] = -2
    x[(x > -0.01) & (x < 0.01)] = 0.5
    p = (1 / (1 + np.exp(-x)) > 0.5).astype(int)
    report = classification_report(y, p, output_dict=True, zero_division=0)
    used = classification_report(y, p, labels=[0, 1, 2], output_dict=True, zero_division=0)
    return {"output": x.tolist(), "target": y.tolist(), "classes": rows(report, map(str, range(c))),
            "averages": rows(used, ["micro avg", "macro avg", "weighted avg"])}


found = {"_about": f"Computed by scikit-learn {sklearn.__version__} with tests/reference/make_report_fixture.py.",
         "one_class": one_class(), "labels": labels()}
text = json.dumps(found, separators=(",", ":"), default=float)
OUT.write_text(text.replace("],[", "],\n[").replace("},", "},\n") + "\n")
