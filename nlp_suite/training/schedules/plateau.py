"""Reduced whenever the monitored metric stops getting better (Keras's ReduceLROnPlateau)."""

from typing import Any

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.registry import SCHEDULES
from nlp_suite.training.schedules.base import Schedule


class PlateauSettings(ComponentSettings):
    """Settings of the plateau schedule."""

    factor: float = Field(0.5, gt=0, lt=1, description="what the rate is multiplied by")
    patience: int = Field(1, ge=1, description="checkpoint intervals without a better value before that")
    minimum: float = Field(0.0, ge=0, description="the rate never falls below")


@SCHEDULES.register(PlateauSettings)
class PlateauSchedule(Schedule):
    """`learning_rate`, multiplied by `factor` after `patience` checkpoint intervals in which `training.monitor` was no better.

    Args:
        factor: what the rate is multiplied by.
        patience: checkpoint intervals without a better value before that.
        minimum: the rate never falls below.
    """

    def __init__(self, factor: float = 0.5, patience: int = 1, minimum: float = 0.0):
        self._settings = {"factor": factor, "patience": patience, "min_lr": minimum}

    def rate(self, learning_rate: float, total_steps: int) -> float:
        return learning_rate

    def callbacks(self, monitor: str, mode: str) -> list[Any]:
        import keras

        return [keras.callbacks.ReduceLROnPlateau(monitor=monitor, mode=mode, min_delta=0.0, **self._settings)]
