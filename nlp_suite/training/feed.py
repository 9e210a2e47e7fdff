"""Batches as what `fit` takes: endless, in order, beginning at any step."""

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

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


class _Pass(keras.utils.PyDataset):
    """Batches 0 to `steps - 1`."""

    def __init__(self, batch: BatchFunction, steps: int):
        super().__init__()
        self._batch, self._steps = batch, steps

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, n: int) -> tuple[Any, ...]:
        return self._batch(n)
