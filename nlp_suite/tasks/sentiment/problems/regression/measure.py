"""The numbers of a regression: errors in the user's units, correlation, and where the errors are."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nlp_suite.errors import DataError, RunError
from nlp_suite.tasks.sentiment.measure import StoreTexts, split_logits
from nlp_suite.text.statistics import truncation_shares

POINTS = 400  # of the picture
RANGES = 5  # of the table of errors by range


def measure(run: Any, split: str, stores: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a split, see `regression_report`, with `truncated_share` and `dropped_share`; `by_row` are the answers `[N]`."""
    store = stores[split]
    answers = split_logits(run, store)[:, 0]
    report = regression_report(np.array(store.labels), answers, StoreTexts(store))
    cut = truncation_shares(np.asarray(store.lengths), np.asarray(store.full_lengths))
    return {**report, **cut, "by_row": answers}


def regression_report(
    truth: np.ndarray, answers: np.ndarray, texts: Sequence[str] | None = None, mistakes: int = 10
) -> dict[str, Any]:
    """Everything that is reported about a regression, as numbers that JSON can hold.

    Args:
        truth: what is true, `[N]`.
        answers: of the model, `[N]`.
        texts: the N texts; only those of the listed mistakes are read. None leaves `text` null.
        mistakes: how many of the largest errors to list.

    Returns:
        `kind`, `examples`, `mae` with `mae_interval` (95 %, of the mean), `rmse`, `r2` (1 − squared error / variance) and
        `spearman` (both null where all are equal), `bias` (mean of answer − truth), `errors` (percentiles of the absolute error), `ranges` (fifths of the truth), `points` and `mistakes`.

    Raises:
        DataError: no examples.
        RunError: answers that are no numbers.

    Example:
        >>> regression_report(np.array([1.0, 2.0]), np.array([1.0, 3.0]))["mae"]
        0.5
    """
    truth, answers = np.asarray(truth, "float64"), np.asarray(answers, "float64")
    if not len(truth):
        raise DataError("there are no examples to evaluate: the split is empty")
    if not np.isfinite(answers).all():
        raise RunError("the model answers with something that is no number; train it again with a lower learning rate")
    errors = answers - truth  # [N]
    size = np.abs(errors)
    mae, half = float(size.mean()), 1.959964 * float(size.std()) / len(size) ** 0.5
    variance = float(truth.var())
    worst = np.argsort(-size, kind="stable")[:mistakes]
    shown = np.unique(np.linspace(0, len(truth) - 1, POINTS).astype(int))
    return {
        "kind": "regression",
        "examples": len(truth),
        "mae": mae,
        "mae_interval": [max(0.0, mae - half), mae + half],
        "rmse": float(np.sqrt(np.square(errors).mean())),
        "r2": 1 - float(np.square(errors).mean()) / variance if variance else None,
        "spearman": spearman(truth, answers),
        "bias": float(errors.mean()),
        "errors": {f"p{p}": float(np.percentile(size, p)) for p in (50, 90, 99)},
        "ranges": _ranges(truth, answers),
        "points": [[float(truth[i]), float(answers[i])] for i in shown],
        "mistakes": [
            {
                "index": int(i),
                "text": None if texts is None else str(texts[int(i)]),
                "value": float(truth[i]),
                "predicted": float(answers[i]),
            }
            for i in worst
        ],
    }


def spearman(first: np.ndarray, second: np.ndarray) -> float | None:
    """Spearman's rank correlation, ties by their mean rank; None where one side is constant."""
    ranks = []
    for values in (first, second):
        _, place, counts = np.unique(values, return_inverse=True, return_counts=True)
        if len(counts) < 2:
            return None
        ranks.append((np.cumsum(counts) - (counts - 1) / 2)[place])
    return float(np.atleast_2d(np.corrcoef(np.stack(ranks)))[0, 1])


def _ranges(truth: np.ndarray, answers: np.ndarray) -> list[dict[str, Any]]:
    """The rows in up to five ranges of the truth of about the same number, each with its mean answer and error."""
    edges = np.unique(np.quantile(truth, np.linspace(0, 1, RANGES + 1)))
    where = np.clip(np.searchsorted(edges, truth, side="right") - 1, 0, max(0, len(edges) - 2))  # [N]
    table = []
    for i in np.unique(where):
        inside = where == i
        table.append(
            {
                "low": float(truth[inside].min()),
                "high": float(truth[inside].max()),
                "count": int(inside.sum()),
                "mean": float(truth[inside].mean()),
                "answered": float(answers[inside].mean()),
                "mae": float(np.abs(answers - truth)[inside].mean()),
            }
        )
    return table
