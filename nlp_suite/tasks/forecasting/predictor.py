"""Forecasts in Python, with a network or with a SavedModel."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.errors import RequestError
from nlp_suite.predictor import Predictor
from nlp_suite.tasks.forecasting.windows import Arrays, contexts

ROWS = 256  # that are asked at once


class Forecaster(Predictor):
    """Forecasts of the steps after a history.

    Attributes:
        horizon: steps ahead at most.
        levels: of the quantiles; empty: there are none.

    Example:
        >>> nlp_suite.load("runs/air").forecast([[112.0, 118.0, None, 129.0]], horizon=2)
        [{'forecast': [121.4, 135.2], 'quantiles': {0.1: […], 0.5: […], 0.9: […]}}]
    """

    task_name = "forecasting"
    horizon: int
    levels: Sequence[float]

    def forecast(
        self, histories: Sequence[Sequence[float | None] | NDArray[Any]], horizon: int | None = None
    ) -> list[dict[str, Any]]:
        """Forecasts of the next steps.

        Args:
            histories: of every series the values so far, the oldest first; None or NaN where missing.
            horizon: steps ahead; default: all that the model was trained for.

        Returns:
            Of every history a list `forecast` and, where the model has any, `quantiles` by their level.

        Raises:
            RequestError: a horizon out of range, or a history without any value, or with one that is no finite number.
        """
        horizon = checked_horizon(horizon, self.horizon)
        rows = [checked_history(history, number) for number, history in enumerate(histories, 1)]
        answers = []
        for begin in range(0, len(rows), ROWS):
            forecast, quantiles = self._ask(rows[begin : begin + ROWS])  # [B, H], [B, H, Q]
            for of_row, levels in zip(forecast[:, :horizon], quantiles[:, :horizon]):
                answer: dict[str, Any] = {"forecast": of_row.tolist()}
                if len(self.levels):
                    answer["quantiles"] = {level: levels[:, i].tolist() for i, level in enumerate(self.levels)}
                answers.append(answer)
        return answers

    def _ask(self, rows: list[NDArray[np.float64]]) -> tuple[NDArray[Any], NDArray[Any]]:
        raise NotImplementedError


def checked_horizon(horizon: int | None, trained: int) -> int:
    """The steps ahead that are asked for.

    Raises:
        RequestError: fewer than one, or more than the model was trained for.
    """
    if horizon is not None and not 1 <= horizon <= trained:
        raise RequestError(
            f"horizon {horizon}: this model forecasts 1 to {trained} steps ahead; for more, train one with task.horizon"
        )
    return horizon or trained


def checked_history(history: Sequence[float | None] | NDArray[Any], number: int) -> NDArray[np.float64]:
    """A history as an array, NaN where missing.

    Raises:
        RequestError: it has no value, or one that is no finite number.
    """
    try:
        values = np.array([np.nan if value is None else value for value in history], np.float64)
    except (TypeError, ValueError):
        raise RequestError(f"history {number} must be a list of numbers and null") from None
    if values.ndim != 1 or np.isinf(values).any():
        raise RequestError(f"history {number} must be a list of finite numbers and null")
    if not np.isfinite(values).any():
        raise RequestError(f"history {number} has no value: a forecast needs one or more")
    return values


class NetworkForecaster(Forecaster):
    """A network in Python.

    Args:
        model: a `ForecastModel`.
    """

    def __init__(self, model: Any):
        from nlp_suite.tasks.shared.compiled import compiled

        self.model, self.horizon = model, model.horizon
        self.levels = list(model.output_of_step.levels)
        shape = ([None, model.context], "float32")

        def answers(values: Any, mask: Any) -> Any:
            return model.answers(model({"values": values, "mask": mask}, training=False))

        self._answers = compiled(answers, model, shapes=[shape, shape])

    def answers(self, read: Arrays) -> tuple[NDArray[Any], NDArray[Any]]:
        """Forecast `[B, H]` and quantiles `[B, H, Q]` of contexts, see `contexts`."""
        from keras import ops

        forecast, quantiles = self._answers(read["values"], read["mask"])
        return ops.convert_to_numpy(forecast), ops.convert_to_numpy(quantiles)

    def _ask(self, rows: list[NDArray[np.float64]]) -> tuple[NDArray[Any], NDArray[Any]]:
        return self.answers(contexts(rows, [len(row) for row in rows], self.model.context))


class SavedModelForecaster(Forecaster):
    """The signature `serving_default` of an export.

    Args:
        signatures: of the export.
        levels: of its quantiles.
        horizon: steps ahead.
    """

    def __init__(self, signatures: Any, levels: Sequence[float], horizon: int):
        self._signatures, self.levels, self.horizon = signatures, list(levels), horizon

    def _ask(self, rows: list[NDArray[np.float64]]) -> tuple[NDArray[Any], NDArray[Any]]:
        answer = self._signatures("serving_default", **request(rows))
        quantiles = answer.get("quantiles", np.zeros((len(rows), self.horizon, 0), "float32"))
        return answer["forecast"], quantiles


def request(rows: Sequence[NDArray[np.float64]]) -> Arrays:
    """Inputs of `serving_default` for histories of any length: `values` and `mask` float32 `[B, T]`, `length` int32 `[B]`."""
    length = np.array([len(row) for row in rows], "int32")
    values = np.full((len(rows), max(1, int(length.max(initial=0)))), np.nan)
    for row, history in enumerate(rows):
        values[row, : len(history)] = history
    known = np.isfinite(values)
    return {"values": np.where(known, values, 0).astype("float32"), "mask": known.astype("float32"), "length": length}
