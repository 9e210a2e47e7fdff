"""Windows of series: a context, and the steps after it; batch n is a function of seed and n."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.kinds.series import SeriesStore

Arrays = dict[str, NDArray[Any]]


def contexts(series: Sequence[NDArray[np.float64]], cutoffs: Sequence[int] | NDArray[np.int64], context: int) -> Arrays:
    """What the network reads of series before their cut-offs.

    Args:
        series: B of them, NaN where missing.
        cutoffs: of each, how many of its steps are known.
        context: steps C.

    Returns:
        `values` float32 `[B, C]`, 0 where missing or before the beginning, and `mask` float32 `[B, C]`, 1 where known.
    """
    read = np.full((len(series), context), np.nan)
    for row, (values, end) in enumerate(zip(series, cutoffs)):
        part = values[max(0, end - context) : end]
        if len(part):
            read[row, -len(part) :] = part
    known = np.isfinite(read)
    return {"values": np.where(known, read, 0).astype("float32"), "mask": known.astype("float32")}


class SeriesWindows:
    """Numbered batches of windows of a store.

    Args:
        store: of a split.
        context: steps C.
        horizon: steps H.
        rows: B.
        seed: of the order; None: the order of the store, once.
        stride: steps between two cut-offs of a series.
        least: steps that are before a cut-off at least, where the split begins with its series.

    Attributes:
        count: windows of all series.
        steps_per_epoch: batches of a pass.
    """

    def __init__(
        self,
        store: SeriesStore,
        context: int,
        horizon: int,
        rows: int,
        seed: int | None,
        stride: int = 1,
        least: int = 1,
    ):
        self._store, self._context, self._horizon, self._rows, self._seed = store, context, horizon, rows, seed
        self._stride = stride
        lengths = np.diff(store.offsets)
        self._first = np.maximum(store.begins, least)  # [N]
        counts = np.maximum((lengths - horizon - self._first) // stride + 1, 0)
        self._ends = np.cumsum(counts)
        self.count = int(self._ends[-1]) if len(counts) else 0
        self.steps_per_epoch = -(-self.count // rows)
        self._order: tuple[int, NDArray[np.int64]] = (-1, np.zeros(0, np.int64))

    def places(self, numbers: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The series and the cut-off of windows by their numbers."""
        series = np.searchsorted(self._ends, numbers, side="right")
        before = np.where(series > 0, self._ends[series - 1], 0)
        return series, self._first[series] + (numbers - before) * self._stride

    def _numbers(self, n: int) -> NDArray[np.int64]:
        epoch, step = divmod(n, self.steps_per_epoch)
        if self._seed is None:
            return np.arange(step * self._rows, min((step + 1) * self._rows, self.count))
        if self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng([self._seed, epoch]).permutation(self.count))
        return self._order[1][step * self._rows : (step + 1) * self._rows]

    def __getitem__(self, n: int) -> tuple[Arrays, NDArray[np.float32], NDArray[np.float32]]:
        """Batch `n`: contexts, targets `[B, H]` (0 where missing), and which of them are known; filler rows have none."""
        rows, cutoffs = self.places(self._numbers(n))
        filled = self._rows - len(rows)
        rows, cutoffs = (np.concatenate([each, np.repeat(each[:1], filled)]) for each in (rows, cutoffs))
        series = [self._store.series(row) for row in rows]
        truth = np.stack([values[end : end + self._horizon] for values, end in zip(series, cutoffs)])  # [B, H]
        known = np.isfinite(truth)
        known[self._rows - filled :] = False
        return (
            contexts(series, cutoffs, self._context),
            np.where(known, truth, 0).astype("float32"),
            known.astype("float32"),
        )
