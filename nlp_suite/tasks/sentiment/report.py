"""The numbers of a classifier: accuracy, precision, recall, F1, confusion, ROC-AUC, calibration, worst mistakes."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from nlp_suite.errors import DataError, RunError
from nlp_suite.tasks.sentiment.threshold import answered_labels

ROC_POINTS = 200  # enough to draw the curve; a large test split has thousands
MIN_PROBABILITY = float(
    np.finfo(np.float32).eps
)  # a probability is not smaller in the cross-entropy, as in scikit-learn


def classification_report(
    labels: list[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    texts: Sequence[str] | None = None,
    mistakes: int = 10,
    bins: int = 15,
    threshold: float | None = None,
) -> dict:
    """Everything that is reported about a classifier's answers, as numbers that JSON can hold.

    Precision, recall and F1 are 0 where they are undefined, as in scikit-learn with `zero_division=0`; the macro
    averages are taken over the classes that occur in the truth or among the answers. The expected calibration error is
    that of Guo et al. 2017 (arXiv:1706.04599): the mean of |accuracy − confidence| over equal-width bins of confidence
    `(low, high]`, weighted by their counts.

    Args:
        labels: names of the C classes, in the order of the columns of `probabilities`.
        truth: class indices, int [N].
        probabilities: [N, C]; rows add up to 1.
        texts: the N texts; only those of the listed mistakes are read. None leaves `text` null.
        mistakes: how many wrong answers to list, the most confident first.
        bins: number of confidence bins.
        threshold: probability from which the second of two labels is answered; None: the most probable label.

    Returns:
        `kind`, `labels`, `examples`, `accuracy`, `accuracy_interval` (95 %, Wilson), `cross_entropy` (nats), `macro`,
        `per_class`, `never_answered` (labels that occur and are no answer), `confusion_matrix` (rows: truth), `roc_auc` and `roc` (two classes, of which the second counts as
        positive; null otherwise or where the truth has one class only), `ece`, `reliability`, `mistakes`.

    Raises:
        DataError: no examples, or repeated label names.
        RunError: probabilities that are no distribution, as those of a network whose weights are not numbers.
        ValueError: shapes that do not fit, or a class index out of range.

    Example:
        >>> classification_report(["no", "yes"], [0, 1], [[0.9, 0.1], [0.2, 0.8]])["accuracy"]
        1.0
    """
    truth, probabilities = _checked(labels, truth, probabilities, texts)
    predicted = answered_labels(probabilities, threshold)  # [N]
    confidence = probabilities[np.arange(len(truth)), predicted]  # [N]
    correct = predicted == truth  # [N]
    confusion = np.bincount(truth * len(labels) + predicted, minlength=len(labels) ** 2).reshape(len(labels), -1)
    hits, answered, support = confusion.diagonal(), confusion.sum(axis=0), confusion.sum(axis=1)  # [C] each
    occurs = answered + support > 0  # [C]
    scores = [
        hits / np.maximum(1, answered),
        hits / np.maximum(1, support),
        2 * hits / np.maximum(1, answered + support),
    ]
    reliability = _reliability(confidence, correct, bins)
    return {
        "kind": "classification",
        "labels": list(labels),
        "examples": len(truth),
        "accuracy": float(correct.mean()),
        "accuracy_interval": wilson(int(correct.sum()), len(truth)),
        "cross_entropy": cross_entropy(truth, probabilities),
        "macro": {name: float(values[occurs].mean()) for name, values in zip(("precision", "recall", "f1"), scores)},
        "per_class": {
            label: {"precision": float(p), "recall": float(r), "f1": float(f), "support": int(n)}
            for label, p, r, f, n in zip(labels, *scores, support)
        },
        "never_answered": [
            label for i, label in enumerate(labels) if (truth == i).any() and not (predicted == i).any()
        ],
        "confusion_matrix": confusion.tolist(),
        **_ranking(labels, truth, probabilities),
        "ece": _calibration_error(reliability),
        "reliability": reliability,
        "mistakes": _mistakes(labels, truth, predicted, confidence, texts, mistakes),
    }


def cross_entropy(truth: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of −log p(label) in nats."""
    return float(-np.log(np.clip(probabilities[np.arange(len(truth)), truth], MIN_PROBABILITY, 1)).mean())


