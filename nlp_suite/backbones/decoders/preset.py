"""The decoder of a pretrained encoder-decoder (BART): post-norm blocks that attend to the source, learned positions."""

from typing import Any

import keras
import numpy as np
from keras import ops

from nlp_suite.backbones.decoders.blocks import BlocksDecoder
from nlp_suite.layers.dropout import dropout
from nlp_suite.layers.layer_norm import layer_norm
from nlp_suite.layers.transformer_decoder_block import TransformerDecoderBlock
from nlp_suite.pretrained.architecture import ACTIVATIONS, read_architecture
from nlp_suite.registry import DECODERS
from nlp_suite.settings.decoders import PresetDecoderSettings


@DECODERS.register(PresetDecoderSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class PresetTargetDecoder(BlocksDecoder):
    """The blocks of BART's decoder over target embeddings, `[B, T, E]` → `[B, T, E]`.

    It was pretrained to read END before START (`reads_marks`).

    Args:
        embedding_size: features E, as the model has them.
        architecture: the fields of the model's config.json.
        dropout: rate on the embeddings and in every block; None: the model's.
        attention_dropout: rate on the attention weights; None: the model's.
        kwargs: those of `keras.layers.Layer`.
    """

    reads_marks = True

    def __init__(self, embedding_size=None, architecture=None, dropout=None, attention_dropout=None, **kwargs):
        whole = read_architecture(architecture or {}, "task.decoder.architecture")
        super().__init__(whole.features, **kwargs)
        self.settings |= {
            "architecture": whole.model_dump(mode="json"),
            "dropout": dropout,
            "attention_dropout": attention_dropout,
        }
        self.whole, policy = whole, self.dtype_policy
        rate = whole.dropout if dropout is None else dropout
        self.positions = keras.layers.Embedding(whole.positions, whole.features, dtype=policy)
        self.norm = keras.layers.LayerNormalization(epsilon=whole.epsilon, dtype=policy)
        self.drop = keras.layers.Dropout(rate, dtype=policy)
        self.blocks = [self._block(number, rate, attention_dropout) for number in range(whole.decoder_layers)]

    def _block(self, number, rate, attention_rate):
        whole, activation = self.whole, ACTIVATIONS[self.whole.feed_forward_activation]
        block = TransformerDecoderBlock(
            whole.decoder_attention_heads,
            whole.decoder_ffn_dim,
            rate,
            whole.attention_dropout if attention_rate is None else attention_rate,
            activation=_gelu_tanh if activation == "gelu_tanh" else activation,
            norm="post",
            dtype=self.dtype_policy,
            name=f"block_{number}",
        )
        for norm in (block.attention_norm, block.cross_norm, block.feed_forward_norm):
            norm.epsilon = whole.epsilon
        block.drops[2].rate = whole.activation_dropout
        return block

    @property
    def places(self):
        return self.whole.positions

    def build(self, memory_size, bidirectional_memory=False) -> None:
        shape = (None, None, self.embedding_size)
        self.positions.build((None, None))
        self.norm.build(shape)
        for block in self.blocks:
            block.build(shape, memory_size)
        self.built = True

    def stack(self):
        return [[self.positions, self.norm], *([block] for block in self.blocks)]

    def _enter(self, x, positions, training=False):
        x = x + self.positions(ops.minimum(positions, self.whole.positions - 1))
        return dropout(self.drop, layer_norm(self.norm, x, training), training)

    def take(self, weights) -> int:
        """Takes the weights of a folder; returns how many arrays there were.

        Args:
            weights: module of `BartDecoder.module_names` → its arrays.
        """
        count = 0

        def fill(layer, *modules):
            nonlocal count
            parts = [weights(module) for module in modules]
            for variable, arrays in zip(layer.weights, zip(*parts, strict=True), strict=True):
                variable.assign(np.concatenate(arrays, axis=-1))
                count += len(arrays)

        fill(self.positions, "positions")
        fill(self.norm, "norm")
        for number, block in enumerate(self.blocks):
            for layer, names in _modules(block):
                fill(layer, *(f"block {number} {name}" for name in names))
        return count


def _modules(block) -> list[tuple[Any, list[str]]]:
    """The layers of a block, and the modules whose weights stand side by side in each."""
    return [
        (block.attention.fused, ["query", "key", "value"]),
        (block.attention.projection, ["output"]),
        (block.attention_norm, ["attention_norm"]),
        (block.cross.query, ["cross query"]),
        (block.cross.fused, ["cross key", "cross value"]),
        (block.cross.projection, ["cross output"]),
        (block.cross_norm, ["cross norm"]),
        (block.expand, ["expand"]),
        (block.contract, ["contract"]),
        (block.feed_forward_norm, ["norm"]),
    ]


def _gelu_tanh(x):
    return keras.activations.gelu(x, approximate=True)
