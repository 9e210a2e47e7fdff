"""Transformer blocks of self-attention (Vaswani et al. 2017): pre- or post-norm; sinusoidal, learned or rotary positions."""

import keras
from keras import ops

from nlp_suite.backbones.base import Backbone
from nlp_suite.layers.dropout import dropout
from nlp_suite.layers.inline import apply
from nlp_suite.layers.layer_norm import layer_norm
from nlp_suite.layers.positions import PositionEmbedding, token_positions
from nlp_suite.layers.transformer_block import TransformerBlock
from nlp_suite.registry import BACKBONES
from nlp_suite.settings.backbones import TransformerSettings


@BACKBONES.register(TransformerSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class TransformerBackbone(Backbone):
    """Transformer blocks over token embeddings, `[B, T]` → `[B, T, E]`.

    Embeddings are multiplied by √E (Vaswani et al. 2017, §3.4). Masked tokens are never attended to.

    Args:
        vocabulary_size: number of token ids V, or None, see `Backbone`.
        layers: blocks; heads, feed_forward, dropout, attention_dropout, activation, norm: see `TransformerBlock`.
        positions: `"sinusoidal"`, `"learned"` or `"rotary"`.
        max_length: rows of the learned position table (later positions use its last row), and places of the cache of
            `step`, which sees the newest `max_length` tokens of a row, itself included, however many there were.
        causal: a token sees itself and those before it.
        kwargs: those of `Backbone`.
    """

    def __init__(
        self,
        vocabulary_size,
        layers=2,
        heads=4,
        feed_forward=512,
        dropout=0.1,
        attention_dropout=0.0,
        activation="relu",
        norm="pre",
        positions="sinusoidal",
        max_length=512,
        causal=False,
        **kwargs,
    ):
        super().__init__(vocabulary_size, **kwargs)
        block = {
            "heads": heads,
            "feed_forward": feed_forward,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "activation": activation,
            "norm": norm,
            "causal": causal,
        }
        self.settings |= {"layers": layers, "positions": positions, "max_length": max_length, **block}
        self.causal, self.context_limit = causal, max_length if causal else None
        self.positions = PositionEmbedding(positions, self.embedding_size, max_length, dtype=self.dtype_policy)
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.blocks = [
            TransformerBlock(**block, rotary=positions == "rotary", dtype=self.dtype_policy) for _ in range(layers)
        ]
        self.final_norm = None
        if norm == "pre":
            self.final_norm = keras.layers.LayerNormalization(epsilon=1e-6, dtype=self.dtype_policy)

    @property
    def output_size(self):
        return self.embedding_size

    def build_encoder(self) -> None:
        shape = (None, None, self.embedding_size)
        self.positions.build(shape)
        for block in self.blocks:
            block.build(shape)
        if self.final_norm is not None:
            self.final_norm.build(shape)

    def stack(self):
        groups = [[self.embedding, self.positions], *([block] for block in self.blocks)]
        if self.final_norm is not None:
            groups[-1].append(self.final_norm)
        return groups

    def _enter(self, x, positions, training=False):
        return dropout(self.drop, apply(self.positions, x * self.embedding_size**0.5, positions), training)

    def _leave(self, x, training=False):
        return x if self.final_norm is None else layer_norm(self.final_norm, x, training)

    def encode(self, x, mask, *, state=None, training=False):
        x, mask = self.encoder_input(x, mask, state, training)
        positions = token_positions(mask)  # [B, T]
        x = self._enter(x, positions, training)
        for block in self.blocks:
            x = apply(block, x, mask=mask, positions=positions, training=training)
        return self._leave(x, training), None

    def initial_state(self, batch_size, memory=None):
        """Position 0 `[B]` and an empty key/value cache of `context_limit` places for every block."""
        if not self.causal:
            return super().initial_state(batch_size, memory)
        caches = [block.initial_state(batch_size, self.context_limit) for block in self.blocks]
        return {"position": ops.zeros((batch_size,), "int32"), "blocks": caches}

    def step(self, x, state):
        position = state["position"]  # [B]
        x = self._enter(ops.expand_dims(x, 1), ops.expand_dims(position, 1))[:, 0]
        caches = []
        for block, cache in zip(self.blocks, state["blocks"]):
            x, cache = block.step(x, cache, position)
            caches.append(cache)
        return self._leave(x), {"position": position + 1, "blocks": caches}
