"""Forecasts in Python, with a network or with a SavedModel."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.calendar import seconds_of
from nlp_suite.data.series_history import History
from nlp_suite.errors import RequestError
from nlp_suite.predictor import Predictor
from nlp_suite.tasks.forecasting.asked import Asked, checked_history
from nlp_suite.tasks.forecasting.inputs import Arrays, NetworkInputs

ROWS = 256  # that are asked at once


class Forecaster(Predictor):
    """Forecasts of the steps after a history.

    Attributes:
        horizon: steps ahead at most.
        levels: of the quantiles; empty: there are none.
        inputs: what the network reads.

    Example:
        >>> nlp_suite.load("runs/air").forecast([[112.0, 118.0, None, 129.0]], horizon=2)
        [{'forecast': [121.4, 135.2], 'quantiles': {0.1: […], 0.5: […], 0.9: […]}}]
    """

    task_name = "forecasting"
    levels: Sequence[float]
    inputs: NetworkInputs

    @property
    def horizon(self) -> int:
        """Steps ahead at most."""
        return self.inputs.horizon

    def forecast(self, histories: Sequence[Asked], horizon: int | None = None) -> list[dict[str, Any]]:
        """Forecasts of the next steps.

        Args:
            histories: of every series the values so far, the oldest first; None or NaN where missing. Where the model reads
                more than values, mappings: `values`; `past` and `future` with a list for the name of each covariate, of a
                future one so many values more as steps are forecast; `static` with a number, or the word of a category, or
                None, for each name; and of a model
                with a calendar `last`, the date of the last value.
            horizon: steps ahead; default: all that the model was trained for.

        Returns:
            Of every history a list `forecast` and, where the model has any, `quantiles` by their level.

        Raises:
            RequestError: a horizon out of range; a history without any value, or with one that is no finite number; a covariate
                or a date that is missing, with its name, or is none of the model's.
        """
        horizon = checked_horizon(horizon, self.horizon)
        rows = [checked_history(history, number, self.inputs, horizon) for number, history in enumerate(histories, 1)]
        answers = []
        for begin in range(0, len(rows), ROWS):
            forecast, quantiles = self.ask(rows[begin : begin + ROWS])  # [B, H], [B, H, Q]
            for of_row, levels in zip(forecast[:, :horizon], quantiles[:, :horizon]):
                answer: dict[str, Any] = {"forecast": of_row.tolist()}
                if len(self.levels):
                    answer["quantiles"] = {level: levels[:, i].tolist() for i, level in enumerate(self.levels)}
                answers.append(answer)
        return answers

    def ask(self, rows: list[History]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Forecast `[B, H]` and quantiles `[B, H, Q]` of histories that were checked."""
        raise NotImplementedError


def checked_horizon(horizon: int | None, trained: int) -> int:
    """The steps ahead that are asked for.

    Raises:
        RequestError: fewer than one, or more than the model was trained for.
    """
    if horizon is not None and not 1 <= horizon <= trained:
        raise RequestError(
            f"horizon {horizon}: this model forecasts 1 to {trained} steps ahead; for more, train one with task.horizon or task.max_horizon"
        )
    return horizon or trained


class NetworkForecaster(Forecaster):
    """A network in Python.

    Args:
        model: a `ForecastModel`.
        inputs: what it reads.
        width: factor of its intervals, see `nlp_suite.tasks.forecasting.intervals`.
    """

    def __init__(self, model: Any, inputs: NetworkInputs, width: float = 1.0):
        from nlp_suite.tasks.shared.compiled import compiled

        self.model, self.inputs, self.width = model, inputs, width
        self.levels = list(model.output_of_step.levels)

        def answers(*arrays: Any) -> Any:
            return model.forecasts(dict(zip(inputs.shapes, arrays)), width)

        shapes = [([None, *shape], "float32") for shape in inputs.shapes.values()]
        self._answers = compiled(answers, model, shapes=shapes)

    def answers(self, read: Arrays) -> tuple[NDArray[Any], NDArray[Any]]:
        """Forecast `[B, H]` and quantiles `[B, H, Q]` of what `inputs` makes of histories."""
        from keras import ops

        forecast, quantiles = self._answers(*(read[name] for name in self.inputs.shapes))
        return ops.convert_to_numpy(forecast), ops.convert_to_numpy(quantiles)

    def ask(self, rows: list[History]) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.answers(self.inputs.arrays(rows))


class SavedModelForecaster(Forecaster):
    """The signature `serving_default` of an export.

    Args:
        signatures: of the export.
        levels: of its quantiles.
        inputs: what it reads.
    """

    def __init__(self, signatures: Any, levels: Sequence[float], inputs: NetworkInputs):
        self._signatures, self.levels, self.inputs = signatures, list(levels), inputs

    def ask(self, rows: list[History]) -> tuple[NDArray[Any], NDArray[Any]]:
        answer = self._signatures("serving_default", **request(rows, self.inputs))
        quantiles = answer.get("quantiles", np.zeros((len(rows), self.horizon, 0), "float32"))
        return answer["forecast"], quantiles


def request(rows: Sequence[History], inputs: NetworkInputs) -> Arrays:
    """Inputs of `serving_default` for histories of any length, see `ForecastingSignatures`."""
    length = np.array([len(row.values) for row in rows], "int32")
    values = _padded([row.values for row in rows])
    known = np.isfinite(values)
    asked = {"values": np.where(known, values, 0).astype("float32"), "mask": known.astype("float32"), "length": length}
    for kind in ("past", "future"):
        if kind in inputs.shapes:
            asked[kind] = _padded([getattr(row, kind) for row in rows]).astype("float32")
    if "static" in inputs.shapes:
        asked["static"] = np.stack([row.static for row in rows]).astype("float32")
    if "categories" in inputs.shapes:
        asked["categories"] = np.array([list(row.words) for row in rows], object)
    if "calendar" in inputs.shapes:
        step = inputs.frequency
        asked["last"] = np.array([seconds_of((row.end or 0) - step.count, step) for row in rows], "int64")
    return asked


def _padded(rows: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Rows of several lengths as one array, NaN behind their ends."""
    padded = np.full((len(rows), max(1, *(len(row) for row in rows)), *rows[0].shape[1:]), np.nan)
    for place, row in enumerate(rows):
        padded[place, : len(row)] = row
    return padded
