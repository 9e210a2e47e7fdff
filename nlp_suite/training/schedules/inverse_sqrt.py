"""Warm-up, then falling with the inverse square root of the step (Vaswani et al. 2017, §5.3)."""

from typing import Any

from pydantic import Field

from nlp_suite.registry import SCHEDULES
from nlp_suite.training.schedules.base import ScheduleSettings
from nlp_suite.training.schedules.constant import ConstantSchedule


class InverseSqrtSettings(ScheduleSettings):
    """Settings of the inverse square root schedule."""

    warmup_steps: int = Field(1000, ge=1, description="batches over which the rate rises from 0 to learning_rate")


@SCHEDULES.register(InverseSqrtSettings)
class InverseSqrtSchedule(ConstantSchedule):
    """`learning_rate · min(step / warmup_steps, √(warmup_steps / step))`.

    Args:
        warmup_steps: batches over which the rate rises to `learning_rate`, its highest.
    """

    def rate(self, learning_rate: float, total_steps: int) -> Any:
        from nlp_suite.training.rates import Warmup

        return Warmup(learning_rate, self.warmup_steps, "inverse_sqrt")
