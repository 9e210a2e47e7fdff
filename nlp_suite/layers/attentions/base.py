"""The base class of attentions: a source is prepared once and serves any number of queries."""

from abc import abstractmethod

import keras
from keras import ops

from nlp_suite.layers.attention_scores import attention_weights, join_heads, softmax_bias, split_heads
from nlp_suite.layers.inline import product
from nlp_suite.settings.attentions import AttentionSettings as AttentionSettings  # for attentions of other packages


class Attention(keras.layers.Layer):
    """Weighted means of a source's features, by queries.

    Attributes:
        queries_previous_state: whether the query is a decoder's state before a step, and the context enters the step
            (Bahdanau et al. 2015), or the state after it (Luong et al. 2015).
        heads: int H. The weights returned are the mean over heads.
        query_kernel: the learned projection `[Q, A]` of a query; None where queries are scored as they are.
        context_size: int, features of a context: D.

    Call arguments:
        query: `[B, T, Q]`.
        prepared: what `prepare` returned.

    Returns:
        Contexts `[B, T, D]`, and weights, float32 `[B, T, S]`, which sum to 1 and are 0 at padding. A row without a
        token gets equal weights.

    Example:
        >>> attention = ATTENTIONS.get("bahdanau")(units=16)
        >>> attention.build(query_size=8, memory_size=12)
        >>> context, weights = attention(query, attention.prepare(memory, mask))
    """

    has_stock_form = True
    queries_previous_state = False
    heads = 1

    def build(self, query_size, memory_size) -> None:
        """Makes the weights for queries of Q features and a memory of D."""
        self.context_size = memory_size
        self.query_kernel = None

    def _projection(self, name, units, size, bias=False):
        layer = keras.layers.Dense(units, use_bias=bias, dtype=self.dtype_policy, name=name)
        layer.build((None, None, size))
        return layer

    @abstractmethod
    def _keys(self, memory):
        """Keys of a memory `[B, S, D]`, in the shape that `score` takes."""

    def _values(self, memory):
        """Values `[B, H, S, D/H]` of a memory `[B, S, D]`."""
        return split_heads(memory, self.heads)

    def parameters(self):
        """The learned parameters of the score besides the keys: a tuple of tensors."""
        return ()

    @abstractmethod
    def score(self, keys, *parameters):
        """The score (see `attention_scores`) of keys and parameters."""

    def prepare(self, memory, mask):
        """What is computed once per source.

        Args:
            memory: `[B, S, D]`.
            mask: bool `[B, S]`, true where there is a token.

        Returns:
            A dict of tensors with the batch in dim 0: `keys`, `values` and `mask`.
        """
        memory = ops.cast(memory, self.compute_dtype)
        return {"keys": self._keys(memory), "values": self._values(memory), "mask": mask}

    def call(self, query, prepared):
        if self.query_kernel is not None:
            query = product(query, self.query_kernel)  # [B, T, A]
        parameters = (ops.cast(p, query.dtype) for p in self.parameters())
        scores = self.score(prepared["keys"], *parameters).scores(query)  # [B, H, T, S]
        weights = attention_weights(scores, softmax_bias(prepared["mask"]))
        context = ops.matmul(ops.cast(weights, query.dtype), prepared["values"])  # [B, H, T, D/H]
        return join_heads(context), weights[:, 0] if self.heads == 1 else ops.mean(weights, axis=1)
