"""The rows of a batch that the layers at hand compute, where several devices of one process share it on TensorFlow.

There each device computes its rows in a call of its own, within `share`. Numbers that are drawn for rows are drawn for the whole
batch, of which each device takes those of its rows: so they are the numbers that one device would draw. On JAX the compiler shares
out the rows of one call; a layer that splits the batch itself asks `devices_of_batch`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

_SHARE: ContextVar[tuple[int, int]] = ContextVar("share", default=(0, 1))


@contextmanager
def share(number: int, shares: int) -> Iterator[None]:
    """Within the context layers are called with the rows of one of so many equal parts of a batch."""
    from keras.src.backend import random  # whose `dropout` all layers of Keras call, in dim 0 of which the batch is

    token, whole = _SHARE.set((number, shares)), random.dropout

    def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
        shape = ops.shape(inputs)
        shape = shape if noise_shape is None else [a if b is None else b for a, b in zip(shape, noise_shape)]
        return inputs * drawn(lambda shape: whole(ops.ones(shape, inputs.dtype), rate, seed=seed), shape)

    random.dropout = dropout
    try:
        yield
    finally:
        random.dropout = whole
        _SHARE.reset(token)


def drawn(draw: Callable[[tuple[Any, ...]], Any], shape: Sequence[Any]) -> Any:
    """Random numbers for rows.

    Args:
        draw: shape → tensor.
        shape: with the rows at hand in dim 0.

    Returns:
        The tensor of that shape; within `share` the part of these rows of the one for all rows.

    Example:
        >>> drawn(lambda shape: keras.random.uniform(shape, seed=generator), ops.shape(tokens))
    """
    number, shares = _SHARE.get()
    return draw(tuple(shape)) if shares == 1 else _rows(draw((shape[0] * shares, *shape[1:])), number, shares)


def own_rows(array: Any) -> Any:
    """Of an array for the whole batch, the rows at hand."""
    return _rows(array, *_SHARE.get())


def with_own_rows(array: Any, rows: Any) -> Any:
    """The array for the whole batch with other values in the rows at hand."""
    number, shares = _SHARE.get()
    start = number * (array.shape[0] // shares)
    return rows if shares == 1 else ops.slice_update(array, (start, *[0] * (len(array.shape) - 1)), rows)


def _rows(array: Any, number: int, shares: int) -> Any:
    if shares == 1:
        return array
    rows = ops.shape(array)[0] // shares
    return array[number * rows : (number + 1) * rows]


def devices_of_batch() -> int:
    """Among how many devices Keras's own distribution, that is JAX, shares the rows of a batch."""
    distribution = keras.distribution.distribution()
    if distribution is None:
        return 1
    mesh = distribution.device_mesh
    return int(mesh.shape[mesh.axis_names.index(distribution.batch_dim_name)])
