"""N-gram blocking: a hypothesis never contains the same n tokens in a row twice (Paulus et al. 2017)."""

import numpy as np
from keras import ops


def block_repeats(log_probs, generated, count, n: int):
    """Log-probabilities with -inf at every token that would complete an n-gram which its hypothesis already has.

    Exact and without a loop over time: all positions are compared with the last n - 1 tokens at once.

    Args:
        log_probs: float32 `[R, V]`, V known when traced.
        generated: int32 `[R, L]`, of which the first `count` are tokens.
        count: int32 `[]`.
        n: length of the n-grams, at least 1; 1 forbids every token generated before.

    Returns:
        float32 `[R, V]`.
    """
    limit, size = generated.shape[1], log_probs.shape[1]
    if limit < n:
        return log_probs
    starts = ops.arange(limit - n + 1, dtype="int32")  # [J], where an n-gram may start
    suffix = ops.take(generated, ops.maximum(count - (n - 1) + ops.arange(n - 1, dtype="int32"), 0), axis=1)  # [R, n-1]
    repeated = ops.expand_dims(starts + n - 1 < count, 0)  # [1, J], n-grams that are complete
    for i in range(n - 1):
        repeated = repeated & (generated[:, i : limit - n + 1 + i] == suffix[:, i : i + 1])
    repeated = ops.broadcast_to(repeated, ops.shape(generated[:, n - 1 :]))  # [R, J]

    def blocked():
        rows = ops.shape(generated)[0]
        cells = generated[:, n - 1 :] + ops.expand_dims(ops.arange(rows, dtype="int32") * size, -1)  # [R, J]
        cells = ops.where(repeated, cells, rows * size)  # what repeats nothing goes to an extra cell at the end
        cells = ops.reshape(cells, (-1, 1))
        values = ops.concatenate([ops.reshape(log_probs, (-1,)), ops.zeros((1,), "float32")], axis=0)  # [R*V + 1]
        values = ops.scatter_update(values, cells, ops.zeros_like(cells[:, 0], dtype="float32") - np.inf)
        return ops.reshape(values[:-1], (-1, size))

    return ops.cond(ops.any(repeated), blocked, lambda: log_probs)
