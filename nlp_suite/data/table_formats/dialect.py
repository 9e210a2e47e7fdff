"""How the rows of a delimited text file are written: its delimiter, quoting and line ends, found in a sample of it."""

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from nlp_suite.data.table_formats.base import is_header
from nlp_suite.errors import DataError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
MAX_FIELD_CHARACTERS = 64 * 2**20  # of a quoted field; one that is never closed ends here instead of filling the memory
_MARK = "\ufdd0\ufdd1"  # stands for a line end within a field: two code points that no text has
_ENOUGH_ERRORS = 20  # rows that are not validly quoted, after which a sample is not read on
_NO_TEXT = re.compile(r"[+-]?[\d.,:eE+-]*|NA|NaN|nan|NULL|null|None|[Tt]rue|[Ff]alse")  # is written without quotes
_NEEDS_QUOTES = re.compile(r'["\r\n]')  # what is quoted whatever the delimiter
_UNCLEAR = (
    "quotes may be text or quoting, for the rows have one number of columns either way: set quoting: none to take every quote "
    "as text, or quoting: csv to take them off where they stand around a field"
)
_FEW_ERRORS = 0.1  # share of rows with quotes below which invalid ones are mistakes in a quoted file


@dataclass(frozen=True)
class Dialect:
    """How rows are written.

    Attributes:
        delimiter: one character.
        quoting: `"csv"` as in RFC 4180, `"none"`: quotes are text, `"unseen"`: no field of the sample begins with one.
        newline: what ends a line; a CR before an LF belongs to the end.
        width: the number of columns where every row of the sample has it, else 0.
        alike: share of the lines that have as many delimiters as the first one.
        problem: why the sample cannot be read so; empty where it can.
        line: of the problem; 0: it is of no single line.
        empty_quotes: whether quotes stand only where they may quote an empty field, or be the text of two quotes.
    """

    delimiter: str
    quoting: str
    newline: str
    width: int
    alike: float
    problem: str = ""
    line: int = 0
    empty_quotes: bool = False

    @property
    def fits(self) -> bool:
        """Whether the sample has two columns or more in every row."""
        return self.width > 1 and not self.problem

    def error(self, path: Path, before: int = 0) -> DataError:
        """The error for its problem, in a sample that follows some lines."""
        return DataError(
            f"{path}, line {before + self.line}: {self.problem}" if self.line else f"{path}: {self.problem}"
        )


def find_dialect(
    path: Path, sample: str, more: bool, delimiter: str | None, usual: str, quoting: str = "auto"
) -> Dialect:
    """The dialect of a file.

    Args:
        path: for messages.
        sample: the beginning of its text.
        more: whether the file goes on after it.
        delimiter: the one it has; None: to be found among `DELIMITERS`, or where none of them fits, among what is
            between the names of columns in the first line.
        usual: the delimiter of files with this suffix; it is taken where it fits, and where none does.
        quoting: `"csv"` or `"none"` where that is known; `"auto"`: to be found.

    Raises:
        DataError: several delimiters fit, or the quoting cannot be told.
    """
    if more:  # the last line is cut
        sample = sample[: max(sample.rfind("\n"), sample.rfind("\r")) + 1] or sample
    lone_returns = re.search(r"\r(?!\n|\Z)", sample) is not None
    newlines = ["\n", *(["\r"] if lone_returns else [])] if "\n" in sample or not lone_returns else ["\r"]
    first_ends_in_cr = re.match(r"[^\r\n]*\r(?!\n)", sample) is not None
    found: list[Dialect] = []
    unusual: list[Dialect] = []  # where the first line does not have the usual delimiter, and no other one fits
    for newline in newlines:
        lines = [line for line in split_lines(sample, newline) if line.strip("\r\n")] or [""]
        candidates = [delimiter] if delimiter else [usual, *(d for d in DELIMITERS if d != usual and d in lines[0])]
        as_usual, *others = [_looked_at(sample, more, d, newline, quoting) for d in candidates]
        fitting = [dialect for dialect in others if dialect.fits]
        if not delimiter and not fitting and not as_usual.fits:
            seldom = sorted(set(re.sub(r"[\w \t\r\n\"'.,;|()-]", "", lines[0])))
            looked_at = (_looked_at(sample, more, d, newline, quoting) for d in seldom if _is_between_names(lines, d))
            fitting = [dialect for dialect in looked_at if dialect.fits]
        found.append(as_usual if as_usual.fits or not fitting else _only(path, fitting))
        one_column = as_usual.quoting == "csv" and as_usual.width == 1 and not found[-1].fits
        if one_column and newline == "\n" and not first_ends_in_cr:
            return as_usual  # one column, validly quoted
        if not found[-1].fits and usual not in lines[0] and len(lines) > 2:
            unusual += others
    if len(found) == 2 and found[1].fits:
        quoted = [dialect.fits and dialect.quoting == "csv" for dialect in found]
        if (quoted[1] and not quoted[0]) or not (found[0].fits or found[0].problem):
            return found[1]
        if found[0].fits and quoted[0] == quoted[1] and first_ends_in_cr:
            return found[1]  # both fit, and the first line seldom has a line end within
    if len(found) == 2 and first_ends_in_cr and sample[-1] == "\r" and not found[0].fits and not found[1].problem:
        return found[1]  # one column
    nearest = max(unusual, key=lambda dialect: dialect.alike, default=None)
    if nearest and not found[0].fits and nearest.alike > 0.5 and (nearest.problem or nearest.alike < 1):
        split = f"delimited by {nearest.delimiter!r}, "
        ragged = "the rows have different numbers of columns; mend them, or set delimiter (and quoting)"
        raise replace(nearest, problem=split + (nearest.problem or ragged)).error(path)
    if found[0].problem:
        raise found[0].error(path)
    return found[0]


