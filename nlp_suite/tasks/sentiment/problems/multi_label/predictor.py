"""Python prediction of several labels, with a network or with a SavedModel."""

from types import MappingProxyType
from typing import Any

import numpy as np

from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.tasks.sentiment.texts_predictor import NetworkTexts, SavedModelTexts, TextsPredictor


class MultiLabelPredictor(TextsPredictor):
    """The labels of every text, and the probabilities of all.

    Attributes:
        labels: label names, in the order of the probabilities.
        thresholds: probability from which each label is given, `[C]`.
    """

    task_settings = MappingProxyType({"problem": "multi_label"})
    labels: list[str]
    thresholds: np.ndarray

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """A probability a label."""
        return len(self.labels)

    def answer(self, row: np.ndarray) -> dict[str, Any]:
        """`{"labels": [str, …], "probabilities": {label: float}}`; the most probable label first."""
        order = np.argsort(-row, kind="stable")
        return {
            "labels": [self.labels[i] for i in order if row[i] >= np.float32(self.thresholds[i])],
            "probabilities": dict(zip(self.labels, row.tolist())),
        }


class NetworkMultiLabel(NetworkTexts, MultiLabelPredictor):
    """A network with its text layer, see `NetworkTexts`, and a threshold a label."""

    def __init__(self, model, text, labels, thresholds):
        super().__init__(model, text, labels)
        self.thresholds = thresholds

    def from_logits(self, logits: np.ndarray) -> np.ndarray:
        return sigmoid(logits)


class SavedModelMultiLabel(SavedModelTexts, MultiLabelPredictor):
    """The `serving_default` signature of an exported SavedModel, see `SavedModelTexts`."""

    def __init__(self, signatures: LoadedSignatures):
        super().__init__(signatures)
        answer = self._ask("serving_default", text=[b""])
        self.labels = [label.decode("utf-8") for label in answer["labels"][0]]
        self.thresholds = answer["thresholds"][0]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−x)), without overflow."""
    return np.exp(-np.logaddexp(0, -np.asarray(logits, "float64")))
