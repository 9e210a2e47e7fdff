"""A cache of keys or values that grows by one place a step: head by head, `[B, H, S, d]`, written in place by scatter.

TensorFlow's scatter writes into its operand where nothing else reads it, as in a loop that only passes it on, so a step
costs its own place and not the cache. It is a stock op, unlike `ops.slice_update`, which is XLA's.
"""

from keras import ops


def cache_places(position, heads, length):
    """Where `write` puts a step's keys: int32 `[B·H, 3]`, row, head and place, of positions int32 `[B]` in a ring."""
    rows = ops.arange(ops.shape(position)[0], dtype="int32")  # [B]
    rows, places = ops.repeat(rows, heads), ops.repeat(position % length, heads)  # [B·H]
    return ops.stack([rows, ops.arange(ops.shape(rows)[0], dtype="int32") % heads, places], axis=-1)


def write(cache, places, new):
    """The cache `[B, H, S, d]` with `new` `[B, H, 1, d]` at places `[B·H, 3]`."""
    return ops.scatter_update(cache, places, ops.reshape(new, (-1, new.shape[-1])))
