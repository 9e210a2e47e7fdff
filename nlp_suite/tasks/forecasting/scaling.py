"""From raw values to what a network reads, and back: transform, difference and scale, all of them in the graph."""

from typing import Any

import keras
import numpy as np
from keras import ops

from nlp_suite.layers.inline import constant, expm1, log1p

TINY = 1e-6  # relative to the size of the values: a spread below it is none


@keras.saving.register_keras_serializable("nlp_suite")
class SeriesScaling(keras.layers.Layer):
    """Scales contexts, and says how a scaled forecast becomes one in the user's units.

    A value y becomes x = y or log(1 + y); of x the difference to the step or the season before is read where asked for; and
    that is centred and divided by its spread. A forecast z is `center + spread · z`, and from it y by the inverse transform:
    `center` has the naive or the seasonal naive forecast in it where differences are read. Missing values are masked in all
    of that; a context that is constant has spread 0, so that its forecast is that constant.

    Args:
        horizon: steps ahead H.
        season: steps of a season.
        transform, difference, scaling, scale_over: see `ForecastingSettings`.
    """

    def __init__(
        self, horizon, season=1, transform="none", difference="none", scaling="standard", scale_over="context", **kwargs
    ):
        super().__init__(**kwargs)
        self.settings = {
            "horizon": horizon, "season": season, "transform": transform, "difference": difference,
            "scaling": scaling, "scale_over": scale_over,
        }  # fmt: skip
        self.built = False
        self.lag = {"none": 0, "last": 1, "seasonal": season}[difference]
        self.fitted = None

    def build(self, input_shape=None) -> None:
        if self.built:
            return
        if self.settings["scale_over"] == "training":
            self.fitted = self.add_weight(
                name="fitted", shape=(2,), initializer=keras.initializers.Constant([0.0, 1.0]), trainable=False
            )
        self.built = True

    def transformed(self, values) -> Any:
        """Values in the user's units as they are scaled, of any shape."""
        return log1p(ops.maximum(values, 0.0)) if self.settings["transform"] == "log" else values

    def restored(self, x) -> Any:
        """The inverse of `transformed`."""
        return expm1(x) if self.settings["transform"] == "log" else x

    def differenced(self, values, mask) -> tuple[Any, Any]:
        """What is scaled, and which of it is known, both float `[B, C]`, of values `[B, C]` and a mask of 0 and 1."""
        x = self.transformed(values) * mask
        if not self.lag:
            return x, mask
        before, known = (_shifted(each, self.lag) for each in (x, mask))
        mask = mask * known
        return (x - before) * mask, mask

    def statistics(self, x, mask) -> tuple[Any, Any]:
        """Center and spread, each `[B, 1]`, of what is known of `[B, C]`; 0 where all is equal or nothing known."""
        count = ops.maximum(ops.sum(mask, axis=1, keepdims=True), 1.0)
        mean = ops.sum(x * mask, axis=1, keepdims=True) / count
        size = ops.sum(ops.abs(x) * mask, axis=1, keepdims=True) / count
        kind = self.settings["scaling"]
        deviation = ops.sqrt(ops.sum(ops.square((x - mean) * mask), axis=1, keepdims=True) / count)
        center, spread = mean, deviation
        if kind == "mean":
            center, spread = ops.zeros_like(mean), size
        elif kind == "minmax":
            low = ops.min(ops.where(mask > 0, x, 3e38), axis=1, keepdims=True)
            high = ops.max(ops.where(mask > 0, x, -3e38), axis=1, keepdims=True)
            known = ops.any(mask > 0, axis=1, keepdims=True)
            center, spread = ops.where(known, low, 0.0), ops.where(known, high - low, 0.0)
        elif kind == "none":
            return ops.zeros_like(mean), ops.ones_like(mean)
        flat = deviation <= TINY * (size + TINY)
        if (
            self.lag
        ):  # differences that are all alike are a trend, and their size is its scale; those that are all 0 have none
            spread, flat = ops.where(flat, size, spread), size <= TINY
        return ops.where(flat, mean, center), ops.where(flat, 0.0, spread)

    def anchor(self, values, mask) -> Any:
        """The naive or the seasonal naive forecast of every step ahead, `[B, H]`, before the inverse transform; 0 without."""
        steps = self.settings["horizon"]
        x = self.transformed(values) * mask
        if not self.lag:
            return ops.repeat(ops.zeros_like(x[:, :1]), steps, axis=1)
        last = _last_known(x, mask)  # [B, 1]
        front = -x.shape[1] % self.lag
        x, mask = (ops.pad(each, [[0, 0], [front, 0]]) for each in (x, mask))
        seasons = (-1, x.shape[1] // self.lag, self.lag)
        x, mask = (ops.transpose(ops.reshape(each, seasons), (0, 2, 1)) for each in (x, mask))  # [B, lag, seasons]
        known = ops.any(mask > 0, axis=-1)  # [B, lag]
        season = ops.where(known, _last_known(x, mask)[..., 0], last)
        times = -(-steps // self.lag)
        return ops.tile(season, (1, times))[:, :steps]  # [B, H]

    def scale(self, x, known) -> tuple[Any, Any]:
        """Middle and spread, each `[B, 1]`, of what `differenced` gives of a context."""
        if self.fitted is None:
            return self.statistics(x, known)
        middle, spread = (ops.zeros_like(x[:, :1]) + constant(self.fitted[i], x) for i in (0, 1))
        return middle, spread

    def scaled(self, values, mask, scale) -> tuple[Any, Any]:
        """Scaled values and what of them is known, `[B, C]`, by the middle and spread of some context."""
        x, known = self.differenced(values, mask)
        middle, spread = scale
        return (x - middle) / ops.where(spread > 0, spread, 1.0) * known, known

    def call(self, values, mask) -> tuple[Any, Any, Any, Any]:
        """Of values and mask `[B, C]`: scaled values and what of them is known `[B, C]`, `center` and `spread` `[B, H]`."""
        middle, spread = self.scale(*self.differenced(values, mask))
        scaled, known = self.scaled(values, mask, (middle, spread))
        center = self.anchor(values, mask) + middle  # [B, H]
        return scaled, known, center, spread + ops.zeros_like(center)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), **self.settings}


