"""Caches of keys and values, head by head, `[B, H, S, d]`: a ring of fixed length, or one that grows by a place a step.

A ring is written by scatter, a stock op, unlike `ops.slice_update`, which is XLA's. On TensorFlow the scatter copies the
whole cache, empty places too, and attention looks at all of them; where shapes may change from step to step, which is
TensorFlow without XLA, a cache that grows costs what it holds and needs neither places nor a mask.
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


def append(cache, new):
    """The cache `[B, H, S, d]` and `new` `[B, H, 1, d]` behind it: `[B, H, S + 1, d]`."""
    return ops.concatenate([cache, new], axis=2)
