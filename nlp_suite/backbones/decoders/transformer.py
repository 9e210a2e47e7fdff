"""Transformer decoder blocks (Vaswani et al. 2017): causal self-attention and attention to the source in every block."""

import keras
from keras import ops

from nlp_suite.backbones.decoders.base import Decoder
from nlp_suite.layers.dot_product_attention import attention_bias
from nlp_suite.layers.dropout import dropout
from nlp_suite.layers.inline import apply, of_hypotheses
from nlp_suite.layers.layer_norm import layer_norm
from nlp_suite.layers.loop_shapes import shapes_may_change
from nlp_suite.layers.positions import PositionEmbedding, token_positions
from nlp_suite.layers.transformer_decoder_block import TransformerDecoderBlock
from nlp_suite.registry import DECODERS
from nlp_suite.settings.decoders import TransformerDecoderSettings


@DECODERS.register(TransformerDecoderSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class TransformerDecoder(Decoder):
    """Transformer decoder blocks over target embeddings, `[B, T, E]` → `[B, T, E]`.

    Embeddings are multiplied by √E (Vaswani et al. 2017, §3.4). The attention weights that come out are the mean over the
    heads of the last block. The source may have another number of features than the target.

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
    def output_size(self):
        return self.embedding_size

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

    def memory(self, encoded, mask, training=False):
        """Every block's keys and values of the source, and what keeps its padding unseen, see `Decoder.memory`."""
        seen = ops.expand_dims(ops.expand_dims(mask, 1), 1)  # [B, 1, 1, S]
        return {
            "mask": mask,
            "bias": attention_bias(seen, self.compute_dtype),
            "blocks": [block.memory(encoded) for block in self.blocks],
        }

    def _enter(self, x, positions, training=False):
        return dropout(self.drop, apply(self.positions, x * self.embedding_size**0.5, positions), training)

    def _leave(self, x, training=False):
        return x if self.final_norm is None else layer_norm(self.final_norm, x, training)

    def call(self, x, mask, memory, training=None):
        positions = token_positions(mask)  # [B, T]
        x = self._enter(x, positions, training)
        for block, keys in zip(self.blocks, memory["blocks"]):
            x, weights = block(x, positions, keys, memory["bias"])
        return self._leave(x, training), ops.mean(weights, axis=1)

    def initial_state(self, batch_size, memory, length=None):
        """Position 0 `[B·K]` and an empty cache for every block.

        Args:
            batch_size: rows B·K.
            memory: of `memory`.
            length: upper bound of the tokens that will be read. Where shapes may change in a loop (TensorFlow without XLA) the cache
                then grows by a place a step; elsewhere it has as many places, which every step looks at. Default: a cache
                of `max_length` places, of which the newest are seen.
        """
        if batch_size is None:
            empty = [{f"grown_{name}": tensor[:, :, :0] for name, tensor in keys.items()} for keys in memory["blocks"]]
            return {"position": ops.zeros_like(memory["mask"][:, 0], dtype="int32"), "blocks": empty}
        grows = length is not None and shapes_may_change()
        if grows:
            length = ops.min(ops.zeros_like(memory["mask"], dtype="int32"))  # 0, which no loop takes for a fixed size
        elif length is None:
            length = self.max_length
        caches = [block.initial_state(batch_size, length, grows) for block in self.blocks]
        return {"position": ops.zeros((batch_size,), "int32"), "blocks": caches}

    def step(self, x, state, memory):
        position = state["position"]  # [B·K]
        x = self._enter(ops.expand_dims(x, 1), ops.expand_dims(position, 1))[:, 0]
        caches = []
        for block, cache, keys in zip(self.blocks, state["blocks"], memory["blocks"]):
            x, cache, weights = block.step(x, cache, position, keys, memory["bias"])
            caches.append(cache)
        weights = of_hypotheses(ops.mean(weights, axis=1))  # [B·K, S]
        return self._leave(x), {"position": position + 1, "blocks": caches}, weights
