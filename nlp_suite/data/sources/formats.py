"""Rows of TSV, CSV and JSONL files as examples; each reader yields one example at a time."""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from nlp_suite.data.sources.reading import cut_lines, text_lines
from nlp_suite.errors import DataError
from nlp_suite.registry import unknown

FORMATS = {".tsv": "tsv", ".tab": "tsv", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
LONGEST_FIELD = 64 * 2**20  # characters of a CSV field; an unclosed quote ends here instead of filling the memory


def format_of(path: Path) -> str:
    """`tsv`, `csv` or `jsonl`, by the name's suffix before an optional `.gz`."""
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    if suffix not in FORMATS:
        raise DataError(
            f"{path}: no format is known by the suffix {suffix!r} ({', '.join(FORMATS)}); set format: tsv, csv or jsonl"
        )
    return FORMATS[suffix]


def tsv_rows(path: Path, delimiter: str, on_error: str) -> Iterator[tuple[int, list[str]]]:
    r"""Numbered rows of a file without quoting: split at the delimiter and `"\n"`, nothing else; blank lines skipped.

    Where the first line ends in `"\r\n"`, one `"\r"` is taken off the end of every line.
    """
    for number, line in cut_lines(path, on_error):
        if line:
            yield number, line.split(delimiter)


def csv_rows(path: Path, delimiter: str, on_error: str) -> Iterator[tuple[int, list[str]]]:
    """Rows of a CSV file with the number of their first line; quoting as in RFC 4180; blank lines skipped."""
    reader = csv.reader((line for _, line in text_lines(path, on_error)), delimiter=delimiter, strict=True)
    while True:
        number = reader.line_num + 1
        limit = csv.field_size_limit(LONGEST_FIELD)  # the module's limit of 131,072 is given back after each row
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


def table_examples(path: Path, rows, columns: dict[str, str | int], header: bool | str) -> Iterator[dict[str, str]]:
    """Examples of numbered rows.

    Args:
        path: the file, for messages.
        rows: iterator of `(line number, fields)`.
        columns: key of an example (`"text"`, `"label"`, `"source"` or `"target"`) → name, or number from 0.
        header: whether the first row holds names; `"auto"`: it does when a column is asked for by name.
    """
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: the file is empty; a row of {' and '.join(columns)} a line is expected")
    number, row = first
    width = len(row)
    if header == "auto":
        header = any(isinstance(column, str) for column in columns.values())
    positions = {key: _position(path, number, row, columns, key) for key in columns}
    empty = True
    for number, row in rows if header else itertools.chain([first], rows):
        empty = False
        if len(row) != width:
            raise DataError(f"{path}, line {number}: {len(row)} columns, but the first line has {width}")
        example = {key: row[position] for key, position in positions.items()}
        if "label" in example:
            _check_label(example["label"], path, number)
        yield example
    if empty:
        raise DataError(f"{path}: the file has a header line and no rows below it")


def _position(path: Path, number: int, row: list[str], columns: dict[str, str | int], key: str) -> int:
    column, setting = columns[key], f"{key}_column"
    if isinstance(column, int):
        if column < len(row):
            return column
        raise DataError(f"{path}, line {number}: {setting} is {column}, but columns go from 0 to {len(row) - 1}")
    if row.count(column) == 1:
        return row.index(column)
    if column in row:
        many = f"{row.count(column)} columns are called {column!r}"
        raise DataError(f"{path}, line {number}: {many}; give {setting} as a number from 0")
    numbers = ", ".join(f"{key}_column: {number}" for number, key in enumerate(columns))
    names = [name if len(name) <= 40 else name[:40] + "…" for name in row]
    raise DataError(
        f"{path}, line {number}: {setting}: {unknown('column', column, names)}; "
        f"a file without a header line takes numbers from 0, such as {numbers}"
    )


def jsonl_examples(path: Path, columns: dict[str, str], on_error: str) -> Iterator[dict[str, str]]:
    """Examples of a file with one JSON object a line; blank lines skipped.

    `columns`: key of an example → key of an object. A label is a string, a number or a boolean, all else a string.
    """
    empty = True
    for number, line in text_lines(path, on_error):
        if not line.strip():
            continue
        empty = False
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise DataError(f"{path}, line {number}: not valid JSON: {error}; one object a line is expected") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: a JSON object is expected, got {line.strip()[:60]!r}")
        for key, name in columns.items():
            if name not in row:
                raise DataError(f"{path}, line {number}: {key}_column: {unknown('key', name, row)}")
        example = {key: _value(row[name], key, name, path, number, on_error) for key, name in columns.items()}
        if "label" in example:
            _check_label(example["label"], path, number)
        yield example
    if empty:
        raise DataError(f"{path}: the file is empty; one JSON object a line is expected")


def _value(value, key: str, name: str, path: Path, number: int, on_error: str) -> str:
    if isinstance(value, str):
        return _valid(value, path, number, on_error)
    if key == "label" and isinstance(value, (int, float)):
        return json.dumps(value)
    allowed = "a string or number" if key == "label" else "a string"
    raise DataError(f"{path}, line {number}: {name!r} must be {allowed}, got {json.dumps(value)[:60]}")


def _check_label(label: str, path: Path, number: int) -> None:
    if not label.strip():
        hint = "texts without labels are read with label_column: null"
        raise DataError(f"{path}, line {number}: the label is empty ({hint})")


def _valid(text: str, path: Path, number: int, on_error: str) -> str:
    """JSON can spell half a surrogate pair, which is no Unicode text."""
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        if on_error == "replace":
            return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        bad = f"\\u{ord(text[error.start]):04x} is half a surrogate pair"
        raise DataError(f"{path}, line {number}: {bad}; data.on_error=replace puts U+FFFD in its place") from None
    return text
