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
    return tf.data.Dataset.from_generator(generate, output_signature=signature).prefetch(4)
