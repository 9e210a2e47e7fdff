"""Python prediction of several labels, with a network or with a SavedModel."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from nlp_suite.errors import RequestError
from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.registry import unknown
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

    def __init__(self, model, text, labels, thresholds, pairs=False):
        super().__init__(model, text, labels, pairs)
        self.thresholds = thresholds

    def from_logits(self, logits: np.ndarray) -> np.ndarray:
        return sigmoid(logits)


class SavedModelMultiLabel(SavedModelTexts, MultiLabelPredictor):
    """The `serving_default` signature of an exported SavedModel, see `SavedModelTexts`."""

    def __init__(self, signatures: LoadedSignatures):
        super().__init__(signatures)
        answer = self.ask([b""])
        self.labels = [label.decode("utf-8") for label in answer["labels"][0]]
        self.thresholds = answer["thresholds"][0]


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(−x)), without overflow."""
    return np.exp(-np.logaddexp(0, -np.asarray(logits, "float64")))


def chooser(labels: Sequence[str], thresholds: Mapping[str, float]) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What gives labels by other thresholds: those named are given from them, the others as the answer has them.

    Raises:
        RequestError: a label that there is not.
    """
    for label in thresholds:
        if label not in labels:
            raise RequestError(unknown("label", label, labels))

    def choose(answer: dict[str, Any]) -> dict[str, Any]:
        probabilities = answer["probabilities"]
        kept = {label for label in answer["labels"] if label not in thresholds}
        kept |= {label for label, threshold in thresholds.items() if probabilities[label] >= threshold}
        return {**answer, "labels": sorted(kept, key=lambda label: -probabilities[label])}

    return choose
