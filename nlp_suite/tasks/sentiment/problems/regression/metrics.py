"""The loss of regression as a metric that sums over batches and knows no unit."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("nlp_suite")
class UnexplainedVariance(keras.metrics.Metric):
    """Squared error as a share of the targets' variance: 1 − R². 0 is perfect, 1 as good as answering their mean.

    The variance of the batches so far is merged by their means and squared deviations (Chan et al. 1983), so that numbers
    far from 0 lose no digits. Where all targets are equal it is the squared error itself.

    Update arguments: targets and answers `[B, 1]`, weights `[B]` or None.
    """

    def __init__(self, name="unexplained", **kwargs):
        super().__init__(name=name, **kwargs)
        self.errors, self.count, self.mean, self.deviations = (
            self.add_weight(name=part, shape=(), initializer="zeros")
            for part in ("errors", "count", "mean", "deviations")
        )

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        truth = ops.reshape(ops.cast(y_true, "float32"), (-1,))  # [B]
        answer = ops.reshape(ops.cast(y_pred, "float32"), (-1,))  # [B]
        weight = ops.ones_like(truth) if sample_weight is None else ops.reshape(sample_weight, (-1,))
        weight = ops.cast(weight, "float32")
        count = ops.sum(weight)
        mean = ops.sum(weight * truth) / ops.maximum(count, 1e-9)
        total = ops.maximum(self.count + count, 1e-9)
        between = ops.square(mean - self.mean) * self.count * count / total
        self.errors.assign_add(ops.sum(weight * ops.square(truth - answer)))
        self.deviations.assign_add(ops.sum(weight * ops.square(truth - mean)) + between)
        self.mean.assign_add((mean - self.mean) * count / total)
        self.count.assign_add(count)

    def result(self) -> Any:
        return self.errors / ops.where(self.deviations > 0, self.deviations, ops.maximum(self.count, 1.0))
