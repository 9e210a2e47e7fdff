"""Additive attention with learned projections (Bahdanau et al. 2015): v · tanh(W query + U memory + b)."""

import keras
from keras import ops

from nlp_suite.layers.attention_scores import Additive
from nlp_suite.layers.attentions.base import Attention
from nlp_suite.registry import ATTENTIONS
from nlp_suite.settings.attentions import BahdanauSettings


@ATTENTIONS.register(BahdanauSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class BahdanauAttention(Attention):
    """Additive attention: score = v · tanh(W query + U memory + b) (Bahdanau et al. 2015, A.1.2).

    U memory + b is computed once per source. Unlike `keras.layers.AdditiveAttention` it projects what it compares. The
    query is a decoder's state before a step.

    Args:
        units: units A of the hidden layer; None: as many as a query has features.

    Call arguments, returns and example: see `Attention`.
    """

    queries_previous_state = True

    def __init__(self, units=None, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, query_size, memory_size) -> None:
        super().build(query_size, memory_size)
        units = self.units or query_size
        self.query_kernel = self.add_weight(
            shape=(query_size, units), initializer="glorot_uniform", name="query_kernel"
        )
        self.key_projection = self._projection("keys", units, memory_size, bias=True)
        self.v = self.add_weight(shape=(units, 1), initializer="glorot_uniform", name="v")

    def _keys(self, memory):
        return self.key_projection(memory)  # [B, S, A]

    def parameters(self):
        return (ops.squeeze(ops.convert_to_tensor(self.v), -1),)

    def score(self, keys, v):
        return Additive(keys, v)

    def get_config(self):
        return {**super().get_config(), "units": self.units}
