"""Convolutions of several widths over token embeddings (Kim 2014), optionally several layers deep."""

import keras
from keras import ops

from nlp_suite.backbones.base import Backbone
from nlp_suite.registry import BACKBONES
from nlp_suite.settings.backbones import CNNSettings


@BACKBONES.register(CNNSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class CNNBackbone(Backbone):
    """Convolutions over token embeddings, `[B, T]` → `[B, T, filters · len(widths)]`.

    Padding counts as zero vectors in every layer, so features do not depend on how far a row is padded.

    Args:
        vocabulary_size: number of token ids V, or None, see `Backbone`.
        widths: spans of the filters in tokens; filters: how many of each; layers: convolutions on top of one another.
        dropout: rate after every layer, the same filters at every token.
        activation: Keras name.
        kwargs: those of `Backbone`.
    """

    def __init__(
        self, vocabulary_size, widths=(3, 4, 5), filters=100, layers=1, dropout=0.0, activation="relu", **kwargs
    ):
        super().__init__(vocabulary_size, **kwargs)
        self.settings |= {
            "widths": list(widths),
            "filters": filters,
            "layers": layers,
            "dropout": dropout,
            "activation": activation,
        }
        self.convolutions = [
            [
                keras.layers.Conv1D(filters, width, padding="same", activation=activation, dtype=self.dtype_policy)
                for width in widths
            ]
            for _ in range(layers)
        ]
        self.drops = [keras.layers.SpatialDropout1D(dropout, dtype=self.dtype_policy) for _ in range(layers)]

    @property
    def output_size(self):
        return self.settings["filters"] * len(self.settings["widths"])

    def build_encoder(self) -> None:
        size = self.embedding_size
        for group in self.convolutions:
            for convolution in group:
                convolution.build((None, None, size))
            size = self.output_size

    def stack(self):
        return [[self.embedding], *self.convolutions]

    def encode(self, x, mask, *, state=None, training=False):
        x, mask = self.encoder_input(x, mask, state, training)
        is_token = ops.cast(ops.expand_dims(mask, -1), x.dtype)  # [B, T, 1]
        for group, drop in zip(self.convolutions, self.drops):
            x = x * is_token
            outputs = [convolution(x) for convolution in group]
            x = outputs[0] if len(outputs) == 1 else ops.concatenate(outputs, axis=-1)  # [B, T, filters · widths]
            x = drop(x, training=training)
        return x, None
