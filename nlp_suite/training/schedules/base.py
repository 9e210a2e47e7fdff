"""What every schedule has, and the settings of those that can begin with a warm-up."""

from abc import ABC, abstractmethod
from typing import Any

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
