"""The network of forecasting: scaling, a backbone over the context, and a head for all steps ahead at once."""

import math
from typing import Any

import keras
from keras import ops

from nlp_suite.layers.carried_state import CarriedState
from nlp_suite.layers.inline import apply, constant
from nlp_suite.layers.sequence_pooling import SequencePooling
from nlp_suite.tasks.forecasting.beyond import forecasts_beyond, part
from nlp_suite.tasks.forecasting.outputs import StepOutput, step_output
from nlp_suite.tasks.forecasting.scaling import CovariateScaling, SeriesScaling
from nlp_suite.tasks.forecasting.settings import ForecastingSettings
from nlp_suite.tasks.shared.networks import ModelOfLayers

FEATURES = 2  # of a step: the scaled value, and whether it is known
CIRCLE = 2  # of a calendar feature: sine and cosine


@keras.saving.register_keras_serializable("nlp_suite")
class ForecastModel(ModelOfLayers):
    """Raw values of a context to what is said of every step ahead, `[B, H, P + 2]`.

    The last two numbers of a step are `center` and `spread` of `SeriesScaling`; the P before them are those of the
    `StepOutput` in scaled units. `answers` makes forecast and quantiles in the user's units of them.

    Covariates and the calendar are features of the steps of the context beside the values. Of the H steps ahead those that are
    known in advance are read once more, by a layer that gives what is added to the forecast of that step.

    All C steps of a context are read: those that are missing, or lie before the beginning of a series, are zeros with a
    flag. So no answer depends on the rows beside it, nor on what stands at a place that is missing.

    With a `history` more than C steps are read: R in one call, from a zero state, or segments of C, each from the state after the
    one before (`carry`), whose inputs also hold `new` and `reset`, see `SeriesSegments`. What lies before the first known value is
    then not read at all, so that a forecast is the same however much of nothing stands there.

    Args:
        backbone: a `Backbone` without a vocabulary.
        context: steps C.
        task: settings of the task, without its name.
        season: steps of a season.
        covariates: kind (`past`, `future`, `static`) → how many there are.
        categories: of every category how many words it has.
    """

    def __init__(self, backbone, context, task, season=1, covariates=None, categories=None, **kwargs):
        super().__init__(**kwargs)
        self.settings = {"context": context, "task": dict(task), "season": season}
        if covariates:  # so that a network without them has the config that it always had
            self.settings["covariates"] = dict(covariates)
        if categories:
            self.settings["categories"] = list(categories)
        chosen = ForecastingSettings(name="forecasting", **{**task, "context": context})
        self.horizon, self.reach, self.context = chosen.horizon, chosen.reach, context
        self.reads, self.goes_on = chosen.reads, chosen.history is not None
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
        self.segment = context + self.scaling.lag  # steps that differences reach back to, and those of a segment
        self.carried = [CarriedState(), CarriedState()] if self.goes_on else []  # in evaluation, in training
        counts = {kind: count for kind, count in (covariates or {}).items() if count}
        self.covariates = {kind: CovariateScaling(count, dtype="float32") for kind, count in counts.items()}
        self.calendar_size = CIRCLE * len(chosen.calendar)
        self.ahead_size = 2 * counts.get("future", 0) + self.calendar_size
        self.words = [
            keras.layers.Embedding(count + 1, chosen.category_size, dtype=policy) for count in categories or ()
        ]
        self.context_size = (
            FEATURES + 2 * sum(counts.values()) + self.calendar_size + chosen.category_size * len(self.words)
        )
        self.projection = keras.layers.Dense(backbone.embedding_size, dtype=policy)
        self.pooling = SequencePooling(chosen.pooling, bidirectional=backbone.bidirectional, dtype=policy)
        self.drop = keras.layers.Dropout(chosen.dropout, dtype=policy)
        size = chosen.horizon * self.output_of_step.size
        self.head = keras.layers.Dense(size, dtype=policy)
        self.ahead = (
            [
                keras.layers.Dense(backbone.output_size, activation="relu", dtype=policy),
                keras.layers.Dense(self.output_of_step.size, dtype=policy),
            ]
            if self.ahead_size
            else []
        )
        self.linear = (
            keras.layers.Dense(chosen.horizon, use_bias=False, kernel_initializer="zeros")
            if chosen.linear_path
            else None
        )

    def build(self, input_shape=None) -> None:
        if self.head.built:
            return
        self.scaling.build((None, self.context))
        self.projection.build((None, None, self.context_size))
        for layer in self.covariates.values():
            layer.build()
        for layer in self.words:
            layer.build((None,))
        self.backbone.build((None, None, self.backbone.embedding_size))
        self.pooling.build((None, None, self.backbone.output_size))
        pooled = self.backbone.output_size * len(self.pooling.kinds)
        self.head.build((None, pooled))
        if self.ahead:
            self.ahead[0].build((None, None, pooled + self.ahead_size))
            self.ahead[1].build((None, None, self.backbone.output_size))
        if self.linear is not None:
            self.linear.build((None, self.context))
        self.built = True

    def call(self, inputs, training=None) -> Any:
        return self.read(inputs, bool(training))[0]

    def read(self, inputs, training=False) -> tuple[Any, Any, tuple[Any, Any]]:
        """What `call` returns, the state of the backbone after the context, and the values and the mask, `[B, C]`."""
        width, steps = (self.segment, self.context) if "reset" in inputs else (self.reads, self.reads)
        mask, values = (  # [B, C], of a width that is known
            ops.reshape(ops.cast(inputs[name], "float32"), (-1, width)) for name in ("mask", "values")
        )
        values = ops.where(mask > 0, values, 0.0)
        scaled, known, center, spread = apply(self.scaling, values, mask)
        beside, ahead = self.beside(inputs)
        beside = [part(each, width - steps, steps) for each in beside]
        features = ops.concatenate([ops.stack([scaled, known], axis=-1)[:, width - steps :], *beside], axis=-1)
        everything = ops.ones_like(mask) > 0
        x = self.projection(features)  # [B, C, E]
        if self.goes_on:
            x, everything, state = self._go_on(x, mask, inputs, training)
        else:
            x, state = self.backbone.encode(x, everything, training=training)  # [B, C', D]
        pooled = apply(self.pooling, x, mask=self.backbone.output_mask(everything))  # [B, P']
        pooled = self.drop(pooled, training=training)
        given = self.said(pooled, [part(each, width, self.horizon) for each in ahead], scaled)
        return ops.concatenate([given, center[:, :, None], spread[:, :, None]], axis=-1), state, (values, mask)

    def carry(self, rows: int) -> None:
        """From now on the state after a batch of segments is the start of the next one, row by row, apart for training and evaluation."""
        for carried in self.carried:
            carried.allocate(self.backbone.initial_state(rows))

    def _go_on(self, x, mask, inputs, training) -> tuple[Any, Any, Any]:
        """Features `[B, T, D]` of the steps `[B, T, E]` that are new, moved to the front, which of them there are, and the state after."""
        steps = x.shape[1]
        places = constant(ops.arange(steps, dtype="int32"), x)  # [T]
        if "reset" in inputs:
            begin = steps - ops.cast(inputs["new"], "int32")
        else:
            begin = ops.min(ops.where(mask > 0, places, steps), axis=1)  # the first that is known
        begin = ops.reshape(begin, (-1, 1))  # [B, 1]
        x = ops.take_along_axis(x, ops.minimum(begin + places, steps - 1)[:, :, None], axis=1)
        there = begin + places < steps  # padding is on the right, as exports of recurrent layers want it
        carried = self.carried[training] if "reset" in inputs and self.carried[training].fits(x.shape[0]) else None
        before = carried.read(ops.reshape(inputs["reset"], (-1,))) if carried is not None else None
        x, state = self.backbone.encode(x, there, state=before, training=training)
        if carried is not None:
            carried.write(state)
        return x, there, state

    def said(self, pooled, ahead, scaled) -> Any:
        """The numbers of the H steps ahead, `[B, H, P]`.

        Args:
            pooled: features of the context, `[B, P']`.
            ahead: what is known of those steps, each `[B, H, …]`.
            scaled: values of the context, or of more steps, `[B, C]`.
        """
        given = self.head(pooled)
        given = ops.reshape(ops.cast(given, "float32"), (-1, self.horizon, self.output_of_step.size))  # [B, H, P]
        if self.ahead:
            every = ops.repeat(ops.cast(pooled, "float32")[:, None, :], self.horizon, axis=1)
            added = self.ahead[1](self.ahead[0](ops.concatenate([every, *ahead], axis=-1)))
            given = given + ops.cast(added, "float32")
        if self.linear is not None:
            moved = self.linear(scaled[:, -self.context :])
            moved = ops.cast(moved, "float32")[:, :, None]  # of location only, not of the scale
            count = self.output_of_step.location_size
            given = ops.concatenate([given[:, :, :count] + moved, given[:, :, count:]], axis=-1)
        return given

    def beside(self, inputs) -> tuple[list[Any], list[Any]]:
        """Features beside the values, each `[B, T, …]` from the first step of the context on; which of them are known ahead.

        T is 1 of features that are the same at every step.
        """
        context, ahead = [], []
        for kind, layer in self.covariates.items():
            x = apply(layer, ops.cast(inputs[kind], "float32"))
            if kind == "static":
                x = x[:, None, :]
            if kind == "future":
                ahead.append(x)
            context.append(x)
        for place, layer in enumerate(self.words):
            number = ops.cast(inputs["categories"], "int32")[:, place]
            known = ops.cast(number > 0, "float32")[:, None]
            context.append((ops.cast(layer(number), "float32") * known)[:, None])  # zeros where missing or unknown
        if self.calendar_size:
            angle = 2 * math.pi * ops.cast(inputs["calendar"], "float32")
            circle = ops.concatenate([ops.sin(angle), ops.cos(angle)], axis=-1)  # [B, C + H, 2K]
            context.append(circle)
            ahead.append(circle)
        return context, ahead

    def answers(self, outputs, width: float = 1.0) -> tuple[Any, Any]:
        """Forecast `[B, H]` and quantiles `[B, H, Q]` in the user's units, of what `call` returned.

        Args:
            outputs: of `call`.
            width: factor of the distances of quantiles from the forecast, see `nlp_suite.tasks.forecasting.intervals`.
        """
        forecast, quantiles = self.placed(outputs, width)
        return self.scaling.restored(forecast), self.scaling.restored(quantiles)

    def forecasts(self, inputs, width: float = 1.0) -> tuple[Any, Any]:
        """Forecast `[B, N]` and quantiles `[B, N, Q]` of all steps that may be asked for, in the user's units.

        Args:
            inputs: see `NetworkInputs`, with what is known of N steps ahead.
            width: see `answers`.
        """
        if self.reach > self.horizon:
            return forecasts_beyond(self, inputs, width)
        return self.answers(self.call(inputs), width)

    def placed(self, outputs, width: float = 1.0) -> tuple[Any, Any]:
        """As `answers`, before the inverse transform."""
        given, center, spread = self.parts(outputs)
        forecast = self.output_of_step.forecast(given)
        quantiles = self.output_of_step.quantiles(given, spread)
        if width != 1:
            quantiles = forecast[:, :, None] + width * (quantiles - forecast[:, :, None])
        return center + spread * forecast, center[:, :, None] + spread[:, :, None] * quantiles

    @staticmethod
    def parts(outputs) -> tuple[Any, Any, Any]:
        """The numbers of every step `[B, H, P]`, and `center` and `spread` `[B, H]`."""
        return outputs[:, :, :-2], outputs[:, :, -2], outputs[:, :, -1]

    def layer_groups(self) -> list[list]:
        """Trainable variables from the bottom to the top."""
        below = [self.projection.trainable_variables, *self.backbone.layer_groups()]
        known = {id(variable) for group in below for variable in group}
        return [*below, [variable for variable in self.trainable_variables if id(variable) not in known]]
