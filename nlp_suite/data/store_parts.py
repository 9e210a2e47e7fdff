"""Token stores that several processes wrote are the parts of one: it reads them where they lie, and in the order of the rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.selection import CHUNK_EXAMPLES


class Pieces:
    """Stretches of several arrays end to end, read like one array, of which only what is asked for is in memory.

    Args:
        arrays: 1-D arrays of one dtype.
        of: which of them each piece is a stretch of, int `[P]`.
        begins, ends: where it begins and ends there, int64 `[P]`.

    Example:
        >>> Pieces([np.arange(9), np.arange(90, 99)], np.array([0, 1]), np.array([2, 0]), np.array([4, 3]))[1:4]
        array([ 3, 90, 91])
    """

    def __init__(self, arrays: Sequence[NDArray[Any]], of: NDArray[Any], begins: NDArray[Any], ends: NDArray[Any]):
        self._arrays, self._of = arrays, of
        self._ends = np.cumsum(ends - begins)  # in the whole
        self._shift = ends - self._ends  # from a place in the whole to that in the array
        self.dtype = arrays[0].dtype

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return self._stretch(0, len(self)).astype(dtype or self.dtype)

    def __getitem__(self, key: Any) -> Any:
        """What lies at a place, at an array of places, or in a slice."""
        if isinstance(key, slice):
            begin, end, step = key.indices(len(self))
            return self._stretch(begin, end) if step == 1 else self[np.arange(begin, end, step)]
        places = np.asarray(key)
        if places.dtype == bool:
            places = np.flatnonzero(places)
        places = np.where(places < 0, places + len(self), places)
        piece = np.searchsorted(self._ends, places, "right")
        places, of = places + self._shift[piece], self._of[piece]
        found = np.empty(places.shape, self.dtype)
        for number in np.unique(of):
            here = of == number
            found[here] = self._arrays[number][places[here]]
        return found[()]

    def _stretch(self, begin: int, end: int) -> NDArray[Any]:
        if begin >= end:
            return np.empty(0, self.dtype)
        first, last = np.searchsorted(self._ends, (begin, end - 1), "right")
        cuts = [begin, *self._ends[first:last].tolist(), end]
        found = [
            self._arrays[int(self._of[piece])][here + self._shift[piece] : there + self._shift[piece]]
            for piece, here, there in zip(range(first, last + 1), cuts, cuts[1:])
        ]
        return found[0] if len(found) == 1 else np.concatenate(found)


class ChunkOrder:
    """The order of the rows of parts, of which each has every n-th chunk of the whole.

    Args:
        rows: how many each part has.
    """

    def __init__(self, rows: Sequence[int]):
        chunks = np.arange(sum(-(-count // CHUNK_EXAMPLES) for count in rows))  # [C]
        self._of, begins = chunks % len(rows), chunks // len(rows) * CHUNK_EXAMPLES
        ends = np.minimum(begins + CHUNK_EXAMPLES, np.array(rows)[self._of])
        self._chunks = list(zip(self._of.tolist(), begins.tolist(), ends.tolist()))

    def rows(self, columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """A column of the whole, in memory, from those of the parts, `[N, …]`."""
        return np.concatenate([columns[0][:0], *(columns[of][begin:end] for of, begin, end in self._chunks)])

    def pieces(self, arrays: Sequence[NDArray[Any]], offsets: Sequence[NDArray[Any]]) -> tuple[Pieces, NDArray[Any]]:
        """What the rows of the parts hold, end to end, and where in it each row of the whole begins, int64 `[N + 1]`."""
        begins = np.array([offsets[of][begin] for of, begin, _ in self._chunks], "int64")
        ends = np.array([offsets[of][end] for of, _, end in self._chunks], "int64")
        lengths = self.rows([np.diff(of_part) for of_part in offsets])
        return Pieces(arrays, self._of, begins, ends), np.concatenate([[0], np.cumsum(lengths, dtype="int64")])
