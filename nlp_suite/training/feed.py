"""Batches as what `fit` takes: endless, in order, beginning at any step."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from nlp_suite.training.distributions.base import World

BatchFunction = Callable[[int], tuple[Any, ...]]
"""Number of a batch → arrays, or mappings of them; the first dim of each is the batch."""


def feed(batch: BatchFunction, start: int = 0) -> Any:
    """An endless input of `fit`.

    Args:
        batch: what makes a batch.
        start: number of the first batch.

    Returns:
        On TensorFlow a `tf.data.Dataset` whose signature leaves every dim open (Keras would guess it from two batches
        and refuse other lengths), elsewhere a generator.
    """

    def generate() -> Iterator[tuple[Any, ...]]:
        return (batch(n) for n in itertools.count(start))

    if keras.backend.backend() != "tensorflow":
        return generate()
    import tensorflow as tf

    signature = keras.tree.map_structure(
        lambda a: tf.TensorSpec([None] * np.ndim(a), np.asarray(a).dtype), batch(start)
    )
    # There is nothing to tune, and the tuner's thread may miss that its iterator ends: then the end waits for up to a minute.
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(4).with_options(options)


def validation_feed(batch: BatchFunction, steps: int) -> dict[str, Any]:
    """One pass as the validation of `fit`; every validation begins with batch 0, as a state that is carried needs.

    Args:
        batch: what makes a batch.
        steps: batches of a pass.

    Returns:
        Keyword arguments of `fit`.
    """
    if keras.backend.backend() == "tensorflow":
        return {"validation_data": feed(lambda n: batch(n % steps)), "validation_steps": steps}
    return {"validation_data": _Pass(batch, steps)}  # Keras does not begin a generator anew


def shared(batch: BatchFunction, world: World) -> BatchFunction:
    """The rows of every batch that are this process's: process p of n has the p-th of n equal parts.

    A batch whose rows the devices cannot share equally is filled up with rows that weigh 0; a mask that is drawn for its rows
    begins with the numbers that fewer rows would have.

    Args:
        batch: what makes the whole batch, the same in every process.
        world: the processes and their devices.
    """
    if world.devices == 1:
        return batch

    def share(n: int) -> tuple[Any, ...]:
        inputs, targets, weights = batch(n)
        rows = len(weights)
        total = -(-rows // world.devices) * world.devices
        part = np.arange(total // world.processes) + world.process * (total // world.processes)
        taken = np.where(part < rows, part, 0)
        own = np.asarray(weights)[taken]
        own[part >= rows] = 0

        def take(array: Any) -> Any:
            return own if array is weights else np.asarray(array)[taken]

        return (*keras.tree.map_structure(take, (inputs, targets)), own)

    return share


class _Pass(keras.utils.PyDataset):
    """Batches 0 to `steps - 1`."""

    def __init__(self, batch: BatchFunction, steps: int):
        super().__init__()
        self._batch, self._steps = batch, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, n: int) -> tuple[Any, ...]:
        return self._batch(n)
