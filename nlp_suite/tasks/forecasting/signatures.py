"""The serving signature of forecasting: raw values in, forecasts in the same units out, with the scaling in the graph."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from nlp_suite.export.cases import Case
from nlp_suite.export.signatures import Signatures, fill_empty_batch, first_rows
from nlp_suite.tasks.forecasting.predictor import request

HARD: tuple[list[float | None], ...] = ([5.0], [None, 7.5, None], [3.0] * 50, [0.0, 1e6, 0.0, 1e6, 2.5])
"""Histories that a client may send: one value, almost none, a constant, far apart."""


class ForecastingSignatures(Signatures):
    """The signature `serving_default`.

    Inputs are `values` float `[B, T]`, the oldest first, in the units of the training data; `mask` float `[B, T]`, 1 where a value
    is known and 0 where it is missing; and `length` int `[B]`, the steps of each row: what stands behind is padding. Of a
    row its last C steps are read. A value that is not finite is missing.

    Outputs are `forecast` float `[B, H]` and, where the model has any, `quantiles` float `[B, H, Q]`.
    """

    def __init__(self, model: Any, predictor: Any):
        super().__init__(model, predictor)
        self.example = {"values": [112.0, 118.0, 132.0, 129.0], "mask": [1, 1, 1, 1], "length": 4}  # type: ignore[dict-item]

    def functions(self) -> dict[str, Any]:
        inputs = {"values": ([None, None], "float32"), "mask": ([None, None], "float32"), "length": ([None], "int32")}
        return {"serving_default": self.traced(self.serving_default, **inputs)}

    def serving_default(self, values, mask, length) -> dict[str, Any]:
        """Forecasts of a batch of histories."""
        import tensorflow as tf

        (values, mask, length), rows = fill_empty_batch(values, mask, length)
        size, context = tf.shape(values)[1], self.model.context
        values = tf.pad(values, [[0, 0], [0, 1]])  # [B, T + 1], so that there is a place to look at
        mask = tf.pad(mask, [[0, 0], [0, 1]])
        place = tf.clip_by_value(length, 0, size)[:, None] - context + tf.range(context)  # [B, C]
        inside = tf.cast(place >= 0, tf.float32)
        place = tf.maximum(place, 0)
        read = tf.gather(values, place, batch_dims=1)  # [B, C]
        known = tf.gather(mask, place, batch_dims=1) * inside
        known = tf.where((known > 0) & tf.math.is_finite(read), 1.0, 0.0)
        outputs = self.model({"values": tf.where(known > 0, read, 0.0), "mask": known}, training=False)
        forecast, quantiles = self.model.answers(outputs)
        answer = {"forecast": forecast}
        if len(self.predictor.levels):
            answer["quantiles"] = quantiles
        return first_rows(answer, rows)

    def cases(self, texts: Sequence[bytes]) -> list[Case]:
        histories = [history for text in texts if (history := _history(text))] + list(HARD)
        rows = [np.array([np.nan if v is None else v for v in history], np.float64) for history in histories]
        answers = self.predictor.forecast(rows)
        expected: dict[str, Any] = {"forecast": np.array([answer["forecast"] for answer in answers], "float32")}
        if levels := self.predictor.levels:
            by_level = np.array([[answer["quantiles"][level] for level in levels] for answer in answers], "float32")
            expected["quantiles"] = np.moveaxis(by_level, 1, 2)  # [B, H, Q]
        return [Case("serving_default", request(rows), expected)]


def _history(text: bytes) -> list[float | None]:
    """The history that a sample holds as JSON; empty of any other text, and of one without a value."""
    try:
        history = json.loads(text)
    except ValueError:
        return []
    known = isinstance(history, list) and any(value is not None for value in history)
    return history if known else []
