"""The network of forecasting: scaling, a backbone over the context, and a head for all steps ahead at once."""

from typing import Any

import keras
from keras import ops

from nlp_suite.layers.inline import apply
from nlp_suite.layers.sequence_pooling import SequencePooling
from nlp_suite.tasks.forecasting.outputs import StepOutput, step_output
from nlp_suite.tasks.forecasting.scaling import SeriesScaling
from nlp_suite.tasks.forecasting.settings import ForecastingSettings
from nlp_suite.tasks.shared.networks import ModelOfLayers

FEATURES = 2  # of a step: the scaled value, and whether it is known


@keras.saving.register_keras_serializable("nlp_suite")
class ForecastModel(ModelOfLayers):
    """Raw values of a context to what is said of every step ahead, `[B, H, P + 2]`.

    The last two numbers of a step are `center` and `spread` of `SeriesScaling`; the P before them are those of the
    `StepOutput` in scaled units. `answers` makes forecast and quantiles in the user's units of them.

    All C steps of a context are read: those that are missing, or lie before the beginning of a series, are zeros with a
    flag. So no answer depends on the rows beside it, nor on what stands at a place that is missing.

    Args:
        backbone: a `Backbone` without a vocabulary.
        context: steps C.
        task: settings of the task, without its name.
        season: steps of a season.
    """

    def __init__(self, backbone, context, task, season=1, **kwargs):
        super().__init__(**kwargs)
        self.settings = {"context": context, "task": dict(task), "season": season}
        chosen = ForecastingSettings(name="forecasting", **task)
        self.horizon, self.context = chosen.horizon, context
        self.output_of_step: StepOutput = step_output(chosen)
        self.backbone = backbone
        policy = self.dtype_policy
        self.scaling = SeriesScaling(
            chosen.horizon,
            season,
            chosen.transform,
            chosen.difference,
            chosen.scaling,
            chosen.scale_over,
            dtype="float32",
        )
        self.projection = keras.layers.Dense(backbone.embedding_size, dtype=policy)
        self.pooling = SequencePooling(chosen.pooling, bidirectional=backbone.bidirectional, dtype=policy)
        self.drop = keras.layers.Dropout(chosen.dropout, dtype=policy)
        size = chosen.horizon * self.output_of_step.size
        self.head = keras.layers.Dense(size, dtype=policy)
        self.linear = (
            keras.layers.Dense(chosen.horizon, use_bias=False, kernel_initializer="zeros")
            if chosen.linear_path
            else None
        )

    def build(self, input_shape=None) -> None:
        if self.head.built:
            return
        self.scaling.build((None, self.context))
        self.projection.build((None, None, FEATURES))
        self.backbone.build((None, None, self.backbone.embedding_size))
        self.pooling.build((None, None, self.backbone.output_size))
        self.head.build((None, self.backbone.output_size * len(self.pooling.kinds)))
        if self.linear is not None:
            self.linear.build((None, self.context))
        self.built = True

    def call(self, inputs, training=None) -> Any:
        mask, values = (  # [B, C], of a width that is known
            ops.reshape(ops.cast(inputs[name], "float32"), (-1, self.context)) for name in ("mask", "values")
        )
        values = ops.where(mask > 0, values, 0.0)
        scaled, known, center, spread = apply(self.scaling, values, mask)
        features = ops.stack([scaled, known], axis=-1)  # [B, C, 2]
        everything = ops.ones_like(mask) > 0
        x = self.projection(features)  # [B, C, E]
        x, _ = self.backbone.encode(x, everything, training=bool(training))  # [B, C', D]
        pooled = apply(self.pooling, x, mask=self.backbone.output_mask(everything))  # [B, P']
        given = self.head(self.drop(pooled, training=training))
        given = ops.reshape(ops.cast(given, "float32"), (-1, self.horizon, self.output_of_step.size))  # [B, H, P]
        if self.linear is not None:
            moved = ops.cast(self.linear(scaled), "float32")[:, :, None]  # of location only, not of the scale
            count = self.output_of_step.location_size
            given = ops.concatenate([given[:, :, :count] + moved, given[:, :, count:]], axis=-1)
        return ops.concatenate([given, center[:, :, None], spread[:, :, None]], axis=-1)

    def answers(self, outputs) -> tuple[Any, Any]:
        """Forecast `[B, H]` and quantiles `[B, H, Q]` in the user's units, of what `call` returned."""
        given, center, spread = self.parts(outputs)
        forecast = self.scaling.restored(center + spread * self.output_of_step.forecast(given))
        quantiles = self.output_of_step.quantiles(given)
        return forecast, self.scaling.restored(center[:, :, None] + spread[:, :, None] * quantiles)

    @staticmethod
    def parts(outputs) -> tuple[Any, Any, Any]:
        """The numbers of every step `[B, H, P]`, and `center` and `spread` `[B, H]`."""
        return outputs[:, :, :-2], outputs[:, :, -2], outputs[:, :, -1]

    def layer_groups(self) -> list[list]:
        """Trainable variables from the bottom to the top."""
        below = [self.projection.trainable_variables, *self.backbone.layer_groups()]
        known = {id(variable) for group in below for variable in group}
        return [*below, [variable for variable in self.trainable_variables if id(variable) not in known]]
