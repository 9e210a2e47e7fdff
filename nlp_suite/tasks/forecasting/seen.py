"""Tables that hold again what a run was trained on: their forecasts begin behind it."""

from collections.abc import Sequence

import numpy as np

from nlp_suite.data.kinds.series import SeriesStore
from nlp_suite.errors import DataError


def begin_after(store: SeriesStore, seen: SeriesStore, called: str) -> Sequence[str]:
    """Moves the first step that is predicted behind those that training saw, in series that are the same.

    A series is the same where its name is, and its values at all dates that both have.

    Args:
        store: of the table; its `begins` change.
        seen: all that training and validation saw.
        called: name of the table, for messages.

    Returns:
        A sentence where something was moved.

    Raises:
        DataError: nothing is left to predict.
    """
    rows, step, moved = {name: row for row, name in enumerate(seen.names)}, store.frequency.count, 0
    for row, name in enumerate(store.names):
        if name not in rows or store.frequency != seen.frequency:
            continue
        ours, theirs = store.series(row), seen.series(rows[name])
        later = int(store.starts[row] - seen.starts[rows[name]]) // step  # steps by which the table begins later
        here, there = ours[max(-later, 0) :], theirs[max(later, 0) :]
        both = min(len(here), len(there))
        end = max(-later, 0) + both
        if both and end > store.begins[row] and np.array_equal(here[:both], there[:both], equal_nan=True):
            moved += 1
            store.begins[row] = end
    if moved and (store.begins >= np.diff(store.offsets)).all():
        raise DataError(
            f"{called}: training or validation saw all of its steps, and a test on them says nothing; give a table that goes on "
            "after them"
        )
    return (
        [f"{called}: {moved:,} series begin with steps that training or validation saw: they are read, not tested on"]
        if moved
        else []
    )
