"""Rows of TSV, CSV and JSONL files as examples; each reader yields one example at a time."""

import csv
import itertools
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_suite.data.compression import bare_suffix
from nlp_suite.data.kinds.base import CorpusKind
from nlp_suite.data.selection import Example
from nlp_suite.data.sources.reading import lines_without_ends, text_lines
from nlp_suite.errors import DataError
from nlp_suite.registry import unknown

FORMATS = {".tsv": "tsv", ".tab": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
MAX_FIELD_CHARACTERS = 64 * 2**20  # of CSV; an unclosed quote ends here instead of filling the memory


@dataclass(frozen=True)
class Column:
    """A column that is read.

    Attributes:
        field: the field of an example that it holds.
        place: its name or key, or number from 0.
        setting: the setting that says so, for messages.
    """

    field: str
    place: str | int
    setting: str


def format_of(path: Path) -> str:
    """`tsv`, `csv` or `jsonl`, by the name's suffix before an optional `.gz`, in either case."""
    suffix = bare_suffix(path)
    if suffix not in FORMATS:
        raise DataError(
            f"{path}: no format is known by the suffix {suffix!r} ({', '.join(FORMATS)}); set format: tsv, csv or jsonl"
        )
    return FORMATS[suffix]


def tsv_rows(path: Path, delimiter: str, on_error: str) -> Iterator[tuple[int, list[str]]]:
    r"""Numbered rows of a file without quoting: split at the delimiter and `"\n"`, nothing else; blank lines skipped.

    Where the first line ends in `"\r\n"`, one `"\r"` is taken off the end of every line.
    """
    for number, line in lines_without_ends(path, on_error):
        if line:
            yield number, line.split(delimiter)


def csv_rows(path: Path, delimiter: str, on_error: str) -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV file with the number of their first line; quoting as in RFC 4180; blank lines skipped."""
    reader = csv.reader((line for _, line in text_lines(path, on_error)), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        limit = csv.field_size_limit(MAX_FIELD_CHARACTERS)  # the module's limit of 131,072 is given back after each row
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{path}, line {number}: not valid CSV: {error}; a field that holds a quote, the delimiter or a line "
                f'end is quoted, and quotes in it are doubled ("a ""b"" c"); a file without quoting is format: tsv'
            ) from None
        finally:
            csv.field_size_limit(limit)
        if row is None:
            return
        if row:
            yield number, row


def table_examples(
    path: Path,
    rows: Iterator[tuple[int, list[str]]],
    columns: Sequence[Column],
    kind: CorpusKind,
    header: bool | str,
) -> Iterator[Example]:
    """Examples of numbered rows.

    Args:
        path: the file, for messages.
        rows: iterator of `(line number, cells)`.
        columns: what is read of them.
        kind: of the examples.
        header: whether the first row holds names; `"auto"`: it does when a column is asked for by name.
    """
    first = next(rows, None)
    if first is None:
        fields = " and ".join(column.field for column in columns)
        raise DataError(f"{path}: the file is empty; a row of {fields} a line is expected")
    number, row = first
    width = len(row)
    if header == "auto":
        header = any(isinstance(column.place, str) for column in columns)
    positions = [(column, _position(path, number, row, columns, column)) for column in columns]
    empty = True
    for number, row in rows if header else itertools.chain([first], rows):
        empty = False
        if len(row) != width:
            raise DataError(f"{path}, line {number}: {len(row)} columns, but the first line has {width}")
        yield _example(path, number, kind, [(column, row[position]) for column, position in positions])
    if empty:
        raise DataError(f"{path}: the file has a header line and no rows below it")


def _position(path: Path, number: int, row: list[str], columns: Sequence[Column], column: Column) -> int:
    place, setting = column.place, column.setting
    if isinstance(place, int):
        if place < len(row):
            return place
        raise DataError(f"{path}, line {number}: {setting} is {place}, but columns go from 0 to {len(row) - 1}")
    if row.count(place) == 1:
        return row.index(place)
    if place in row:
        many = f"{row.count(place)} columns are called {place!r}"
        raise DataError(f"{path}, line {number}: {many}; give {setting} as a number from 0")
    numbers = ", ".join(f"{other.setting}: {number}" for number, other in enumerate(columns))
    names = [name if len(name) <= 40 else name[:40] + "…" for name in row]
    raise DataError(
        f"{path}, line {number}: {setting}: {unknown('column', place, names)}; "
        f"a file without a header line takes numbers from 0, such as {numbers}"
    )


def jsonl_examples(path: Path, columns: Sequence[Column], kind: CorpusKind, on_error: str) -> Iterator[Example]:
    """Examples of a file with one JSON object a line; blank lines skipped.

    Args:
        path: the file.
        columns: what is read of an object.
        kind: of the examples.
        on_error: what to do with invalid Unicode.
    """
    empty = True
    for number, line in text_lines(path, on_error):
        if not line.strip():
            continue
        empty = False
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:  # a number of more than 4,300 digits is a ValueError only
            raise DataError(f"{path}, line {number}: not valid JSON: {error}; one object a line is expected") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: a JSON object is expected, got {line.strip()[:60]!r}")
        for column in columns:
            if column.place not in row:
                raise DataError(f"{path}, line {number}: {column.setting}: {unknown('key', column.place, row)}")
        values = [(column, _valid(row[column.place], path, number, on_error)) for column in columns]
        yield _example(path, number, kind, values)
    if empty:
        raise DataError(f"{path}: the file is empty; one JSON object a line is expected")


def _example(path: Path, number: int, kind: CorpusKind, values: list[tuple[Column, Any]]) -> Example:
    """The example of a row, whose values the kind checks."""
    try:
        return {column.field: kind.field_value(column.field, value, str(column.place)) for column, value in values}
    except DataError as error:
        raise DataError(f"{path}, line {number}: {error}") from None


def _valid(value: Any, path: Path, number: int, on_error: str) -> Any:
    """A JSON value, in whose strings half a surrogate pair, which is no Unicode text, is refused or replaced."""
    if isinstance(value, list):
        return [_valid(item, path, number, on_error) for item in value]
    if not isinstance(value, str):
        return value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        if on_error == "replace":
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        bad = f"\\u{ord(value[error.start]):04x} is half a surrogate pair"
        raise DataError(f"{path}, line {number}: {bad}; data.on_error=replace puts U+FFFD in its place") from None
    return value
