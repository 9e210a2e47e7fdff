"""Rows of tables as examples: which column is which field, and what is done with rows that lack one."""

import math
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nlp_suite.data.kinds.base import CorpusKind
from nlp_suite.data.selection import Example
from nlp_suite.data.table_reading import Table
from nlp_suite.errors import DataError
from nlp_suite.registry import unknown

_WHOLE = re.compile(r"-?\d{1,15}\.0+")  # as pandas writes whole numbers of a column that lacks some
_REMEDY = "data.missing: drop leaves out rows that lack a value"


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


def table_examples(
    table: Table, columns: Sequence[Column], kind: CorpusKind, dropped: Counter[str] | None = None
) -> Iterator[Example]:
    """Examples of the rows of a table.

    A field is missing where its value is None or not a number (NaN), and a label also where it is blank or, in text
    files, `nan`; where a text has any number of labels, null and blank are none of them. In text files a label such as `1.0` is
    the number 1.

    Args:
        table: an open table.
        columns: what is read of its rows.
        kind: of the examples.
        dropped: rows that lack a field, or whose text is blank, are left out and counted here, by field; None: a missing
            field is an error.

    Raises:
        DataError: a column that the table lacks, a table without rows, or a value that its field cannot have.
    """
    if any(isinstance(column.place, str) and column.place not in (table.columns or ()) for column in columns):
        table.look_further()
    positions, empty = None, True
    is_text = table.format.format in ("tsv", "csv")
    for number, row in table.rows():
        empty = False
        if positions is None:
            positions = [(column, _position(table, len(row), columns, column)) for column in columns]
        example: Example | None = {}
        for column, position in positions:
            value = row[position]
            blank = value is None or (isinstance(value, str) and not value.strip())
            no_labels = blank and column.field == "label" and kind.label_form == "several"  # which a text may have
            missing = is_missing(column.field, value, is_text) and not no_labels
            if dropped is not None and (missing or blank) and not no_labels:
                dropped[column.field] += 1
                example = None
                break
            try:
                example[column.field] = field_value(kind, column, value, table, missing)  # type: ignore[index]
            except DataError as error:
                raise DataError(f"{table.path}, {table.place} {number}: {error}") from None
        if example is not None:
            yield example
    if empty:
        if table.columns:
            for column in columns:
                _position(table, len(table.columns), columns, column)
            raise DataError(f"{table.path}: the file has a header line and no rows below it")
        fields = " and ".join(column.field for column in columns)
        raise DataError(f"{table.path}: the file is empty; a row of {fields} a line is expected")


def is_missing(field: str, value: Any, is_text: bool) -> bool:
    """Whether a field of a row is missing; `is_text`: in a text file."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    return field == "label" and isinstance(value, str) and (not value.strip() or (is_text and value in ("nan", "NaN")))


def field_value(kind: CorpusKind, column: Column, value: Any, table: Table, missing: bool) -> Any:
    """What an example holds, for a value of a table; a missing value is an error, which names the remedy."""
    format, called = table.format.format, str(column.place)
    if isinstance(value, bytes):
        raise DataError(f"{called!r} holds bytes, not text; decode them where the file is written")
    if isinstance(value, str):
        if missing and value.strip():
            raise DataError(f"{called!r} is {value!r}, which stands for a missing value; {_REMEDY}")
        if column.field == "label" and format in ("tsv", "csv") and _WHOLE.fullmatch(value):
            value = str(int(float(value)))
    elif not isinstance(value, int | float | list | dict | None):
        value = str(value)  # a date, or a decimal number
    if format == "excel" and column.field != "label" and isinstance(value, int | float):
        value = str(value)  # Excel makes a number of a text that looks like one
    try:
        return kind.field_value(column.field, value, called)
    except DataError as error:
        raise DataError(f"{error}; {_REMEDY}" if missing else str(error)) from None


def _position(table: Table, width: int, columns: Sequence[Column], column: Column) -> int:
    place, setting, names = column.place, column.setting, table.columns or []
    where = f"{table.path}, {table.place} 1: "
    if isinstance(place, int):
        if place < width:
            return place
        raise DataError(f"{where}{setting} is {place}, but columns go from 0 to {width - 1}")
    if names.count(place) == 1:
        return names.index(place)
    if place in names:
        many = f"{names.count(place)} columns are called {place!r}"
        raise DataError(f"{where}{many}; give {setting} as a number from 0")
    shown = [name if len(name) <= 40 else name[:40] + "…" for name in names]
    if table.format.format in ("json", "jsonl"):
        raise DataError(f"{where}{setting}: {unknown('key', place, shown)}")
    numbers = ", ".join(f"{other.setting}: {number}" for number, other in enumerate(columns))
    raise DataError(
        f"{where}{setting}: {unknown('column', place, shown)}; a file without a header line takes numbers from 0, such as "
        f"{numbers}"
    )
