"""An imported classifier in Python, and its serving signatures: text in, label and probabilities out."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from nlp_suite.errors import RequestError
from nlp_suite.export.cases import Case
from nlp_suite.export.signatures import Signatures, fill_empty_batch, first_rows
from nlp_suite.tasks.sentiment.imported.network import ForeignNetwork
from nlp_suite.tasks.sentiment.imported.words import Words
from nlp_suite.tasks.sentiment.predictor import ClassifierPredictor
from nlp_suite.tasks.sentiment.signatures import ClassifierAnswers
from nlp_suite.tasks.sentiment.texts_signatures import serialized_example


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


class ImportedSignatures(ClassifierAnswers, Signatures):
    """The signatures `serving_default` and `classify` of `TextsSignatures`; `truncated` where it is known.

    Args:
        predictor: the imported classifier.
    """

    example = "A wonderful film, well worth the wait."
    tolerance = 1e-5

    def __init__(self, predictor: ImportedClassifier):
        super().__init__(predictor.network, predictor)
        self.labels = predictor.labels
        self.module.weights = [*predictor.network.resources(), *([predictor.table] if predictor.table else [])]

    def functions(self) -> dict[str, Callable]:
        return {
            "serving_default": self.traced(self.serving_default, text=([None], "string")),
            "classify": self.traced(self.answer_examples, inputs=([None], "string")),
        }

    def serving_default(self, text) -> dict[str, Any]:
        (text,), rows = fill_empty_batch(text)
        probabilities, truncated = self.predictor.ask(text)
        answer = self.answer(probabilities[:rows], rows)
        return answer if truncated is None else {**answer, **first_rows({"truncated": truncated}, rows)}

    def answer_examples(self, inputs) -> dict[str, Any]:
        import tensorflow as tf

        given = tf.io.parse_example(tf.reshape(inputs, [-1]), {"text": tf.io.FixedLenFeature([], tf.string)})
        return self.example_answer(self.serving_default(given["text"]))

    def cases(self, texts: Sequence[bytes]) -> list[Case]:
        outputs, truncated = self.predictor.outputs_flagged(texts)
        answer = self.expected(outputs)
        flagged = {"truncated": truncated} if self.predictor.words else {}
        return [
            Case("serving_default", {"text": list(texts)}, {**answer, **flagged}),
            Case(
                "classify",
                {"inputs": [serialized_example({"text": text}) for text in texts]},
                self.example_answer(answer),
            ),
        ]
