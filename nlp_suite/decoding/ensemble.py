"""Several models as one: a step function whose probabilities are the mean of theirs."""

import math

import numpy as np
from keras import ops

from nlp_suite.errors import UsageError


def ensemble(steps):
    """One step function of several, over the same vocabulary.

    Args:
        steps: functions `step(tokens, state) -> (log_probs float32 [R, V], state)`, at least one.

    Returns:
        `step(tokens, states) -> (log_probs, states)`, the state a list with one of each; the log-probabilities are
        `log(mean_m p_m)`. A token that every model rules out (-inf) stays ruled out.

    Raises:
        UsageError: no step function.

    Example:
        >>> step = ensemble([first.step, second.step])
        >>> beam_search(step, [first.initial_state(8), second.initial_state(8)], prompt, length, max_tokens, **options)
    """
    steps = list(steps)
    if not steps:
        raise UsageError("an ensemble of no step functions: give at least one")

    def step(tokens, states):
        outputs = [model_step(tokens, state) for model_step, state in zip(steps, states, strict=True)]
        log_probs = [ops.cast(log_probs, "float32") for log_probs, _ in outputs]  # [R, V] each
        largest = log_probs[0]
        for model_log_probs in log_probs[1:]:
            largest = ops.maximum(largest, model_log_probs)
        largest = ops.where(largest > -np.inf, largest, 0.0)  # -inf - -inf would be NaN
        total = sum(ops.exp(model_log_probs - largest) for model_log_probs in log_probs)
        return ops.log(total) + (largest - math.log(len(steps))), [state for _, state in outputs]

    return step
