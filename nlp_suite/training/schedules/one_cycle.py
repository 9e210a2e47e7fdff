"""One cycle: the rate rises as half a cosine, then falls as half a cosine to almost nothing (Smith 2018)."""

from typing import Any

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.registry import SCHEDULES
from nlp_suite.training.schedules.base import Schedule


class OneCycleSettings(ComponentSettings):
    """Settings of the one-cycle schedule."""

    rise: float = Field(0.3, gt=0, lt=1, description="share of all steps over which the rate rises")
    start_divisor: float = Field(25.0, ge=1, description="the first rate is learning_rate divided by this")
    end_divisor: float = Field(10_000.0, ge=1, description="the last rate is learning_rate divided by this")


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
        from nlp_suite.training.rates import OneCycle

        start, end = learning_rate / self.start_divisor, learning_rate / self.end_divisor
        return OneCycle(learning_rate, start, end, total_steps, self.rise)
