"""The numbers of a multi-label classifier: F1 at the thresholds, average precision, exact match, and where it errs."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nlp_suite.errors import DataError, RunError
from nlp_suite.tasks.sentiment.measure import StoreTexts, never_answered_remark, split_logits, validation_logits
from nlp_suite.tasks.sentiment.problems.multi_label.predictor import sigmoid
from nlp_suite.tasks.sentiment.problems.multi_label.thresholds import (
    DEFAULT,
    choose_thresholds,
    threshold_facts,
    thresholds_of,
)
from nlp_suite.text.statistics import truncation_shares

RESAMPLES = 500  # of the bootstrap


def fit_thresholds(run: Any, store: Any) -> dict[str, Any]:
    """`{"thresholds": {label: threshold}}`, see `choose_thresholds`; empty where the settings give them."""
    if run.task.settings.thresholds != "validation":
        return {}
    probabilities = sigmoid(validation_logits(run, store))
    if not np.isfinite(probabilities).all():  # measuring it says so
        return {}
    return {"thresholds": threshold_facts(run.labels, choose_thresholds(np.array(store.labels), probabilities))}


def measure(run: Any, split: str, stores: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a split, see `multi_label_report`, with `truncated_share`, `dropped_share` and `remarks` on the answers.

    `by_row` are the labels that were given, bool `[N, C]`.
    """
    store = stores[split]
    thresholds = thresholds_of(run.task.settings.thresholds, run.assets)
    probabilities = sigmoid(split_logits(run, store))
    report = multi_label_report(run.labels, np.array(store.labels), probabilities, thresholds, StoreTexts(store))
    cut = truncation_shares(np.asarray(store.lengths), np.asarray(store.full_lengths))
    remark = never_answered_remark(report["never_answered"], run.labels)
    chosen = probabilities >= thresholds
    return {**report, **cut, "remarks": [remark] if remark else [], "by_row": chosen}


def multi_label_report(
    labels: Sequence[str],
    truth: np.ndarray,
    probabilities: np.ndarray,
    thresholds: np.ndarray,
    texts: Sequence[str] | None = None,
    mistakes: int = 10,
) -> dict[str, Any]:
    """Everything that is reported about a multi-label classifier, as numbers that JSON can hold.

    Args:
        labels: names of the C labels.
        truth: 0 or 1, `[N, C]`.
        probabilities: `[N, C]`.
        thresholds: of every label, `[C]`.
        texts: the N texts; only those of the listed mistakes are read. None leaves `text` null.
        mistakes: how many texts to list, those with the most wrong labels first.

    Returns:
        `kind`, `labels`, `examples`, `micro` and `macro` (each `precision`, `recall`, `f1` at the thresholds and
        `average_precision` without any; macro over the labels that occur or are answered), `micro_f1_interval` (95 %,
        bootstrap over texts), `micro_f1_half` (at 0.5 in place of the thresholds), `exact_match` (texts with all labels
        right), `labels_per_text` (`true` and `answered`), `cross_entropy`, `per_class`, `never_answered` and `mistakes`.

    Raises:
        DataError: no examples.
        RunError: probabilities that are no numbers.
    """
    truth, probabilities = np.asarray(truth).astype(bool), np.asarray(probabilities, "float64")
    if not len(truth):
        raise DataError("there are no examples to evaluate: the split is empty")
    if not np.isfinite(probabilities).all():
        raise RunError("the model answers with something that is no number; train it again with a lower learning rate")
    chosen = probabilities >= thresholds  # [N, C]
    answered, support = chosen.sum(axis=0), truth.sum(axis=0)  # [C] each
    precision, recall, f1 = _scores((truth & chosen).sum(axis=0), answered, support)
    average = _average_precisions(truth, probabilities)
    micro, macro = averages(truth, chosen, probabilities)
    likely = np.clip(np.where(truth, probabilities, 1 - probabilities), np.finfo("float32").eps, 1)
    return {
        "kind": "multi_label",
        "labels": list(labels),
        "examples": len(truth),
        "micro": micro,
        "macro": macro,
        "micro_f1_interval": _interval(truth, chosen),
        "micro_f1_half": _micro_f1(truth, probabilities >= DEFAULT),
        "exact_match": float((truth == chosen).all(axis=1).mean()),
        "labels_per_text": {"true": float(truth.sum(axis=1).mean()), "answered": float(chosen.sum(axis=1).mean())},
        "cross_entropy": float(-np.log(likely).mean()),
        "per_class": {
            label: {
                "precision": float(precision[c]),
                "recall": float(recall[c]),
                "f1": float(f1[c]),
                "average_precision": float(average[c]),
                "threshold": float(thresholds[c]),
                "support": int(support[c]),
                "answered": int(answered[c]),
            }
            for c, label in enumerate(labels)
        },
        "never_answered": [label for c, label in enumerate(labels) if support[c] and not answered[c]],
        "mistakes": _mistakes(labels, truth, chosen, probabilities, texts, mistakes),
    }


