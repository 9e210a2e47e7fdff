"""A decoding loop that drops the rows that are finished, where a loop may change its shapes.

A batch is decoded until its longest row ends. On TensorFlow without XLA the finished rows can be dropped on the way:
the loop is left whenever so many are finished that copying the others pays, and entered again with these.
"""

import keras
from keras import ops

from nlp_suite.decoding.gather import gather
from nlp_suite.layers.loop_shapes import shapes_may_change

MIN_LIVE_FRACTION = 0.8  # when at most this share of a loop's rows is unfinished, the others are dropped


def rows_can_be_dropped(trees) -> bool:
    """Whether every leaf's dim 0 is unknown, in a loop that may change shapes."""
    return shapes_may_change() and all(not isinstance(leaf.shape[0], int) for leaf in keras.tree.flatten(trees))


def drop_finished_rows(loop, unfinished, row_inputs, state, entries_per_row):
    """Runs `loop` with fewer and fewer rows.

    Args:
        loop: `loop(go_on, row_inputs, time, state) -> (time, state)`, a while loop as long as `go_on(time, state)`.
        unfinished: `unfinished(state)` → bool `[b]`, which of the b rows in `state` are unfinished.
        row_inputs: tree of tensors `[B, ...]` that the loop only reads.
        state: dict of trees of tensors with dim 0 of B or B·n; `"history"` has `[L, B, ...]`.
        entries_per_row: n of the keys of `state` whose n is not 1.

    Returns:
        `"history"` of all B rows.
    """

    def body(time, rows, row_inputs, state, full_history):
        threshold = ops.cast(ops.cast(ops.shape(rows)[0], "float32") * MIN_LIVE_FRACTION, "int32")
        go_on = lambda time, state: ops.sum(ops.cast(unfinished(state), "int32")) > threshold  # noqa: E731
        time, state = loop(go_on, row_inputs, time, state)
        full_history = keras.tree.map_structure(
            lambda full, part: ops.scatter_update(full, ops.expand_dims(rows, -1), _swap(part)),
            full_history,
            state["history"],
        )
        live = ops.reshape(ops.cast(ops.nonzero(unfinished(state))[0], "int32"), (-1,))  # [b']
        state = _select_rows(state, live, entries_per_row)
        return time, gather(rows, live), _gather_tree(row_inputs, live), state, full_history

    full_history = keras.tree.map_structure(_swap, state["history"])  # [B, L, ...]
    rows = ops.arange(ops.shape(keras.tree.flatten(row_inputs)[0])[0], dtype="int32")  # [B], those in the loop
    carry = (ops.zeros((), "int32"), rows, row_inputs, state, full_history)
    full_history = ops.while_loop(lambda time, rows, *_: ops.shape(rows)[0] > 0, body, carry)[-1]
    return keras.tree.map_structure(_swap, full_history)


def _select_rows(state, rows, entries_per_row):
    """The part of `state` that belongs to `rows` `[b]`."""
    selected = {}
    for name, tree in state.items():
        if name == "history":
            selected[name] = keras.tree.map_structure(lambda x: _swap(gather(_swap(x), rows)), tree)
        else:
            selected[name] = _gather_tree(tree, _entries(rows, entries_per_row.get(name, 1)))
    return selected


def _entries(rows, per_row):
    """The indices of rows in a tensor with `per_row` entries a row."""
    if per_row == 1:
        return rows
    return ops.reshape(ops.expand_dims(rows * per_row, -1) + ops.arange(per_row, dtype="int32"), (-1,))


def _gather_tree(tree, indices):
    return keras.tree.map_structure(lambda x: gather(x, indices), tree)


def _swap(x):
    """Dims 0 and 1 exchanged."""
    return ops.transpose(x, (1, 0, *range(2, len(x.shape))))
