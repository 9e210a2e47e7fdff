"""Transformer decoder blocks (Vaswani et al. 2017): causal self-attention and attention to the source in every block."""

import keras

from nlp_suite.backbones.decoders.blocks import BlocksDecoder
from nlp_suite.layers.dropout import dropout
from nlp_suite.layers.inline import apply
from nlp_suite.layers.layer_norm import layer_norm
from nlp_suite.layers.positions import PositionEmbedding
from nlp_suite.layers.transformer_decoder_block import TransformerDecoderBlock
from nlp_suite.registry import DECODERS
from nlp_suite.settings.decoders import TransformerDecoderSettings


@DECODERS.register(TransformerDecoderSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class TransformerDecoder(BlocksDecoder):
    """Transformer decoder blocks over target embeddings, `[B, T, E]` → `[B, T, E]`.

    Embeddings are multiplied by √E (Vaswani et al. 2017, §3.4). The source may have another number of features than the target.

    Args:
        embedding_size: features E of a target embedding, and of everything within.
        layers: blocks; heads, feed_forward, dropout, attention_dropout, activation, norm: see
            `TransformerDecoderBlock`.
        positions: `"sinusoidal"`, `"learned"` or `"rotary"` (of the self-attention).
        max_length: rows of the learned position table (later positions use its last row), and places of the cache of
            `step` where `initial_state` is given no length.
        kwargs: those of `keras.layers.Layer`.

    Raises:
        ValueError: sizes that do not fit: features that are no multiple of the heads, or an odd number of them (of a head's,
            where rotary) with positions that go in pairs.
    """

    def __init__(
        self,
        embedding_size=128,
        layers=2,
        heads=4,
        feed_forward=512,
        dropout=0.1,
        attention_dropout=0.0,
        activation="relu",
        norm="pre",
        positions="sinusoidal",
        max_length=256,
        **kwargs,
    ):
        super().__init__(embedding_size, **kwargs)
        if embedding_size % heads:
            raise ValueError(f"embedding_size {embedding_size} is no multiple of heads {heads}")
        paired = embedding_size // heads if positions == "rotary" else embedding_size
        if positions != "learned" and paired % 2:
            raise ValueError(f"{positions} positions need an even number of features, got {paired}")
        block = {
            "heads": heads,
            "feed_forward": feed_forward,
            "dropout": dropout,
            "attention_dropout": attention_dropout,
            "activation": activation,
            "norm": norm,
        }
        self.settings |= {"layers": layers, "positions": positions, "max_length": max_length, **block}
        self.max_length = max_length
        self.positions = PositionEmbedding(positions, embedding_size, max_length, dtype=self.dtype_policy)
        self.drop = keras.layers.Dropout(dropout, dtype=self.dtype_policy)
        self.blocks = [
            TransformerDecoderBlock(**block, rotary=positions == "rotary", dtype=self.dtype_policy)
            for _ in range(layers)
        ]
        self.final_norm = None
        if norm == "pre":
            self.final_norm = keras.layers.LayerNormalization(epsilon=1e-6, dtype=self.dtype_policy)

    @property
    def places(self):
        return self.max_length

    def build(self, memory_size, bidirectional_memory=False) -> None:
        shape = (None, None, self.embedding_size)
        self.positions.build(shape)
        for block in self.blocks:
            block.build(shape, memory_size)
        if self.final_norm is not None:
            self.final_norm.build(shape)
        self.built = True

    def stack(self):
        groups = [[self.positions], *([block] for block in self.blocks)]
        if self.final_norm is not None:
            groups[-1].append(self.final_norm)
        return groups

    def _enter(self, x, positions, training=False):
        return dropout(self.drop, apply(self.positions, x * self.embedding_size**0.5, positions), training)

    def _leave(self, x, training=False):
        return x if self.final_norm is None else layer_norm(self.final_norm, x, training)
