"""Multi-head self-attention with one matrix product for queries, keys and values, and a key/value cache for steps."""

import keras
from keras import ops

from nlp_suite.errors import ConfigError
from nlp_suite.layers.attention_cache import append, cache_slots, write
from nlp_suite.layers.dot_product_attention import attention_bias, dot_product_attention
from nlp_suite.layers.inline import constant
from nlp_suite.layers.positions import rotate


@keras.saving.register_keras_serializable("nlp_suite")
class SelfAttention(keras.layers.Layer):
    """Scaled dot-product self-attention (Vaswani et al. 2017, §3.2), queries, keys and values fused in one product.

    Args:
        heads: number of heads H; the features D must be a multiple.
        dropout: rate on the attention weights.
        causal: a position sees itself and those before it.
        rotary: rotate queries and keys by their positions.

    Call arguments:
        x: `[B, T, D]`.
        mask: bool `[B, T]`, true at tokens, of which every row needs one; masked keys are invisible. A causal layer
            whose rows are padded on the right only may get None: no token sees the padding.
        positions: int32 `[B, T]`.

    Returns:
        `[B, T, D]`. Outputs at masked queries are defined but mean nothing.

    Example:
        >>> SelfAttention(heads=4)(x, mask=tokens != 0, positions=token_positions(tokens))
    """

    def __init__(self, heads, dropout=0.0, causal=False, rotary=False, **kwargs):
        super().__init__(**kwargs)
        self.heads, self.dropout, self.causal, self.rotary = heads, dropout, causal, rotary
        self.supports_masking = True

    def build(self, input_shape) -> None:
        size = input_shape[-1]
        if size % self.heads or (self.rotary and size // self.heads % 2):
            raise ConfigError(
                f"{size} features cannot be split into {self.heads} heads" + " of even size" * self.rotary
            )
        self.fused = keras.layers.Dense(3 * size, kernel_initializer="glorot_uniform", dtype=self.dtype_policy)
        self.projection = keras.layers.Dense(size, dtype=self.dtype_policy)
        self.drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.to_heads = keras.layers.Reshape((-1, 3 * self.heads, size // self.heads))
        self.from_heads = keras.layers.Reshape((-1, size))
        self.to_heads.supports_masking = self.from_heads.supports_masking = True
        self.fused.build((None, None, size))
        self.projection.build((None, None, size))

    def _split(self, heads, positions):
        """Queries, keys and values `[B, H, T, d]` out of `[B, 3H, T, d]`, rotated where the layer is rotary."""
        if not self.rotary:
            return ops.split(heads, 3, axis=1)
        query_key, value = ops.split(heads, [2 * self.heads], axis=1)
        query, key = ops.split(rotate(query_key, positions), 2, axis=1)
        return query, key, value

    def call(self, x, mask, positions, training=None):
        heads = ops.transpose(self.to_heads(self.fused(x)), (0, 2, 1, 3))  # [B, 3H, T, d]
        query, key, value = self._split(heads, positions)
        bias = attention_bias(self._visible(mask, positions), self.compute_dtype)
        output, _ = dot_product_attention(query, key, value, bias, self.drop, training)  # [B, H, T, d]
        return self.projection(self.from_heads(ops.transpose(output, (0, 2, 1, 3))))

    def _visible(self, mask, positions):
        """What a position sees: bool `[B, 1, 1|T, S]`."""
        tokens = None if mask is None else ops.expand_dims(ops.expand_dims(mask, 1), 1)  # [B, 1, 1, S]
        if not self.causal:
            return tokens
        earlier = ops.expand_dims(positions, 1) <= ops.expand_dims(positions, 2)  # [B, T, S]
        earlier = ops.expand_dims(earlier, 1)  # [B, 1, T, S]
        return earlier if tokens is None else ops.logical_and(tokens, earlier)

    def initial_state(self, batch_size, max_length, grows=False):
        """An empty cache: keys and values `[B, H, max_length, D/H]`.

        Args:
            batch_size: rows B.
            max_length: positions S; of a cache that grows a scalar tensor of 0, so that a loop leaves the number open.
            grows: whether a step adds a position, for rows that are all at the same one.
        """
        shape = (batch_size, self.heads, max_length, self.projection.units // self.heads)
        names = ("grown_key", "grown_value") if grows else ("key", "value")
        return {name: ops.zeros(shape, self.compute_dtype) for name in names}

    def step(self, x, state, position):
        """One position of every row; it sees itself and the cache's length − 1 positions before it.

        The cache is a ring: a token beyond its length replaces the oldest one. A cache that grows keeps all.

        Args:
            x: `[B, D]`.
            state: the cache, see `initial_state`.
            position: int32 `[B]`, of this token in its row.

        Returns:
            `[B, D]` and the new cache.
        """
        size = x.shape[-1]
        heads = ops.reshape(self.fused(x), (-1, 3 * self.heads, 1, size // self.heads))  # [B, 3H, 1, d]
        query, key, value = self._split(heads, ops.expand_dims(position, 1))
        if "grown_key" in state:
            key, value, bias = append(state["grown_key"], key), append(state["grown_value"], value), None
            state = {"grown_key": key, "grown_value": value}
        else:
            length = state["key"].shape[2]
            slots = cache_slots(position, self.heads, length)
            key, value = write(state["key"], slots, key), write(state["value"], slots, value)  # [B, H, S, d]
            state = {"key": key, "value": value}
            places = constant(ops.arange(length, dtype="int32"), position)
            visible = ops.reshape(position, (-1, 1, 1, 1)) >= places  # [B, 1, 1, S]
            bias = attention_bias(visible, self.compute_dtype)
        output, _ = dot_product_attention(query, key, value, bias)  # [B, H, 1, d]
        return self.projection(ops.reshape(output, (-1, size))), state

    def compute_output_spec(self, x, mask=None, positions=None):
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self):
        settings = {"heads": self.heads, "dropout": self.dropout, "causal": self.causal, "rotary": self.rotary}
        return {**super().get_config(), **settings}