def _is_between_names(lines: Sequence[str], delimiter: str) -> bool:
    """Whether a character stands between names of columns in the first of some lines."""
    return is_header([line.strip("\r\n").split(delimiter) for line in lines[:100]]) and delimiter in lines[0]


def _only(path: Path, fitting: list[Dialect]) -> Dialect:
    if len(fitting) > 1:
        named = ", ".join(f"{d.delimiter!r} ({d.width} columns)" for d in fitting)
        raise DataError(f"{path}: several delimiters split every row alike: {named}; set delimiter to one of them")
    return fitting[0]


def split_lines(text: str, newline: str) -> list[str]:
    """The lines of a text with their ends, as a file of that line end is split."""
    *lines, last = text.split(newline)
    return [*(line + newline for line in lines), *([last] if last else [])]


def decide_quoting(path: Path, ahead: list[tuple[int, str]], more: bool, delimiter: str, newline: str) -> str:
    """`"csv"` or `"none"`, as `find_dialect` finds it, for numbered lines of which the first opens the first quote of a file.

    Raises:
        DataError: it cannot be told.
    """
    found = _looked_at("".join(line for _, line in ahead), more, delimiter, newline, "auto")
    if found.problem:
        raise found.error(path, ahead[0][0] - 1)
    return found.quoting


def quote_opens(line: str, delimiter: str) -> bool:
    """Whether a field of a line begins with a quote."""
    return line.startswith('"') or f'{delimiter}"' in line


def _quotes_more(line: str, delimiter: str) -> bool:
    """Whether a field of a line begins with a quote and is not two quotes and nothing else."""
    end = re.escape(delimiter)
    return quote_opens(line, delimiter) and re.search(rf'(?:\A|{end})"(?!"(?:{end}|[\r\n]|\Z))', line) is not None


def csv_rows(lines: Iterable[str], delimiter: str, **options: object) -> Iterator[tuple[int, list[str]]]:
    """Rows quoted as in RFC 4180, each with the number of its first line, counted from 1; blank lines are skipped.

    Raises:
        csv.Error: a row that is not valid; its `line` is the number of the row's first line.
    """
    lines = (_protected(line) if "\r" in line else line for line in lines)
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
            yield number, [_restored(field) if _MARK in field else field for field in row]


def _protected(line: str) -> str:
    """A line without line ends but its own, which the csv module would take for the row's end."""
    return re.sub(r"\n(?!\Z)", _MARK + "n", re.sub(r"\r(?!\n?\Z)", _MARK + "r", line))


def _restored(field: str) -> str:
    return field.replace(_MARK + "r", "\r").replace(_MARK + "n", "\n")


