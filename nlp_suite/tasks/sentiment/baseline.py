"""The easy methods beside a classifier: the most frequent class, and TF-IDF with logistic regression."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nlp_suite.evaluation.baseline import cached, contents, lead
from nlp_suite.evaluation.tfidf import BOUNDS, tfidf_baseline
from nlp_suite.tasks.sentiment.measure import StoreTexts
from nlp_suite.tasks.sentiment.report import MIN_PROBABILITY, wilson

TITLES = {"majority": "the most frequent class", "tfidf": "TF-IDF with logistic regression"}


def baselines(labels: Sequence[str], train, store, answers: NDArray, ordered: bool = False) -> dict:
    """Figures of the baselines on a split, see `nlp_suite.task.Task.baselines`.

    Args:
        labels: names of the C classes.
        train: the store of the training split.
        store: that of the split.
        answers: the class that the model answered for each row of it, int `[N]`.
        ordered: whether the distance of answer and truth, in labels, means something: then it is a figure, too.
    """
    truth, classes = np.array(store.labels), len(labels)
    shares = np.bincount(train.labels, minlength=classes) / len(train)  # [C]
    everywhere = np.arange(len(store))
    majority = beside(
        truth,
        answers,
        everywhere,
        np.full(len(store), shares.argmax()),
        np.log(np.maximum(shares, MIN_PROBABILITY))[truth],
        classes,
        ordered,
    )
    tfidf = cached(
        train.directory.parent,
        ["tfidf", BOUNDS, classes, contents(train), contents(store)],
        lambda: _tfidf(train, store, classes),
    )
    arrays = tfidf["rows"], tfidf["predicted"], tfidf["log_probs"]
    notes = {"notes": tfidf["notes"].tolist()}
    return {
        "majority": {"title": TITLES["majority"], **majority},
        "tfidf": {"title": TITLES["tfidf"], **beside(truth, answers, *arrays, classes, ordered), **notes},
    }


def _tfidf(train, store, classes: int) -> dict[str, NDArray]:
    """Which rows were answered, with which class, and the log-probability of their true class."""
    answered = tfidf_baseline(StoreTexts(train), np.array(train.labels), StoreTexts(store))
    probabilities = np.zeros((len(answered.rows), classes))  # of all classes, also those without a training text
    probabilities[:, answered.classes] = answered.outputs
    of_truth = probabilities[np.arange(len(answered.rows)), np.array(store.labels)[answered.rows]]
    return {
        "rows": answered.rows,
        "predicted": probabilities.argmax(axis=1),
        "log_probs": np.log(np.maximum(of_truth, MIN_PROBABILITY)),
        "notes": np.array(answered.notes, "U"),
    }


def beside(truth, answers, rows, predicted, log_probs, classes: int, ordered: bool = False) -> dict:
    """Figures of another method's answers for some rows, and by how much the model is better on the same rows.

    Args:
        truth: label ids of all rows, int `[N]`.
        answers: the model's, int `[N]`.
        rows: those that the other method answered, int `[M]`.
        predicted: its answers, int `[M]`.
        log_probs: its log-probabilities of the true labels, `[M]`.
        classes: number of classes C.
        ordered: see `baselines`.
    """
    truth, answers = truth[rows], answers[rows]
    kinds, counts = np.unique(np.stack([truth, answers, predicted], axis=1), axis=0, return_counts=True)  # [K, 3], [K]
    true, ours, theirs = kinds.T
    right, total = int((predicted == truth).sum()), len(truth)
    f1 = {"ours": macro_f1(true, ours, counts, classes), "theirs": macro_f1(true, theirs, counts, classes)}

    def accuracy_lead(drawn) -> float:
        return float(drawn @ ((ours == true).astype(int) - (theirs == true)) / total)

    def f1_lead(drawn) -> float:
        return macro_f1(true, ours, drawn, classes) - macro_f1(true, theirs, drawn, classes)

    def distance_lead(drawn) -> float:
        return float(drawn @ (np.abs(theirs - true) - np.abs(ours - true)) / total)

    leads = {
        "accuracy": lead(accuracy_lead(counts), counts, accuracy_lead),
        "macro F1": lead(f1["ours"] - f1["theirs"], counts, f1_lead),
    }
    figures = {
        "accuracy": right / total,
        "accuracy_interval": wilson(right, total),
        "macro": {"f1": f1["theirs"]},
        "cross_entropy": float(-np.mean(log_probs)),
        "lead": leads,
    }
    if ordered:
        figures["mae"] = float(np.abs(predicted - truth).mean())
        leads["mean distance"] = lead(distance_lead(counts), counts, distance_lead)
    return figures


def macro_f1(truth, predicted, counts, classes: int) -> float:
    """F1 of the classes that occur in the truth or among the answers, averaged; `counts` says how often each row occurs."""
    hit = truth == predicted
    hits = np.bincount(truth[hit], counts[hit], classes)  # [C]
    both = np.bincount(truth, counts, classes) + np.bincount(predicted, counts, classes)  # [C]
    occurs = both > 0
    return float(np.mean(2 * hits[occurs] / both[occurs]))
