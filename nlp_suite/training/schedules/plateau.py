"""Reduced whenever the monitored metric stops getting better (Keras's ReduceLROnPlateau)."""

import keras
from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.registry import SCHEDULES


class PlateauSettings(ComponentSettings):
    """Settings of the plateau schedule."""

    factor: float = Field(0.5, gt=0, lt=1, description="what the rate is multiplied by")
    patience: int = Field(1, ge=1, description="checkpoint intervals without a better value before that")
    minimum: float = Field(0.0, ge=0, description="the rate never falls below")


@SCHEDULES.register(PlateauSettings)
class PlateauSchedule:
    """`learning_rate`, multiplied by `factor` after `patience` rounds in which `training.monitor` was no better.

    Args:
        factor, patience, minimum: see `PlateauSettings`.
    """

    def __init__(self, factor=0.5, patience=1, minimum=0.0):
        self.settings = {"factor": factor, "patience": patience, "min_lr": minimum}

    def rate(self, learning_rate: float, total_steps: int):
        return learning_rate

    def callbacks(self, monitor: str, mode: str) -> list:
        return [keras.callbacks.ReduceLROnPlateau(monitor=monitor, mode=mode, min_delta=0.0, **self.settings)]
