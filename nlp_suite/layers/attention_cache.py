"""Caches of keys and values, head by head, `[B, H, S, d]`: a ring of fixed length, or one that grows by a slot a step.

A ring is written by scatter, a stock op, unlike `ops.slice_update`, which is XLA's. On TensorFlow the scatter copies
the complete cache, and attention reads all of its slots, empty ones too; where shapes may change from step to step,
which is TensorFlow without XLA, a cache that grows costs what it holds and needs neither slots nor a mask.
"""

from keras import ops

from nlp_suite.layers.inline import constant, is_symbolic


def cache_slots(position, heads, length):
    """Where `write` puts a step's keys in a ring, by positions int32 `[B]`: row, head and slot, int32 `[B·H, 3]`.

    Of symbolic tensors which of the places it is, bool `[B, 1, S, 1]`.
    """
    if is_symbolic(position):
        places = constant(ops.reshape(ops.arange(length, dtype="int32"), (1, 1, -1, 1)), position)
        return ops.equal(ops.reshape(position % length, (-1, 1, 1, 1)), places)
    rows = ops.arange(ops.shape(position)[0], dtype="int32")  # [B]
    rows, slots = ops.repeat(rows, heads), ops.repeat(position % length, heads)  # [B·H]
    return ops.stack([rows, ops.arange(ops.shape(rows)[0], dtype="int32") % heads, slots], axis=-1)


def write(cache, slots, new):
    """The cache `[B, H, S, d]` with `new` `[B, H, 1, d]` at slots `[B·H, 3]`."""
    if is_symbolic(new):
        return ops.where(slots, new, cache)
    return ops.scatter_update(cache, slots, ops.reshape(new, (-1, new.shape[-1])))


def append(cache, new):
    """The cache `[B, H, S, d]` followed by `new` `[B, H, 1, d]`: `[B, H, S + 1, d]`."""
    return ops.concatenate([cache, new], axis=2)
