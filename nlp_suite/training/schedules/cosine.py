"""Optional warm-up, then half a cosine down to `final` at the last step (Loshchilov & Hutter 2017)."""

from typing import Any

from pydantic import Field

from nlp_suite.registry import SCHEDULES
from nlp_suite.training.schedules.base import ScheduleSettings
from nlp_suite.training.schedules.constant import ConstantSchedule


class CosineSettings(ScheduleSettings):
    """Settings of the cosine schedule."""

    final: float = Field(0.0, ge=0, le=1, description="rate at the end, as a share of learning_rate")


@SCHEDULES.register(CosineSettings)
class CosineSchedule(ConstantSchedule):
    """Half a cosine from `learning_rate` to `final · learning_rate` over the whole training.

    Args:
        warmup_steps: batches over which the rate rises from 0.
        final: rate at the end, as a fraction of `learning_rate`.
    """

    def __init__(self, warmup_steps: int = 0, final: float = 0.0):
        super().__init__(warmup_steps)
        self.final = final

    def rate(self, learning_rate: float, total_steps: int) -> Any:
        from nlp_suite.training.rates import Warmup

        return Warmup(learning_rate, self.warmup_steps, "cosine", total_steps, self.final)
