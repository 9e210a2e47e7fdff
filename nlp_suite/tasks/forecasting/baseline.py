"""Easy methods that a forecaster should beat: naive, seasonal naive, drift, a mean of the last steps, and ETS and ARIMA."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.evaluation.baseline import blocks, lead
from nlp_suite.progress import track
from nlp_suite.registry import is_installed
from nlp_suite.tasks.forecasting.measure import Backtest, figures

Numbers = NDArray[np.float64]
MEANS = (2, 3, 5, 7, 12, 14, 24, 30, 60)  # lengths of the mean that are tried on the training split
FITTED_WINDOWS = 24  # at most, of AutoETS and AutoARIMA, which take a second each
LONGEST_SEASON = 24  # of those two
FITTED_STEPS = 600  # of the history that they see
ONE_CUTOFF = "There is one cut-off: the interval is over its steps ahead, which depend on one another."
MISSING_PACKAGE = (
    "AutoETS and AutoARIMA are left out: they need the package statsforecast (pip install 'nlp-suite[forecasting]')"
)


def filled(history: Numbers) -> Numbers:
    """A history without missing values: each is the last known one; those at the beginning are the first."""
    known = np.isfinite(history)
    places = np.maximum.accumulate(np.where(known, np.arange(len(history)), -1))
    first = history[int(np.argmax(known))] if known.any() else 0.0
    return np.where(places >= 0, history[np.maximum(places, 0)], first)


def naive(history: Numbers, horizon: int) -> Numbers:
    """The last value."""
    return np.full(horizon, history[-1])


def seasonal_naive(history: Numbers, horizon: int, season: int) -> Numbers:
    """The last season, repeated; of a shorter history the last value."""
    if len(history) < season:
        return naive(history, horizon)
    return np.resize(history[-season:], horizon)


def drift(history: Numbers, horizon: int) -> Numbers:
    """The last value, and the mean change of a step."""
    slope = (history[-1] - history[0]) / (len(history) - 1) if len(history) > 1 else 0.0
    return history[-1] + slope * np.arange(1, horizon + 1)


def mean_of_last(history: Numbers, horizon: int, steps: int) -> Numbers:
    """The mean of the last steps."""
    return np.full(horizon, history[-steps:].mean())


def best_mean(train: Any, horizon: int) -> int:
    """The number of steps whose mean forecasts the training split best, by absolute error over all steps ahead."""
    errors = dict.fromkeys(MEANS, 0.0)
    for row in range(min(len(train), 50)):
        values = filled(np.asarray(train.series(row)))
        sums = np.cumsum([0.0, *values])
        for steps in MEANS:
            ends = np.arange(max(MEANS), len(values) - horizon)
            means = (sums[ends] - sums[ends - steps]) / steps
            after = (
                np.lib.stride_tricks.sliding_window_view(values, horizon)[ends] if len(ends) else np.zeros((0, horizon))
            )
            errors[steps] += float(np.abs(after - means[:, None]).sum())
    return min(errors, key=errors.__getitem__)


def baselines(run: Any, split: str, stores: Mapping[str, Any], by_row: Any) -> dict[str, dict[str, Any]]:
    """What easy methods achieve at the same cut-offs, each with all that was known before it; see `Task.baselines`."""
    test, forecast = by_row["test"], by_row["forecast"]
    horizon, season = test.truth.shape[1], run.task.season(run.assets.facts)
    steps = best_mean(stores["train"], horizon)
    methods: dict[str, tuple[str, Callable[[Numbers], Numbers]]] = {
        "naive": ("the last value (naive)", lambda history: naive(history, horizon)),
        "drift": ("the last value with drift", lambda history: drift(history, horizon)),
        "mean": (f"the mean of the last {steps} steps", lambda history: mean_of_last(history, horizon, steps)),
    }
    if season > 1:
        title = f"the last season of {season} steps (seasonal naive)"
        methods["seasonal_naive"] = (title, lambda history: seasonal_naive(history, horizon, season))
    histories = [filled(test.history(window)) for window in range(len(test.series))]
    found = {
        name: _compared(test, forecast, np.stack([f(h) for h in histories]), title)
        for name, (title, f) in methods.items()
    }
    notes = [ONE_CUTOFF] if len(histories) == 1 and horizon > 1 else []
    fitted, left_out = _fitted(test, forecast, histories, season)
    found["naive"]["notes"] = [*notes, *left_out]
    return {**found, **fitted}


def _compared(test: Backtest, model: Numbers, forecast: Numbers, title: str) -> dict[str, Any]:
    """The figures of a method, and the lead of the model over it in mean absolute error."""
    ours, theirs = (np.abs(each - test.truth) for each in (model, forecast))
    known = np.isfinite(test.truth)
    sums = np.stack([np.where(known, theirs - ours, 0), known], axis=-1)  # [W, H, 2]
    sums = blocks(sums.sum(axis=1)) if len(sums) > 1 else sums[0]  # of a single cut-off its steps are drawn

    def difference(counts: NDArray[Any]) -> float:
        total, number = counts @ sums
        return float(total / number) if number else 0.0

    ones = np.ones(len(sums), int)
    horizon = test.truth.shape[1]
    first = figures(test, forecast, slice(0, 1))
    return {
        "title": title,
        **figures(test, forecast),
        "by_horizon": [{"step": 1, **first}] if horizon > 1 else [],
        "lead": {"MAE": lead(difference(ones), ones, difference)},
    }


def _fitted(
    test: Backtest, model: Numbers, histories: list[Numbers], season: int
) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """AutoETS and AutoARIMA, and sentences on why they are left out."""
    if not is_installed("statsforecast"):
        return {}, [MISSING_PACKAGE]
    if len(histories) > FITTED_WINDOWS or season > LONGEST_SEASON:
        long = len(histories) > FITTED_WINDOWS
        why = f"there are {len(histories):,} cut-offs" if long else f"a season has {season} steps"
        return {}, [f"AutoETS and AutoARIMA are left out, as they take seconds each: {why}"]
    from statsforecast.models import AutoARIMA, AutoETS

    made = {}
    for name, title, method in (("auto_ets", "AutoETS", AutoETS), ("auto_arima", "AutoARIMA", AutoARIMA)):
        rows = []
        for history in track(histories, f"fitting {title}", len(histories), "cut-offs"):
            answer = method(season_length=season).forecast(history[-FITTED_STEPS:], h=test.truth.shape[1])
            rows.append(np.asarray(answer["mean"], np.float64))
        made[name] = _compared(test, model, np.stack(rows), title)
    return made, []
