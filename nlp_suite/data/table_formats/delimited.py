"""Tables of delimited text: CSV, TSV and their relatives, read row by row with Python's csv module."""

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path

from nlp_suite.data.table_formats.base import Row, Table, TableFormat, is_header
from nlp_suite.data.table_formats.dialect import (
    DELIMITERS,
    csv_rows,
    decide_quoting,
    find_dialect,
    invalid_csv,
    quote_opens,
    split_lines,
)
from nlp_suite.data.table_formats.text_input import SAMPLE_BYTES, TextInput, find_encoding
from nlp_suite.errors import DataError

_SEPARATOR_LINE = re.compile(r"sep=([^\w\s]|\t)(?=[\r\n])")  # by which spreadsheets are told the delimiter
USUAL = {"tsv": "\t", "csv": ","}


class DelimitedTable(Table):
    """Rows of text; every value is a string."""

    def __init__(
        self,
        path: Path,
        format: str,
        delimiter: str | None,
        quoting: str,
        encoding: str,
        header: bool | str,
        on_error: str,
    ):
        super().__init__(path)
        text = TextInput(path, find_encoding(path, encoding), on_error)
        sample, more = text.sample()
        self._names_delimiter = _SEPARATOR_LINE.match(sample)
        if self._names_delimiter:
            delimiter = delimiter or self._names_delimiter.group(1)
            sample = sample[self._names_delimiter.end() :]  # its end stays: a blank line
        self._dialect = find_dialect(path, sample, more, delimiter, USUAL[format], quoting)
        self._text = TextInput(path, text.encoding, on_error, self._dialect.newline)
        first = self._first_rows(sample, more)
        named = is_header(first) if header == "auto" else bool(header)
        shown = "csv" if self._dialect.quoting == "csv" else "none"
        self.format = TableFormat(format, self._dialect.delimiter, shown, text.encoding, named)
        self.columns = first[0] if named and first else None
        self._found = {
            "delimiter": delimiter is None and self._dialect.delimiter != USUAL[format],
            "quoting": quoting == "auto"
            and self._dialect.quoting != "unseen"
            and (shown == "csv") != (format == "csv"),
            "empty": self._dialect.empty_quotes,
            "encoding": text.encoding not in (encoding, "utf-8"),
        }

    def _first_rows(self, sample: str, more: bool) -> list[list[str]]:
        rows: list[list[str]] = []
        try:
            for _, row in itertools.islice(self._split(enumerate(split_lines(sample, self._dialect.newline), 1)), 100):
                rows.append(row)
        except DataError:
            if not more:  # else the sample ends within a row
                raise
        return rows

    def found(self) -> str:
        said = []
        if self._found["delimiter"]:
            delimiter = self._dialect.delimiter
            said.append(f"columns are delimited by {DELIMITERS.get(delimiter, repr(delimiter))}")
        if self._found["quoting"]:
            said.append("fields are quoted" if self.format.quoting == "csv" else "nothing is quoted")
        if self._found["empty"]:
            said.append('fields of "" are read as empty; quoting: none reads them as two quotes')
        if self._found["encoding"]:
            said.append(f"the encoding is {self._text.encoding.upper()}, by its byte order mark")
        return f"{self.path}: {', '.join(said)} (found in the file)" if said else ""

    def _read(self) -> Iterator[Row]:
        lines = self._text.lines()
        if self._names_delimiter:
            next(lines)
            lines = itertools.chain([(1, "\n")], lines)
        rows = self._split(lines)
        if self.format.header:
            next(rows, None)
        return rows

    def _width_remedy(self) -> str:
        called = DELIMITERS.get(self._dialect.delimiter, repr(self._dialect.delimiter))
        quoting = "quoted as in RFC 4180" if self.format.quoting == "csv" else "not quoted"
        return f" (read as delimited by {called} and {quoting}; delimiter and quoting say otherwise)"

    def _split(self, lines: Iterator[tuple[int, str]]) -> Iterator[Row]:
        if self._dialect.quoting == "csv" or (self._dialect.quoting == "unseen" and self._dialect.delimiter in ",;"):
            return self._quoted(lines)
        return self._unquoted(lines, self._dialect.quoting == "unseen")

    def _quoted(self, lines: Iterator[tuple[int, str]], before: int = 0) -> Iterator[Row]:
        try:
            for number, row in csv_rows((line for _, line in lines), self._dialect.delimiter):
                yield before + number, row
        except csv.Error as error:
            number = before + error.line  # type: ignore[attr-defined]
            raise DataError(f"{self.path}, line {number}: {invalid_csv(error)}") from None

    def _unquoted(self, lines: Iterator[tuple[int, str]], undecided: bool) -> Iterator[Row]:
        """Rows split at the delimiter; the first field that begins with a quote decides, where none was in the sample."""
        delimiter, newline = self._dialect.delimiter, self._dialect.newline
        for number, line in lines:
            if undecided and '"' in line and quote_opens(line, delimiter):
                ahead, size = [(number, line)], len(line)
                for item in lines:
                    ahead.append(item)
                    size += len(item[1])
                    if size > SAMPLE_BYTES:
                        break
                undecided, lines = False, itertools.chain(ahead, lines)
                quoting = decide_quoting(self.path, ahead, size > SAMPLE_BYTES, delimiter, newline)
                yield from self._quoted(lines, number - 1) if quoting == "csv" else self._unquoted(lines, False)
                return
            line = line.removesuffix("\n").removesuffix("\r")
            if line:
                yield number, line.split(delimiter)
