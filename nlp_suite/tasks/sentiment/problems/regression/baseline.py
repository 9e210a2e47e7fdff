"""The easy methods beside a regression: the mean of the training split, and TF-IDF with ridge regression."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.evaluation.baseline import blocks, cached, contents, lead
from nlp_suite.evaluation.tfidf import BOUNDS, tfidf_regression_baseline
from nlp_suite.tasks.sentiment.measure import StoreTexts
from nlp_suite.tasks.sentiment.problems.regression.measure import spearman


def baselines(train: Any, store: Any, answers: NDArray[Any]) -> dict[str, Any]:
    """Figures of the baselines on a split, see `nlp_suite.task.Task.baselines`.

    Args:
        train: the store of the training split.
        store: that of the split.
        answers: of the model, `[N]`.
    """
    truth, values = np.array(store.labels), np.array(train.labels)

    def fit() -> dict[str, NDArray[Any]]:
        answered = tfidf_regression_baseline(StoreTexts(train), values.tolist(), StoreTexts(store))
        return {"rows": answered.rows, "values": answered.outputs, "notes": np.array(answered.notes, "U")}

    tfidf = cached(train.directory.parent, ["tfidf numbers", BOUNDS, contents(train), contents(store)], fit)
    rows = tfidf["rows"]
    return {
        "mean": {"title": "the mean of the training split"}
        | _figures(truth, answers, np.full(len(truth), values.mean())),
        "tfidf": {
            "title": "TF-IDF with ridge regression",
            **_figures(truth[rows], answers[rows], tfidf["values"]),
            "notes": tfidf["notes"].tolist(),
        },
    }


def _figures(truth: NDArray[Any], answers: NDArray[Any], others: NDArray[Any]) -> dict[str, Any]:
    """Figures of a baseline's answers, and by how much the model's errors are smaller on the same rows."""
    errors, of_model = np.abs(others - truth), np.abs(answers - truth)
    sums = blocks(np.stack([errors - of_model, np.ones(len(truth))], axis=1))  # [M, 2]

    def difference(drawn: NDArray[Any]) -> float:
        total, count = drawn @ sums
        return float(total / count)

    ones = np.ones(len(sums), int)
    return {
        "mae": float(errors.mean()),
        "rmse": float(np.sqrt(np.square(errors).mean())),
        "spearman": spearman(truth, others),
        "lead": {"mean absolute error": lead(difference(ones), ones, difference)},
    }
