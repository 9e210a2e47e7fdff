"""The probability from which the second of two labels is answered, chosen on validation for F-beta or for the least cost."""

from typing import Any

import numpy as np

from nlp_suite.task import Assets

COSTS = ("false_positive", "false_negative")
SMALLEST = 1e-6  # distance of a threshold from 0 and from 1
ALLOWED = "a probability between 0 and 1, {beta: 1.0}, or {cost: {false_positive: 1, false_negative: 5}}"


def checked_rule(value: Any) -> Any:
    """The setting `task.threshold`, checked.

    Raises:
        ValueError: something else than `ALLOWED`.
    """
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1):
        return value
    numbers: list[Any] = []
    if isinstance(value, dict) and set(value) == {"beta"}:
        numbers = [value["beta"]]
    elif isinstance(value, dict) and set(value) == {"cost"} and isinstance(value["cost"], dict):
        numbers = list(value["cost"].values()) if set(value["cost"]) == set(COSTS) else []
    if not numbers or not all(type(n) in (int, float) and 0 < n < float("inf") for n in numbers):
        raise ValueError(f"write {ALLOWED} (all numbers above 0), or null; got {value}")
    return value


def answered_labels(probabilities: np.ndarray, threshold: float | None) -> np.ndarray:
    """The labels that are answered, int `[N]`: the most probable ones, or by the threshold of the second of two."""
    if threshold is None:
        return probabilities.argmax(axis=1)
    return (probabilities[:, 1] >= np.float32(threshold)).astype("int64")


def threshold_of(assets: Assets) -> float | None:
    """What was chosen after training; None where the most probable label is answered."""
    value = assets.fitted.get("threshold", {}).get("value")
    return None if value is None else float(value)


def fit_threshold(truth: np.ndarray, scores: np.ndarray, rule: Any) -> dict[str, Any]:
    """The threshold that suits a rule best on some rows, in the middle between two scores.

    Args:
        truth: 1 where a row has the second label, else 0, `[N]`.
        scores: probabilities of the second label, `[N]`.
        rule: as `checked_rule` allows; a number is taken as it is.

    Returns:
        `value`; unless it was given also `rule`, `rows` and what it achieves on them: `f_beta`, or `cost`, the mean a row; and
        the same for 0.5 as `at_half`.

    Example:
        >>> fit_threshold(np.array([0, 1, 0, 1]), np.array([0.1, 0.2, 0.3, 0.9]), {"beta": 2})["value"]
        0.15
    """
    if not isinstance(rule, dict):
        return {"value": float(rule)}
    order = np.argsort(-scores, kind="stable")
    ranked = np.asarray(scores, "float64")[order]
    ends = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # equal scores are on one side
    counts = np.append(0, ends + 1)  # rows that are answered with the second label, at each cut
    hits = np.append(0, np.cumsum(truth[order])[ends])
    above = np.append(1.0, ranked[ends])  # the lowest score above each cut
    below = np.append(ranked[counts[:-1]], 0.0)
    cuts = np.clip((above + below) / 2, SMALLEST, 1 - SMALLEST)
    name, worth = _worth(rule, hits, counts - hits, int(truth.sum()) - hits, len(truth))
    best = np.flatnonzero(worth == worth.max())
    chosen = best[np.argmin(np.abs(cuts[best] - 0.5))]
    at_half = int((np.asarray(scores) >= 0.5).sum())  # a cut of its own
    half = int(np.searchsorted(counts, at_half))
    sign = -1 if name == "cost" else 1
    return {
        "value": float(cuts[chosen]),
        "rule": rule,
        "rows": len(truth),
        name: float(sign * worth[chosen]),
        "at_half": float(sign * worth[half]),
    }


def _worth(rule: dict[str, Any], hits: Any, alarms: Any, misses: Any, rows: int) -> tuple[str, Any]:
    """The name of what a rule is about, and for each cut what should be as large as possible."""
    if "cost" in rule:
        cost = rule["cost"]
        return "cost", -(cost["false_positive"] * alarms + cost["false_negative"] * misses) / rows
    weight = rule["beta"] ** 2
    return "f_beta", (1 + weight) * hits / np.maximum((1 + weight) * hits + weight * misses + alarms, 1e-12)


def threshold_remark(fitted: dict[str, Any], label: str) -> str:
    """A sentence on the threshold of a report; `label`: the second one."""
    start = f"{label!r} is answered from a probability of {fitted['value']:.4g} on"
    if "rule" not in fitted:
        return f"{start} (task.threshold)."
    if "cost" in fitted:
        costs = fitted["rule"]["cost"]
        told = (
            f"for the least cost, {costs['false_positive']:g} for one that it is not and {costs['false_negative']:g} for one "
            f"that is missed: {fitted['cost']:.4g} a text"
        )
    else:
        told = f"for the best F{fitted['rule']['beta']:g}: {fitted['f_beta']:.4f}"
    return f"{start}, chosen on {fitted['rows']:,} validation texts {told} there, {fitted['at_half']:.4g} with 0.5."
