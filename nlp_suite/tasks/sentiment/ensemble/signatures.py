"""Serving signatures of an ensemble: the text layers and networks of all members in one graph."""

from typing import Any

from nlp_suite.tasks.sentiment.ensemble.predictor import LEAST
from nlp_suite.tasks.sentiment.signatures import ClassifierAnswers, SentimentSignatures
from nlp_suite.tasks.sentiment.texts_signatures import StringSignatures


class EnsembleSignatures(ClassifierAnswers, StringSignatures):
    """The signatures of an ensemble, see `ClassifierAnswers` and `StringSignatures`.

    Args:
        model: an `EnsembleModel`.
        predictor: an `EnsembleClassifier` of the same model.
    """

    def __init__(self, model, predictor):
        super().__init__(model, predictor)
        self._members = [SentimentSignatures(member.model, member) for member in predictor.members]
        self.module.text = [member.module.text for member in self._members]

    def outputs_of(self, *sides) -> tuple[Any, Any]:
        import tensorflow as tf

        outputs, truncated = zip(*(member.outputs_of(*sides) for member in self._members))
        weights = tf.constant(self.predictor.weights, tf.float32)  # [M]
        mean = tf.tensordot(weights, tf.stack(outputs), 1)  # [B, C]
        if self.predictor.temperature != 1:
            mean = tf.nn.softmax(tf.math.log(tf.maximum(mean, LEAST)) / self.predictor.temperature)
        return mean, tf.reduce_any(tf.stack(truncated), axis=0)
