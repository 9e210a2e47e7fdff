"""Serving signatures of sentiment classification: text in, labels and probabilities out, all in one graph."""

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from nlp_suite.export.signatures import CLASSIFY
from nlp_suite.tasks.sentiment.texts_signatures import TextsSignatures
from nlp_suite.tasks.sentiment.threshold import answered_labels


class ClassifierAnswers:
    """What the signatures of a classifier of C classes answer.

    The answer is `label` string `[B]`, `probability` float `[B]` (the label's), `probabilities` float `[B, C]` and `labels`
    string `[B, C]` (the names that the probabilities belong to). `classify` (TensorFlow Serving's Classify) answers
    `classes` string `[B, C]` and `scores` float `[B, C]`, in the order of `labels`.
    """

    of_examples = "classify"
    methods: ClassVar[Mapping[str, str]] = {"classify": CLASSIFY}
    labels: list
    predictor: Any

    def answer(self, outputs, rows) -> dict[str, Any]:
        import tensorflow as tf

        names = tf.constant([label.encode("utf-8") for label in self.labels])  # [C]
        threshold = self.predictor.threshold
        best = tf.argmax(outputs, axis=1) if threshold is None else tf.cast(outputs[:, 1] >= threshold, tf.int64)  # [B]
        return {
            "label": tf.gather(names, best),  # [B]
            "probability": tf.gather(outputs, best, axis=1, batch_dims=1),  # [B]
            "probabilities": outputs,
            "labels": tf.tile(names[None, :], [rows, 1]),  # [B, C]
        }

    def example_answer(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        return {"classes": answer["labels"], "scores": answer["probabilities"]}

    def expected(self, outputs: np.ndarray) -> dict[str, Any]:
        """See `TextsSignatures.expected`; the label only where no text stands on the border between two."""
        names = [label.encode("utf-8") for label in self.labels]
        expected = {
            "probabilities": outputs,
            "labels": [names] * len(outputs),
        }
        best, threshold = answered_labels(outputs, self.predictor.threshold), self.predictor.threshold
        top = np.sort(outputs, axis=1)[:, -2:]  # [N, 2]
        distance = top[:, 1] - top[:, 0] if threshold is None else np.abs(outputs[:, 1] - threshold)
        decided = (distance > 1e-4).all()
        if decided or threshold is None:
            expected["probability"] = outputs[np.arange(len(outputs)), best]
        if decided:
            expected["label"] = [names[i] for i in best]
        return expected


class SentimentSignatures(ClassifierAnswers, TextsSignatures):
    """The signatures of a classifier, see `ClassifierAnswers` and `TextsSignatures`."""

    def from_logits(self, logits) -> Any:
        import tensorflow as tf

        temperature = self.predictor.temperature
        return tf.nn.softmax(logits / temperature if temperature != 1 else logits)  # [B, C]
