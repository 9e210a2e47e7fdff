"""Windows of series: a context, and the steps after it; batch n is a function of seed and n."""

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.kinds.series import SeriesStore
from nlp_suite.tasks.forecasting.inputs import Arrays, NetworkInputs


class SeriesWindows:
    """Numbered batches of windows of a store.

    Args:
        store: of a split.
        inputs: what is read of it.
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
        inputs: NetworkInputs,
        rows: int,
        seed: int | None,
        stride: int = 1,
        least: int = 1,
    ):
        self._store, self._inputs, self._rows, self._seed, self._stride = store, inputs, rows, seed, stride
        lengths = np.diff(store.offsets)
        self._first = np.maximum(store.begins, least)  # [N]
        counts = np.maximum((lengths - inputs.horizon - self._first) // stride + 1, 0)
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
        """Batch `n`: inputs, targets `[B, H]` (0 where missing), and which of them are known; filler rows have none."""
        rows, cutoffs = self.places(self._numbers(n))
        filled = self._rows - len(rows)
        rows, cutoffs = (np.concatenate([each, np.repeat(each[:1], filled)]) for each in (rows, cutoffs))
        horizon = self._inputs.horizon
        truth = np.stack([self._store.series(row)[end : end + horizon] for row, end in zip(rows, cutoffs)])  # [B, H]
        known = np.isfinite(truth)
        known[self._rows - filled :] = False
        return (
            self._inputs.arrays([self._store.history(row, end) for row, end in zip(rows, cutoffs)]),
            np.where(known, truth, 0).astype("float32"),
            known.astype("float32"),
        )
