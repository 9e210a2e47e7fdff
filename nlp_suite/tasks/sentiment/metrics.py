"""The loss of classification, weights of classes, and F1 averaged over classes as a metric that sums over batches."""

from typing import Any

import keras
import numpy as np
from keras import ops

from nlp_suite.errors import ConfigError
from nlp_suite.tasks.shared.lines import shortened

NAMED = 10  # labels in a sentence


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

    def update_state(self, y_true, y_pred, sample_weight=None) -> None:
        truth = ops.one_hot(ops.reshape(y_true, (-1,)), self.classes, dtype="float32")  # [B, C]
        answer = ops.one_hot(ops.argmax(y_pred, axis=-1), self.classes, dtype="float32")  # [B, C]
        if sample_weight is not None:
            weight = ops.reshape(ops.cast(sample_weight, "float32"), (-1, 1))  # [B, 1]
            truth, answer = truth * weight, answer * weight
        self.hits.assign_add(ops.sum(ops.minimum(truth, answer), axis=0))
        self.predicted.assign_add(ops.sum(answer, axis=0))
        self.actual.assign_add(ops.sum(truth, axis=0))

    def result(self) -> Any:
        total = self.predicted + self.actual  # [C]
        score = 2 * self.hits / ops.maximum(total, 1e-9)
        return ops.sum(score) / ops.maximum(ops.sum(ops.cast(total > 0, "float32")), 1.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable("nlp_suite")
class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy from logits `[B, C]` and label ids `[B]` or distributions `[B, C]`; `smoothing` is spread evenly over all classes.

    A batch's sum is divided by its rows B, those that fill it up included, whatever they weigh.
    """

    def __init__(self, smoothing=0.0, name="cross_entropy", reduction="sum_over_batch_size", **kwargs):
        super().__init__(name=name, reduction=reduction, **kwargs)
        self.smoothing = smoothing

    def call(self, y_true, y_pred) -> Any:
        log_p = keras.ops.log_softmax(keras.ops.cast(y_pred, "float32"), axis=-1)  # [B, C]
        classes = log_p.shape[-1]
        target = y_true  # [B, C]
        if len(y_true.shape) == 1 or y_true.shape[-1] == 1:
            target = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), classes, dtype="float32")
        target = target * (1 - self.smoothing) + self.smoothing / classes
        return -keras.ops.sum(target * log_p, axis=-1)  # [B]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "smoothing": self.smoothing}


def class_weights(setting, labels: list[str], label_ids) -> np.ndarray:
    """Weight of every class, float32 `[C]`.

    Args:
        setting: `"balanced"` (examples / (classes · examples of the class)) or a mapping label → weight, 1 for the others.
        labels: label names.
        label_ids: label id of every training example.

    Raises:
        ConfigError: the mapping names a label that does not exist.
    """
    counts = np.bincount(label_ids, minlength=len(labels))
    if setting == "balanced":
        return (len(label_ids) / (len(labels) * np.maximum(counts, 1))).astype("float32")
    wrong = sorted(set(setting) - set(labels))
    if wrong:
        raise ConfigError(f"training.class_weights names {wrong}; the labels are {', '.join(labels)}")
    return np.array([setting.get(label, 1.0) for label in labels], "float32")


def class_weights_remark(labels: list[str], weights: np.ndarray) -> str:
    """What the classes weigh, and where that is seen: those that differ most from 1 are named."""
    farthest = sorted(range(len(labels)), key=lambda i: -abs(np.log(weights[i])))[:NAMED]
    named = ", ".join(f"{shortened(labels[i], 40)} {weights[i]:.3g}" for i in sorted(farthest))
    more = ", …" * (len(labels) > NAMED)
    return (
        f"class weights: {named}{more} (in the loss that is minimised; the loss and metrics shown count every row once)"
    )
