"""An ensemble in Python: what its members answer, weighed."""

from collections.abc import Sequence

import numpy as np

from nlp_suite.errors import RequestError
from nlp_suite.tasks.sentiment.calibration import probabilities_of
from nlp_suite.tasks.sentiment.predictor import ClassifierPredictor, NetworkClassifier

LEAST = 1e-30  # of a probability whose logarithm is taken; a float32 holds it
STEPS, SETTLED = 2000, 1e-7  # of the search for weights: at most so many, until none changes by more


class EnsembleClassifier(ClassifierPredictor):
    """The weighted mean of the members' calibrated probabilities, calibrated itself.

    Args:
        members: classifiers of the same labels; each calibrates its own probabilities.
        weights: one a member; they add up to 1.
        temperature: what the logarithms of the mean are divided by.
        threshold: see `ClassifierPredictor`.
    """

    def __init__(
        self,
        members: Sequence[NetworkClassifier],
        weights: Sequence[float],
        temperature: float = 1.0,
        threshold: float | None = None,
    ):
        self.members, self.weights = list(members), np.array(weights)
        self.temperature, self.threshold = temperature, threshold
        self.labels, self.pairs = members[0].labels, members[0].pairs

    def remarks(self) -> list[str]:
        """See `Predictor.remarks`; of every member, each sentence once."""
        return list(dict.fromkeys(remark for member in self.members for remark in member.remarks()))

    def _prepare(self, texts):
        return texts, [len(text) for text in texts]

    def _batch(self, items):
        answers, truncated = zip(*(member.outputs_flagged(items, len(items)) for member in self.members))
        return probabilities_of(log_mean(answers, self.weights), self.temperature), np.any(truncated, axis=0)

    def _vectors(self, items):
        raise self._no_vectors()

    @property
    def vector_size(self) -> int:
        raise self._no_vectors()

    def _no_vectors(self) -> RequestError:
        return RequestError("an ensemble gives no vectors of texts: embed with the run of one of its members")


def log_mean(answers, weights) -> np.ndarray:
    """Logarithms of the weighted mean of probabilities, float64 `[N, C]`: the logits of an ensemble.

    Args:
        answers: the members', `[M, N, C]`.
        weights: theirs, `[M]`.
    """
    return np.log(np.maximum(np.tensordot(weights, np.asarray(answers, "float64"), 1), LEAST))


def fit_weights(of_truth: np.ndarray) -> np.ndarray:
    """The weights for which the mean of probabilities has the least cross-entropy, `[M]`; they add up to 1.

    It is convex in them, and expectation maximisation, of a mixture whose parts are given, lowers it with every step (Dempster,
    Laird and Rubin 1977).

    Args:
        of_truth: probability of each row's true label by each member, `[M, N]`.
    """
    of_truth = np.maximum(np.asarray(of_truth, "float64"), LEAST)
    weights = np.full(len(of_truth), 1 / len(of_truth))
    for _ in range(STEPS):
        before, weights = weights, weights * (of_truth / (weights @ of_truth)).mean(axis=1)
        if np.abs(weights - before).max() < SETTLED:
            break
    return weights / weights.sum()
