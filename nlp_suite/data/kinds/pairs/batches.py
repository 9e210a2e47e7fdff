"""Batches of sentence pairs: buckets of two lengths, as a pure function of seed and number; and the arrays a model takes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.batches import NumberedBatches
from nlp_suite.data.kinds.pairs.bounds import nearest_shape, pair_bounds
from nlp_suite.data.kinds.pairs.store import PairStore
from nlp_suite.text.text_layer import START


class PairBatches(NumberedBatches):
    """Pairs as batches of one shape a bucket: rows, source length S and target length T.

    Batches of a bucket have at most as many rows as `tokens` or `batch_size` allow, and fewer where that makes as few batches
    of equal size: hardly any row only fills up the last one.

    Args:
        lengths: tokens of source and target, `[N, 2]`.
        rows: row numbers of the pairs that are read (`pair_filter`).
        tokens: rows × the longer of S and T is at most this (but a batch has at least one row), as in fairseq and
            OpenNMT; `None`: `batch_size` counts.
        batch_size: the most rows of a batch, where `tokens` is `None`.
        buckets: the largest number of shapes.
        seed: of the shuffling; `None` keeps the order and is for evaluation.

    Attributes:
        bounds: int64 `[K, 2]`, S and T of every bucket.
        sizes: rows of a batch of every bucket.
        padding: share of the places that hold no token, of `source`, `target` and `both`; rows that fill up are padding.

    Raises:
        ValueError: there are no rows.

    Example:
        >>> rows, dropped = pair_filter(store.full_lengths, max_tokens=100, max_ratio=4.0)
        >>> batches = PairBatches(store.lengths, rows, tokens=2048, batch_size=32, buckets=24, seed=1)
        >>> arrays = pair_arrays(store, *batches[1000])
    """

    def __init__(self, lengths: Any, rows: Any, tokens: int | None, batch_size: int, buckets: int, seed: int | None):
        rows = np.asarray(rows)
        if not len(rows):
            raise ValueError("no pairs to make batches of")
        lengths = np.asarray(lengths)[rows]  # [N, 2]
        self.bounds = pair_bounds(lengths, buckets)
        bucket = nearest_shape(lengths, self.bounds)  # [N]
        members = [rows[bucket == number] for number in range(len(self.bounds))]
        max_rows = [max(1, tokens // int(bound.max())) if tokens else batch_size for bound in self.bounds]
        steps = [-(-len(member) // limit) for member, limit in zip(members, max_rows)]
        self.sizes = [-(-len(member) // count) for member, count in zip(members, steps)]
        super().__init__(members, self.sizes, [(int(s), int(t)) for s, t in self.bounds], seed)
        places = np.multiply(self.sizes, steps) @ self.bounds  # [2]
        held = lengths.sum(axis=0)  # [2]
        self.padding = {
            "source": float(1 - held[0] / places[0]),
            "target": float(1 - held[1] / places[1]),
            "both": float(1 - held.sum() / places.sum()),
        }


def pair_arrays(
    store: PairStore, rows: Any, weights: Any, source_length: int, target_length: int
) -> dict[str, NDArray[Any]]:
    """What a translation model takes of a batch of pairs.

    Args:
        store: of the split.
        rows: row numbers, `[B]`.
        weights: weight of every pair, `[B]`; 0 for one that only fills up the batch.
        source_length: S.
        target_length: T.

    Returns:
        `source` int32 `[B, S]`, `target_in` int32 `[B, T]` (START, then the target but for its last token), `targets`
        int32 `[B, T]`, `weights` float32 `[B, T]` (the pair's where there is a token, 0 at padding).

    Example:
        >>> arrays = pair_arrays(store, *batches[0])
        >>> arrays["target_in"][0], arrays["targets"][0]
        (array([2, 8, 5, 0]), array([8, 5, 3, 0]))
    """
    targets = store.target.padded(rows, target_length)  # [B, T]
    is_token = np.arange(target_length) < store.lengths[rows, 1][:, None]  # [B, T]
    target_in = np.full_like(targets, START)  # [B, T]
    target_in[:, 1:] = targets[:, :-1]
    return {
        "source": store.source.padded(rows, source_length),  # [B, S]
        "target_in": np.where(is_token, target_in, 0),
        "targets": targets,
        "weights": (is_token * np.asarray(weights)[:, None]).astype("float32"),
    }
