"""Forecasts beyond the horizon that was trained: a recurrent network goes on from its state, and reads what it forecast.

Of every row so many paths are followed. What a path reads of the steps that were just forecast is one of their quantiles, another
one after every block of `horizon` steps: every path has each of `PATHS` equal shares of the probability as often as the others (Latin
hypercube sampling), so that nothing is drawn, and the same is answered every time. Between the levels that are learned,
and outside them, quantiles are those of a normal distribution through the two nearest. What is answered are the median and the
quantiles of the paths. Within a block the steps of a path are as far up or down as one another.
"""

from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from keras import ops
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nlp_suite.tasks.forecasting.network import ForecastModel

PATHS = 49  # so that levels in steps of 0.02 are one of them each
Numbers = NDArray[np.float32]


def forecasts_beyond(model: "ForecastModel", inputs: Any, width: float) -> tuple[Any, Any]:
    """Forecast `[B, N]` and quantiles `[B, N, Q]` in the user's units, see `ForecastModel.forecasts`."""
    outputs, state, (values, mask) = model.read(inputs)
    scaling, horizon, context, levels = model.scaling, model.horizon, model.reads, model.output_of_step.levels
    scale = scaling.scale(*scaling.differenced(values, mask))  # of the context, for all that follows
    forecast, quantiles = model.placed(outputs, width)
    answered = [(forecast, quantiles)]
    paths = PATHS if len(levels) > 1 else 1
    shares = path_weights(levels, paths)  # [S, Q]
    read = ops.transpose(ops.matmul(quantiles, shares.T), (0, 2, 1)) if paths > 1 else forecast[:, None]  # [B, S, H]
    values, mask, *scale = (
        ops.repeat(each, paths, axis=0) for each in (values, mask, *scale)
    )  # from here on [B · S, …]
    state = keras.tree.map_structure(lambda each: ops.repeat(each, paths, axis=0), state)
    beside, ahead = ([ops.repeat(each, paths, axis=0) for each in features] for features in model.beside(inputs))
    for block, place in enumerate(range(context, context + model.reach - horizon, horizon)):
        new = scaling.restored(ops.reshape(read, (-1, horizon)))
        values, mask = ops.concatenate([values, new], axis=1), ops.concatenate([mask, ops.ones_like(new)], axis=1)
        scaled = ops.stack(scaling.scaled(values, mask, scale), axis=-1)[:, -horizon:]
        values, mask = values[:, -context:], mask[:, -context:]
        x = model.projection(ops.concatenate([scaled, *(part(each, place, horizon) for each in beside)], axis=-1))
        x, state = model.backbone.encode(x, ops.ones_like(new) > 0, state=state)
        coming = [part(each, place + horizon, horizon) for each in ahead]
        given = model.said(x[:, -1], coming, scaling.scaled(values, mask, scale)[0])
        center = scaling.anchor(values, mask) + scale[0]
        spread = scale[1] + ops.zeros_like(center)
        forecast, quantiles = model.placed(
            ops.concatenate([given, center[..., None], spread[..., None]], axis=-1), width
        )
        if paths == 1:
            answered.append((forecast, quantiles))
            read = forecast
            continue
        order = np.random.default_rng(block).permutation(paths)
        quantiles = ops.reshape(quantiles, (-1, paths, horizon, len(levels)))
        read = ops.sum(quantiles * shares[order][:, None], axis=-1)  # [B, S, H]
        sample = ops.sort(ops.transpose(read, (0, 2, 1)), axis=-1)  # [B, H, S]
        answered.append(
            (
                ops.matmul(sample, sample_weights([0.5], paths))[..., 0],
                ops.matmul(sample, sample_weights(levels, paths)),
            )
        )
    forecast, quantiles = (
        scaling.restored(ops.concatenate(parts, axis=1)[:, : model.reach]) for parts in zip(*answered)
    )
    return forecast, quantiles


def part(x: Any, begin: int, size: int) -> Any:
    """Steps of features `[B, T, F]`, zeros behind their end; those of a single step are the same at all."""
    if x.shape[1] == 1:
        return ops.repeat(x, size, axis=1)
    x = x[:, begin : begin + size]
    lacking = 0 if x.shape[1] is None else size - x.shape[1]
    return ops.pad(x, [[0, 0], [0, lacking], [0, 0]]) if lacking else x


def path_weights(levels: Any, paths: int) -> Numbers:
    """How the value of each of S paths is made of the quantiles of Q levels, `[S, Q]`."""
    if paths == 1:
        return np.ones((1, len(levels)), "float32")
    known, wanted = (
        np.array([NormalDist().inv_cdf(level) for level in each])
        for each in (levels, np.arange(1, paths + 1) / (paths + 1))
    )
    below = np.clip(np.searchsorted(known, wanted) - 1, 0, len(known) - 2)
    rest = (wanted - known[below]) / (known[below + 1] - known[below])
    weights = np.zeros((paths, len(known)), "float32")
    weights[np.arange(paths), below] = 1 - rest
    weights[np.arange(paths), below + 1] = rest
    return weights


def sample_weights(levels: Any, paths: int) -> Numbers:
    """How the quantiles of Q levels are made of the values of S paths in ascending order, `[S, Q]`."""
    places = np.clip(np.array(levels) * (paths + 1) - 1, 0, paths - 1)
    return np.maximum(0, 1 - np.abs(np.arange(paths)[:, None] - places)).astype("float32")
