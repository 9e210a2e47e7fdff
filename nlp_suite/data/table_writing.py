"""Writing tables: one dialect for all that this package writes, which `open_table` reads back as it was."""

import csv
import io
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Protocol

from nlp_suite.data.compression import COMPRESSIONS, bare_suffix, compression_of, open_compressed
from nlp_suite.errors import DataError

SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
DELIMITERS = {".csv": ",", ".tsv": "\t"}
BATCH_ROWS = 4096  # of Parquet, written at once


class TableWriter(Protocol):
    """What takes the rows of a table."""

    def write(self, row: Sequence[Any]) -> None:
        """Writes a row, a value a column."""


def check_table_path(path: str | Path) -> Path:
    """The path of a table to write, with `~` expanded.

    Raises:
        DataError: its suffix is of no format that is written, its folder does not exist, or a package is missing.
    """
    path = Path(path).expanduser()
    suffix, compression = bare_suffix(path), compression_of(path)
    if suffix not in SUFFIXES or (compression and suffix == ".parquet"):
        allowed = f"{', '.join(SUFFIXES)}; all but .parquet also with {', '.join(COMPRESSIONS)}"
        raise DataError(f"{path}: no table is written by the suffix {''.join(path.suffixes[-2:])!r} ({allowed})")
    check_place(path)
    return path


def check_place(path: Path) -> None:
    """Refuses a path at which no file can be written.

    Raises:
        DataError: it is a folder, or its folder does not exist.
    """
    if path.is_dir() or not path.parent.is_dir():
        why = "it is a folder" if path.is_dir() else f"there is no folder {str(path.parent)!r}"
        raise DataError(f"{path} cannot be written: {why}")


@contextmanager
def placed(path: Path) -> Iterator[Path]:
    """A path beside another one, to write to; renamed to it at the end, or removed after an error.

    Raises:
        DataError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        yield beside
        os.replace(beside, path)
    except OSError as error:
        raise DataError(f"{path} cannot be written: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


class DelimitedWriter:
    """Rows of CSV or TSV in a text file: the one dialect of the suite.

    Fields that hold a quote, the delimiter or a line end are quoted as in RFC 4180; lines end at LF. None is an empty
    field; truth values, lists and mappings are JSON.

    Args:
        file: a text file or stream.
        delimiter: a comma or a tab.
        columns: names, which are written at once.
    """

    def __init__(self, file: IO[str], delimiter: str, columns: Sequence[str]):
        self._writer = csv.writer(_LineFeeds(file), delimiter=delimiter, lineterminator="\r\n")
        self.write(columns)

    def write(self, row: Sequence[Any]) -> None:
        """Writes a row, a value a column."""
        self._writer.writerow([_field(value) for value in row])


class _LineFeeds:
    """Ends every row in LF: a writer quotes what its line end has, and a CR is quoted only where that has one."""

    def __init__(self, file: IO[str]):
        self._file = file

    def write(self, row: str) -> None:
        self._file.write(row.removesuffix("\r\n") + "\n")


@contextmanager
def open_table_writer(path: str | Path, columns: Sequence[str]) -> Iterator[TableWriter]:
    """Writes a table by suffix: CSV, TSV, JSON lines or Parquet, text also compressed.

    The file appears whole at the end of the context, and not at all if an error leaves it.

    Args:
        path: the file; one that is there is replaced.
        columns: names of the columns.

    Raises:
        DataError: the path cannot be written, or (Parquet) a column that has values of several types.

    Example:
        >>> with open_table_writer("answers.csv", ["text", "label"]) as table:
        ...     table.write(["fine", "positive"])
    """
    path = check_table_path(path)
    suffix = bare_suffix(path)
    with placed(path) as beside:
        if suffix == ".parquet":
            parquet = _ParquetWriter(beside, path, columns)
            yield parquet
            parquet.close()
        else:
            with open_compressed(beside, path) as raw, io.TextIOWrapper(raw, "utf-8", newline="") as file:
                if suffix == ".jsonl":
                    yield _JsonWriter(file, columns)
                else:
                    yield DelimitedWriter(file, DELIMITERS[suffix], columns)


class _JsonWriter:
    def __init__(self, file: IO[str], columns: Sequence[str]):
        self._file, self._columns = file, columns

    def write(self, row: Sequence[Any]) -> None:
        self._file.write(json_line(dict(zip(self._columns, row, strict=True))) + "\n")


class _ParquetWriter:
    """Rows in batches; the types of the columns are found in them."""

    def __init__(self, beside: Path, path: Path, columns: Sequence[str]):
        try:
            import pyarrow
            from pyarrow import parquet
        except ModuleNotFoundError:
            remedy = "it is installed by pip install 'nlp-suite[parquet]'"
            raise DataError(f"{path}: Parquet needs the package pyarrow; {remedy}") from None
        self._arrow, self._parquet = pyarrow, parquet
        self._beside, self._path, self._columns = beside, path, list(columns)
        self._rows: list[Sequence[Any]] = []
        self._writer: Any = None

    def write(self, row: Sequence[Any]) -> None:
        self._rows.append(row)
        if len(self._rows) == BATCH_ROWS:
            self._flush()

    def close(self) -> None:
        if self._rows or not self._writer:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        columns = list(zip(*self._rows, strict=True)) or [()] * len(self._columns)
        arrays = [self._array(name, column) for name, column in zip(self._columns, columns, strict=True)]
        table, self._rows = self._arrow.Table.from_arrays(arrays, self._columns), []
        if self._writer and table.schema != self._writer.schema:
            self._widen(table.schema)
        elif not self._writer:
            self._writer = self._parquet.ParquetWriter(self._beside, table.schema)
        self._writer.write_table(table.cast(self._writer.schema))

    def _array(self, name: str, column: Sequence[Any]) -> Any:
        try:
            return self._arrow.array(column)
        except (self._arrow.ArrowException, OverflowError) as error:
            raise self._mixed(name, error) from None

    def _widen(self, schema: Any) -> None:
        """Writes again what is there, with types that also hold those of a schema, such as 1.5 in a column of whole numbers."""
        try:
            wider = self._arrow.unify_schemas([self._writer.schema, schema], promote_options="permissive")
        except self._arrow.ArrowException as error:
            differs = [field.name for field in schema if field != self._writer.schema.field(field.name)]
            raise self._mixed(differs[0], error) from None
        if wider == self._writer.schema:
            return
        self._writer.close()
        before = self._beside.with_name(self._beside.name + ".before")
        os.replace(self._beside, before)
        try:
            self._writer = self._parquet.ParquetWriter(self._beside, wider)
            for batch in self._parquet.ParquetFile(before).iter_batches(BATCH_ROWS):
                self._writer.write_table(self._arrow.Table.from_batches([batch]).cast(wider))
        finally:
            before.unlink()

    def _mixed(self, name: str, error: Exception) -> DataError:
        what = f"the column {name!r} has values of several types ({error})"
        return DataError(f"{self._path}: {what}; write .jsonl or .csv")


def _field(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool | list | tuple | dict):
        return json_line(value)
    return value


def json_line(value: Any) -> str:
    """A value as JSON in one line; what JSON does not have, such as a date, as text."""
    return json.dumps(value, ensure_ascii=False, default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return value.item() if hasattr(value, "item") else str(value)  # a number of NumPy
