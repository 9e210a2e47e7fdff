"""Multi-head attention of a decoder over an encoded source, whose keys and values are projected once."""

import keras
from keras import ops

from nlp_suite.errors import ConfigError
from nlp_suite.layers.dot_product_attention import dot_product_attention
from nlp_suite.layers.inline import of_sources, reshaped


@keras.saving.register_keras_serializable("nlp_suite")
class CrossAttention(keras.layers.Layer):
    """Scaled dot-product attention over another sequence (Vaswani et al. 2017, §3.2.3).

    Keys and values come from one fused product, `memory`, and are stored head by head. Queries are the positions of a
    target, or the K hypotheses of each source in a step, which share the source's keys and values without a copy.

    Args:
        heads: number of heads H; the features D must be a multiple.
        dropout: rate on the attention weights.

    Call arguments:
        x: `[B, T, D]`.
        memory: what `memory` returned, B rows.
        bias: float32 `[B, 1, 1, S]`, see `nlp_suite.layers.dot_product_attention.attention_bias`: masked positions of
            the source are invisible. Every row needs a visible one.

    Returns:
        `[B, T, D]` and the weights before dropout, float32 `[B, H, T, S]`.

    Example:
        >>> layer = CrossAttention(heads=4)
        >>> layer.build((None, None, 64), memory_size=32)
        >>> layer(x, layer.memory(encoded), attention_bias(mask[:, None, None]))  # [B, T, 64], encoded [B, S, 32]
    """

    def __init__(self, heads, dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.dropout = heads, dropout
        self.supports_masking = True

    def build(self, input_shape, memory_size=None) -> None:
        size = input_shape[-1]
        if size % self.heads:
            raise ConfigError(f"{size} features cannot be split into {self.heads} heads")
        memory_size = memory_size or size
        self.query = keras.layers.Dense(size, dtype=self.dtype_policy)
        self.fused = keras.layers.Dense(2 * size, dtype=self.dtype_policy)
        self.projection = keras.layers.Dense(size, dtype=self.dtype_policy)
        self.drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.query.build((None, None, size))
        self.fused.build((None, None, memory_size))
        self.projection.build((None, None, size))
        self.built = True

    def memory(self, encoded):
        """Keys and values of a source `[B, S, M]`: a dict with `"key"` and `"value"`, `[B, H, S, D/H]`."""
        rows, length = ops.shape(encoded)[:2]
        size = self.query.units // self.heads
        heads = reshaped(self.fused(encoded), (rows, length, 2 * self.heads, size))  # [B, S, 2H, d]
        key, value = ops.split(ops.transpose(heads, (0, 2, 1, 3)), 2, axis=1)  # [B, H, S, d]
        return {"key": key, "value": value}

    def call(self, x, memory, bias, training=None):
        (rows, length), size = ops.shape(x)[:2], x.shape[-1]
        query = ops.reshape(self.query(x), (rows, length, self.heads, size // self.heads))  # [B, T, H, d]
        query = ops.transpose(query, (0, 2, 1, 3))  # [B, H, T, d]
        output, weights = dot_product_attention(query, memory["key"], memory["value"], bias, self.drop, training)
        output = ops.reshape(ops.transpose(output, (0, 2, 1, 3)), (rows, length, size))  # [B, T, D]
        return self.projection(output), weights

    def step(self, x, memory, bias):
        """One position of K hypotheses a source: `[B·K, D]` → `[B·K, D]`, weights `[B, H, K, S]`; memory has B rows."""
        size = x.shape[-1]
        query = of_sources(self.query(x), memory["key"], (self.heads, size // self.heads))  # [B, K, H, d]
        query = ops.transpose(query, (0, 2, 1, 3))  # [B, H, K, d]
        output, weights = dot_product_attention(query, memory["key"], memory["value"], bias)
        return self.projection(ops.reshape(ops.transpose(output, (0, 2, 1, 3)), (-1, size))), weights

    def compute_output_spec(self, x, memory=None, bias=None, training=None):
        weights = (x.shape[0], self.heads, x.shape[1], memory["key"].shape[2])
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype), keras.KerasTensor(weights, dtype="float32")

    def get_config(self):
        return {**super().get_config(), "heads": self.heads, "dropout": self.dropout}
