"""The serving signature of forecasting: raw values in, forecasts in the same units out, with the scaling in the graph."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from nlp_suite.data.calendar import phases, stamp_of
from nlp_suite.data.series_history import KINDS, History
from nlp_suite.export.cases import Case
from nlp_suite.export.signatures import Signatures, fill_empty_batch, first_rows
from nlp_suite.tasks.forecasting.predictor import request

HARD: tuple[list[float | None], ...] = ([5.0], [None, 7.5, None], [3.0] * 50, [0.0, 1e6, 0.0, 1e6, 2.5])
"""Histories that a client may send: one value, almost none, a constant, far apart."""


class ForecastingSignatures(Signatures):
    """The signature `serving_default`.

    Inputs are `values` float `[B, T]`, the oldest first, in the units of the training data; `mask` float `[B, T]`, 1 where a value
    is known and 0 where it is missing; and `length` int `[B]`, the steps of each row: what stands behind is padding. Of a
    row its last C steps are read. A value that is not finite is missing. Where the model reads them, too: `past` float
    `[B, T, K]`, `future` float `[B, T + H, K]` of which the first `length` steps are beside the values, and `static` float
    `[B, K]`, with covariates in the order of the config, NaN where missing; and for a calendar `last` int `[B]`, the Unix
    time in seconds of the last step of each row, of months that of their first day; and `categories` string `[B, K]`, of which
    words that are not of the training split are none.

    Outputs are `forecast` float `[B, H]` and, where the model has any, `quantiles` float `[B, H, Q]`.
    """

    def __init__(self, model: Any, predictor: Any):
        super().__init__(model, predictor)
        self.inputs = predictor.inputs
        words = {"categories": list(self.inputs.categories)} if self.inputs.categories else {}
        self.columns = {**{kind: list(names) for kind, names in self.inputs.covariates.items() if names}, **words}
        values = np.array([112.0, 118.0, 132.0, 129.0])
        self.example = {name: array[0].tolist() for name, array in request([self._drawn(values)], self.inputs).items()}

    def functions(self) -> dict[str, Any]:
        shapes: dict[str, tuple[list[int | None], str]] = {
            "values": ([None, None], "float32"),
            "mask": ([None, None], "float32"),
            "length": ([None], "int32"),
        }
        for name, shape in self.inputs.shapes.items():
            if name in ("past", "future"):
                shapes[name] = ([None, None, shape[1]], "float32")
            elif name == "static":
                shapes[name] = ([None, shape[0]], "float32")
            elif name == "categories":
                shapes[name] = ([None, shape[0]], "string")
            elif name == "calendar":
                shapes["last"] = ([None], "int64")
        self._names = list(shapes)
        return {"serving_default": self.traced(self.serving_default, **shapes)}

    def serving_default(self, *columns) -> dict[str, Any]:
        """Forecasts of a batch of histories."""
        import tensorflow as tf

        filled, rows = fill_empty_batch(*columns)
        given = dict(zip(self._names, filled))
        length = tf.clip_by_value(given["length"], 0, tf.shape(given["values"])[1])
        context, horizon = self.inputs.context, self.inputs.horizon
        values, mask = (_window(given[name], length, context) for name in ("values", "mask"))  # [B, C]
        known = tf.where((mask > 0) & tf.math.is_finite(values), 1.0, 0.0)
        read = {"values": tf.where(known > 0, values, 0.0), "mask": known}
        if "past" in given:
            read["past"] = _window(given["past"], length, context)
        if "future" in given:
            read["future"] = _window(given["future"], length, context, horizon)
        if "static" in given:
            read["static"] = given["static"]
        if "categories" in given:
            read["categories"] = self._numbers(given["categories"])
        if "last" in given:
            read["calendar"] = self._calendar(given["last"])
        forecast, quantiles = self.model.forecasts(read, self.predictor.width)
        answer = {"forecast": forecast}
        if len(self.predictor.levels):
            answer["quantiles"] = quantiles
        return first_rows(answer, rows)

    def _numbers(self, words: Any) -> Any:
        """The numbers of categories, string `[B, K]`, as `NetworkInputs.numbers` gives them, float `[B, K]`."""
        import tensorflow as tf

        numbers = []
        for place, known in enumerate(self.inputs.categories.values()):
            same = tf.cast(words[:, place, None] == tf.constant(known, tf.string), tf.float32)  # [B, V]
            numbers.append(tf.linalg.matvec(same, tf.range(1, len(known) + 1, dtype=tf.float32)))
        return tf.stack(numbers, axis=-1)

    def _calendar(self, last: Any) -> Any:
        """Places on a circle `[B, C + H, K]` around the last steps, Unix seconds `[B]`."""
        import tensorflow as tf

        step = self.inputs.frequency
        ahead = tf.range(1 - self.inputs.context, self.inputs.horizon + 1, dtype=tf.int64) * step.count
        found = phases(stamp_of(last, step)[:, None] + ahead, step, self.inputs.calendar)
        return tf.stack([tf.cast(place, tf.float32) / size for place, size in found], axis=-1)

    def cases(self, texts: Sequence[bytes]) -> list[Case]:
        histories = [history for text in texts if (history := _history(text))] + list(HARD)
        values = [np.array([np.nan if v is None else v for v in history], np.float64) for history in histories]
        rows = [self._drawn(each) for each in values]
        answers = self.predictor.forecast(rows)
        expected: dict[str, Any] = {"forecast": np.array([answer["forecast"] for answer in answers], "float32")}
        if levels := self.predictor.levels:
            by_level = np.array([[answer["quantiles"][level] for level in levels] for answer in answers], "float32")
            expected["quantiles"] = np.moveaxis(by_level, 1, 2)  # [B, H, Q]
        return [Case("serving_default", request(rows, self.inputs), expected)]

    def _drawn(self, values: Any) -> History:
        """A history with covariates and a date that are drawn, the same for the same number of values."""
        draw, steps = np.random.default_rng(len(values)), len(values)
        past, future, static = (len(self.inputs.covariates.get(kind, ())) for kind in KINDS)
        beside = (
            draw.normal(10, 3, (steps, past)).round(2),
            draw.normal(10, 3, (steps + self.inputs.horizon, future)).round(2),
        )
        step = self.inputs.frequency
        first = {"month": 12 * 1990, "second": 0, "step": 0}[step.unit]
        words = [str(draw.choice([*known, ""])) for known in self.inputs.categories.values()]
        return History(values, *beside, draw.normal(10, 3, static).round(2), first + steps * step.count, words=words)


def _window(x: Any, length: Any, context: int, ahead: int = 0) -> Any:
    """Of every row `[B, T, …]` so many steps before and after its length, `[B, context + ahead, …]`; NaN where there are none."""
    import tensorflow as tf

    size = tf.shape(x)[1]
    place = length[:, None] - context + tf.range(context + ahead)  # [B, C + H]
    behind = tf.fill([tf.shape(x)[0], 1, *x.shape[2:]], np.float32("nan"))
    place = tf.where((place >= 0) & (place < size), place, size)
    return tf.gather(tf.concat([x, behind], axis=1), place, batch_dims=1)


def _history(text: bytes) -> list[float | None]:
    """The history that a sample holds as JSON; empty of any other text, and of one without a value."""
    try:
        history = json.loads(text)
    except ValueError:
        return []
    known = isinstance(history, list) and any(value is not None for value in history)
    return history if known else []
