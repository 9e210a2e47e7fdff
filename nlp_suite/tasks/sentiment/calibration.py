"""Temperature scaling: one number divides the logits of a trained classifier, so that its probabilities are chances.

Guo et al. 2017 (arXiv:1706.04599): the temperature T is the one for which the cross-entropy of softmax(logits / T) is the
least on the validation split. The labels that are answered stay the same.
"""

from typing import Any

import numpy as np

from nlp_suite.task import Assets
from nlp_suite.tasks.sentiment.report import cross_entropy, expected_calibration_error

LOWEST, HIGHEST = 0.1, 10.0  # temperatures: what lies beyond says that the logits are worth nothing
SIGNIFICANT = 3.84  # 95 % quantile of the chi-squared distribution with one degree of freedom
STEPS = 50  # of the bisection: more than a float64 tells apart


def temperature_of(assets: Assets) -> float:
    """What the logits are divided by; 1 of runs without a calibration."""
    return float(assets.fitted.get("calibration", {}).get("temperature", 1.0))


def probabilities_of(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """Softmax of logits `[N, C]` divided by a temperature, float64 `[N, C]`."""
    scaled = np.asarray(logits, "float64") / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit_temperature(logits: np.ndarray, truth: np.ndarray) -> float:
    """The temperature of the least cross-entropy, between 0.1 and 10.

    The cross-entropy is convex in 1 / T, so the root of its derivative is found by bisection. Every label counts as one row
    more than there are (Laplace; Platt 1999 for two classes): else a split without a mistake had a temperature of 0.

    Args:
        logits: float `[N, C]`.
        truth: label ids, int `[N]`.
    """
    logits = np.asarray(logits, "float64")
    rows = len(logits)
    expected = _smoothed(logits, truth).mean()

    def slope(inverse: float) -> float:
        return float((probabilities_of(logits, 1 / inverse) * logits).sum() / rows - expected)

    if abs(slope(1.0)) < 1e-12:
        return 1.0
    low, high = np.log(1 / HIGHEST), np.log(1 / LOWEST)
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (low, middle) if slope(np.exp(middle)) > 0 else (middle, high)
    return float(np.exp(-(low + high) / 2))


def _smoothed(values: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The mean `[N]` of values `[N, C]` where every label counts as one row more than there are."""
    rows, classes = values.shape
    true = values[np.arange(rows), truth]  # [N]
    return (rows * true + values.sum(axis=1)) / (rows + classes)


def fit_calibration(logits: np.ndarray, truth: np.ndarray, setting: str) -> dict[str, Any]:
    """What `task.calibration` gives: the temperature that is used, and what it does on the rows that it was fitted on.

    Args:
        logits: of the validation split, float `[N, C]`.
        truth: its label ids, int `[N]`.
        setting: `"temperature"`; or `"auto"`, which leaves the logits as they are unless a likelihood-ratio test finds the
            temperature better than 1 at the 5 % level.

    Returns:
        `temperature`, `fitted` (the best one, used or not), `rows`, and for 1 and for `fitted` `cross_entropy_before` and
        `_after`, `ece_before` and `_after`.
    """
    fitted = fit_temperature(logits, truth)
    logs = [np.log(np.maximum(probabilities_of(logits, t), 1e-300)) for t in (1.0, fitted)]
    before, after = (float(_smoothed(log, truth).sum()) for log in logs)  # log-likelihoods
    used = setting == "temperature" or 2 * (after - before) > SIGNIFICANT
    return {
        "temperature": fitted if used else 1.0,
        "fitted": fitted,
        "rows": len(truth),
        **before_and_after(logits, truth, fitted),
    }


def before_and_after(logits: np.ndarray, truth: np.ndarray, temperature: float) -> dict[str, float]:
    """Cross-entropy and expected calibration error of the logits as they are, and divided by the temperature."""
    figures = {}
    for when, divisor in (("before", 1.0), ("after", temperature)):
        probabilities = probabilities_of(logits, divisor)
        figures[f"cross_entropy_{when}"] = cross_entropy(truth, probabilities)
        figures[f"ece_{when}"] = expected_calibration_error(truth, probabilities)
    return figures
