"""Tables of JSON: an object a line, or an array of objects, read one object at a time."""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlp_suite.data.table_formats.base import Row, Table, TableFormat
from nlp_suite.data.table_formats.text_input import TextInput, find_encoding
from nlp_suite.errors import DataError

SAMPLE_ROWS = 1000  # whose keys are the columns
MAX_ELEMENT_CHARACTERS = 64 * 2**20  # of an array; one that is never closed ends here instead of filling the memory
_SPACE = re.compile(r"[ \t\r\n]*")
_RECORDS = "an array of objects, or one object a line, is expected (pandas writes them with orient='records')"


class JsonTable(Table):
    """Objects whose keys are columns; a key that an object lacks is None.

    Columns are the keys of the first objects; `look_further` adds those that only later ones have.
    """

    def __init__(self, path: Path, format: str, encoding: str, on_error: str):
        super().__init__(path)
        self._text = TextInput(path, find_encoding(path, encoding), on_error)
        sample = self._text.sample()[0].strip() if format == "json" else ""
        begin, self._one_object = sample[:20], sample.startswith("{") and "\n" not in sample
        if format == "json" and not begin.startswith(("[", "{")):
            what = f"no JSON table begins with {begin!r}" if begin else "the file is empty"
            raise DataError(f"{path}: {what}; {_RECORDS}")
        self._array = begin.startswith("[")
        self.place = "element" if self._array else "line"
        self.format = TableFormat("json" if self._array else "jsonl", encoding=self._text.encoding)
        self.columns = list(self._keys())

    def look_further(self) -> None:
        self.columns = list(self._keys(None))

    def _keys(self, rows: int | None = SAMPLE_ROWS) -> dict[str, None]:
        """The keys of so many first objects, or of all, as far as they can be read."""
        keys: dict[str, None] = {}
        seen = False
        try:
            for _, item in itertools.islice(self._objects(), rows):
                seen = True
                keys |= dict.fromkeys(item)
        except DataError:
            if not seen:  # else it is met again where rows are read
                raise
        return keys

    def _read(self) -> Iterator[Row]:
        columns, on_error = self.columns or [], self._text.on_error
        for number, item in self._objects():
            where = f"{self.path}, {self.place} {number}"
            yield number, [_valid(item.get(column), where, on_error) for column in columns]

    def _objects(self) -> Iterator[tuple[int, dict[str, Any]]]:
        for number, value in self._elements() if self._array else self._lines():
            if not isinstance(value, dict):
                what = f"a JSON object is expected, got {json.dumps(value)[:60]}"
                raise DataError(f"{self.path}, {self.place} {number}: {what}")
            yield number, value

    def _lines(self) -> Iterator[tuple[int, Any]]:
        for number, line in self._text.lines():
            if not line.strip():
                continue
            try:
                value = json.loads(line)
            except (ValueError, RecursionError) as error:  # a number of more than 4,300 digits is a ValueError only
                what = f"not valid JSON: {error}; one object a line is expected"
                raise DataError(f"{self.path}, line {number}: {what}") from None
            if self._one_object and value and all(isinstance(item, dict | list) for item in value.values()):
                raise DataError(f"{self.path}, line 1: an object of objects or arrays is no row; {_RECORDS}")
            yield number, value

    def _elements(self) -> Iterator[tuple[int, Any]]:
        """The elements of an array, numbered from 1: all of them may stand in one line."""
        text, number = _ArrayText(self._text), 0
        text.take("[")
        while text.character() != "]":
            number += 1
            yield number, text.value()
            if text.character() != "]":
                text.take(",")
        text.take("]")
        if text.character():
            raise text.error("something stands behind the array")


class _ArrayText:
    """The text of an array, of which only the part that is being read is held.

    Attributes:
        number: of the line that is being read.
    """

    def __init__(self, text: TextInput):
        self._path, self._pieces = text.path, text.pieces()
        self._buffer, self._at, self.number = "", 0, 1
        self._decoder = json.JSONDecoder()

    def character(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            end = _SPACE.match(self._buffer, self._at).end()  # type: ignore[union-attr]  # it matches an empty text too
            self._move(end)
            if end < len(self._buffer):
                return self._buffer[end]
            if not self._fill():
                return ""

    def take(self, wanted: str) -> None:
        """Steps over a character, which is the next one."""
        found = self.character()
        if found != wanted:
            raise self.error(f"{wanted!r} is missing" + (f" before {found!r}" if found else " at the end of the file"))
        self._move(self._at + 1)

    def value(self) -> Any:
        """The next value."""
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except (ValueError, RecursionError) as error:
                if len(self._buffer) - self._at > MAX_ELEMENT_CHARACTERS or not self._fill():
                    raise self.error(str(error).partition(": line")[0]) from None
                continue
            if end < len(self._buffer) or not self._fill():  # a number at the end of the buffer may go on
                self._move(end)
                return value

    def error(self, what: str) -> DataError:
        """The error for what is wrong here."""
        remedy = "an array of objects is expected; larger tables are better written as JSON lines"
        return DataError(f"{self._path}, line {self.number}: not valid JSON: {what}; {remedy}")

    def _move(self, to: int) -> None:
        self.number += self._buffer.count("\n", self._at, to)
        self._at = to

    def _fill(self) -> bool:
        """Reads on, so that the buffer at least doubles; whether there was more."""
        rest = [self._buffer[self._at :]]
        wanted = max(1, len(rest[0]))
        while wanted > 0 and (piece := next(self._pieces, "")):
            rest.append(piece)
            wanted -= len(piece)
        self._buffer, self._at = "".join(rest), 0
        return len(rest) > 1


def _valid(value: Any, where: str, on_error: str) -> Any:
    """A JSON value, in whose strings half a surrogate pair, which is no Unicode text, is refused or replaced."""
    if isinstance(value, list):
        return [_valid(item, where, on_error) for item in value]
    if not isinstance(value, str):
        return value
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as error:
        if on_error == "replace":
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        bad = f"\\u{ord(value[error.start]):04x} is half a surrogate pair"
        raise DataError(f"{where}: {bad}; data.on_error=replace puts U+FFFD in its place") from None
    return value
