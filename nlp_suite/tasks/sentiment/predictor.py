"""Python prediction of labels, with a network or with a SavedModel."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.tasks.sentiment.texts_predictor import NetworkTexts, SavedModelTexts, TextsPredictor


class ClassifierPredictor(TextsPredictor):
    """Labels and probabilities of texts.

    Attributes:
        labels: label names, in the order of the probabilities.
    """

    labels: list[str]

    @property
    def outputs(self) -> int:  # type: ignore[override]
        """A probability a label."""
        return len(self.labels)

    def answer(self, row: np.ndarray) -> dict[str, Any]:
        """`{"label": str, "probability": float, "probabilities": {label: float}}`."""
        best = int(row.argmax())
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

    def from_logits(self, logits: np.ndarray) -> np.ndarray:
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)


class SavedModelClassifier(SavedModelTexts, ClassifierPredictor):
    """The `serving_default` signature of an exported SavedModel, see `SavedModelTexts`."""

    def __init__(self, signatures: LoadedSignatures):
        super().__init__(signatures)
        labels = self.ask([b""])["labels"][0]
        self.labels = [label.decode("utf-8") for label in labels]
