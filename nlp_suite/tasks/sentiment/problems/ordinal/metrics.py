"""The distance of ordered labels as a metric that sums over batches."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("nlp_suite")
class MeanDistance(keras.metrics.Mean):
    """Mean of |answered label − true label|, in labels: label ids `[B]`, logits `[B, C]`, weights `[B]` or None."""

    def __init__(self, name="mae", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, y_true, y_pred, sample_weight=None) -> Any:
        answer = ops.cast(ops.argmax(y_pred, axis=-1), "float32")  # [B]
        distance = ops.abs(answer - ops.reshape(ops.cast(y_true, "float32"), (-1,)))
        return super().update_state(distance, sample_weight)
