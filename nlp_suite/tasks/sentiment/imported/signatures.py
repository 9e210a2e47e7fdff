"""An imported classifier in Python, and its serving signatures: text in, label and probabilities out."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from nlp_suite.errors import RequestError
from nlp_suite.tasks.sentiment.imported.network import ForeignNetwork
from nlp_suite.tasks.sentiment.imported.words import Words
from nlp_suite.tasks.sentiment.predictor import ClassifierPredictor
from nlp_suite.tasks.sentiment.signatures import ClassifierAnswers
from nlp_suite.tasks.sentiment.texts_signatures import StringSignatures


class ImportedClassifier(ClassifierPredictor):
    """Someone else's network, in Python.

    Args:
        network: the network.
        words: what makes ids of texts; None where the network takes texts.
        labels: label names.
    """

    def __init__(self, network: ForeignNetwork, words: Words | None, labels: Sequence[str]):
        self.network, self.words, self.labels = network, words, list(labels)
        self.table = words.table() if words else None

    def ask(self, text: Any) -> tuple[Any, Any]:
        """Probabilities float32 `[B, C]` of texts string `[B]`, and whether they were cut, bool `[B]`; None: not known."""
        if self.words is None:
            return self.network.probabilities(text), None
        rows, truncated = self.words.rows(text, self.table)
        return self.network.probabilities(rows), truncated

    def _prepare(self, texts):
        return texts, [len(text) for text in texts]

    def _batch(self, items):
        import tensorflow as tf

        probabilities, truncated = self.ask(tf.constant(items, tf.string))
        return probabilities.numpy(), np.zeros(len(items), bool) if truncated is None else truncated.numpy()

    def _vectors(self, items):
        raise RequestError("an imported classifier gives no vectors of texts")

    @property
    def vector_size(self) -> int:
        raise RequestError("an imported classifier gives no vectors of texts")


class ImportedSignatures(ClassifierAnswers, StringSignatures):
    """The signatures of an imported classifier, see `ClassifierAnswers` and `StringSignatures`.

    Args:
        predictor: the imported classifier.
    """

    def __init__(self, predictor: ImportedClassifier):
        super().__init__(predictor.network, predictor)
        self.flags_truncated = predictor.words is not None
        self.module.weights = [*predictor.network.resources(), *([predictor.table] if predictor.table else [])]

    def outputs_of(self, *sides) -> tuple[Any, Any]:
        return self.predictor.ask(*sides)
