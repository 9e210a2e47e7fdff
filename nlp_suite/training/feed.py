"""Batches as what `fit` takes: endless, in order, beginning at any step."""

import itertools

import keras
import numpy as np


def feed(batch, start: int = 0):
    """An endless input of `fit`.

    Args:
        batch: function of the batch number to a tuple of arrays, or mappings of them; the first dim of each is the batch.
        start: number of the first batch.

    Returns:
        On TensorFlow a `tf.data.Dataset` whose signature leaves every dim open (Keras would guess it from two batches
        and refuse other lengths), elsewhere a generator.
    """

    def generate():
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


def validation_feed(batch, steps: int) -> dict:
    """One pass as the validation of `fit`; every validation begins with batch 0, as a state that is carried needs.

    Args:
        batch: see `feed`.
        steps: batches of a pass.

    Returns:
        Keyword arguments of `fit`.
    """
    if keras.backend.backend() == "tensorflow":
        return {"validation_data": feed(lambda n: batch(n % steps)), "validation_steps": steps}
    return {"validation_data": _Pass(batch, steps)}  # Keras does not begin a generator anew


class _Pass(keras.utils.PyDataset):
    """Batches 0 to `steps - 1`."""

    def __init__(self, batch, steps):
        super().__init__()
        self._batch, self._steps = batch, steps

    def __len__(self):
        return self._steps

    def __getitem__(self, n):
        return self._batch(n)
