"""The probability from which a label is given: chosen for the best F1, or as the settings say."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_suite.task import Assets

MIN_POSITIVES = 5  # texts with a label, for a threshold of its own: with fewer, the best one is chance
DEFAULT = 0.5


def thresholds_of(setting: str | float | Mapping[str, float], assets: Assets) -> np.ndarray:
    """The threshold of every label, float64 `[C]`.

    Args:
        setting: `task.thresholds`.
        assets: labels, and what was fitted after training; nothing fitted is 0.5.
    """
    given = assets.fitted.get("thresholds", {}) if isinstance(setting, str) else setting
    if isinstance(given, Mapping):
        return np.array([given.get(label, DEFAULT) for label in assets.labels], "float64")
    return np.full(len(assets.labels), given, "float64")


def choose_thresholds(truth: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """The thresholds, float64 `[C]`, with the best F1 of each label; those of rare labels are one, of the best micro F1.

    Args:
        truth: 0 or 1, `[N, C]`.
        probabilities: `[N, C]`.

    Example:
        >>> choose_thresholds(np.array([[0], [0], [1], [1], [1], [1], [1]]), np.array([[1, 2, 3, 4, 5, 6, 7]]).T / 10)
        array([0.25])
    """
    common = best_threshold(truth.ravel(), probabilities.ravel())
    enough = truth.sum(axis=0) >= MIN_POSITIVES
    return np.array(
        [best_threshold(truth[:, c], probabilities[:, c]) if enough[c] else common for c in range(truth.shape[1])]
    )


def best_threshold(truth: np.ndarray, scores: np.ndarray) -> float:
    """The threshold with the best F1, in the middle between two scores; 0.5 where nothing is true.

    Args:
        truth: 0 or 1, `[N]`.
        scores: `[N]`.
    """
    positives = int(truth.sum())
    if not positives:
        return DEFAULT
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    hits = np.cumsum(truth[order].astype("int64"))  # of the first 1 … N
    f1 = 2 * hits / (np.arange(1, len(ranked) + 1) + positives)
    f1[:-1][ranked[:-1] == ranked[1:]] = 0  # equal scores are on one side
    cut = int(np.argmax(f1))
    below = ranked[cut + 1] if cut + 1 < len(ranked) else 0.0
    return float((ranked[cut] + below) / 2)


def threshold_facts(labels: list[str], thresholds: np.ndarray) -> dict[str, Any]:
    """Label → threshold, as `Assets.fitted` holds them."""
    return dict(zip(labels, thresholds.tolist()))
