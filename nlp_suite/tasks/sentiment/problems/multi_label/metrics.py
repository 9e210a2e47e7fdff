"""F1 over several labels a text, as a metric that sums over batches."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable("nlp_suite")
class MultiLabelF1(keras.metrics.Metric):
    """2·hits / (2·hits + misses + false alarms) of the labels whose logit is above 0.

    Args:
        classes: number of labels C.
        average: `"micro"` counts over all labels, `"macro"` is the mean over the labels that occur or are answered.

    Update arguments: targets 0 or 1 and logits, `[B, C]` each; weights `[B]` or None.
    """

    def __init__(self, classes, average, name=None, **kwargs):
        super().__init__(name=name or f"{average}_f1", **kwargs)
        self.classes, self.average = classes, average
        self.hits, self.total = (
            self.add_weight(name=part, shape=(classes,), initializer="zeros") for part in ("hits", "total")
        )

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        truth = ops.cast(y_true, "float32")  # [B, C]
        answer = ops.cast(y_pred > 0, "float32")  # [B, C]
        if sample_weight is not None:
            weight = ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))  # [B, 1]
            truth, answer = truth * weight, answer * weight
        self.hits.assign_add(ops.sum(ops.minimum(truth, answer), axis=0))
        self.total.assign_add(ops.sum(truth + answer, axis=0))

    def result(self) -> Any:
        if self.average == "micro":
            return 2 * ops.sum(self.hits) / ops.maximum(ops.sum(self.total), 1e-9)
        score = 2 * self.hits / ops.maximum(self.total, 1e-9)  # [C]
        return ops.sum(score) / ops.maximum(ops.sum(ops.cast(self.total > 0, "float32")), 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes, "average": self.average}
