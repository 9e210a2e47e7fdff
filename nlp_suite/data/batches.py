"""Batches as a pure function: batch `n` of a run follows from the lengths, the seed and `n` alone.

There is no iterator state, so resuming at step N is arithmetic. Rows of similar length share a bucket; a bucket has one
shape (its bound by a fixed number of rows), and rows that fill up its last batch weigh 0.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def bucket_bounds(lengths: Any, buckets: int) -> NDArray[Any]:
    """The at most `buckets` batch lengths that waste the least padding on `lengths`, ascending; the last is the maximum.

    Dynamic programming over 64 quantiles, which bounds the work whatever the corpus: the cost of a bucket is its bound times
    its rows, that is, the places of its batches.
    """
    lengths = np.sort(np.asarray(lengths))
    candidates = np.unique(np.quantile(lengths, np.linspace(0, 1, 65)[1:], method="higher"))  # [M]
    below = np.searchsorted(lengths, candidates, side="right")  # [M] rows that fit
    count = len(candidates)
    edge = np.concatenate([[0], below])  # [M+1]
    cost = candidates[None, :] * (below[None, :] - edge[:, None]).astype("float64")  # [M+1, M] bucket from edge i to j
    cost[np.arange(count + 1)[:, None] > np.arange(count)[None, :]] = np.inf
    best = cost[0]  # [M] cheapest cover of the first j candidates with one bucket
    choices = []
    for _ in range(min(buckets, count) - 1):
        total = np.concatenate([[np.inf], best])[:, None] + cost  # [M+1, M]
        choices.append(np.argmin(total, axis=0))
        best = np.min(total, axis=0)
    bounds, j = [], count - 1
    for choice in reversed(choices):
        bounds.append(candidates[j])
        j = choice[j] - 1
    bounds.append(candidates[j])
    return np.array(bounds[::-1], "int64")


class NumberedBatches:
    """Batches of rows that are in buckets already; the base of those that choose the buckets.

    Args:
        members: row numbers of every bucket.
        sizes: rows of a batch, of every bucket.
        shapes: the length or lengths of every bucket's batches.
        seed: of the shuffling; `None` keeps the order and is for evaluation.

    Attributes:
        steps_per_epoch: batches of one pass.
    """

    def __init__(
        self, members: list[NDArray[Any]], sizes: list[int], shapes: Sequence[tuple[int, ...]], seed: int | None
    ):
        self._members, self._sizes, self._shapes, self._seed = members, sizes, shapes, seed
        self.steps_per_epoch = sum(-(-len(rows) // size) for rows, size in zip(members, sizes))
        self._planned: tuple[int, list[Any]] | None = None  # the epoch whose batches were planned last

    def __getitem__(self, n: int) -> Any:
        """Batch `n`, counted through all epochs: row numbers `[B]`, weights float32 `[B]`, and its lengths."""
        epoch, step = divmod(n, self.steps_per_epoch)
        if self._seed is None:
            epoch = 0
        if self._planned is None or self._planned[0] != epoch:
            self._planned = (epoch, self._plan(epoch))
        return self._planned[1][step]

    def _plan(self, epoch: int) -> list[Any]:
        """All batches of one epoch, in order."""
        random = None if self._seed is None else np.random.default_rng([self._seed, epoch])
        plan = []
        for shape, size, members in zip(self._shapes, self._sizes, self._members):
            rows = members if random is None else random.permutation(members)
            for start in range(0, len(rows), size):
                chunk = rows[start : start + size]
                missing = size - len(chunk)
                weights = np.ones(size, "float32")
                if missing:
                    weights[-missing:] = 0
                    chunk = np.concatenate([chunk, np.repeat(chunk[:1], missing)])
                plan.append((chunk, weights, *shape))
        return plan if random is None else [plan[i] for i in random.permutation(len(plan))]


class BucketedBatches(NumberedBatches):
    """Rows of a store as batches of equal shape within a bucket.

    Args:
        lengths: tokens a row, `[N]`.
        batch_size: rows of every batch.
        buckets: the largest number of batch lengths.
        seed: of the shuffling; `None` keeps the order and is for evaluation.

    Attributes:
        bounds: the batch lengths, ascending.
        padding: share of the places that hold no token; rows that fill up a batch are not counted.

    Example:
        >>> batches = BucketedBatches(store.lengths, batch_size=32, buckets=8, seed=1)
        >>> rows, weights, length = batches[1000]
    """

    def __init__(self, lengths: Any, batch_size: int, buckets: int, seed: int | None):
        self.bounds = bucket_bounds(lengths, buckets)
        bucket = np.searchsorted(self.bounds, lengths)  # [N]
        members = [np.flatnonzero(bucket == b) for b in range(len(self.bounds))]
        shapes = [(int(bound),) for bound in self.bounds]
        super().__init__(members, [batch_size] * len(members), shapes, seed)
        self.padding = 1 - np.sum(lengths) / sum(bound * len(m) for bound, m in zip(self.bounds, members))
