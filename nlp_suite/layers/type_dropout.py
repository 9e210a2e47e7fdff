"""Dropout of word types: a token is dropped at all its positions in a batch."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("nlp_suite")
class TypeDropout(keras.layers.Layer):
    """Drops rows of an embedding table in training (Gal & Ghahramani 2016; Merity et al. 2018, §4.3).

    A dropped token id has a zero vector at all its positions in the batch, the others are scaled by 1 / (1 - rate). The
    mask is drawn for the table's rows but multiplied with the vectors that were looked up, so the table's gradient
    stays sparse.

    Args:
        rate: probability that a row is dropped.
        rows: rows V of the table.

    Call arguments: the `vectors` looked up, `[B, T, E]`, and their `ids` int `[B, T]`. Returns `[B, T, E]`.

    Example:
        >>> TypeDropout(0.1, rows=8000)(embedding(tokens), tokens, training=True)
    """

    def __init__(self, rate, rows, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.rows, self.seed = rate, rows, seed
        self.generator = keras.random.SeedGenerator(seed) if rate else None
        self.built = True

    def call(self, vectors, ids, training=None):
        if not training or not self.rate:
            return vectors
        keep = keras.random.uniform((self.rows,), seed=self.generator) >= self.rate  # [V]
        factors = ops.where(keep, 1.0 / (1.0 - self.rate), 0.0)  # [V]
        return vectors * ops.cast(ops.expand_dims(ops.take(factors, ids, axis=0), -1), vectors.dtype)

    def compute_output_spec(self, vectors, ids, training=None):
        return keras.KerasTensor(vectors.shape, dtype=vectors.dtype)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "rows": self.rows, "seed": self.seed}
