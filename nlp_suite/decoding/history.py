"""The choices of a beam search: recorded step by step, read back once at the end."""

from keras import ops

from nlp_suite.decoding.gather import gather


def empty(limit: int, like):
    """A history of `limit` steps of entries like `[B, K]`: 0 everywhere, `[L, B, K]`."""
    return ops.repeat(ops.expand_dims(ops.zeros_like(like), 0), limit, axis=0)


def record(history, time, entry):
    """`history` `[L, B, K]` with `entry` `[B, K]` as its step `time`."""
    return ops.scatter_update(history, ops.reshape(time, (1, 1)), ops.expand_dims(entry, 0))


def read_back(tokens, parents, time, beam):
    """The tokens of hypotheses, by the last choice of each.

    Follows the parents by pointer jumping: tables of the ancestors 1, 2, 4, … steps before every choice, of which the
    binary digits of a distance select those that lead to it. So log2(L) gathers replace a loop over time.

    Args:
        tokens: int32 `[L, B, K]`.
        parents: int32 `[L, B, K]`, which hypothesis of the step before a choice continues.
        time: int32 `[B, N]`, step of the last choice.
        beam: int32 `[B, N]`, its index in the beam.

    Returns:
        int32 `[B, N, L]`, 0 after the last choice.
    """
    limit, _, beam_size = tokens.shape
    batch = ops.shape(tokens)[1]
    rows = ops.arange(batch, dtype="int32")  # [B]
    steps = ops.arange(limit, dtype="int32")  # [L]
    previous = ops.expand_dims(ops.maximum(steps - 1, 0), -1) * batch + rows  # [L, B]
    ancestors = ops.reshape(ops.expand_dims(previous, -1) * beam_size + parents, (-1,))  # [L*B*K], one step before
    cell = ops.expand_dims((time * batch + ops.expand_dims(rows, -1)) * beam_size + beam, -1)  # [B, N, 1]
    distance = ops.expand_dims(time, -1) - steps  # [B, N, L]
    cell = cell + ops.zeros_like(distance)  # [B, N, L]
    for power in range(max(limit - 1, 0).bit_length()):
        digit = (ops.maximum(distance, 0) // 2**power) % 2
        cell = ops.where(digit == 1, gather(ancestors, cell), cell)
        ancestors = gather(ancestors, ancestors)  # those twice as many steps before
    return ops.where(distance >= 0, gather(ops.reshape(tokens, (-1,)), cell), 0)
