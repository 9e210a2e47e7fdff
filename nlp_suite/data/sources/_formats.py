"""Rows of TSV, CSV and JSONL files as examples; each reader yields one example at a time."""

import csv
import itertools
import json
from collections.abc import Iterator
from pathlib import Path

from nlp_suite.data.sources._base import DataError
from nlp_suite.data.sources._reading import cut_lines, text_lines
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


def table_examples(path: Path, rows, text_column, label_column, header: bool | str) -> Iterator[dict[str, str]]:
    """Examples of numbered rows.

    Args:
        path: the file, for messages.
        rows: iterator of `(line number, fields)`.
        text_column: name, or number from 0.
        label_column: name, number or None.
        header: whether the first row holds names; `"auto"`: it does when a column is asked for by name.
    """
    first = next(rows, None)
    if first is None:
        raise DataError(f"{path}: the file is empty; a row of text and label a line is expected")
    number, row = first
    width = len(row)
    if header == "auto":
        header = isinstance(text_column, str) or isinstance(label_column, str)
    text = _position(path, number, row, text_column, "text_column")
    label = None if label_column is None else _position(path, number, row, label_column, "label_column")
    empty = True
    for number, row in rows if header else itertools.chain([first], rows):
        empty = False
        if len(row) != width:
            raise DataError(f"{path}, line {number}: {len(row)} columns, but the first line has {width}")
        example = {"text": row[text]}
        if label is not None:
            example["label"] = _label(row[label], path, number)
        yield example
    if empty:
        raise DataError(f"{path}: the file has a header line and no rows below it")


def _position(path: Path, number: int, row: list[str], column: str | int, setting: str) -> int:
    if isinstance(column, int):
        if column < len(row):
            return column
        raise DataError(f"{path}, line {number}: {setting} is {column}, but columns go from 0 to {len(row) - 1}")
    if row.count(column) == 1:
        return row.index(column)
    if column in row:
        many = f"{row.count(column)} columns are called {column!r}"
        raise DataError(f"{path}, line {number}: {many}; give {setting} as a number from 0")
    names = [name if len(name) <= 40 else name[:40] + "…" for name in row]
    raise DataError(
        f"{path}, line {number}: {setting}: {unknown('column', column, names)}; "
        f"a file without a header line takes numbers from 0: text_column: 1, label_column: 0"
    )


def jsonl_examples(path: Path, text_column: str, label_column: str | None, on_error: str) -> Iterator[dict[str, str]]:
    """Examples of a file with one JSON object a line; blank lines skipped; labels: strings, numbers, booleans."""
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
        for setting, key in (("text_column", text_column), ("label_column", label_column)):
            if key is not None and key not in row:
                raise DataError(f"{path}, line {number}: {setting}: {unknown('key', key, row)}")
        text = row[text_column]
        if not isinstance(text, str):
            raise DataError(f"{path}, line {number}: {text_column!r} must be a string, got {json.dumps(text)[:60]}")
        example = {"text": _valid(text, path, number, on_error)}
        if label_column is not None:
            label = row[label_column]
            if label is None or isinstance(label, (dict, list)):
                given = json.dumps(label)[:60]
                raise DataError(f"{path}, line {number}: {label_column!r} must be a string or number, got {given}")
            label = _valid(label, path, number, on_error) if isinstance(label, str) else json.dumps(label)
            example["label"] = _label(label, path, number)
        yield example
    if empty:
        raise DataError(f"{path}: the file is empty; one JSON object a line is expected")


def _label(label: str, path: Path, number: int) -> str:
    if not label.strip():
        hint = "texts without labels are read with label_column: null"
        raise DataError(f"{path}, line {number}: the label is empty ({hint})")
    return label


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
