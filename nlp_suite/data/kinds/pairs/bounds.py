"""The batch shapes (source length, target length) that waste the least padding on a set of sentence pairs.

The two lengths of a pair are alike, so good shapes lie along the diagonal, and beside it where pairs are many. The choice is
one of facility location, by greedy search: one shape after another, always the one that saves the most places; then single
shapes are moved as long as that saves any. A pair belongs to the cheapest shape that it fits into.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_VALUES = 48  # lengths of a side among which bounds are searched: 48² candidate shapes take well below a second
MAX_MOVES = 6  # shapes that a step of the search tries to move: those without which the cost grows least


def pair_bounds(lengths: Any, buckets: int) -> NDArray[Any]:
    """Shapes for pairs of lengths `[N, 2]`.

    Args:
        lengths: tokens of source and target, `[N, 2]`, N ≥ 1.
        buckets: the largest number of shapes.

    Returns:
        int64 `[K, 2]`, K ≤ `buckets`, by rising sum; every pair fits into at least one of them.

    Example:
        >>> pair_bounds([[3, 3], [3, 4], [9, 2], [9, 9]], 2)
        array([[3, 4], [9, 9]])
    """
    lengths = np.asarray(lengths, "int64")
    width = lengths.max() + 1
    codes, count = np.unique(lengths[:, 0] * width + lengths[:, 1], return_counts=True)
    cells = np.stack([codes // width, codes % width], axis=1)  # the N different pairs of lengths [N, 2]
    values = [_candidates(cells[:, side], count) for side in (0, 1)]
    corners = np.stack([v[np.searchsorted(v, cells[:, side])] for side, v in enumerate(values)], axis=1)
    corners, corner_of_cell = np.unique(corners, axis=0, return_inverse=True)
    shapes = np.stack(np.meshgrid(*values, indexing="ij"), axis=-1).reshape(-1, 2)  # [C, 2], the last is the largest
    chosen = _search(corners, np.bincount(corner_of_cell.reshape(-1), count), shapes, buckets)
    return _tightened(cells, count, shapes[chosen])


def nearest_shape(lengths: Any, bounds: NDArray[Any]) -> NDArray[Any]:
    """The shape of least sum into which each pair fits: its number `[N]`; `bounds` as `pair_bounds` gives them."""
    lengths = np.asarray(lengths)
    nearest = np.full(len(lengths), -1)
    for number in reversed(range(len(bounds))):
        nearest[(lengths <= bounds[number]).all(axis=1)] = number
    return nearest


def _candidates(lengths: NDArray[Any], count: NDArray[Any]) -> NDArray[Any]:
    """The lengths among which bounds are searched: all, or half by rank and half evenly spaced; the last is the largest.

    By rank, bounds lie where pairs are many; evenly spaced, a few very long pairs do not share one huge shape.
    """
    different, index = np.unique(lengths, return_inverse=True)
    if len(different) <= MAX_VALUES:
        return different
    ranks = np.cumsum(np.bincount(index, count))
    half = MAX_VALUES // 2
    by_rank = np.searchsorted(ranks, np.arange(1, half + 1) * (ranks[-1] / half))
    evenly = np.searchsorted(different, np.linspace(different[0], different[-1], MAX_VALUES - half))
    chosen = np.unique(np.minimum(np.concatenate([by_rank, evenly]), len(different) - 1))
    return np.take(different, chosen)


def _search(corners: NDArray[Any], count: NDArray[Any], shapes: NDArray[Any], buckets: int) -> list[int]:
    """Which shapes to take for `count` pairs of each corner; all numbers are whole, so the same ones on every machine."""
    fits = (corners[None, :, 0] <= shapes[:, None, 0]) & (corners[None, :, 1] <= shapes[:, None, 1])  # [C, N]
    price = shapes.sum(axis=1).astype("float64")  # [C] places of a pair

    def cost(chosen: list[int]) -> Any:  # places that a pair of each corner takes, [N]
        return np.where(fits[chosen], price[chosen, None], np.inf).min(axis=0)

    def best_addition(now: Any) -> int:
        return int(np.argmax((fits * np.maximum(now - price[:, None], 0)) @ count))

    chosen = [len(shapes) - 1]
    while len(chosen) < min(buckets, len(corners)):
        chosen.append(best_addition(cost(chosen)))
    total, moved = cost(chosen) @ count, True
    while moved:
        moved = False
        without_one = [[c for c in chosen if c != left_out] for left_out in chosen[1:]]  # the largest must stay
        without_one.sort(key=lambda rest: cost(rest) @ count)
        for rest in without_one[:MAX_MOVES]:
            attempt = [*rest, best_addition(cost(rest))]
            if cost(attempt) @ count < total:
                chosen, total, moved = attempt, cost(attempt) @ count, True
                break
    return chosen


def _tightened(cells: NDArray[Any], count: NDArray[Any], shapes: NDArray[Any]) -> NDArray[Any]:
    """Shapes as small as their pairs allow; pairs that then fit into a cheaper shape move there, until none does."""
    total = np.inf
    while True:
        shapes = shapes[np.lexsort((shapes[:, 0], shapes.sum(axis=1)))]
        nearest = nearest_shape(cells, shapes)
        now = count @ shapes[nearest].sum(axis=1)
        if now >= total:
            return shapes
        total = now
        shapes = np.array([cells[nearest == number].max(axis=0) for number in np.unique(nearest)])
