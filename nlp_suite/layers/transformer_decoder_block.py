"""A Transformer decoder block: self-attention, attention to an encoded source, a feed-forward network."""

import keras

from nlp_suite.layers.cross_attention import CrossAttention
from nlp_suite.layers.transformer_block import TransformerBlock


@keras.saving.register_keras_serializable("nlp_suite")
class TransformerDecoderBlock(TransformerBlock):
    """A causal `TransformerBlock` that also attends to an encoded source (Vaswani et al. 2017, §3.1).

    Args:
        kwargs: those of `TransformerBlock`, except `causal`. Both attentions have the same dropout rates.

    Call arguments:
        x: `[B, T, D]`, padded on the right: a position sees itself and those before it, so the padding needs no mask.
        positions: int32 `[B, T]`.
        memory: what `memory` returned.
        bias: float32 `[B, 1, 1, S]`, which positions of the source are visible, see `CrossAttention`.

    Returns:
        `[B, T, D]`, and the weights over the source, float32 `[B, H, T, S]`.

    Example:
        >>> block = TransformerDecoderBlock(heads=4, feed_forward=256)
        >>> block.build((None, None, 64), memory_size=32)
        >>> block(x, positions, block.memory(encoded), attention_bias(mask[:, None, None]))
    """

    def __init__(self, heads, feed_forward, dropout=0.1, attention_dropout=0.0, **kwargs):
        super().__init__(heads, feed_forward, dropout, attention_dropout, causal=True, **kwargs)
        self.cross = CrossAttention(heads, attention_dropout, dtype=self.dtype_policy)
        self.cross_norm = keras.layers.LayerNormalization(epsilon=1e-6, dtype=self.dtype_policy)
        self.cross_drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy)

    def build(self, input_shape, memory_size=None) -> None:
        super().build(input_shape)
        self.cross.build(input_shape, memory_size)
        self.cross_norm.build(input_shape)
        self.built = True

    def memory(self, encoded):
        """Keys and values of a source `[B, S, M]`, see `CrossAttention.memory`."""
        return self.cross.memory(encoded)

    def call(self, x, positions, memory, bias, training=None):
        weights = None

        def attend(y):
            return self.attention(y, mask=None, positions=positions)

        def attend_to_source(y):
            nonlocal weights
            y, weights = self.cross(y, memory, bias)
            return y

        x = self._residual(x, self.attention_norm, self.drops[0], attend, training)
        x = self._residual(x, self.cross_norm, self.cross_drop, attend_to_source, training)
        return self._feed_forward(x, training), weights

    def step(self, x, state, position, memory, bias):
        """One position of the K hypotheses of each source.

        Args:
            x: `[B·K, D]`.
            state: the cache of the self-attention, see `initial_state`.
            position: int32 `[B·K]`.
            memory: of `memory`, B rows.
            bias: float32 `[B, 1, 1, S]`.

        Returns:
            `[B·K, D]`, the new cache, and the weights over the source, float32 `[B, H, K, S]`.
        """
        weights = None

        def attend(y):
            nonlocal state
            y, state = self.attention.step(y, state, position)
            return y

        def attend_to_source(y):
            nonlocal weights
            y, weights = self.cross.step(y, memory, bias)
            return y

        x = self._residual(x, self.attention_norm, self.drops[0], attend)
        x = self._residual(x, self.cross_norm, self.cross_drop, attend_to_source)
        return self._feed_forward(x), state, weights

    def compute_output_spec(self, x, positions=None, memory=None, bias=None, training=None):
        return self.cross.compute_output_spec(x, memory)

    def get_config(self):
        config = super().get_config()
        del config["causal"]
        return config
