"""What the members of an ensemble answer to the rows of a split, and how good each is alone."""

from collections.abc import Sequence

import numpy as np

from nlp_suite.progress import track
from nlp_suite.tasks.sentiment.baseline import beside
from nlp_suite.tasks.sentiment.ensemble.predictor import EnsembleClassifier
from nlp_suite.tasks.sentiment.predictor import ClassifierPredictor
from nlp_suite.tasks.sentiment.report import MIN_PROBABILITY, expected_calibration_error
from nlp_suite.tasks.sentiment.threshold import answered_labels

ROWS = 2048  # that are read together


def answers_of(members: Sequence[ClassifierPredictor], store) -> np.ndarray:
    """The members' calibrated probabilities of every row of a store, float32 `[M, N, C]`, from its texts."""
    answers = np.zeros((len(members), len(store), len(members[0].labels)), "float32")
    starts = range(0, len(store), ROWS)
    for start in track(starts, "predicting", len(starts), "parts"):
        rows = slice(start, min(start + ROWS, len(store)))
        texts = [store.text(row) for row in range(rows.start, rows.stop)]
        for member, answer in zip(members, answers):
            answer[rows] = member.probabilities(texts)
    return answers


def members_alone(
    ensemble: EnsembleClassifier, answers: np.ndarray, truth: np.ndarray, answered: np.ndarray
) -> list[dict]:
    """Figures of every member: its `weight`, `ece` and those of `beside`, whose `lead` is that of the ensemble over it.

    Args:
        ensemble: the ensemble.
        answers: probabilities by member, `[M, N, C]`.
        truth: label ids, int `[N]`.
        answered: those that the ensemble answered, int `[N]`.
    """
    figures, everywhere = [], np.arange(len(truth))
    for member, weight, probabilities in zip(ensemble.members, ensemble.weights, answers, strict=True):
        of_truth = np.log(np.maximum(probabilities[everywhere, truth], MIN_PROBABILITY))
        own = answered_labels(probabilities, member.threshold)
        alone = beside(truth, answered, everywhere, own, of_truth, len(ensemble.labels))
        figures.append({"weight": float(weight), **alone, "ece": expected_calibration_error(truth, probabilities)})
    return figures