@keras.saving.register_keras_serializable("nlp_suite")
class CovariateScaling(keras.layers.Layer):
    """Covariates by the mean and deviation that they have in the training split, and which of them are known.

    Args:
        count: covariates K.
    """

    def __init__(self, count, **kwargs):
        super().__init__(**kwargs)
        self.count, self.built = count, False

    def build(self, input_shape=None) -> None:
        if not self.built:
            start = keras.initializers.Constant([[0.0] * self.count, [1.0] * self.count])
            self.fitted = self.add_weight(name="fitted", shape=(2, self.count), initializer=start, trainable=False)
            self.built = True

    def fit(self, columns) -> None:
        """Takes mean and deviation of columns, NumPy `[N, K]`, NaN where missing; a constant one is only centred."""
        known = np.isfinite(columns)
        count = np.maximum(known.sum(axis=0), 1)
        mean = np.where(known, columns, 0).sum(axis=0) / count
        deviation = np.sqrt(np.where(known, np.square(columns - mean), 0).sum(axis=0) / count)
        self.fitted.assign(np.stack([mean, np.where(deviation > TINY * (np.abs(mean) + TINY), deviation, 1)]))

    def call(self, x) -> Any:
        """Of `[…, K]`, NaN where missing, `[…, 2K]`: scaled values, 0 where missing, then 1 where known."""
        known = ops.isfinite(x)
        middle, spread = (constant(self.fitted[i], x) for i in (0, 1))
        scaled = (ops.where(known, x, 0.0) - middle) / spread
        known = ops.cast(known, scaled.dtype)
        return ops.concatenate([scaled * known, known], axis=-1)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "count": self.count}


def _shifted(x, lag: int) -> Any:
    """`[B, C]` moved `lag` places to the right, with zeros before."""
    return ops.pad(x, [[0, 0], [lag, 0]])[:, : x.shape[1]]


def _last_known(x, mask) -> Any:
    """The last known value along the last axis, `[…, 1]`; 0 where there is none."""
    numbers = constant(ops.arange(1, x.shape[-1] + 1, dtype=x.dtype), x)
    place = ops.maximum(ops.max(mask * numbers, axis=-1) - 1, 0)  # not argmax, which is made of ops that ONNX lacks
    return ops.take_along_axis(x * mask, ops.expand_dims(ops.cast(place, "int32"), -1), axis=-1)
