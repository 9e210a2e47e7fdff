"""The network of regression: one output, standardised inside and in the user's units outside."""

from typing import Any

import keras

from nlp_suite.tasks.sentiment.network import SentimentModel


@keras.saving.register_keras_serializable("nlp_suite")
class RegressionModel(SentimentModel):
    """Token ids `[B, T]` to numbers `[B, 1]`: `mean + deviation · x`, where x is what `SentimentModel` would answer.

    The loss is that of the standardised numbers `(y − mean) / deviation`, so that the learning rate and the norm of the
    gradient do not depend on the unit; outputs, targets and metrics are in the user's units.

    Args:
        backbone: a `Backbone`.
        mean: of the training split's numbers.
        deviation: their standard deviation.
        **arguments: of `SentimentModel`, but for `classes`.
    """

    def __init__(self, backbone, mean=0.0, deviation=1.0, **arguments):
        arguments.pop("classes", None)
        super().__init__(backbone, 1, **arguments)
        self.settings |= {"mean": mean, "deviation": deviation}

    def head(self, pooled, training=None) -> Any:
        return super().head(pooled, training) * self.settings["deviation"] + self.settings["mean"]  # [B, 1]

    def dense_layers(self) -> list[tuple[Any, Any]]:
        """See `SentimentModel.dense_layers`; the last one answers in the user's units."""
        *below, (kernel, bias) = super().dense_layers()
        deviation, mean = self.settings["deviation"], self.settings["mean"]
        return [*below, ((kernel * deviation).astype("float32"), (bias * deviation + mean).astype("float32"))]

    def standardised(self, values) -> Any:
        """Numbers in the user's units as the network is trained on them."""
        return (keras.ops.cast(values, "float32") - self.settings["mean"]) / self.settings["deviation"]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> Any:
        """The loss of standardised targets and outputs."""
        return super().compute_loss(x, self.standardised(y), self.standardised(y_pred), sample_weight, training)
