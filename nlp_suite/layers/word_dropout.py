"""Word dropout: tokens become unknown in training."""

import keras
from keras import ops

from nlp_suite.layers.batch_share import drawn
from nlp_suite.text.tokenizers.base import PAD, UNKNOWN


@keras.saving.register_keras_serializable("nlp_suite")
class WordDropout(keras.layers.Layer):
    """Replaces tokens with the unknown one in training (Iyyer et al. 2015, Bowman et al. 2016).

    Unlike dropout of embeddings nothing is rescaled, so features have the same size in training and inference, which
    matters with max pooling; and the network learns what an unknown word means.

    Args:
        rate: probability that a token is replaced.

    Call arguments: token ids `[B, T]`; padding stays. Returns token ids `[B, T]`.
    """

    def __init__(self, rate, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.rate, self.seed = rate, seed
        self.generator = keras.random.SeedGenerator(seed) if rate else None
        self.built = True

    def call(self, tokens, training=None):
        if not training or not self.rate:
            return tokens
        draws = drawn(lambda shape: keras.random.uniform(shape, seed=self.generator), ops.shape(tokens))  # [B, T]
        drop = draws < self.rate
        return ops.where(ops.logical_and(drop, ops.not_equal(tokens, PAD)), ops.cast(UNKNOWN, tokens.dtype), tokens)

    def compute_output_spec(self, tokens, training=None):
        return keras.KerasTensor(tokens.shape, dtype=tokens.dtype)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
