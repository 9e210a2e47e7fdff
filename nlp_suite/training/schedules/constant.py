"""The same learning rate throughout, after an optional warm-up."""

from typing import Any

from nlp_suite.registry import SCHEDULES
from nlp_suite.training.schedules.base import Schedule, ScheduleSettings


@SCHEDULES.register(ScheduleSettings)
class ConstantSchedule(Schedule):
    """`learning_rate` throughout.

    Args:
        warmup_steps: batches over which the rate rises from 0.
    """

    def __init__(self, warmup_steps: int = 0):
        self.warmup_steps = warmup_steps

    def rate(self, learning_rate: float, total_steps: int) -> Any:
        from nlp_suite.training.rates import Warmup

        return Warmup(learning_rate, self.warmup_steps) if self.warmup_steps else learning_rate
