"""One cycle: the rate rises as half a cosine, then falls as half a cosine to almost nothing (Smith 2018)."""

import math
from typing import Any

import keras
from keras import ops
from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.registry import SCHEDULES
from nlp_suite.training.schedules.base import Schedule


class OneCycleSettings(ComponentSettings):
    """Settings of the one-cycle schedule."""

    rise: float = Field(0.3, gt=0, lt=1, description="share of all steps over which the rate rises")
    start_divisor: float = Field(25.0, ge=1, description="the first rate is learning_rate divided by this")
    end_divisor: float = Field(10_000.0, ge=1, description="the last rate is learning_rate divided by this")


@keras.saving.register_keras_serializable("nlp_suite")
class OneCycle(keras.optimizers.schedules.LearningRateSchedule):
    """Half a cosine from `start` up to `peak` and another down to `end`.

    Args:
        peak: the highest learning rate.
        start: that of the first batch.
        end: that of the last batch.
        steps: batches of the whole training.
        rise: fraction of them before the peak.
    """

    def __init__(self, peak: float, start: float, end: float, steps: int, rise: float):
        self.settings: dict[str, Any] = {"peak": peak, "start": start, "end": end, "steps": steps, "rise": rise}

    def __call__(self, step: Any) -> Any:
        s = self.settings
        # 0 at the first batch, 1 at the last
        done = ops.clip(ops.cast(step, "float32") / max(s["steps"] - 1, 1), 0.0, 1.0)
        up = (1.0 - ops.cos(done / s["rise"] * math.pi)) / 2  # 0 → 1
        down = (1.0 + ops.cos((done - s["rise"]) / (1.0 - s["rise"]) * math.pi)) / 2  # 1 → 0
        rising = s["start"] + (s["peak"] - s["start"]) * up
        return ops.where(done < s["rise"], rising, s["end"] + (s["peak"] - s["end"]) * down)

    def get_config(self) -> dict[str, Any]:
        return self.settings


@SCHEDULES.register(OneCycleSettings)
class OneCycleSchedule(Schedule):
    """`learning_rate / start_divisor` up to `learning_rate`, then down to `learning_rate / end_divisor` at the last step.

    Args:
        rise: fraction of all steps over which the rate rises.
        start_divisor: the first rate is `learning_rate` divided by this.
        end_divisor: the last rate is `learning_rate` divided by this.
    """

    def __init__(self, rise: float = 0.3, start_divisor: float = 25.0, end_divisor: float = 10_000.0):
        self.rise, self.start_divisor, self.end_divisor = rise, start_divisor, end_divisor

    def rate(self, learning_rate: float, total_steps: int) -> Any:
        start, end = learning_rate / self.start_divisor, learning_rate / self.end_divisor
        return OneCycle(learning_rate, start, end, total_steps, self.rise)
