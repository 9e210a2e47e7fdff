"""Multi-head scaled dot-product attention with learned projections (Vaswani et al. 2017)."""

import keras
from keras import ops
from pydantic import Field

from nlp_suite.errors import ConfigError
from nlp_suite.layers.attention_scores import Multiplicative, heads_for, split_heads
from nlp_suite.layers.attentions.base import Attention, AttentionSettings
from nlp_suite.registry import ATTENTIONS


class ScaledDotSettings(AttentionSettings):
    """Settings of scaled dot-product attention."""

    heads: int = Field(4, ge=1, description="heads; each gets an equal share of the features")

    def shape_mismatch(self, query_size, memory_size) -> str:
        if query_size % self.heads == memory_size % self.heads == 0:
            return ""
        return (
            f"heads {self.heads} does not divide the decoder's {query_size} units and the backbone's {memory_size} "
            f"features; allowed: {heads_for(query_size, memory_size)}"
        )


@ATTENTIONS.register(ScaledDotSettings)
@keras.saving.register_keras_serializable("nlp_suite")
class ScaledDotAttention(Attention):
    """Multi-head attention of Vaswani et al. (2017), §3.2.2: softmax(Q K^T / √d) V in each head.

    Queries, keys and values are projected; the heads' contexts are concatenated and not projected again, as whatever
    reads a context multiplies it by a matrix anyway. The query is a decoder's state after a step.

    Args:
        heads: heads H.

    Raises:
        ConfigError: a number of heads that does not divide the features of query and memory.

    Call arguments, returns and example: see `Attention`.
    """

    def __init__(self, heads=4, **kwargs):
        super().__init__(**kwargs)
        self.heads = heads

    def build(self, query_size, memory_size) -> None:
        super().build(query_size, memory_size)
        for name, size in (("query", query_size), ("memory", memory_size)):
            if size % self.heads:
                raise ConfigError(f"{size} features of the {name} cannot be split into {self.heads} heads")
        self.query_kernel = self.add_weight(
            shape=(query_size, query_size), initializer="glorot_uniform", name="query_kernel"
        )
        self.key_projection = self._projection("keys", query_size, memory_size)
        self.value_projection = self._projection("values", memory_size, memory_size)

    def _keys(self, memory):
        keys = self.key_projection(memory)
        keys = split_heads(keys * (keys.shape[-1] // self.heads) ** -0.5, self.heads)  # [B, H, S, d]
        return ops.transpose(keys, (0, 1, 3, 2))

    def _values(self, memory):
        return split_heads(self.value_projection(memory), self.heads)

    def score(self, keys):
        return Multiplicative(keys)

    def get_config(self):
        return {**super().get_config(), "heads": self.heads}
