#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-3-Clause
"""Makes tests/fixtures/train/metrics.json: what scikit-learn says of random outputs and targets.

    pip install numpy==2.4.6 scikit-learn==1.9.1
    make_metric_fixtures.py

Outputs have few digits, so that many of them are equal. Segmentation of [N, classes, H, W] is pixels to scikit-learn.
A NaN is null.
"""
import json
import warnings
from pathlib import Path

import numpy as np
import sklearn
import sklearn.metrics as sk

warnings.filterwarnings("ignore", category=sk.__dict__.get("UndefinedMetricWarning", UserWarning))
OUT = Path(__file__).resolve().parent.parent / "fixtures" / "train" / "metrics.json"
rng = np.random.default_rng(7)


def softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def scores(true, predicted, **more):
    """precision, recall, f1, f2 by average; each class of `labels`, where given."""
    found = {}
    for average in ("macro", "micro", "each", *more.pop("averages", ())):
        how = {"average": None if average == "each" else average, "zero_division": 0}
        if average == "each" and "labels" in more:
            how["labels"] = more["labels"]
        found[average] = {
            "precision": sk.precision_score(true, predicted, **how),
            "recall": sk.recall_score(true, predicted, **how),
            "f1": sk.fbeta_score(true, predicted, beta=1, **how),
            "f2": sk.fbeta_score(true, predicted, beta=2, **how),
        }
    return found


def classes():
    """Six classes: 4 is predicted but never right, 5 occurs nowhere."""
    n, c = 37, 6
    x = rng.normal(size=(n, c)).round(2)
    y = rng.integers(0, 4, size=n)
    x[np.arange(n), y] += 1
    x[:, 5] = -9
    x = x.round(2)
    p = x.argmax(1)
    kept = y != 3
    return {
        "output": x, "target": y,
        "accuracy": sk.accuracy_score(y, p),
        "accuracy_without_3": sk.accuracy_score(y[kept], p[kept]),
        "top_2": sk.top_k_accuracy_score(y, x, k=2, labels=range(c)),
        "scores": scores(y, p, labels=range(c)),
        "scores_without_3": scores(y[kept], p[kept], labels=range(c)),
        "perplexity": np.exp(sk.log_loss(y, softmax(x), labels=range(c))),
        "perplexity_without_3": np.exp(sk.log_loss(y[kept], softmax(x)[kept], labels=range(c))),
    }


def labels():
    """Five labels: 4 is nobody's and never predicted. Some samples have none, or none predicted."""
    n, c = 29, 5
    y = (rng.random((n, c)) < 0.3).astype(int)
    y[:, 4] = 0
    x = (rng.normal(size=(n, c)) + 1.5 * y - 0.5).round(2)
    x[:, 4] = -3
    x[(x > -0.01) & (x < 0.01)] = 0.5
    found = {"output": x, "target": y}
    for name, threshold in (("half", 0.5), ("quarter", 0.25)):
        p = (1 / (1 + np.exp(-x)) > threshold).astype(int)
        found[name] = {"accuracy": (p == y).mean(), "scores": scores(y, p, averages=["samples"])}
    found["auroc"] = {"each": [sk.roc_auc_score(y[:, i], x[:, i]) if i < 4 else None for i in range(c)],
                      "macro": sk.roc_auc_score(y[:, :4], x[:, :4], average="macro")}
    return found


def pixels(c):
    shape = (5, 3, 4)
    x = rng.normal(size=(shape[0], c, *shape[1:])).round(2)
    y = rng.integers(0, c, size=shape)
    x += 1.2 * (np.arange(c)[None, :, None, None] == y[:, None])
    x = x.round(2)
    p, t = x.argmax(1).ravel(), y.ravel()
    found = {"output": x, "target": y}
    for name, kept in (("all", slice(None)), ("without_1", t != 1)):
        found[name] = {
            "dice": {a: sk.f1_score(t[kept], p[kept], average=a) for a in ("macro", "micro")},
            "iou": {a: sk.jaccard_score(t[kept], p[kept], average=a) for a in ("macro", "micro")},
        }
        found[name]["dice"]["each"] = sk.f1_score(t[kept], p[kept], average=None, labels=range(c))
        found[name]["iou"]["each"] = sk.jaccard_score(t[kept], p[kept], average=None, labels=range(c))
    foreground = list(range(1, c))
    found["foreground"] = {
        "dice": {a: sk.f1_score(t, p, average=a, labels=foreground) for a in ("macro", "micro")},
        "iou": {a: sk.jaccard_score(t, p, average=a, labels=foreground) for a in ("macro", "micro")},
    }
    return found


def numbers(shape, offset):
    y = (offset + rng.normal(size=shape)).round(3)
    x = (y + 0.3 * rng.normal(size=shape)).round(3)
    return {"output": x, "target": y, "mae": sk.mean_absolute_error(y, x),
            "rmse": np.sqrt(((y - x) ** 2).mean()), "r2": sk.r2_score(y, x)}


def roc():
    n = 41
    y = rng.integers(0, 2, size=n)
    x = (rng.normal(size=n) + y).round(1)
    pair = np.stack([-x, np.zeros(n)], 1)
    y3 = rng.integers(0, 3, size=n)
    x3 = (rng.normal(size=(n, 3)) + np.eye(3)[y3]).round(1)
    x3[20:30] = x3[10:20]
    p3 = softmax(x3)
    return {"binary": {"output": x, "target": y, "auroc": sk.roc_auc_score(y, x)},
            "pair": {"output": pair, "target": y, "auroc": sk.roc_auc_score(y, x)},
            "classes": {"output": x3, "target": y3,
                        "macro": sk.roc_auc_score(y3, p3, multi_class="ovr", average="macro"),
                        "each": [sk.roc_auc_score(y3 == i, p3[:, i]) for i in range(3)]}}


def plain(value):
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(v) for v in value]
    if isinstance(value, (np.floating, float)):
        return None if np.isnan(value) else float(value)
    return int(value) if isinstance(value, np.integer) else value


found = {"_about": f"Computed by scikit-learn {sklearn.__version__} with tests/reference/make_metric_fixtures.py.",
         "classes": classes(), "labels": labels(), "pixels": pixels(4), "mask": pixels(2),
         "numbers": numbers((33,), 0), "far": numbers((33,), 1e4), "columns": numbers((33, 3), 50), "roc": roc()}
text = json.dumps(plain(found), separators=(",", ":"))
OUT.write_text(text.replace("],[", "],\n[").replace("},", "},\n") + "\n")
