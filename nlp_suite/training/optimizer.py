"""The optimiser of a training section: any Keras optimiser by name, with clipping, accumulation, averages, layer rates."""

import inspect
from collections.abc import Sequence
from typing import Any

import keras

from nlp_suite.config import TrainingSettings
from nlp_suite.errors import ConfigError
from nlp_suite.evaluation.number_format import less_is_better
from nlp_suite.registry import SCHEDULES
from nlp_suite.training.averaging import AveragedIterates, StartAverage
from nlp_suite.training.checks import check_optimizer
from nlp_suite.training.fused_adam import FusedAdam, can_be_fused
from nlp_suite.training.layer_rates import LayerRates, rate_factors


@keras.saving.register_keras_serializable("nlp_suite")
class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras's loss scaling, which on TensorFlow overlooks an overflow in one of several slices of the same embedding."""

    def check_finite(self, grads: Sequence[Any]) -> Any:
        if keras.backend.backend() == "tensorflow":
            grads = [getattr(g, "values", g) for g in grads if g is not None]
        return super().check_finite(grads)


def optimizer_names() -> dict[str, type[Any]]:
    """Keras's optimisers, lower-case name → class."""
    classes = inspect.getmembers(keras.optimizers, inspect.isclass)
    abstract = {keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer}  # not to be chosen by name
    return {name.lower(): c for name, c in classes if issubclass(c, keras.optimizers.Optimizer) and c not in abstract}


def make_optimizer(
    settings: TrainingSettings, total_steps: int, groups: Sequence[Sequence[Any]] | None = None
) -> tuple[Any, list[Any]]:
    """The optimiser and the callbacks of its schedule and of its average.

    Args:
        settings: the training section.
        total_steps: batches of the whole training.
        groups: lists of the model's trainable variables from bottom to top, which `layer_rates` below 1 needs.

    Returns:
        A Keras optimiser and a list of callbacks.

    Raises:
        ConfigError: no such optimiser, or arguments that it does not take.
        ValueError: `layer_rates` below 1 and no groups.

    Example:
        >>> optimizer, callbacks = make_optimizer(settings, 10_000, groups=model.layer_groups())
    """
    classes = optimizer_names()
    check_optimizer(settings.optimizer, sorted(classes))
    schedule = SCHEDULES.get(settings.schedule.name)(**settings.schedule.arguments())
    arguments = {
        "learning_rate": schedule.rate(settings.learning_rate, total_steps),
        "global_clipnorm": settings.clip_norm,
        "use_ema": settings.ema is not None or settings.average_after is not None,
        "gradient_accumulation_steps": settings.accumulation_steps if settings.accumulation_steps > 1 else None,
        **settings.optimizer_arguments,
    }
    if settings.ema is not None:
        arguments["ema_momentum"] = settings.ema
    try:
        optimizer = _extended(classes[settings.optimizer.lower()], settings, groups)(**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"training.optimizer_arguments of {settings.optimizer!r}: {error}") from None
    if optimizer.weight_decay:  # decay matrices only, as is usual
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if settings.precision == "mixed_float16":
        optimizer = LossScale(optimizer)
    mode = monitor_mode(settings.monitor)
    callbacks = schedule.callbacks(settings.monitor, mode)
    if settings.average_after is not None:
        callbacks.append(StartAverage(settings.average_after, settings.monitor, mode))
    return optimizer, callbacks


def _extended(optimizer: type[Any], settings: TrainingSettings, groups: Sequence[Sequence[Any]] | None) -> type[Any]:
    """The Keras optimiser class with what the settings want beyond it."""
    mixins: list[type[Any]] = []
    attributes: dict[str, Any] = {"__module__": __name__}
    if settings.average_after is not None:
        mixins.append(AveragedIterates)
    if settings.layer_rates != 1:
        if groups is None:
            raise ValueError("training.layer_rates below 1 needs the model's layer groups")
        mixins.append(LayerRates)
        attributes["factors"] = rate_factors(groups, settings.layer_rates)
    if can_be_fused(optimizer):
        mixins.append(FusedAdam)
    return type(optimizer.__name__, (*mixins, optimizer), attributes) if mixins else optimizer


def monitor_mode(name: str) -> str:
    """Whether less (`"min"`) or more (`"max"`) of a metric is better."""
    return "min" if less_is_better(name) else "max"
