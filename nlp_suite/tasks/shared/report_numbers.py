"""Numbers of reports: totals that can be trusted, and results that fit into a float."""

import math
from collections.abc import Callable

from nlp_suite.errors import RunError


def checked_nll(nll: float, tokens: int) -> float:
    """The negative log-likelihood of a number of tokens together, at least 0.

    Raises:
        RunError: it is not a number, or below 0.
    """
    nll = float(nll)
    if math.isnan(nll) or nll < -1e-6 * tokens:  # log-softmax in float32 may round to slightly above 0
        raise RunError(
            f"the negative log-likelihood of {tokens:,} tokens is {nll}, but it must be a number of at least 0: "
            "the model's weights or its log-probabilities are broken"
        )
    return max(nll, 0.0)


def finite(function: Callable[[float], float], value: float | None) -> float | None:
    """The function of a number, or None where the number is missing or the result does not fit into a float."""
    if value is None:
        return None
    try:
        result = function(float(value))
    except OverflowError:
        return None
    return result if math.isfinite(result) else None
