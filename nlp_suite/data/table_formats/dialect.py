"""How the rows of a delimited text file are written: its delimiter, quoting and line ends, found in a sample of it."""

import csv
import io
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from nlp_suite.errors import DataError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
MAX_FIELD_CHARACTERS = 64 * 2**20  # of a quoted field; one that is never closed ends here instead of filling the memory
_ENOUGH_ERRORS = 20  # rows that are not validly quoted, after which a sample is not read on
_FEW_ERRORS = 0.1  # share of rows with quotes below which invalid ones are mistakes in a quoted file


@dataclass(frozen=True)
class Dialect:
    """How rows are written.

    Attributes:
        delimiter: one character.
        quoting: `"csv"` as in RFC 4180, `"none"`: quotes are text, `"unseen"`: no field of the sample begins with one.
        newline: what ends a line; a CR before an LF belongs to the end.
        width: the number of columns where every row of the sample has it, else 0.
        problem: why the sample cannot be read so; empty where it can.
    """

    delimiter: str
    quoting: str
    newline: str
    width: int
    problem: str = ""

    @property
    def fits(self) -> bool:
        """Whether the sample has two columns or more in every row."""
        return self.width > 1 and not self.problem


def find_dialect(
    path: Path, sample: str, more: bool, delimiter: str | None, usual: str, quoting: str = "auto"
) -> Dialect:
    """The dialect of a file.

    Args:
        path: for messages.
        sample: the beginning of its text.
        more: whether the file goes on after it.
        delimiter: the one it has; None: to be found among `DELIMITERS`.
        usual: the delimiter of files with this suffix; it is taken where it fits, and where none does.
        quoting: `"csv"` or `"none"` where that is known; `"auto"`: to be found.

    Raises:
        DataError: several delimiters fit, or the quoting cannot be told.
    """
    if more:  # the last line is cut
        sample = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample
    lone_returns = re.search(r"\r(?!\n|\Z)", sample) is not None
    newlines = ["\n", *(["\r"] if lone_returns else [])] if "\n" in sample or not lone_returns else ["\r"]
    tried = []
    for newline in newlines:
        lines = list(io.StringIO(sample, newline=newline))
        first = next((line for line in lines if line.strip("\r\n")), "")
        candidates = [delimiter] if delimiter else [usual, *(d for d in DELIMITERS if d != usual and d in first)]
        tried.append([_looked_at(lines, more, d, newline, quoting) for d in candidates])
        if tried[-1][0].fits and tried[-1][0].quoting == "csv":
            return tried[-1][0]
    as_usual, *others = tried[0]
    fitting = [dialect for dialect in others if dialect.fits]
    if not as_usual.fits and len(fitting) > 1:
        named = ", ".join(f"{d.delimiter!r} ({d.width} columns)" for d in fitting)
        raise DataError(f"{path}: several delimiters split every row alike: {named}; set delimiter to one of them")
    found = fitting[0] if fitting and not as_usual.fits else as_usual
    if found.problem:
        raise DataError(f"{path}, {found.problem}")
    return found


def quoting_of(lines: list[str], more: bool, delimiter: str, newline: str) -> str:
    """`"csv"` or `"none"`, as `find_dialect` finds it, for lines of which the first has a field that begins with a quote."""
    found = _looked_at(lines, more, delimiter, newline, "auto")
    return "none" if found.problem else found.quoting


def quote_opens(line: str, delimiter: str) -> bool:
    """Whether a field of a line begins with a quote."""
    return line.startswith('"') or f'{delimiter}"' in line


def csv_rows(lines: Iterable[str], delimiter: str, **options: object) -> Iterator[tuple[int, list[str]]]:
    """Rows quoted as in RFC 4180, each with the number of its first line, counted from 1; blank lines are skipped.

    Raises:
        csv.Error: a row that is not valid; its `line` is the number of the row's first line.
    """
    reader = csv.reader(lines, delimiter=delimiter, strict=True, **options)  # type: ignore[arg-type]
    while True:
        number = reader.line_num + 1
        limit = csv.field_size_limit(MAX_FIELD_CHARACTERS)  # the module's limit of 131,072 is given back after each row
        try:
            row = next(reader, None)
        except csv.Error as error:
            error.line = number  # type: ignore[attr-defined]
            raise
        finally:
            csv.field_size_limit(limit)
        if row is None:
            return
        if row:
            yield number, row


def _looked_at(lines: list[str], more: bool, delimiter: str, newline: str, quoting: str) -> Dialect:
    quoted = any(quote_opens(line, delimiter) for line in lines)
    plain = Counter(line.count(delimiter) + 1 for line in lines if line.strip("\r\n"))
    plain_width = next(iter(plain)) if len(plain) == 1 else 0
    if quoting == "none" or not quoted:
        return Dialect(delimiter, "unseen" if quoting == "auto" else quoting, newline, plain_width)
    widths, errors, quoted_rows = _parsed(lines, more, delimiter)
    width = next(iter(widths)) if len(widths) == 1 else 0
    as_csv = Dialect(delimiter, "csv", newline, width)
    if quoting == "csv" or not errors:
        as_none = quoting == "auto" and not width and plain_width > 1
        return Dialect(delimiter, "none", newline, plain_width) if as_none else as_csv
    where = f"line {errors[0]}: "
    if all('\\"' in lines[number - 1] for number in errors) and _escapes_fit(lines, more, delimiter):
        problem = (
            "quotes within quoted fields stand behind backslashes; write them doubled, as RFC 4180 has them "
            "(in pandas by doublequote=True, in Spark by the option escape='\"'), or set quoting: none to take quotes and "
            "backslashes as they are"
        )
        return Dialect(delimiter, "csv", newline, width, where + problem)
    if delimiter in ",;":  # what is delimited by them is quoted, or its texts could hold none
        return as_csv
    if len(errors) > _FEW_ERRORS * quoted_rows:
        return Dialect(delimiter, "none", newline, plain_width)
    problem = (
        f"{len(errors)} of {quoted_rows:,} rows with a field that begins with a quote are not quoted as in RFC 4180 and "
        "the others are; mend them, or set quoting: none to take every quote as text (or quoting: csv)"
    )
    return Dialect(delimiter, "csv", newline, width, where + problem)


def _escapes_fit(lines: list[str], more: bool, delimiter: str) -> bool:
    """Whether rows are of one width where a backslash takes the meaning of the quote behind it."""
    widths, errors, _ = _parsed(lines, more, delimiter, escapechar="\\", doublequote=False)
    return len(widths) == 1 and not errors


def _parsed(lines: list[str], more: bool, delimiter: str, **options: object) -> tuple[Counter[int], list[int], int]:
    """Widths of the rows, first lines of those that are not valid, and the number of rows with a quote at a field's start."""
    widths: Counter[int] = Counter()
    errors: list[int] = []
    start, quoted_rows = 0, 0
    while len(errors) < _ENOUGH_ERRORS:
        try:
            for number, row in csv_rows(itertools.islice(lines, start, None), delimiter, **options):
                widths[len(row)] += 1
                quoted_rows += quote_opens(lines[start + number - 1], delimiter)
            break
        except csv.Error as error:
            number = error.line  # type: ignore[attr-defined]
            cut = more and "end of data" in str(error) and sum(map(len, lines[start + number - 1 :])) < 2**20
            if cut:  # by the end of the sample
                break
            errors.append(start + number)
            start += number
            quoted_rows += 1
    return widths, errors, quoted_rows