def _looked_at(sample: str, more: bool, delimiter: str, newline: str, quoting: str) -> Dialect:
    lines = split_lines(sample, newline)
    counts = [line.count(delimiter) + 1 for line in lines if line.strip("\r\n")]
    alike = sum(count == counts[0] for count in counts) / len(counts) if counts else 0.0
    plain_width = counts[0] if alike == 1 else 0
    if quoting == "none" or not any(quote_opens(line, delimiter) for line in lines):
        return Dialect(delimiter, "unseen" if quoting == "auto" else quoting, newline, plain_width, alike)
    widths, errors, quoted_rows = _parsed(lines, more, delimiter)
    width = next(iter(widths)) if len(widths) == 1 else 0
    as_csv = Dialect(delimiter, "csv", newline, width, alike)
    as_text = Dialect(delimiter, "none", newline, plain_width, alike)
    if not errors and quoting == "auto":
        as_csv = replace(as_csv, empty_quotes=not any(_quotes_more(line, delimiter) for line in lines))
    if not errors and (quoting == "csv" or plain_width < 2):
        return as_csv
    if not errors:
        text = quotes_are_text(lines, delimiter, newline) if width else True
        return replace(as_csv, problem=_UNCLEAR) if text is None else as_text if text else as_csv
    first, what = errors[0]
    if all('\\"' in lines[number - 1] for number, _ in errors) and _escapes_fit(lines, more, delimiter):
        what = (
            "quotes within quoted fields stand behind backslashes; write them doubled, as RFC 4180 has them "
            "(in pandas by doublequote=True, in Spark by the option escape='\"'), or set quoting: none to take quotes and "
            "backslashes as they are"
        )
    elif quoting == "csv" or delimiter in ",;":  # what these delimit is quoted, or its texts could hold none
        what = invalid_csv(what)
    elif len(errors) > _FEW_ERRORS * quoted_rows:
        return as_text
    else:
        what = (
            f"{len(errors)} of {quoted_rows:,} rows with a field that begins with a quote are not quoted as in RFC 4180 and "
            "the others are; mend them, or set quoting: none to take every quote as text"
        )
    return replace(as_csv, width=0, problem=what, line=first)


def quotes_are_text(lines: list[str], delimiter: str, newline: str) -> bool | None:
    """Whether quotes are text in rows that have one width with RFC 4180 and without quoting; None: it is unclear.

    Who quotes, quotes all texts of a column, or those that need it; spreadsheets also those that hold a comma. Where tabs or
    vertical bars delimit, a column with fields that are quoted without need beside others that are not has its author's quotes.
    """
    other = f"[^{re.escape(delimiter)}\\r\\n]*"
    field = re.compile(rf'(?:\A|{re.escape(delimiter)})(?:"((?:[^"]|"")*)"|({other}))')
    starts = [number - 1 for number, _ in csv_rows(lines, delimiter)]
    doubled = unlikely = False
    texts: dict[tuple[int, bool], list[str]] = {}  # column, and whether the fields are quoted (without need) → fields
    for record, (start, end) in enumerate(itertools.pairwise([*starts, len(lines)])):
        for column, (quoted, bare) in enumerate(field.findall("".join(lines[start:end]))):
            unlikely |= '"' in bare or delimiter in quoted or newline in quoted
            doubled |= '"' in quoted
            if (quoted and not _NEEDS_QUOTES.search(quoted)) or (record and not _NO_TEXT.fullmatch(bare)):
                texts.setdefault((column, bool(quoted)), []).append(quoted or bare)
    mixed = [column for column, quoted in texts if quoted and (column, False) in texts]
    by_comma = all("," in text for column in mixed for text in texts[column, True]) and not any(
        "," in text for column in mixed for text in texts[column, False]
    )
    if delimiter in ",;" or not mixed or by_comma:
        return None if unlikely else False
    return None if doubled or unlikely else True


def invalid_csv(what: object) -> str:
    """What to say of a row that is not quoted as in RFC 4180, given what the csv module says."""
    return (
        f"not valid CSV: {what}; a field that holds a quote, the delimiter or a line end is quoted, and quotes in it are "
        'doubled ("a ""b"" c"); of a file without quoting set quoting: none'
    )


def _escapes_fit(lines: list[str], more: bool, delimiter: str) -> bool:
    """Whether rows are of one width where a backslash takes the meaning of the quote behind it."""
    widths, errors, _ = _parsed(lines, more, delimiter, escapechar="\\", doublequote=False)
    return len(widths) == 1 and not errors


def _parsed(
    lines: list[str], more: bool, delimiter: str, **options: object
) -> tuple[Counter[int], list[tuple[int, str]], int]:
    """Widths of the rows; first line of every row that is not valid, and why; rows with a quote at a field's start."""
    widths: Counter[int] = Counter()
    errors: list[tuple[int, str]] = []
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
            errors.append((start + number, str(error)))
            start += number
            quoted_rows += 1
    return widths, errors, quoted_rows
