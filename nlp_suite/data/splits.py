"""Holding out a part of the rows so that every class keeps its share."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.errors import ConfigError, DataError


def parse_fold(fold: str) -> tuple[int, int]:
    """`data.fold` as two numbers: `"2/5"` is the second of five.

    Raises:
        ConfigError: fewer than two folds, or a fold beyond the last.
    """
    number, folds = map(int, fold.split("/"))
    if folds < 2 or number > folds:
        raise ConfigError(
            f"data.fold: {fold!r} is no fold; write it as NUMBER/FOLDS, from 1/FOLDS, with 2 folds or more"
        )
    return number, folds


def stratified_folds(labels: Sequence[Any], folds: int, seed: int) -> NDArray[Any]:
    """The fold of every row, so that every class has the same share in each as far as its rows can be shared.

    Args:
        labels: N labels, of any sortable kind.
        folds: how many.
        seed: of the order of the rows within a class.

    Returns:
        int64 `[N]`, from 0.

    Raises:
        DataError: a class has fewer rows than there are folds.

    Example:
        >>> stratified_folds(["a", "b", "a", "b"], 2, seed=0)
        array([1, 1, 0, 0])
    """
    names, classes, sizes = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    if len(sizes) and sizes.min() < folds:
        rarest = int(sizes.argmin())
        raise DataError(
            f"{folds} folds need {folds} rows of every label or more, and {str(names[rarest])!r} has {sizes[rarest]:,}: "
            f"give fewer folds, or leave out that label or join it with another"
        )
    order = np.random.default_rng(seed).permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]  # rows by class, in random order within each
    fold = np.empty(len(order), np.int64)
    fold[order] = np.arange(len(order)) % folds  # dealt out in turn, on from class to class
    return fold


def stratified_split(labels: Sequence[Any], fraction: float, seed: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Splits row numbers in two, class by class.

    Together the held-out rows are `round(fraction * N)`, shared among the classes by their size (largest remainders
    first). A class of two rows or more has some on both sides, even where that makes the held-out part larger; a class's
    only row is kept. The same labels, fraction and seed give the same rows.

    Args:
        labels: N labels, of any sortable kind.
        fraction: part to hold out, above 0 and below 1.
        seed: of the choice of rows within a class.

    Returns:
        `(kept, held_out)`: int64 row numbers, ascending, together all of 0 … N - 1.

    Raises:
        ValueError: a fraction out of range.
        DataError: no class has two rows.

    Example:
        >>> stratified_split(["a", "b", "a", "b"], 0.5, seed=0)
        (array([1, 2]), array([0, 3]))
    """
    if not 0 < fraction < 1:
        raise ValueError(f"fraction must be above 0 and below 1, got {fraction}")
    _, classes, sizes = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    if not np.any(sizes >= 2):
        raise DataError(f"nothing can be held out: {len(classes)} rows, and no label has two of them")
    min_held_out, max_held_out = np.minimum(1, sizes - 1), sizes - 1  # of each class
    exact = fraction * sizes
    counts = np.clip(np.floor(exact).astype(np.int64), min_held_out, max_held_out)
    missing = max(0, round(fraction * len(classes)) - int(counts.sum()))
    by_remainder = [c for c in np.argsort(counts - exact, kind="stable") if counts[c] < max_held_out[c]]
    counts[by_remainder[:missing]] += 1

    order = np.random.default_rng(seed).permutation(len(classes))
    order = order[np.argsort(classes[order], kind="stable")]  # rows by class, in random order within each
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rank = np.arange(len(order)) - np.repeat(starts, sizes)  # of a row within its class
    held_out = rank < np.repeat(counts, sizes)
    return np.sort(order[~held_out]).astype(np.int64), np.sort(order[held_out]).astype(np.int64)
