"""Intervals that hold their share of the values of the validation split: conformalized quantile regression.

A network that saw few windows is surer than it should be. Of every value of the validation split it is measured how far it lies
outside the interval, in scaled units (below 0: inside); the quantile of these distances at the nominal share, with the
correction for a finite number of them, is the margin by which intervals are widened (Romano, Patterson & Candès 2019). They are
never narrowed: the weights were chosen on the same split, so that errors are rather too small there. Nor is anything made of
a single forecast, whose errors go together.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.task import Assets

Numbers = NDArray[np.float64]
FORECASTS = 2  # at least


def margin_of(assets: Assets) -> float:
    """By how much intervals are widened at each end, in scaled units; 0 of runs without such a fit."""
    return float(assets.fitted.get("intervals", {}).get("margin", 0.0))


def outermost(levels: Sequence[float]) -> tuple[int, int] | None:
    """The places of the lowest level α that has its counterpart, and of 1 − α; None where there is none."""
    pairs = ((i, j) for i, a in enumerate(levels) for j, b in enumerate(levels) if i < j and abs(a + b - 1) < 1e-9)
    return min(pairs, default=None)


def shifts(levels: Sequence[float], margin: float) -> list[float]:
    """What is added to the quantile of every level: the margin at the outermost ones, in proportion between them."""
    pair = outermost(levels)
    return [0.0 if pair is None else margin * (level - 0.5) / (levels[pair[1]] - 0.5) for level in levels]


def fit_margin(truth: Numbers, quantiles: Numbers, levels: Sequence[float]) -> dict[str, Any]:
    """The margin, and what it does where it was fitted.

    Args:
        truth: of the validation split in scaled units `[W, H]`, NaN where missing or without a scale.
        quantiles: `[W, H, Q]`.
        levels: of the quantiles.

    Returns:
        `margin`, `values` (how many there are), `nominal`, and the shares of values within the interval `before` and `after`;
        empty of a single forecast, and where no level has its counterpart.
    """
    pair, known = outermost(levels), np.isfinite(truth)
    if pair is None or known.any(axis=1).sum() < FORECASTS:
        return {}
    y, low, high = truth[known], quantiles[known][:, pair[0]], quantiles[known][:, pair[1]]
    outside = np.sort(np.maximum(low - y, y - high))
    nominal = levels[pair[1]] - levels[pair[0]]
    place = min(math.ceil((len(y) + 1) * nominal - 1e-9), len(y))  # of the sorted ones, from 1
    margin = max(0.0, float(outside[place - 1]))
    before, after = (float(np.mean(outside <= bound)) for bound in (0.0, margin))
    return {"margin": margin, "values": len(y), "nominal": nominal, "before": before, "after": after}


def sentence(fitted: dict[str, Any]) -> str:
    """What was done, for the report."""
    held = (
        f"the {fitted['nominal']:.0%} interval held {fitted['before']:.0%} of {fitted['values']:,} values of validation"
    )
    if fitted["margin"] == 0:
        return f"Intervals are as the network learned them: {held}."
    return f"As learned, {held}; all intervals were widened until it held {fitted['after']:.0%}."
