"""Serving signatures of multi-label classification: text in, the labels' probabilities and thresholds out."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_suite.export.signatures import CLASSIFY
from nlp_suite.tasks.sentiment.texts_signatures import TextsSignatures


class MultiLabelSignatures(TextsSignatures):
    """The signatures of a multi-label classifier of C labels, see `TextsSignatures`.

    The answer is `labels` string `[B, C]`, `probabilities` float `[B, C]`, `thresholds` float `[B, C]` and `chosen` bool
    `[B, C]`: whether a label's probability reaches its threshold. `classify` (TensorFlow Serving's Classify) answers
    `classes` string `[B, C]` and `scores` float `[B, C]` of all labels, in the order of `labels`.
    """

    of_examples = "classify"
    methods = {"classify": CLASSIFY}  # noqa: RUF012

    def from_logits(self, logits) -> Any:
        import tensorflow as tf

        return tf.sigmoid(logits)  # [B, C]

    def answer(self, outputs, rows) -> dict[str, Any]:
        import tensorflow as tf

        names = tf.constant([label.encode("utf-8") for label in self.labels])  # [C]
        thresholds = tf.constant(self.predictor.thresholds, tf.float32)  # [C]
        return {
            "labels": tf.tile(names[None, :], [rows, 1]),  # [B, C]
            "probabilities": outputs,
            "thresholds": tf.tile(thresholds[None, :], [rows, 1]),  # [B, C]
            "chosen": outputs >= thresholds,
        }

    def example_answer(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        return {"classes": answer["labels"], "scores": answer["probabilities"]}

    def expected(self, outputs: np.ndarray) -> dict[str, Any]:
        """See `TextsSignatures.expected`; what is chosen only where no probability stands on its threshold."""
        thresholds = np.float32(self.predictor.thresholds)
        expected = {
            "labels": [[label.encode("utf-8") for label in self.labels]] * len(outputs),
            "probabilities": outputs,
            "thresholds": np.tile(thresholds, (len(outputs), 1)),
        }
        if (np.abs(outputs - thresholds) > 1e-4).all():
            expected["chosen"] = outputs >= thresholds
        return expected
