"""Serving signatures of regression: text in, a number out, all in one graph."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_suite.export.signatures import REGRESS
from nlp_suite.tasks.sentiment.texts_signatures import TextsSignatures


class RegressionSignatures(TextsSignatures):
    """The signatures of a regression model, see `TextsSignatures`.

    The answer is `value` float `[B]`, in the units of the training data; that of `regress` (TensorFlow Serving's Regress) is
    `outputs` float `[B]`.
    """

    of_examples = "regress"
    methods = {"regress": REGRESS}  # noqa: RUF012

    def from_logits(self, logits) -> Any:
        return logits  # [B, 1]

    def answer(self, outputs, rows) -> dict[str, Any]:
        return {"value": outputs[:, 0]}  # [B]

    def example_answer(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        return {"outputs": answer["value"]}

    def expected(self, outputs: np.ndarray) -> dict[str, Any]:
        return {"value": outputs[:, 0]}
