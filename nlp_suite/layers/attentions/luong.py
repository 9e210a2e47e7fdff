"""Attention of Luong et al. (2015) with the state after a step: score dot, general or concat."""

from typing import get_args

import keras
from keras import ops

from nlp_suite.errors import ConfigError, UnknownNameError
from nlp_suite.layers.attention_scores import Additive, Multiplicative
from nlp_suite.layers.attentions.base import Attention
from nlp_suite.registry import ATTENTIONS, unknown
from nlp_suite.settings.attentions import LuongSettings, Score


@ATTENTIONS.register(LuongSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class LuongAttention(Attention):
    """Global attention of Luong et al. (2015), §3.1. The query is a decoder's state after a step.

    Scores: `dot` query · memory, for queries and a memory of the same size; `general` query · W memory; `concat`
    v · tanh(W [query; memory]). What depends on the memory alone is computed once per source. The attentional vector
    tanh(W [context; query]) is computed by the decoder.

    Args:
        score: `"dot"`, `"general"` or `"concat"`.
        units: hidden units A of `concat`; None: as many as a query has features.

    Raises:
        UnknownNameError: unknown score.
        ConfigError: `dot` with sizes that differ.

    Call arguments, returns and example: see `Attention`.
    """

    def __init__(self, score="general", units=None, **kwargs):
        super().__init__(**kwargs)
        if score not in get_args(Score):
            raise UnknownNameError(unknown("score", score, get_args(Score)))
        self.kind, self.units = score, units

    def build(self, query_size, memory_size) -> None:
        super().build(query_size, memory_size)
        if self.kind == "dot" and query_size != memory_size:
            raise ConfigError(
                f"score dot needs queries and memory of the same size, got {query_size} and {memory_size} features:"
                " use score general, or a decoder with as many units as the encoder has features"
            )
        if self.kind == "general":
            self.key_projection = self._projection("keys", query_size, memory_size)
        elif self.kind == "concat":
            units = self.units or query_size
            self.query_kernel = self.add_weight(
                shape=(query_size, units), initializer="glorot_uniform", name="query_kernel"
            )
            self.key_projection = self._projection("keys", units, memory_size)
            self.v = self.add_weight(shape=(units, 1), initializer="glorot_uniform", name="v")

    def _keys(self, memory):
        keys = memory if self.kind == "dot" else self.key_projection(memory)  # [B, S, A]
        return keys if self.kind == "concat" else ops.expand_dims(ops.transpose(keys, (0, 2, 1)), 1)  # [B, 1, A, S]

    def parameters(self):
        return (ops.squeeze(ops.convert_to_tensor(self.v), -1),) if self.kind == "concat" else ()

    def score(self, keys, *parameters):
        return Additive(keys, *parameters) if parameters else Multiplicative(keys)

    def get_config(self):
        return {**super().get_config(), "score": self.kind, "units": self.units}
