"""The head of a trained network in numbers, for exports to other programs."""

from collections.abc import Sequence
from typing import Any

import keras

from nlp_suite.export.classifier_head import ClassifierHead


def head_of(
    model: Any, labels: Sequence[str], problem: Any, unsaid: Sequence[str] = (), divisor: float = 1.0
) -> ClassifierHead:
    """The head of a `SentimentModel`; the arguments are those of `ClassifierHead`."""
    score, layers = model.pooling.score, model.dense_layers()
    scores = None if score is None else keras.ops.convert_to_numpy(score.kernel)[:, 0]
    if not layers:
        unsaid = [
            f"the classifier, {type(model.classifier).__name__}, is no dense layer: there is the encoder alone",
            *unsaid,
        ]
    return ClassifierHead(model.pooling.kinds, layers, problem, list(labels), divisor, scores, list(unsaid))
