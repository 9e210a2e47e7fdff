"""Losses and metrics of forecasting, in scaled units, and the scale of a training split."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from nlp_suite.tasks.forecasting.intervals import fit_width
from nlp_suite.tasks.forecasting.outputs import step_output
from nlp_suite.tasks.forecasting.settings import ForecastingSettings


def _scaled(settings: ForecastingSettings, truth, outputs) -> tuple[Any, Any, Any]:
    """Truth in scaled units `[B, H]`, its spread, 0 without a scale, `[B, H]`, and the numbers of every step `[B, H, P]`."""
    given, center, spread = outputs[:, :, :-2], outputs[:, :, -2], outputs[:, :, -1]
    truth = ops.cast(truth, "float32")
    if settings.transform == "log":
        truth = ops.log1p(ops.maximum(truth, 0.0))
    usable = spread > 0
    return ops.where(usable, (truth - center) / ops.where(usable, spread, 1.0), 0.0), spread, given


def losses_of(settings: ForecastingSettings) -> Callable[..., Any]:
    """The loss of every step, `[B, H]`, of true values `[B, H]` and what a `ForecastModel` returned; 0 without a scale."""
    output = step_output(settings)

    def scaled_loss(truth, outputs):
        truth, spread, given = _scaled(settings, truth, outputs)
        return ops.where(spread > 0, output.losses(truth, given, spread), 0.0)

    return scaled_loss


def absolute_errors_of(settings: ForecastingSettings) -> Callable[..., Any]:
    """The absolute error of the forecast of every step, in units of the spread."""
    output = step_output(settings)

    def scaled_mae(truth, outputs):
        truth, spread, given = _scaled(settings, truth, outputs)
        return ops.where(spread > 0, ops.abs(truth - output.forecast(given)), 0.0)

    return scaled_mae


class ForecastLoss(keras.losses.Loss):
    """The sum of `losses_of` over steps and rows.

    Args:
        settings: of the task.
    """

    def __init__(self, settings: ForecastingSettings):
        super().__init__(name="forecast", reduction="sum")
        self._losses = losses_of(settings)

    def call(self, y_true, y_pred) -> Any:
        return self._losses(y_true, y_pred)  # [B, H]


def fit_intervals(model: Any, settings: ForecastingSettings, windows: Any) -> dict[str, Any]:
    """See `nlp_suite.tasks.forecasting.intervals.fit_width`.

    Args:
        model: a `ForecastModel`.
        settings: of the task.
        windows: `SeriesWindows` of the validation split.
    """
    truths, forecasts, answers = [], [], []
    for n in range(windows.steps_per_epoch):
        read, truth, known = windows[n]
        scaled, spread, given = _scaled(settings, truth, model(read, training=False))
        there = (known > 0) & (ops.convert_to_numpy(spread) > 0)
        truths.append(np.where(there, ops.convert_to_numpy(scaled), np.nan))
        forecasts.append(ops.convert_to_numpy(model.output_of_step.forecast(given)))
        answers.append(ops.convert_to_numpy(model.output_of_step.quantiles(given, spread)))
    levels = list(model.output_of_step.levels)
    truth, forecast, quantiles = (np.concatenate(parts).astype(np.float64) for parts in (truths, forecasts, answers))
    return fit_width(truth, forecast, quantiles, levels)


def fit_scale(model: Any, windows: Any) -> tuple[float, float]:
    """Center and spread over a sample of training windows, as one context of them all.

    Args:
        model: a `ForecastModel`.
        windows: `SeriesWindows` of the training split, of which the first batch is taken.
    """
    read, _, targets = windows[0]
    there = targets.any(axis=1)  # filler rows repeat the first
    read = {name: array[there] for name, array in read.items()}
    x, known = model.scaling.differenced(ops.convert_to_tensor(read["values"]), ops.convert_to_tensor(read["mask"]))
    x, known = (ops.reshape(each, (1, -1)) for each in (x, known))
    center, spread = model.scaling.statistics(x, known)
    middle, size = (float(np.asarray(ops.convert_to_numpy(each))[0, 0]) for each in (center, spread))
    return middle, size or 1.0
