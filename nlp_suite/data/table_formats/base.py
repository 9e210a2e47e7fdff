"""What every table is: a file with columns and rows, which are read one at a time."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_suite.errors import DataError

Row = tuple[int, list[Any]]  # number of a row's first line, or of the row where a format has no lines; values

CALLED = {
    "tsv": "TSV",
    "csv": "CSV",
    "json": "JSON",
    "jsonl": "JSON lines",
    "excel": "Excel",
    "parquet": "Parquet",
    "arrow": "Arrow",
}
_NAME = re.compile(r"\w(?:[\w ./:#()-]{0,38}\w|[\w ./:#()-]{0,38}\))?")


@dataclass(frozen=True)
class TableFormat:
    """How a file is read, as it was given or found.

    Attributes:
        format: one of the keys of `CALLED`.
        delimiter, quoting, encoding: of text files; quoting is `"csv"` (RFC 4180) or `"none"`. None for other formats.
        header: whether its columns have names.
        sheet: of a workbook.
    """

    format: str
    delimiter: str | None = None
    quoting: str | None = None
    encoding: str | None = None
    header: bool = True
    sheet: str | None = None

    def describe(self) -> str:
        """The facts as a phrase: `"CSV, delimited by ';', quoted, utf-8, with a header line"`."""
        parts = [CALLED[self.format]]
        if self.delimiter is not None:
            parts += [f"delimited by {self.delimiter!r}", "quoted" if self.quoting == "csv" else "not quoted"]
        parts += [self.encoding] if self.encoding else []
        parts += [f"sheet {self.sheet!r}"] if self.sheet else []
        parts += ["with a header line" if self.header else "without a header line"]
        return ", ".join(parts)


class Table(ABC):
    """A file of rows; see `nlp_suite.data.table_reading.open_table`, which makes it.

    Attributes:
        path: the file.
        format: how it is read.
        columns: their names; None without a header.
        place: what a row's number counts, for messages: `"line"`, `"row"` or `"element"` of an array.
    """

    place: str = "line"
    format: TableFormat
    columns: list[str] | None

    def __init__(self, path: Path):
        self.path = path
        self._stamp = _stamp(path)

    def rows(self) -> Iterator[Row]:
        """Numbered rows, without the header; every row has a value a column. Read anew at every call, in flat memory.

        Values are strings in text files; else what the format holds, with None for a value that is missing.

        Raises:
            DataError: a row that cannot be read, with more or fewer columns than the first, or a file that changed since
                it was opened.
        """
        width = len(self.columns) if self.columns is not None else None
        self._check_unchanged()
        try:
            for number, row in self._read():
                if len(row) != width:
                    if width is None:
                        width = len(row)
                    else:
                        what = f"{len(row)} columns, but the first {self.place} has {width}{self._width_remedy()}"
                        raise DataError(f"{self.path}, {self.place} {number}: {what}")
                yield number, row
        except DataError:
            self._check_unchanged()  # which may be why
            raise
        self._check_unchanged()

    def found(self) -> str:
        """A sentence on what was found in the file and is not as its suffix says; empty where there is nothing to say."""
        return ""

    def look_further(self) -> None:
        """Adds to `columns` those that only rows far from the beginning have, where the format knows such."""
        return

    @abstractmethod
    def _read(self) -> Iterator[Row]:
        """Numbered rows, without the header."""

    def _width_remedy(self) -> str:
        return ""

    def _check_unchanged(self) -> None:
        if _stamp(self.path) != self._stamp:
            raise DataError(f"{self.path}: the file has changed while it was read; start again when it is complete")


def is_header(rows: Sequence[Sequence[Any]]) -> bool:
    """Whether the first of some rows looks like names of columns.

    Names are short, different, no numbers and no sentences, and stand in their column nowhere else.
    """
    if not rows:
        return False
    names = [value.strip() if isinstance(value, str) else value for value in rows[0]]
    if names and names[0] in ("", None):  # of the row numbers that pandas writes
        names = names[1:]
    if not names or not all(isinstance(name, str) and _NAME.fullmatch(name) for name in names):
        return False
    if len(set(names)) < len(names) or any(re.fullmatch(r"[\d.,:/-]+", name) for name in names):
        return False
    below = [set(values) for values in zip(*rows[1:])] or [set() for _ in rows[0]]
    return not any(name in values for name, values in zip(rows[0], below) if name != "")


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None
    return status.st_ino, status.st_size, status.st_mtime_ns
