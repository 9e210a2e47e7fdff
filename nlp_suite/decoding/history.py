"""What a beam search has chosen: written down step by step, read back once at the end."""

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

    Follows the parents by pointer jumping: a table of the ancestors 1, 2, 4, … steps before every choice, and for every
    step the sum of powers of two that leads to it. So there is no loop over time.

    Args:
        tokens: int32 `[L, B, K]`.
        parents: int32 `[L, B, K]`, which hypothesis of the step before a choice continues.
        time: int32 `[B, N]`, step of the last choice.
        beam: int32 `[B, N]`, its place in the beam.

    Returns:
        int32 `[B, N, L]`, 0 behind the last choice.
    """
    limit, _, beam_size = tokens.shape
    batch = ops.shape(tokens)[1]
    rows = ops.arange(batch, dtype="int32")  # [B]
    steps = ops.arange(limit, dtype="int32")  # [L]
    before = ops.expand_dims(ops.maximum(steps - 1, 0), -1) * batch + rows  # [L, B]
    jump = ops.reshape(ops.expand_dims(before, -1) * beam_size + parents, (-1,))  # [L*B*K], cells one step before
    cell = ops.expand_dims((time * batch + ops.expand_dims(rows, -1)) * beam_size + beam, -1)  # [B, N, 1]
    distance = ops.expand_dims(time, -1) - steps  # [B, N, L]
    cell = cell + ops.zeros_like(distance)  # [B, N, L]
    for power in range(max(limit - 1, 0).bit_length()):
        odd = (ops.maximum(distance, 0) // 2**power) % 2 == 1
        cell = ops.where(odd, gather(jump, cell), cell)
        jump = gather(jump, jump)
    return ops.where(distance >= 0, gather(ops.reshape(tokens, (-1,)), cell), 0)
