"""The network of ordinal classification: one number a text, compared with ordered thresholds."""

from typing import Any

import keras
import numpy as np
from keras import ops

from nlp_suite.tasks.sentiment.network import SentimentModel

MIN_GAP = 1e-6  # between two thresholds


@keras.saving.register_keras_serializable("nlp_suite")
class OrderedLogits(keras.layers.Layer):
    """Features `[B, P]` to log-probabilities `[B, C]` of ordered classes: the cumulative link model (McCullagh 1980).

    P(y ≤ k) = σ(θ_k − w·x) with θ_0 < θ_1 < … < θ_{C−2}: the classes share w, so that the probability that a class is
    reached falls from class to class, for every text. The thresholds are the first and the softplus of gaps. With
    d = θ_k − θ_{k−1}, log P(y = k) = log σ(θ_k − w·x) + log σ(w·x − θ_{k−1}) + log(1 − e^{−d}), which loses no digits.

    Args:
        classes: number of classes C, 2 or more.
    """

    def __init__(self, classes, **kwargs):
        super().__init__(**kwargs)
        self.classes = classes
        self.weigh = keras.layers.Dense(1, use_bias=False, dtype=self.dtype_policy)

    def build(self, input_shape) -> None:
        self.weigh.build(input_shape)
        middle = keras.initializers.Constant(1 - self.classes / 2)
        self.first = self.add_weight(name="first", shape=(1,), initializer=middle, dtype="float32", autocast=False)
        one = keras.initializers.Constant(float(np.log(np.expm1(1.0))))  # whose softplus is 1
        self.gaps = None
        if self.classes > 2:
            shape = (self.classes - 2,)
            self.gaps = self.add_weight(name="gaps", shape=shape, initializer=one, dtype="float32", autocast=False)

    def set_shares(self, counts) -> None:
        """Moves the thresholds to where the classes have the shares of `counts` `[C]` for w·x = 0."""
        counts = np.maximum(np.asarray(counts, "float64"), 0.5)
        below = np.cumsum(counts)[:-1] / counts.sum()  # [C − 1]
        thresholds = np.log(below / (1 - below))
        self.first.assign(thresholds[:1].astype("float32"))
        if self.gaps is not None:
            self.gaps.assign(np.log(np.expm1(np.maximum(np.diff(thresholds), 1e-3))).astype("float32"))

    def call(self, features) -> Any:
        score = ops.cast(self.weigh(features), "float32")  # [B, 1]
        if self.gaps is None:
            distance = ops.expand_dims(self.first, 0) - score
            return ops.log_sigmoid(ops.concatenate([distance, -distance], axis=1))  # [B, 2]
        gaps = ops.softplus(self.gaps) + MIN_GAP  # [C − 2]
        thresholds = ops.concatenate([self.first, self.first + ops.cumsum(gaps)])  # [C − 1]
        distance = ops.expand_dims(thresholds, 0) - score  # [B, C − 1]
        at_most, above = ops.log_sigmoid(distance), ops.log_sigmoid(-distance)
        between = at_most[:, 1:] + above[:, :-1] + ops.expand_dims(ops.log(-ops.expm1(-gaps)), 0)  # [B, C − 2]
        return ops.concatenate([at_most[:, :1], between, above[:, -1:]], axis=1)  # [B, C]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "classes": self.classes}


@keras.saving.register_keras_serializable("nlp_suite")
class OrdinalModel(SentimentModel):
    """Token ids `[B, T]` to log-probabilities `[B, C]` of ordered classes; the arguments are those of `SentimentModel`."""

    def make_classifier(self, classes) -> Any:
        return OrderedLogits(classes, dtype=self.dtype_policy)

    def dense_layers(self) -> list[tuple[Any, Any]]:
        return []
