"""Vectors of token sequences that were computed once, in a file to which any number of trainings adds.

A record is a digest of the tokens, the CRC-32 of both, and the vector. A record is used only if its
CRC-32 is right, so that a process may be killed at any moment, and a file may be damaged anywhere: what is lost is made
again. As records are found by their tokens, splits, folds and samples of a corpus share them.
"""

import hashlib
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.errors import DataError
from nlp_suite.files import check_writable, locked
from nlp_suite.progress import work

_DIGEST = 16  # bytes


def digests_of(rows: Iterable[NDArray[Any]]) -> list[bytes]:
    """What tells sequences of token ids apart."""
    return [hashlib.blake2b(row.astype("<i4").tobytes(), digest_size=_DIGEST).digest() for row in rows]


class VectorCache:
    """A file of vectors, found by what they are vectors of.

    Args:
        path: the file; made, with its folder, when the first vector is added. Its name says what made the vectors.
        size: numbers P of a vector.

    Example:
        >>> cache, digests = VectorCache(Path(".cache/features/0a1b.vectors"), 384), digests_of(store)
        >>> with cache.only_writer():
        ...     missing = np.flatnonzero(cache.find(digests) < 0)
        ...     cache.add([digests[i] for i in missing], encode(missing))
        >>> vectors = cache.vectors()  # [M, P], memory-mapped
        >>> vectors[cache.find(digests)[[3, 1, 2]]]  # [3, P]
    """

    def __init__(self, path: Path, size: int):
        self.path = path
        self._dtype = np.dtype([("digest", f"V{_DIGEST}"), ("crc", "<u4"), ("vector", "<f4", (size,))])

    def _records(self) -> NDArray[Any]:
        """All complete records, memory-mapped."""
        count = self.path.stat().st_size // self._dtype.itemsize if self.path.exists() else 0
        return np.memmap(self.path, self._dtype, "r", shape=(count,)) if count else np.zeros(0, self._dtype)

    def vectors(self) -> NDArray[Any]:
        """The vectors of all records, float32 `[M, P]`, memory-mapped; which are right, `find` says."""
        vectors: NDArray[Any] = self._records()["vector"]
        return vectors

    def find(self, digests: Sequence[bytes]) -> NDArray[Any]:
        """The numbers of the records of some digests, int64 `[N]`; −1 where there is none, or one that is damaged."""
        records = self._records()
        known = records["digest"].tobytes()
        places = {known[_DIGEST * i : _DIGEST * (i + 1)]: i for i in range(len(records))}  # of several the last
        found = np.array([places.get(digest, -1) for digest in digests], "int64")
        for row, place in enumerate(found):
            if place >= 0 and _crc(digests[row], records["vector"][place]) != records["crc"][place]:
                found[row] = -1
        return found

    def add(self, digests: Sequence[bytes], vectors: NDArray[Any]) -> None:
        """Adds the vectors `[N, P]` of N digests; asked of the only writer. If the file was removed meanwhile, `find` does not know them."""
        records = np.zeros(len(digests), self._dtype)
        records["vector"] = vectors
        records["digest"] = np.frombuffer(b"".join(digests), f"V{_DIGEST}")
        records["crc"] = [_crc(digest, vector) for digest, vector in zip(digests, records["vector"])]
        with open(self._locked, "r+b", closefd=False) as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(size - size % self._dtype.itemsize)  # over the beginning of a record that was not completed
            file.write(records.tobytes())

    @contextmanager
    def only_writer(self) -> Iterator[None]:
        """Within the context no other process adds; waits for one that does.

        Raises:
            DataError: the file cannot be written.
        """
        check_writable(self.path.parent, "give another folder as data.cache", DataError)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            with work(f"waiting for another process that adds to {self.path}"):
                self._locked = stack.enter_context(locked(self.path, os.O_RDWR | os.O_CREAT))
            yield


def _crc(digest: bytes, vector: NDArray[Any]) -> int:
    return zlib.crc32(vector.tobytes(), zlib.crc32(digest))
