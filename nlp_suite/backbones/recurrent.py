"""The network that `rnn`, `lstm` and `gru` share; they differ in the layer class only."""

from typing import ClassVar

import keras
from keras import ops

from nlp_suite.backbones.base import Backbone
from nlp_suite.layers.inline import apply


class RecurrentBackbone(Backbone):
    """Recurrent layers over token embeddings, `[B, T]` → `[B, T, units · directions]`.

    Dropout is variational (Gal & Ghahramani 2016): one mask for all steps of a call, between layers, after the last
    and, with `recurrent_dropout`, on the recurrent state; with `weight_drop` on the recurrent weights. A state that is
    carried from call to call has no dropout in it; every call draws its own masks. Masked steps leave the state as it
    is. In one direction it is causal and carries its state; in both there is no state to carry.

    The regularisation of AWD-LSTM (Merity et al. 2018) is `type_dropout`, `embedding_dropout` (on the input), `dropout`
    (between layers), `last_dropout` and `weight_drop`.

    Args:
        vocabulary_size: number of token ids V, or None, see `Backbone`.
        units: units of one direction.
        layers: recurrent layers on top of one another.
        bidirectional: run every layer in both directions and concatenate.
        last_units, dropout, last_dropout, weight_drop, recurrent_dropout, residual, layer_norm, activation: see
            `RecurrentSettings`.
        kwargs: those of `Backbone`.
    """

    layer_class: ClassVar[type]

    def __init__(
        self,
        vocabulary_size,
        units=64,
        layers=1,
        bidirectional=True,
        last_units=None,
        dropout=0.0,
        last_dropout=None,
        weight_drop=0.0,
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
            "last_units": last_units,
            "dropout": dropout,
            "last_dropout": last_dropout,
            "weight_drop": weight_drop,
            "recurrent_dropout": recurrent_dropout,
            "residual": residual,
            "layer_norm": layer_norm,
            "activation": activation,
        }
        self.bidirectional, self.residual = bidirectional, residual
        self.causal = self.carries_state = not bidirectional
        directions = 2 if bidirectional else 1
        self.sizes = [n * directions for n in [*[units] * (layers - 1), last_units or units]]
        self.recurrent, self.drops, self.norms = [], [], []
        rates = [*[dropout] * (layers - 1), dropout if last_dropout is None else last_dropout]
        for size, rate in zip(self.sizes, rates):
            layer = self.layer_class(
                size // directions,
                activation=activation,
                recurrent_dropout=recurrent_dropout,
                recurrent_weight_dropout=weight_drop,
                return_sequences=True,
                return_state=not bidirectional,
                dtype=self.dtype_policy,
            )
            self.recurrent.append(
                keras.layers.Bidirectional(layer, dtype=self.dtype_policy) if bidirectional else layer
            )
            self.drops.append(keras.layers.SpatialDropout1D(rate, dtype=self.dtype_policy))
            if layer_norm:
                self.norms.append(keras.layers.LayerNormalization(dtype=self.dtype_policy))

    @property
    def output_size(self):
        return self.sizes[-1]

    def build_encoder(self) -> None:
        size = self.embedding_size
        for i, layer in enumerate(self.recurrent):
            layer.build((None, None, size))
            size = self.sizes[i]
            if self.norms:
                self.norms[i].build((None, None, size))

    def stack(self):
        layers = [[layer] for layer in self.recurrent]
        for group, norm in zip(layers, self.norms):
            group.append(norm)
        return [[self.embedding], *layers]

    def encode(self, x, mask, *, state=None, training=False):
        x, mask = self.encoder_input(x, mask, state, training)
        after = []
        for i, layer in enumerate(self.recurrent):
            before = None if state is None else state[i]
            y = apply(layer, x, mask=mask, initial_state=before, training=training)
            if self.carries_state:
                y, *last = y
                after.append(last)
            x = self._after_layer(i, x, y, training)
        return x, after or None

    def _after_layer(self, i, x, y, training=False):
        """Norm, dropout and residual connection of layer `i`, on `[B, T, D]`."""
        if self.norms:
            y = self.norms[i](y)
        y = self.drops[i](y, training=training)
        return x + y if self.residual and x.shape[-1] == y.shape[-1] else y

    def initial_state(self, batch_size, memory=None):
        """Zero states: for every layer a list of `[B, units]`, h and, for an LSTM, c."""
        if not self.causal:
            return super().initial_state(batch_size, memory)
        states = [layer.cell.get_initial_state(batch_size) for layer in self.recurrent]
        return [list(state) if isinstance(state, list | tuple) else [state] for state in states]

    def step(self, x, state):
        after = []
        for i, (layer, before) in enumerate(zip(self.recurrent, state)):
            y, last = apply(layer.cell, x, before, training=False)
            after.append(list(last) if isinstance(last, list | tuple) else [last])
            x = self._after_layer(i, ops.expand_dims(x, 1), ops.expand_dims(y, 1))[:, 0]
        return x, after