def averages(truth: np.ndarray, chosen: np.ndarray, scores: np.ndarray) -> tuple[dict[str, float], dict[str, float]]:
    """`micro` and `macro` of `multi_label_report`.

    Args:
        truth: whether a text has a label, bool `[N, C]`.
        chosen: whether it was given it, bool `[N, C]`.
        scores: what average precision ranks by, `[N, C]`.
    """
    names = ("precision", "recall", "f1")
    hits, answered, support = (truth & chosen).sum(axis=0), chosen.sum(axis=0), truth.sum(axis=0)  # [C] each
    occurs, ranked = answered + support > 0, _average_precisions(truth, scores)[support > 0]
    micro = dict(zip(names, map(float, _scores(hits.sum(), answered.sum(), support.sum()))))
    macro = {
        name: float(values[occurs].mean()) if occurs.any() else 0.0
        for name, values in zip(names, _scores(hits, answered, support))
    }
    over_all = _average_precisions(truth.reshape(-1, 1), scores.reshape(-1, 1))
    return (
        {**micro, "average_precision": float(over_all[0])},
        {**macro, "average_precision": float(ranked.mean()) if len(ranked) else 0.0},
    )


def _scores(hits: Any, answered: Any, support: Any) -> tuple[Any, Any, Any]:
    """Precision, recall and F1; 0 where they are undefined."""
    return (
        hits / np.maximum(1, answered),
        hits / np.maximum(1, support),
        2 * hits / np.maximum(1, answered + support),
    )


def _micro_f1(truth: np.ndarray, chosen: np.ndarray) -> float:
    return float(_scores((truth & chosen).sum(), chosen.sum(), truth.sum())[2])


def _average_precisions(truth: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Mean of the precision at every hit, of each label `[C]`; 0 where it is never true."""
    from sklearn.metrics import average_precision_score

    columns = zip(truth.T, scores.T)
    return np.array([average_precision_score(t, s) if t.any() else 0.0 for t, s in columns])


def _interval(truth: np.ndarray, chosen: np.ndarray) -> list[float]:
    """95 % of the micro F1 of texts drawn again, with a fixed seed."""
    parts = np.stack([2 * (truth & chosen).sum(axis=1), truth.sum(axis=1) + chosen.sum(axis=1)], axis=1)  # [N, 2]
    draw, count = np.random.default_rng(0), len(parts)
    sums = np.array([parts[draw.integers(0, count, count)].sum(axis=0) for _ in range(RESAMPLES)])  # [R, 2]
    return [float(end) for end in np.quantile(sums[:, 0] / np.maximum(1, sums[:, 1]), [0.025, 0.975])]


def _mistakes(labels, truth, chosen, probabilities, texts, count: int) -> list[dict]:
    wrong = (truth != chosen).sum(axis=1)  # [N]
    distance = np.abs(truth - probabilities).max(axis=1)  # [N], of the surest wrong label
    order = np.lexsort((-distance, -wrong))[:count]
    return [
        {
            "index": int(i),
            "text": None if texts is None else str(texts[int(i)]),
            "labels": [labels[c] for c in np.flatnonzero(truth[i])],
            "predicted": [labels[c] for c in np.flatnonzero(chosen[i])],
        }
        for i in order
        if wrong[i]
    ]
