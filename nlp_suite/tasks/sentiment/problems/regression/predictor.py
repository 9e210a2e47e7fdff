"""Python prediction of numbers, with a network or with a SavedModel."""

from types import MappingProxyType
from typing import Any

import numpy as np

from nlp_suite.tasks.sentiment.texts_predictor import NetworkTexts, SavedModelTexts, TextsPredictor


class RegressionPredictor(TextsPredictor):
    """The number of every text."""

    task_settings = MappingProxyType({"problem": "regression"})
    outputs = 1

    def answer(self, row: np.ndarray) -> dict[str, Any]:
        """`{"value": float}`, in the user's units."""
        return {"value": float(row[0])}


class NetworkRegressor(NetworkTexts, RegressionPredictor):
    """A network with its text layer, see `NetworkTexts`."""

    def from_logits(self, logits: np.ndarray) -> np.ndarray:
        return logits


class SavedModelRegressor(SavedModelTexts, RegressionPredictor):
    """The `serving_default` signature of an exported SavedModel, see `SavedModelTexts`."""

    output_name = "value"
