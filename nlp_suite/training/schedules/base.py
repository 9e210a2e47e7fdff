"""What every schedule has, and the warm-up that most can begin with."""

from abc import ABC, abstractmethod
from typing import Any

import keras
from keras import ops
from pydantic import Field

from nlp_suite.config import ComponentSettings


class ScheduleSettings(ComponentSettings):
    """Settings of a schedule that can begin with a warm-up."""

    warmup_steps: int = Field(0, ge=0, description="batches over which the rate rises from 0 to learning_rate")


class Schedule(ABC):
    """A learning-rate schedule; its constructor takes the fields of its settings, but the name."""

    @abstractmethod
    def rate(self, learning_rate: float, total_steps: int) -> Any:
        """What the optimiser takes as its learning rate.

        Args:
            learning_rate: that of the config.
            total_steps: batches of the whole training.
        """

    def callbacks(self, monitor: str, mode: str) -> list[Any]:
        """Callbacks that the schedule needs.

        Args:
            monitor: metric.
            mode: `"min"` or `"max"`, whichever is better.
        """
        return []


@keras.saving.register_keras_serializable("nlp_suite")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `rate` over `steps` batches, then `rate · after(step)`.

    Args:
        rate: the highest learning rate.
        steps: batches of the warm-up.
        decay: `"constant"`, `"inverse_sqrt"` or `"cosine"`.
        total_steps: batches of the whole training, where the cosine ends.
        final: where the cosine ends, as a fraction of `rate`.
    """

    def __init__(self, rate: float, steps: int, decay: str = "constant", total_steps: int = 0, final: float = 0.0):
        self.settings: dict[str, Any] = {
            "rate": rate,
            "steps": steps,
            "decay": decay,
            "total_steps": total_steps,
            "final": final,
        }

    def __call__(self, step: Any) -> Any:
        s = self.settings
        step = ops.cast(step, "float32") + 1.0  # of the batch at hand, from 1
        warm = ops.minimum(1.0, step / s["steps"]) if s["steps"] else 1.0
        if s["decay"] == "inverse_sqrt":
            return s["rate"] * warm * ops.sqrt(max(s["steps"], 1) / ops.maximum(step, float(max(s["steps"], 1))))
        if s["decay"] == "cosine":
            done = ops.clip((step - s["steps"]) / max(s["total_steps"] - s["steps"], 1), 0.0, 1.0)
            return s["rate"] * warm * (s["final"] + (1 - s["final"]) * 0.5 * (1 + ops.cos(done * 3.14159265)))
        return s["rate"] * warm

    def get_config(self) -> dict[str, Any]:
        return self.settings
