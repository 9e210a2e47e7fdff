"""Intervals that hold their share of the values of the validation split: split conformal prediction.

A network that saw few windows is surer than it should be. Of every value of the validation split its distance from the forecast is
measured in half-widths of the interval there; the quantile of these distances at the nominal share, with the correction for
a finite number of them, is the factor by which intervals are widened, so that those of far steps stay wider than those of
near ones (Lei et al. 2018, section 5.2; of quantiles Romano et al. 2019). They are never narrowed: the weights were chosen on
the same split, so that errors are rather too small there. Nor is anything made of a single forecast, whose errors go together.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.task import Assets

Numbers = NDArray[np.float64]
FORECASTS = 2  # at least


def width_of(assets: Assets) -> float:
    """How many times as wide as the network says intervals are answered; 1 of runs without such a fit."""
    return float(assets.fitted.get("intervals", {}).get("width", 1.0))


def outermost(levels: Sequence[float]) -> tuple[int, int] | None:
    """The places of the lowest level α that has its counterpart, and of 1 − α; None where there is none."""
    pairs = ((i, j) for i, a in enumerate(levels) for j, b in enumerate(levels) if i < j and abs(a + b - 1) < 1e-9)
    return min(pairs, default=None)


def fit_width(truth: Numbers, forecast: Numbers, quantiles: Numbers, levels: Sequence[float]) -> dict[str, Any]:
    """The factor, and what it does where it was fitted.

    Args:
        truth: of the validation split in scaled units `[W, H]`, NaN where missing or without a scale.
        forecast: `[W, H]`.
        quantiles: `[W, H, Q]`.
        levels: of the quantiles.

    Returns:
        `width`, `values` (how many there are), `nominal`, and the shares of values within the interval `before` and `after`; empty
        of a single forecast, and where no level has its counterpart.
    """
    pair, known = outermost(levels), np.isfinite(truth)
    if pair is None or known.any(axis=1).sum() < FORECASTS:
        return {}
    error = (truth - forecast)[known]
    below, above = (np.abs(quantiles[known][:, place] - forecast[known]) for place in pair)
    distances = np.sort(np.abs(error) / np.maximum(np.where(error > 0, above, below), 1e-9))
    nominal = levels[pair[1]] - levels[pair[0]]
    place = min(math.ceil((len(error) + 1) * nominal - 1e-9), len(error))  # of the sorted ones, from 1
    width = max(1.0, float(distances[place - 1]))
    before, after = (float(np.mean(distances <= factor)) for factor in (1.0, width))
    return {"width": width, "values": len(error), "nominal": nominal, "before": before, "after": after}


def sentence(fitted: dict[str, Any]) -> str:
    """What was done, for the report."""
    held = (
        f"the {fitted['nominal']:.0%} interval held {fitted['before']:.0%} of {fitted['values']:,} values of validation"
    )
    if fitted["width"] == 1:
        return f"Intervals are as the network learned them: {held}."
    return (
        f"As learned, {held}; all were made {fitted['width']:.3g} times as wide, so that it held {fitted['after']:.0%}."
    )
