"""A cache of keys or values that grows by one place a step: head by head, `[B, H, S, d]`, written in place by scatter.

TensorFlow's scatter writes into its operand where nothing else reads it, as in a loop that only passes it on, so a step
costs its own place and not the cache. It is a stock op, unlike `ops.slice_update`, which is XLA's.
"""

from keras import ops


def cache_places(position, heads, length):
    """Where `write` puts a step's keys: int32 `[B, H, 3]`, row, head and place, of positions int32 `[B]` in a ring."""
    rows = ops.arange(ops.shape(position)[0], dtype="int32")  # [B]
    each = ops.stack([rows, position % length], axis=-1)  # [B, 2]
    each = ops.repeat(ops.expand_dims(each, 1), heads, axis=1)  # [B, H, 2]
    head = ops.reshape(ops.arange(heads, dtype="int32"), (1, heads, 1))
    head = ops.zeros_like(each[:, :, :1]) + head  # [B, H, 1]
    return ops.concatenate([each[:, :, :1], head, each[:, :, 1:]], axis=-1)


def write(cache, places, new):
    """The cache `[B, H, S, d]` with `new` `[B, H, 1, d]` at places `[B, H, 3]`."""
    return ops.scatter_update(cache, places, ops.squeeze(new, 2))
