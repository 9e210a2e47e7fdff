"""Pair store: one split of a parallel corpus as two token stores, `source` and `target`, row by row."""

from pathlib import Path

import numpy as np

from nlp_suite.data.store import TokenStore
from nlp_suite.errors import DataError

SIDES = ("source", "target")


class PairStore:
    """One tokenised split of sentence pairs, opened without reading it into memory.

    Args:
        directory: holds the token stores `source` and `target`, which have equally many rows.

    Attributes:
        source: token store of the sources.
        target: token store of the targets.
        lengths: int64 `[N, 2]`, tokens of source and target, END counted.
        full_lengths: int32 `[N, 2]`, the same before truncation.

    Raises:
        DataError: one store has more rows than the other.

    Example:
        >>> store = prepared.stores["train"]
        >>> store.source.text(0), store.target.text(0), store.lengths[0]
        ('A dog runs.', 'Ein Hund rennt.', array([5, 5]))
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self.source, self.target = (TokenStore(self.directory / side) for side in SIDES)
        if len(self.source) != len(self.target):
            raise DataError(f"{self.directory}: {len(self.source):,} sources, but {len(self.target):,} targets")
        self.lengths = np.stack([self.source.lengths, self.target.lengths], axis=1)  # [N, 2]
        self.full_lengths = np.stack([self.source.full_lengths, self.target.full_lengths], axis=1)  # [N, 2]

    def __len__(self) -> int:
        return len(self.source)
