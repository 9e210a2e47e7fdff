"""The stack that `rnn`, `lstm` and `gru` share; they differ in the layer class only."""

import keras
from keras import ops
from pydantic import Field

from nlp_suite.backbones._base import Backbone, BackboneSettings
from nlp_suite.layers.inline import apply


class RecurrentSettings(BackboneSettings):
    """Settings of the recurrent backbones."""

    units: int = Field(64, ge=1, description="units of one direction")
    layers: int = Field(1, ge=1)
    bidirectional: bool = True
    dropout: float = Field(
        0.0, ge=0, lt=1, description="rate between layers and after the last, the same at every step"
    )
    recurrent_dropout: float = Field(0.0, ge=0, lt=1, description="rate on the recurrent state, the same at every step")
    residual: bool = Field(False, description="add a layer's input to its output where sizes agree")
    layer_norm: bool = Field(False, description="layer norm after every layer")
    activation: str = Field("tanh", description="Keras name of the cell's activation")


class RecurrentBackbone(Backbone):
    """Recurrent layers over token embeddings, `[B, T]` → `[B, T, units · directions]`.

    Dropout is variational (Gal & Ghahramani 2016): one mask for all steps of a sequence, between layers and, with
    `recurrent_dropout`, on the recurrent state. Masked steps carry the state on. One direction makes it causal.

    Args:
        vocabulary_size: number of token ids V.
        units: units of one direction.
        layers: recurrent layers on top of one another.
        bidirectional: run every layer in both directions and concatenate.
        dropout, recurrent_dropout, residual, layer_norm, activation: see `RecurrentSettings`.
        kwargs: those of `Backbone`.
    """

    layer_class = None

    def __init__(
        self,
        vocabulary_size,
        units=64,
        layers=1,
        bidirectional=True,
        dropout=0.0,
        recurrent_dropout=0.0,
        residual=False,
        layer_norm=False,
        activation="tanh",
        **kwargs,
    ):
        super().__init__(vocabulary_size, **kwargs)
        self.settings |= {
            "units": units,
            "layers": layers,
            "bidirectional": bidirectional,
            "dropout": dropout,
            "recurrent_dropout": recurrent_dropout,
            "residual": residual,
            "layer_norm": layer_norm,
            "activation": activation,
        }
        self.bidirectional, self.causal, self.residual = bidirectional, not bidirectional, residual
        self.output_size = units * (2 if bidirectional else 1)
        self.recurrent, self.drops, self.norms = [], [], []
        for _ in range(layers):
            layer = self.layer_class(
                units,
                activation=activation,
                recurrent_dropout=recurrent_dropout,
                return_sequences=True,
                dtype=self.dtype_policy,
            )
            self.recurrent.append(
                keras.layers.Bidirectional(layer, dtype=self.dtype_policy) if bidirectional else layer
            )
            self.drops.append(keras.layers.SpatialDropout1D(dropout, dtype=self.dtype_policy))
            if layer_norm:
                self.norms.append(keras.layers.LayerNormalization(dtype=self.dtype_policy))

    def build_encoder(self):
        size = self.embedding_size
        for layer in self.recurrent:
            layer.build((None, None, size))
            size = self.output_size
        for norm in self.norms:
            norm.build((None, None, size))

    def call(self, tokens, state=None):
        """Features `[B, T, D]`; given a state (see `initial_state`), features and the state after the last token."""
        features, after = self.encode(self.embed(tokens), ops.not_equal(tokens, 0), state)
        return features if state is None else (features, after)

    def encode(self, x, mask, state=None):
        """The layers above the embedding: `[B, T, E]` → `[B, T, D]` and the state after the last token, or None."""
        after = []
        for i, layer in enumerate(self.recurrent):
            if state is None:
                y = apply(layer, x, mask=mask)
            else:
                y, last = self._with_state(layer, x, mask, state[i])
                after.append(last)
            x = self._after_layer(i, x, y)
        return x, after or None

    def _with_state(self, layer, x, mask, state):
        layer.return_state = True
        try:
            y, *last = layer(x, mask=mask, initial_state=state)
        finally:
            layer.return_state = False
        return y, last

    def _after_layer(self, i, x, y):
        """Norm, dropout and residual connection of layer `i`, on `[B, T, D]`."""
        if self.norms:
            y = self.norms[i](y)
        y = self.drops[i](y)
        return x + y if self.residual and x.shape[-1] == y.shape[-1] else y

    def initial_state(self, batch_size, memory=None):
        """Zero states: for every layer a list of `[B, units]`, h and, for an LSTM, c."""
        if self.bidirectional:
            return super().initial_state(batch_size, memory)
        states = [layer.cell.get_initial_state(batch_size) for layer in self.recurrent]
        return [list(state) if isinstance(state, list | tuple) else [state] for state in states]

    def step(self, x, state):
        """One token: embedding `[B, E]` and state → features `[B, D]` and the new state."""
        after = []
        for i, (layer, before) in enumerate(zip(self.recurrent, state)):
            y, last = layer.cell(x, before)
            after.append(list(last) if isinstance(last, list | tuple) else [last])
            x = self._after_layer(i, ops.expand_dims(x, 1), ops.expand_dims(y, 1))[:, 0]
        return x, after
