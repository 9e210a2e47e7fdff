"""The score of a finished hypothesis: log-probability, length penalty and coverage penalty of GNMT."""

from typing import Any

import numpy as np
from keras import ops

from nlp_suite.decoding.gather import gather
from nlp_suite.errors import RequestError, UsageError

MIN_ATTENTION = 1e-6  # of a source token: its logarithm stays finite


class HypothesisScore:
    """`log_prob / ((5 + n) / 6) ** alpha + beta * sum_s log(min(sum_t a_ts, 1))` (Wu et al. 2016, equation 14).

    Args:
        length_penalty: alpha, a number or float32 `[B]`, at least 0 (a tensor's negative value counts as 0).
        limit: the longest hypothesis, L.
        coverage: `coverage(state) -> (float32 [B*K, S], bool [B, S])`: the attention that every source token has
            received so far, and the source mask; or None.
        coverage_penalty: beta, likewise.

    Raises:
        RequestError: a negative number.
        UsageError: a coverage penalty without `coverage`.
    """

    def __init__(self, length_penalty, limit: int, coverage=None, coverage_penalty=0.0):
        for name, value in {"length_penalty": length_penalty, "coverage_penalty": coverage_penalty}.items():
            if isinstance(value, (int, float)) and not 0 <= value < np.inf:
                raise RequestError(
                    f"{name} is {value}; allowed: 0 or above (the search could not stop early with less)"
                )
        if coverage is None and not _is_zero(coverage_penalty):
            raise UsageError("coverage_penalty needs coverage, a function of the state")
        self._penalties = None
        if not _is_zero(length_penalty):
            alpha = ops.reshape(ops.maximum(ops.cast(length_penalty, "float32"), 0.0), (1, -1))  # [1, B] or [1, 1]
            lengths = np.arange(1, limit + 1, dtype="float32")[:, None]  # [L, 1]
            self._penalties = ops.power((5.0 + lengths) / 6.0, alpha)  # [L, B] or [L, 1]
        self._coverage: Any = None if _is_zero(coverage_penalty) else coverage
        self._beta = ops.reshape(ops.maximum(ops.cast(coverage_penalty, "float32"), 0.0), (-1, 1))  # [B, 1] or [1, 1]

    @property
    def has_coverage(self) -> bool:
        """Whether there is a coverage penalty."""
        return self._coverage is not None

    def normalised(self, log_prob, time):
        """Scores of hypotheses of `time + 1` tokens, int32 `[]`, without coverage; `[B, K]` → `[B, K]`."""
        if self._penalties is None:
            return log_prob
        return log_prob / ops.expand_dims(gather(self._penalties, time), -1)

    def normalised_at_all_steps(self, log_prob):
        """As `normalised`, of hypotheses of 1, 2, …, L tokens: `[L, B, K]`."""
        return log_prob if self._penalties is None else log_prob / ops.expand_dims(self._penalties, -1)

    def upper_bound(self, log_prob, max_tokens):
        """What a live hypothesis scores at most: its log-probability at full length, everything covered; `[B]`.

        Log-probabilities only fall, the length penalty only grows, and what coverage adds is at most 0.
        """
        if self._penalties is None:
            return log_prob
        table = self._penalties  # [L, B] or [L, 1]
        last = ops.maximum(max_tokens - 1, 0)  # [B]
        if table.shape[1] == 1:
            return log_prob / gather(table[:, 0], last)
        columns = ops.shape(table)[1]
        return log_prob / gather(ops.reshape(table, (-1,)), last * columns + ops.arange(columns, dtype="int32"))

    def coverage_term(self, state, beam_size: int):
        """What coverage adds, `[B, K]`, at most 0. A source token without any attention counts as one with 1e-6."""
        received, mask = self._coverage(state)  # [B*K, S], [B, S]
        received = ops.clip(ops.cast(received, "float32"), MIN_ATTENTION, 1.0)
        logs = ops.reshape(ops.log(received), (-1, beam_size, ops.shape(received)[1]))  # [B, K, S]
        return self._beta * ops.sum(ops.where(ops.expand_dims(mask, 1), logs, 0.0), axis=-1)


def _is_zero(value) -> bool:
    return isinstance(value, (int, float)) and value == 0
