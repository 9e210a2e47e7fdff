"""Writing the vectors of texts: a NumPy array that grows row by row, or a column of a Parquet table."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from nlp_suite.data.table_writing import TableWriter, check_place, open_table_writer, placed
from nlp_suite.errors import DataError

SUFFIXES = (".npy", ".parquet")


def check_vectors_path(path: str | Path) -> Path:
    """The path of a file of vectors to write, with `~` expanded.

    Raises:
        DataError: its suffix is of no format that holds vectors, or its folder does not exist.
    """
    path = Path(path).expanduser()
    if path.suffix not in SUFFIXES:
        raise DataError(f"{path}: no vectors are written by the suffix {path.suffix!r} ({', '.join(SUFFIXES)})")
    check_place(path)
    return path


@contextmanager
def open_vectors_writer(path: Path, columns: Sequence[str], size: int) -> Iterator[TableWriter]:
    """Writes rows of which the last value is a vector, or None where there is none; memory stays flat.

    Args:
        path: `.npy`, a float32 array `[N, D]` of the vectors alone, with NaN in rows that have none; or `.parquet`, a table
            of all columns. It appears whole, or not at all.
        columns: names.
        size: numbers D of a vector.

    Raises:
        DataError: the path cannot be written, or a package is missing.

    Example:
        >>> with open_vectors_writer(Path("vectors.npy"), ["text", "embedding"], 2) as writer:
        ...     writer.write(["fine", [0.6, 0.8]])
    """
    if path.suffix == ".parquet":
        with open_table_writer(path, columns) as table:
            yield table
        return
    with placed(path) as beside, open(beside, "wb") as file:
        array = _ArrayWriter(file, size)
        yield array
        array.close()


class _ArrayWriter:
    """The last values of rows as a `.npy` file; NumPy leaves room in the header for the number of rows to grow."""

    def __init__(self, file: BinaryIO, size: int):
        self._file, self._size, self._rows = file, size, 0
        self._header()

    def write(self, row: Sequence[object]) -> None:
        vector = np.full(self._size, np.nan) if row[-1] is None else row[-1]
        self._file.write(np.asarray(vector, "<f4").tobytes())
        self._rows += 1

    def close(self) -> None:
        self._file.seek(0)
        self._header()

    def _header(self) -> None:
        header = {"descr": "<f4", "fortran_order": False, "shape": (self._rows, self._size)}
        np.lib.format.write_array_header_1_0(self._file, header)
