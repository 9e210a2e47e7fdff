"""Cross-entropy and perplexity per token, summed and counted over all tokens that count."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("nlp_suite")
class TokenLoss(keras.metrics.Metric):
    """Mean negative log-likelihood, in nats a token.

    It reads the model's output, which is that of every token already: `y_pred` float `[B, T]`; `y_true` is not used;
    `sample_weight` float `[B, T]`, 0 at padding.
    """

    def __init__(self, name="cross_entropy", dtype="float32"):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_weight(shape=(), initializer="zeros", name="total")
        self.count = self.add_weight(shape=(), initializer="zeros", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        weights = ops.ones_like(y_pred) if sample_weight is None else ops.cast(sample_weight, "float32")
        # a log of 0 where nothing counts must not become NaN
        counted = ops.where(weights > 0, ops.cast(y_pred, "float32"), 0.0)
        self.total.assign_add(ops.sum(counted * weights))
        self.count.assign_add(ops.sum(weights))

    def result(self) -> Any:
        return self.total / ops.maximum(self.count, 1e-9)


@keras.saving.register_keras_serializable("nlp_suite")
class Perplexity(TokenLoss):
    """Exponential of the mean negative log-likelihood a token."""

    def __init__(self, name="perplexity", dtype="float32"):
        super().__init__(name=name, dtype=dtype)

    def result(self) -> Any:
        return ops.exp(super().result())
