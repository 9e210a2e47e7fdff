"""F1 averaged over classes, as a metric that sums over batches."""

import keras
from keras import ops


@keras.saving.register_keras_serializable("nlp_suite")
class MacroF1(keras.metrics.Metric):
    """Mean over the classes that occur of 2·hits / (2·hits + misses + false alarms).

    Args:
        classes: number of classes C.

    Update arguments: label ids `[B]`, logits or probabilities `[B, C]`, weights `[B]` or None.
    """

    def __init__(self, classes, name="macro_f1", **kwargs):
        super().__init__(name=name, **kwargs)
        self.classes = classes
        self.hits, self.predicted, self.actual = (
            self.add_weight(name=part, shape=(classes,), initializer="zeros")
            for part in ("hits", "predicted", "actual")
        )

    def update_state(self, y_true, y_pred, sample_weight=None):
        truth = ops.one_hot(ops.reshape(y_true, (-1,)), self.classes, dtype="float32")  # [B, C]
        answer = ops.one_hot(ops.argmax(y_pred, axis=-1), self.classes, dtype="float32")  # [B, C]
        if sample_weight is not None:
            weight = ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))  # [B, 1]
            truth, answer = truth * weight, answer * weight
        self.hits.assign_add(ops.sum(ops.minimum(truth, answer), axis=0))
        self.predicted.assign_add(ops.sum(answer, axis=0))
        self.actual.assign_add(ops.sum(truth, axis=0))

    def result(self):
        total = self.predicted + self.actual  # [C]
        score = 2 * self.hits / ops.maximum(total, 1e-9)
        return ops.sum(score) / ops.maximum(ops.sum(ops.cast(total > 0, "float32")), 1.0)

    def get_config(self):
        return {**super().get_config(), "classes": self.classes}
