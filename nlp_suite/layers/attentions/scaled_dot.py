"""Multi-head scaled dot-product attention with learned projections (Vaswani et al. 2017)."""

import keras
from keras import ops

from nlp_suite.errors import ConfigError
from nlp_suite.layers.attention_scores import Multiplicative, split_heads
from nlp_suite.layers.attentions.base import Attention
from nlp_suite.registry import ATTENTIONS
from nlp_suite.settings.attentions import ScaledDotSettings


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
