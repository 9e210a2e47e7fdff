"""Multi-head self-attention with one matrix product for queries, keys and values, and a key/value cache for steps."""

import keras
from keras import ops

from nlp_suite.layers.positions import rotate


@keras.saving.register_keras_serializable("nlp_suite")
class SelfAttention(keras.layers.Layer):
    """Scaled dot-product self-attention (Vaswani et al. 2017, §3.2), queries, keys and values fused in one product.

    Args:
        heads: number of heads H; the features D must be a multiple.
        dropout: rate on the attention weights.
        causal: a position sees itself and those before it.
        rotary: turn queries and keys by their positions.

    Call arguments:
        x: `[B, T, D]`.
        mask: bool `[B, T]`, true where there is a token; masked keys are never seen. Every row needs one true place.
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

    def build(self, input_shape):
        size = input_shape[-1]
        if size % self.heads or (self.rotary and size // self.heads % 2):
            raise ValueError(f"{size} features cannot be split into {self.heads} heads" + " of even size" * self.rotary)
        self.fused = keras.layers.Dense(3 * size, kernel_initializer="glorot_uniform", dtype=self.dtype_policy)
        self.projection = keras.layers.Dense(size, dtype=self.dtype_policy)
        self.drop = keras.layers.Dropout(self.dropout, dtype=self.dtype_policy)
        self.to_heads = keras.layers.Reshape((-1, 3 * self.heads, size // self.heads))
        self.from_heads = keras.layers.Reshape((-1, size))
        self.to_heads.supports_masking = self.from_heads.supports_masking = True
        self.fused.build((None, None, size))
        self.projection.build((None, None, size))

    def _project(self, x, positions):
        """Queries (scaled), keys and values, `[B, T, H, D/H]` each."""
        size = x.shape[-1]
        query, key, value = ops.split(self.to_heads(self.fused(x)), 3, axis=2)
        if self.rotary:
            query, key = rotate(query, positions), rotate(key, positions)
        return query * (size // self.heads) ** -0.5, key, value

    def _attend(self, query, key, value, visible):
        """Weighted values `[B, T, D]` for queries `[B, T, H, d]`, keys and values `[B, S, H, d]`, visible `[B, 1|T, S]`."""
        scores = ops.einsum("bthd,bshd->bhts", query, key)  # [B, H, T, S]
        bias = ops.where(ops.expand_dims(visible, 1), 0.0, -1e9 if self.compute_dtype != "float16" else -6e4)
        scores = ops.cast(scores, "float32") + ops.cast(bias, "float32")
        weights = self.drop(ops.cast(ops.softmax(scores, axis=-1), query.dtype))
        mixed = ops.einsum("bhts,bshd->bthd", weights, value)  # [B, T, H, d]
        return self.projection(self.from_heads(mixed))

    def call(self, x, mask, positions):
        query, key, value = self._project(x, positions)
        visible = ops.expand_dims(mask, 1)  # [B, 1, S]
        if self.causal:
            earlier = ops.expand_dims(positions, 1) <= ops.expand_dims(positions, 2)  # [B, T, S]
            visible = ops.logical_and(visible, earlier)
        return self._attend(query, key, value, visible)

    def initial_state(self, batch_size, max_length):
        """An empty cache: keys and values `[B, max_length, H, D/H]`."""
        size = self.projection.units
        shape = (batch_size, max_length, self.heads, size // self.heads)
        return {"key": ops.zeros(shape, self.compute_dtype), "value": ops.zeros(shape, self.compute_dtype)}

    def step(self, x, state, position):
        """One position of every row; it sees itself and the cache's length − 1 positions before it.

        The cache is a ring: a token beyond its length takes the place of the oldest one.

        Args:
            x: `[B, D]`.
            state: the cache, see `initial_state`.
            position: int32 `[B]`, the place of this token in its row.

        Returns:
            `[B, D]` and the new cache.
        """
        query, key, value = self._project(ops.expand_dims(x, 1), ops.expand_dims(position, 1))  # [B, 1, H, d]
        places = ops.arange(state["key"].shape[1], dtype="int32")  # [S]
        here = ops.expand_dims(places, 0) == ops.expand_dims(position % places.shape[0], 1)  # [B, S]
        here = ops.expand_dims(ops.expand_dims(here, -1), -1)  # [B, S, 1, 1]
        state = {"key": ops.where(here, key, state["key"]), "value": ops.where(here, value, state["value"])}
        visible = ops.expand_dims(places, 0) <= ops.expand_dims(position, 1)  # [B, S]
        return self._attend(query, state["key"], state["value"], ops.expand_dims(visible, 1))[:, 0], state

    def compute_output_spec(self, x, mask=None, positions=None):
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self):
        settings = {"heads": self.heads, "dropout": self.dropout, "causal": self.causal, "rotary": self.rotary}
        return {**super().get_config(), **settings}
