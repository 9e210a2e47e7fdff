"""The optimiser of a training section: any Keras optimiser by name, with clipping, accumulation and averaging."""

import inspect

import keras

from nlp_suite.config import ConfigError, TrainingSettings
from nlp_suite.registry import SCHEDULES, unknown


@keras.saving.register_keras_serializable("nlp_suite")
class LossScale(keras.optimizers.LossScaleOptimizer):
    """Keras's loss scaling, which on TensorFlow overlooks an overflow in one of several slices of the same embedding."""

    def check_finite(self, grads):
        return super().check_finite([getattr(g, "values", g) for g in grads if g is not None])


def optimizer_names() -> dict[str, type]:
    """Keras's optimisers, lower-case name → class."""
    classes = inspect.getmembers(keras.optimizers, inspect.isclass)
    abstract = {keras.optimizers.Optimizer, keras.optimizers.LossScaleOptimizer}  # not to be chosen by name
    return {name.lower(): c for name, c in classes if issubclass(c, keras.optimizers.Optimizer) and c not in abstract}


def make_optimizer(settings: TrainingSettings, total_steps: int):
    """The optimiser and the callbacks of its schedule.

    Args:
        settings: the training section.
        total_steps: batches of the whole training.

    Returns:
        A Keras optimiser and a list of callbacks.

    Raises:
        ConfigError: no such optimiser, or arguments that it does not take.
    """
    classes = optimizer_names()
    if settings.optimizer.lower() not in classes:
        raise ConfigError(f"training.optimizer: {unknown('optimizer', settings.optimizer, sorted(classes))}")
    schedule = SCHEDULES.get(settings.schedule.name)(**settings.schedule.arguments())
    arguments = {
        "learning_rate": schedule.rate(settings.learning_rate, total_steps),
        "global_clipnorm": settings.clip_norm,
        "use_ema": settings.ema is not None,
        "gradient_accumulation_steps": settings.accumulation_steps if settings.accumulation_steps > 1 else None,
        **settings.optimizer_arguments,
    }
    if settings.ema is not None:
        arguments["ema_momentum"] = settings.ema
    try:
        optimizer = classes[settings.optimizer.lower()](**arguments)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"training.optimizer_arguments of {settings.optimizer!r}: {error}") from None
    if optimizer.weight_decay:  # decay matrices only, as is usual
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    if settings.precision == "mixed_float16":
        optimizer = LossScale(optimizer)
    return optimizer, schedule.callbacks(settings.monitor, monitor_mode(settings.monitor))


def monitor_mode(name: str) -> str:
    """Whether less (`"min"`) or more (`"max"`) of a metric is better."""
    return "min" if any(part in name for part in ("loss", "entropy", "perplexity", "error", "ece")) else "max"
