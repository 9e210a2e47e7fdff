"""The easy methods beside a multi-label classifier: the most frequent label, and TF-IDF with logistic regression a label."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.evaluation.baseline import blocks, cached, contents, lead
from nlp_suite.evaluation.tfidf import BOUNDS, tfidf_multi_label_baseline
from nlp_suite.tasks.sentiment.measure import StoreTexts
from nlp_suite.tasks.sentiment.problems.multi_label.measure import averages
from nlp_suite.tasks.sentiment.problems.multi_label.thresholds import DEFAULT


def baselines(labels: Sequence[str], train: Any, store: Any, chosen: NDArray[Any]) -> dict[str, Any]:
    """Figures of the baselines on a split, see `nlp_suite.task.Task.baselines`; their thresholds are 0.5.

    Args:
        labels: names of the C labels.
        train: the store of the training split.
        store: that of the split.
        chosen: which labels the model gave, bool `[N, C]`.
    """
    truth, given = np.array(store.labels).astype(bool), np.array(train.labels)

    def fit() -> dict[str, NDArray[Any]]:
        answered = tfidf_multi_label_baseline(StoreTexts(train), given, StoreTexts(store))
        return {"rows": answered.rows, "outputs": answered.outputs, "notes": np.array(answered.notes, "U")}

    tfidf = cached(train.directory.parent, ["tfidf labels", BOUNDS, contents(train), contents(store)], fit)
    rows, shares = tfidf["rows"], given.mean(axis=0)  # [C]
    frequent = np.tile((shares == shares.max()) * 1.0, (len(truth), 1))
    return {
        "majority": {"title": f"always {labels[int(shares.argmax())]!r}", **_figures(truth, chosen, frequent)},
        "tfidf": {
            "title": "TF-IDF with logistic regression",
            **_figures(truth[rows], chosen[rows], tfidf["outputs"]),
            "notes": tfidf["notes"].tolist(),
        },
    }


def _figures(truth: NDArray[Any], chosen: NDArray[Any], probabilities: NDArray[Any]) -> dict[str, Any]:
    """Figures of a baseline's answers, and by how much the model's micro F1 is higher on the same rows."""
    theirs = probabilities >= DEFAULT
    sums = blocks(np.concatenate([_parts(truth, chosen), _parts(truth, theirs)], axis=1))  # [M, 4]

    def difference(drawn: NDArray[Any]) -> float:
        hits, total, their_hits, their_total = drawn @ sums
        return float(hits / max(total, 1) - their_hits / max(their_total, 1))

    ones = np.ones(len(sums), int)
    micro, macro = averages(truth, theirs, probabilities)
    return {"micro": micro, "macro": macro, "lead": {"micro F1": lead(difference(ones), ones, difference)}}


def _parts(truth: NDArray[Any], chosen: NDArray[Any]) -> NDArray[Any]:
    """Of every text what its micro F1 is the quotient of: twice the hits, and true and given labels, `[N, 2]`."""
    return np.stack([2 * (truth & chosen).sum(axis=1), truth.sum(axis=1) + chosen.sum(axis=1)], axis=1)
