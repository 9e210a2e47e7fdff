"""Python prediction of labels, with a network or with a SavedModel."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.tasks.sentiment.calibration import probabilities_of
from nlp_suite.tasks.sentiment.texts_predictor import NetworkTexts, SavedModelTexts, TextsPredictor
from nlp_suite.tasks.sentiment.threshold import answered_labels


class ClassifierPredictor(TextsPredictor):
    """Labels and probabilities of texts.

    Attributes:
        labels: label names, in the order of the probabilities.
        threshold: probability from which the second of two labels is answered; None: the most probable label.
    """

    labels: list[str]
    threshold: float | None = None

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """A probability a label."""
        return len(self.labels)

    def answer(self, row: np.ndarray) -> dict[str, Any]:
        """`{"label": str, "probability": float, "probabilities": {label: float}}`."""
        best = int(answered_labels(row[None, :], self.threshold)[0])
        return {
            "label": self.labels[best],
            "probability": float(row[best]),
            "probabilities": dict(zip(self.labels, row.tolist())),
        }

    def probabilities(self, texts: Sequence[str | bytes], batch_size: int = 64) -> np.ndarray:
        """Probabilities float32 `[N, C]` of N texts."""
        return self.probabilities_flagged(texts, batch_size)[0]

    def probabilities_flagged(
        self, texts: Sequence[str | bytes], batch_size: int = 64
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities float32 `[N, C]` of N texts, and which of them were truncated, bool `[N]`."""
        return self.outputs_flagged(texts, batch_size)


class NetworkClassifier(NetworkTexts, ClassifierPredictor):
    """A network with its text layer, see `NetworkTexts`; its logits are those of a softmax."""

    def __init__(self, model, text, labels, temperature=1.0, threshold=None, pairs=False):
        super().__init__(model, text, labels, pairs)
        self.temperature, self.threshold = temperature, threshold

    def from_logits(self, logits: np.ndarray) -> np.ndarray:
        return probabilities_of(logits, self.temperature)


class SavedModelClassifier(SavedModelTexts, ClassifierPredictor):
    """The `serving_default` signature of an exported SavedModel, see `SavedModelTexts`."""

    def __init__(self, signatures: LoadedSignatures):
        super().__init__(signatures)
        labels = self.ask([b""])["labels"][0]
        self.labels = [label.decode("utf-8") for label in labels]
        self.threshold = getattr(signatures.experiment().task, "threshold", None)