def expected_calibration_error(truth: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """`ece` of `classification_report`."""
    correct = probabilities.argmax(axis=1) == truth
    return _calibration_error(_reliability(probabilities.max(axis=1), correct, bins))


def _calibration_error(reliability: list[dict]) -> float:
    rows = [b for b in reliability if b["count"]]
    return sum(b["count"] * abs(b["accuracy"] - b["confidence"]) for b in rows) / sum(b["count"] for b in rows)


def _checked(labels, truth, probabilities, texts) -> tuple[np.ndarray, np.ndarray]:
    truth = np.asarray(truth)
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if len(truth) == 0:
        raise DataError("there are no examples to evaluate: the split is empty")
    if len(set(labels)) != len(labels):
        raise DataError(f"label names must differ from one another, got {list(labels)}")
    if truth.ndim != 1 or probabilities.shape != (len(truth), len(labels)):
        raise ValueError(
            f"truth must have shape [N] and probabilities [N, {len(labels)}] for {len(labels)} labels, "
            f"got {list(truth.shape)} and {list(probabilities.shape)}"
        )
    if texts is not None and len(texts) != len(truth):
        raise ValueError(f"there are {len(texts)} texts for {len(truth)} examples")
    if not np.issubdtype(truth.dtype, np.integer) or truth.min() < 0 or truth.max() >= len(labels):
        raise ValueError(f"truth must hold class indices from 0 to {len(labels) - 1}, got {np.unique(truth)[:20]}")
    row_sums = probabilities.sum(axis=1)
    if not np.isfinite(row_sums).all() or probabilities.min() < 0 or np.abs(row_sums - 1).max() > 0.02:
        worst = int(np.argmax(np.where(np.isfinite(row_sums), np.abs(row_sums - 1), np.inf)))
        raise RunError(f"probabilities must add up to 1 in each row; row {worst} is {probabilities[worst]}")
    return truth.astype("int64"), probabilities


def wilson(correct: int, count: int, z: float = 1.959964) -> list[float]:
    """Wilson's score interval of a share, which stays within 0 and 1 and holds for small counts."""
    share, z2 = correct / count, z * z
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = z / (1 + z2 / count) * (share * (1 - share) / count + z2 / (4 * count * count)) ** 0.5
    return [max(0.0, middle - half), min(1.0, middle + half)]


def _reliability(confidence: np.ndarray, correct: np.ndarray, bins: int) -> list[dict]:
    """One row a bin `(low, high]` of confidence; means are null where the bin is empty."""
    edges = np.linspace(0, 1, bins + 1)
    where = np.clip(np.digitize(confidence, edges, right=True) - 1, 0, bins - 1)  # [N]
    table = []
    for i, (low, high) in enumerate(pairwise(edges)):
        inside = where == i  # [N]
        count = int(inside.sum())
        table.append(
            {
                "low": float(low),
                "high": float(high),
                "confidence": float(confidence[inside].mean()) if count else None,
                "accuracy": float(correct[inside].mean()) if count else None,
                "count": count,
            }
        )
    return table


def _ranking(labels, truth: np.ndarray, probabilities: np.ndarray) -> dict:
    """ROC-AUC and a few points of the curve, for two classes that both occur."""
    if len(labels) != 2 or len(np.unique(truth)) < 2:
        return {"roc_auc": None, "roc": None}
    false_rate, true_rate = _roc_curve(truth, probabilities[:, 1])  # [P], [P]
    area = float(np.trapezoid(true_rate, false_rate))
    if len(false_rate) > ROC_POINTS:  # points at equal distances along the curve keep its shape
        length = false_rate + true_rate  # [P], from 0 to 2
        keep = np.unique(np.searchsorted(length, np.linspace(0, 2, ROC_POINTS)).clip(max=len(length) - 1))
        false_rate, true_rate = false_rate[keep], true_rate[keep]
    points = [[round(float(f), 5), round(float(t), 5)] for f, t in zip(false_rate, true_rate)]
    return {
        "roc_auc": area,
        "roc": {"positive": labels[1], "points": points},
    }


def _roc_curve(truth: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """False and true positive rate at every threshold, from (0, 0) to (1, 1); points on a line between two are left out."""
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)  # the last row at each threshold
    true = np.append(0, np.cumsum(truth[order])[ends])  # [P]
    false = np.append(0, ends + 1) - true  # [P]
    corner = (np.diff(true, 2) != 0) | (np.diff(false, 2) != 0)
    kept = np.concatenate([[True], corner, [True]])
    return false[kept] / false[-1], true[kept] / true[-1]


def _mistakes(labels, truth, predicted, confidence, texts, count: int) -> list[dict]:
    wrong = np.flatnonzero(predicted != truth)
    worst = wrong[np.argsort(-confidence[wrong], kind="stable")][:count]
    return [
        {
            "index": int(i),
            "text": None if texts is None else str(texts[int(i)]),
            "label": labels[truth[i]],
            "predicted": labels[predicted[i]],
            "probability": float(confidence[i]),
        }
        for i in worst
    ]
