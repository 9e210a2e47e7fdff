"""How good forecasts are: a rolling-origin backtest over a split, its errors by step ahead, series and cut-off."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.kinds.series import SeriesStore
from nlp_suite.data.sources.base import SPLITS
from nlp_suite.errors import DataError, RunError
from nlp_suite.progress import track
from nlp_suite.tasks.forecasting.ensemble import ForecastEnsemble, check_measured_alike, mean_of
from nlp_suite.tasks.forecasting.seen import begin_after

ROWS = 256  # windows that are asked at once
SHOWN_SERIES, SHOWN_CUTOFFS, SHOWN_FORECASTS, POINTS = 20, 40, 4, 600
Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Backtest:
    """What happened after every cut-off of a split.

    Attributes:
        store: of the split.
        series: the number of the series of every window, `[W]`.
        cutoffs: how many of its steps were known, `[W]`.
        truth: the values after it, `[W, H]`, NaN where missing.
        scales: mean size of the seasonal differences of each series before the split, `[N]`; NaN where it has none or 0.
    """

    store: SeriesStore
    series: NDArray[np.int64]
    cutoffs: NDArray[np.int64]
    truth: Numbers
    scales: Numbers

    def history(self, window: int) -> Numbers:
        """What was known at the cut-off of a window."""
        return np.asarray(self.store.series(int(self.series[window]))[: self.cutoffs[window]])


def backtest(store: SeriesStore, windows: Any, season: int, horizon: int) -> Backtest:
    """The windows of a split.

    Args:
        store: of the split.
        windows: `SeriesWindows` without a seed.
        season: steps of a season.
        horizon: steps ahead.

    Raises:
        DataError: no window fits into the split.
    """
    if not windows.count:
        raise DataError("the split has no window: task.horizon, or task.max_horizon, is longer than what it holds")
    series, cutoffs = windows.places(np.arange(windows.count))
    truth = np.stack([store.series(int(row))[end : end + horizon] for row, end in zip(series, cutoffs)])
    scales = np.array([seasonal_scale(store.series(row)[:begin], season) for row, begin in enumerate(store.begins)])
    return Backtest(store, series, cutoffs, truth, scales)


def seasonal_scale(values: Numbers, season: int) -> float:
    """Mean size of the differences to the season before: the unit of MASE (Hyndman & Koehler 2006); NaN where it is 0."""
    differences = np.abs(values[season:] - values[:-season])
    differences = differences[np.isfinite(differences)]
    return float(differences.mean()) if len(differences) and differences.mean() > 0 else np.nan


def figures(test: Backtest, forecast: Numbers, steps: slice = slice(None)) -> dict[str, Any]:
    """Errors of forecasts `[W, H]` over some of the steps ahead; missing values count nowhere.

    Returns:
        `mae`, `mse`, `rmse`, `smape` (percent, 0 to 200), `mase` (None where no series has a scale) and `bias` (mean of forecast − truth).
    """
    truth, forecast = test.truth[:, steps], forecast[:, steps]
    error = forecast - truth
    known = np.isfinite(truth)
    if not known.any():
        return dict.fromkeys(("mae", "mse", "rmse", "smape", "mase", "bias"))
    size = np.abs(error)
    both = np.abs(truth) + np.abs(forecast)
    relative = np.divide(200 * size, both, out=np.zeros_like(size), where=both > 0)
    scaled = size / test.scales[test.series][:, None]
    mse = float(np.mean(np.square(error[known])))
    return {
        "mae": float(size[known].mean()),
        "mse": mse,
        "rmse": mse**0.5,
        "smape": float(relative[known].mean()),
        "mase": float(scaled[np.isfinite(scaled)].mean()) if np.isfinite(scaled).any() else None,
        "bias": float(error[known].mean()),
    }


def interval_figures(truth: Numbers, quantiles: Numbers, levels: Sequence[float]) -> dict[str, Any]:
    """How good quantiles `[W, H, Q]` are.

    Returns:
        `wql`: the weighted quantile loss, twice the pinball loss summed over what is known, by the sum of absolute values,
        averaged over levels (None where that sum is 0); `crps`: twice the pinball loss, averaged over levels and steps, which
        approximates the continuous ranked probability score; `coverage`: of each pair of levels α and 1 − α, the share of
        values within them, by its `nominal` share; `below`: of each level the share of values at or below.
    """
    known = np.isfinite(truth)
    y, q = truth[known], quantiles[known]  # [M], [M, Q]
    error = y[:, None] - q
    losses = 2 * np.maximum(np.array(levels) * error, (np.array(levels) - 1) * error)  # [M, Q]
    total = float(np.abs(y).sum())
    pairs = [(i, j) for i, a in enumerate(levels) for j, b in enumerate(levels) if i < j and abs(a + b - 1) < 1e-9]
    return {
        "wql": float(losses.sum(axis=0).mean() / total) if total else None,
        "crps": float(losses.mean()),
        "coverage": [
            {
                "low": levels[i],
                "high": levels[j],
                "nominal": levels[j] - levels[i],
                "share": float(np.mean((q[:, i] <= y) & (y <= q[:, j]))),
            }
            for i, j in pairs
        ],
        "below": [{"level": level, "share": float(np.mean(y <= q[:, i]))} for i, level in enumerate(levels)],
    }


def measure(runs: Sequence[Any], split: str, stores: Mapping[str, Any]) -> dict[str, Any]:
    """The report of a split, of one run or of the mean of several; `by_row` are the backtest and the forecasts.

    Args:
        runs: of several the first says where forecasts begin.
        split: a key of `stores`.
        stores: of the first run.

    Raises:
        DataError: no window fits into the split.
        RunError: a network answers with something that is no number.
        ConfigError: runs that do not go together.
    """
    run, store = runs[0], stores[split]
    task, settings = run.task, run.task.settings
    check_measured_alike(runs)
    known = [] if split in SPLITS or "validation" not in stores else begin_after(store, stores["validation"], split)
    forecasters = [each.task.predictor(each.model(), each.assets, each.experiment) for each in runs]
    levels = list(ForecastEnsemble(forecasters).levels)
    windows = task.windows(store, ROWS, None, settings.cutoff_stride, settings.reach)
    test = backtest(store, windows, task.season(run.assets.facts), settings.reach)
    answers = [_answers(forecaster, test, split) for forecaster in forecasters]
    report = report_of(test, *mean_of(answers), levels, settings.cutoff_stride)
    if known:
        report["remarks"] = known
    if settings.max_horizon:
        report["trained_horizon"] = settings.horizon
    if len(runs) > 1:
        members = [
            {"run": str(each.directory), **figures(test, forecast)} for each, (forecast, _) in zip(runs, answers)
        ]
        return {**report, "members": members}
    return {**report, **({"intervals": fitted} if (fitted := run.assets.fitted.get("intervals")) else {})}


def _answers(forecaster: Any, test: Backtest, split: str) -> tuple[Numbers, Numbers]:
    """Forecasts `[W, H]` and quantiles `[W, H, Q]` of all windows."""
    answers, count = [], len(test.series)
    for begin in track(range(0, count, ROWS), f"forecasting {split}", -(-count // ROWS), "batches"):
        places = zip(test.series[begin : begin + ROWS], test.cutoffs[begin : begin + ROWS])
        answers.append(forecaster.ask([test.store.history(int(row), int(cutoff)) for row, cutoff in places]))
    forecast, quantiles = (np.concatenate(parts).astype(np.float64) for parts in zip(*answers))
    if not np.isfinite(forecast).all():
        raise RunError("the model answers with something that is no number; train it again with a lower learning rate")
    return forecast, quantiles


def report_of(
    test: Backtest, forecast: Numbers, quantiles: Numbers, levels: Sequence[float], stride: int
) -> dict[str, Any]:
    """Everything that is reported of forecasts `[W, H]` and quantiles `[W, H, Q]`, as numbers that JSON can hold.

    Returns:
        `kind`, `examples` (forecasts), `series`, `horizon`, `stride`, the numbers of `figures`, those of `interval_figures` where there are
        levels, `by_horizon`, `by_series` (the worst by MASE), `by_cutoff`, `shown` (forecasts to draw), `residuals` and `unscaled` (series
        without a MASE); `by_row` for the baselines.
    """
    horizon = test.truth.shape[1]
    by_step = [{"step": h + 1, **figures(test, forecast, slice(h, h + 1))} for h in range(horizon)]
    if len(levels):
        for h, row in enumerate(by_step):
            coverage = interval_figures(test.truth[:, h : h + 1], quantiles[:, h : h + 1], levels)["coverage"]
            row["coverage"] = coverage[0]["share"] if coverage else None
    error = forecast - test.truth
    known = np.isfinite(error)
    residuals = error[known]
    drawn = np.unique(np.linspace(0, len(residuals) - 1, POINTS).astype(int))
    return {
        "kind": "forecasting",
        "examples": len(test.series),
        "series": len(test.store),
        "horizon": horizon,
        "stride": stride,
        **figures(test, forecast),
        **(interval_figures(test.truth, quantiles, levels) if len(levels) else {}),
        "levels": list(levels),
        "by_horizon": by_step,
        "by_series": _by_group(test, forecast, test.series, lambda row: test.store.names[row])[:SHOWN_SERIES],
        "by_cutoff": _by_cutoff(test, forecast),
        "shown": [_shown(test, forecast, quantiles, levels, w) for w in _chosen(test)],
        "residuals": [float(v) for v in residuals[drawn]],
        "unscaled": int(np.isnan(test.scales).sum()),
        "by_row": {"test": test, "forecast": forecast},
    }


def _part(test: Backtest, rows: NDArray[Any]) -> Backtest:
    return Backtest(test.store, test.series[rows], test.cutoffs[rows], test.truth[rows], test.scales)


def _by_group(test: Backtest, forecast: Numbers, groups: NDArray[Any], name: Any) -> list[dict[str, Any]]:
    """Errors of every group of windows, the worst first."""
    table = []
    for group in np.unique(groups):
        rows = np.flatnonzero(groups == group)
        numbers = figures(_part(test, rows), forecast[rows])
        table.append({"name": name(int(group)), "windows": len(rows), **numbers})
    return sorted(table, key=lambda row: -(row["mase"] or row["mae"] or 0))


def _by_cutoff(test: Backtest, forecast: Numbers) -> list[dict[str, Any]]:
    """Errors of every cut-off, in order of time; the last ones where there are many."""
    stamps = test.store.starts[test.series] + test.cutoffs * test.store.frequency.count
    table = []
    for stamp in np.unique(stamps)[-SHOWN_CUTOFFS:]:
        rows = np.flatnonzero(stamps == stamp)
        numbers = figures(_part(test, rows), forecast[rows])
        table.append({"name": test.store.frequency.written(int(stamp)), "windows": len(rows), **numbers})
    return table


def _chosen(test: Backtest) -> list[int]:
    """Windows to draw: the last one of a few series, or the last ones of the only series."""
    last = [int(np.flatnonzero(test.series == row)[-1]) for row in np.unique(test.series)[:SHOWN_FORECASTS]]
    return last if len(last) > 1 else list(range(len(test.series)))[-SHOWN_FORECASTS:][::-1]


def _shown(
    test: Backtest, forecast: Numbers, quantiles: Numbers, levels: Sequence[float], window: int
) -> dict[str, Any]:
    """A forecast to draw, with as much of its history as is readable."""
    history, horizon = test.history(window), test.truth.shape[1]
    row, cutoff = int(test.series[window]), int(test.cutoffs[window])
    kept = history[-max(3 * horizon, 24) :]
    return {
        "series": test.store.names[row],
        "cutoff": test.store.stamp(row, cutoff),
        "history": [None if np.isnan(v) else float(v) for v in kept],
        "truth": [None if np.isnan(v) else float(v) for v in test.truth[window]],
        "forecast": forecast[window].tolist(),
        "low": quantiles[window, :, 0].tolist() if len(levels) > 1 else None,
        "high": quantiles[window, :, -1].tolist() if len(levels) > 1 else None,
    }
