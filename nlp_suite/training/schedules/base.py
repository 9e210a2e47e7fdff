"""Warm-up, which every schedule can begin with."""

import keras
from keras import ops
from pydantic import Field

from nlp_suite.config import ComponentSettings


class ScheduleSettings(ComponentSettings):
    """Settings that every schedule has."""

    warmup_steps: int = Field(0, ge=0, description="batches over which the rate rises from 0 to learning_rate")


@keras.saving.register_keras_serializable("nlp_suite")
class Warmup(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `rate` over `steps` batches, then `rate · after(step)`.

    Args:
        rate: the highest learning rate.
        steps: batches of the warm-up.
        decay: `"constant"`, `"inverse_sqrt"` or `"cosine"`.
        total_steps: batches of the whole training, where the cosine ends.
        final: where the cosine ends, as a part of `rate`.
    """

    def __init__(self, rate, steps, decay="constant", total_steps=0, final=0.0):
        self.settings = {"rate": rate, "steps": steps, "decay": decay, "total_steps": total_steps, "final": final}

    def __call__(self, step):
        s = self.settings
        step = ops.cast(step, "float32") + 1.0  # of the batch at hand, from 1
        warm = ops.minimum(1.0, step / s["steps"]) if s["steps"] else 1.0
        if s["decay"] == "inverse_sqrt":
            return s["rate"] * warm * ops.sqrt(max(s["steps"], 1) / ops.maximum(step, float(max(s["steps"], 1))))
        if s["decay"] == "cosine":
            done = ops.clip((step - s["steps"]) / max(s["total_steps"] - s["steps"], 1), 0.0, 1.0)
            return s["rate"] * warm * (s["final"] + (1 - s["final"]) * 0.5 * (1 + ops.cos(done * 3.14159265)))
        return s["rate"] * warm

    def get_config(self):
        return self.settings
