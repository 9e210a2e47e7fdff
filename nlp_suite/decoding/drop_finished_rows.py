"""A decoding loop that goes on without the rows that are finished, where a loop may change its shapes.

A batch is decoded until its longest row ends. On TensorFlow without XLA the finished rows can be dropped on the way: the
loop is left whenever so many are finished that the copying pays, and entered again with the others.
"""

import keras
from keras import ops

from nlp_suite.decoding.gather import gather
from nlp_suite.layers.loop_shapes import shapes_may_change

_KEPT = 0.8  # of the rows of a loop: when no more are unfinished, the others are dropped


def can_narrow(trees) -> bool:
    """Whether rows can be dropped: every leaf's dim 0 is unknown, in a loop that may change shapes."""
    return shapes_may_change() and all(not isinstance(leaf.shape[0], int) for leaf in keras.tree.flatten(trees))


def narrowing_loop(loop, unfinished, rows, h, per_row):
    """Runs `loop` with fewer and fewer rows.

    Args:
        loop: `loop(go_on, rows, time, h) -> (time, h)`, a while loop over `h` as long as `go_on(time, h)`.
        unfinished: `unfinished(h)` → bool `[b]`, which of the b rows in `h` are unfinished.
        rows: tree of tensors `[B, ...]` that the loop only reads.
        h: dict of trees of tensors with dim 0 of B or B·n; `"past"` has `[L, B, ...]` and is what the answer needs.
        per_row: n of each key of `h`, 1 where it is not named.

    Returns:
        `past` of all B rows.
    """

    def body(time, places, rows, h, past):
        enough = ops.cast(ops.cast(ops.shape(places)[0], "float32") * _KEPT, "int32")
        go_on = lambda time, h: ops.sum(ops.cast(unfinished(h), "int32")) > enough  # noqa: E731
        time, h = loop(go_on, rows, time, h)
        past = keras.tree.map_structure(
            lambda whole, part: ops.scatter_update(whole, ops.expand_dims(places, -1), _swapped(part)), past, h["past"]
        )
        kept = ops.reshape(ops.cast(ops.nonzero(unfinished(h))[0], "int32"), (-1,))  # [b]
        return time, gather(places, kept), _rows_of(rows, kept), _narrowed(h, kept, per_row), past

    whole = keras.tree.map_structure(_swapped, h["past"])  # [B, L, ...]
    places = ops.arange(ops.shape(keras.tree.flatten(rows)[0])[0], dtype="int32")  # [B]
    state = (ops.zeros((), "int32"), places, rows, h, whole)
    past = ops.while_loop(lambda time, places, *_: ops.shape(places)[0] > 0, body, state)[-1]
    return keras.tree.map_structure(_swapped, past)


def _narrowed(h, kept, per_row):
    """Of all that `h` holds, the rows `kept` `[b]`."""
    new = {}
    for name, tree in h.items():
        if name == "past":
            new[name] = keras.tree.map_structure(lambda x: _swapped(gather(_swapped(x), kept)), tree)
        else:
            new[name] = _rows_of(tree, _places(kept, per_row.get(name, 1)))
    return new


def _places(kept, number):
    """The places of rows in a tensor with `number` entries a row."""
    if number == 1:
        return kept
    return ops.reshape(ops.expand_dims(kept * number, -1) + ops.arange(number, dtype="int32"), (-1,))


def _rows_of(tree, places):
    return keras.tree.map_structure(lambda x: gather(x, places), tree)


def _swapped(x):
    """Dims 0 and 1 exchanged."""
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))
