"""A Transformer encoder block: self-attention and a feed-forward network, each with residual and layer norm."""

import keras

from nlp_suite.layers.dropout import dropout
from nlp_suite.layers.inline import apply
from nlp_suite.layers.layer_norm import layer_norm
from nlp_suite.layers.self_attention import SelfAttention


@keras.saving.register_keras_serializable("nlp_suite")
class TransformerBlock(keras.layers.Layer):
    """Self-attention, then a position-wise feed-forward network (Vaswani et al. 2017).

    Args:
        heads: attention heads H.
        feed_forward: units of the hidden feed-forward layer.
        dropout: rate after attention, inside and after the feed-forward network.
        attention_dropout: rate on attention weights.
        activation: of the feed-forward network.
        norm: `"pre"` (norm before each sublayer: trains without warm-up) or `"post"` (the paper's).
        causal: a position sees itself and those before it.
        rotary: rotate queries and keys by their positions.

    Call arguments: `x` `[B, T, D]`, `mask` bool `[B, T]`, `positions` int32 `[B, T]`. Returns `[B, T, D]`.
    `initial_state` and `step` do the same for one position at a time (causal blocks).
    """

    def __init__(
        self,
        heads,
        feed_forward,
        dropout=0.1,
        attention_dropout=0.0,
        activation="relu",
        norm="pre",
        causal=False,
        rotary=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.settings = {
            "heads": heads,
            "feed_forward": feed_forward,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "activation": activation,
            "norm": norm,
            "causal": causal,
            "rotary": rotary,
        }
        self.norm = norm
        self.supports_masking = True
        self.attention = SelfAttention(heads, attention_dropout, causal, rotary, dtype=self.dtype_policy)
        self.attention_norm = keras.layers.LayerNormalization(epsilon=1e-6, dtype=self.dtype_policy)
        self.feed_forward_norm = keras.layers.LayerNormalization(epsilon=1e-6, dtype=self.dtype_policy)
        self.expand = keras.layers.Dense(feed_forward, activation=activation, dtype=self.dtype_policy)
        self.drops = [keras.layers.Dropout(dropout, dtype=self.dtype_policy) for _ in range(3)]

    def build(self, input_shape) -> None:
        shape = (None, None, input_shape[-1])
        self.contract = keras.layers.Dense(shape[-1], dtype=self.dtype_policy)
        for layer in (self.attention, self.attention_norm, self.feed_forward_norm, self.expand):
            layer.build(shape)
        self.contract.build((None, None, self.expand.units))

    def _residual(self, x, norm, drop, sublayer, training=False):
        """`sublayer` with its residual connection and norm."""
        if self.norm == "pre":
            return x + dropout(drop, sublayer(layer_norm(norm, x, training)), training)
        return layer_norm(norm, x + dropout(drop, sublayer(x), training), training)

    def _feed_forward(self, x, training=False):
        def sublayer(y):
            return self.contract(dropout(self.drops[2], self.expand(y), training))

        return self._residual(x, self.feed_forward_norm, self.drops[1], sublayer, training)

    def call(self, x, mask, positions, training=None):
        def attend(y):
            return apply(self.attention, y, mask=mask, positions=positions)

        x = self._residual(x, self.attention_norm, self.drops[0], attend, training)
        return self._feed_forward(x, training)

    def initial_state(self, batch_size, max_length, grows=False):
        """An empty cache, see `SelfAttention.initial_state`."""
        return self.attention.initial_state(batch_size, max_length, grows)

    def step(self, x, state, position):
        """One position: `x` `[B, D]`, `position` int32 `[B]` → `[B, D]` and the new cache."""

        def attend(y):
            nonlocal state
            y, state = self.attention.step(y, state, position)
            return y

        x = self._residual(x, self.attention_norm, self.drops[0], attend)
        return self._feed_forward(x), state

    def compute_output_spec(self, x, mask=None, positions=None):
        return keras.KerasTensor(x.shape, dtype=self.compute_dtype)

    def get_config(self):
        return {**super().get_config(), **self.settings}
