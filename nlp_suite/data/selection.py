"""Picking rows of a source's split by their numbers, one pass, nothing held in memory."""

import itertools

import numpy as np


def selected(source, origin: str, rows):
    """The examples of a source's split with the given row numbers (ascending; `None`: all), in order."""
    examples = source.examples(origin)
    if rows is None:
        return examples
    wanted = np.zeros(int(rows[-1]) + 1 if len(rows) else 0, bool)
    wanted[rows] = True
    return itertools.compress(examples, wanted)
