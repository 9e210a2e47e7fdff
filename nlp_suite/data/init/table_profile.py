"""What the columns of a table look like, from its first rows: texts, labels, numbers, names of rows."""

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from nlp_suite.data.init.seen import shares, unspaced_share
from nlp_suite.text.language import language_of_texts, script_of

PROFILED_ROWS = 5000
PROFILED_CHARACTERS = 32_000_000
MAX_LABEL_WORDS, MAX_LABEL_CHARACTERS = 6, 60
ROWS_A_LABEL = 2  # of a column of labels, on average at least
PARTS_A_LABEL = 4  # of a column of several labels a value
FEW_ROWS = 20  # of which not much can be told
TEXT_WORDS = 2.0  # of a column of texts, on average at least
SEPARATORS = (",", ";", "|")  # between several labels in one cell
SEPARATED = 0.05  # share of the cells with several labels from which a column has such


@dataclass(frozen=True)
class Column:
    """A column by its first rows.

    Attributes:
        place: its name, or its number from 0 in a table without a header.
        rows: rows that were looked at.
        missing: of them those without a value: null, NaN, or nothing but white space.
        distinct: different values.
        words: of a value, on average, parted by white space.
        characters: of a value, on average.
        letters: share of the characters other than white space that are letters.
        numbers: share of the values that are numbers.
        decimals: share of the values that are numbers with a fraction.
        longest: characters of the longest value.
        nested: values that are lists or mappings.
        separator: what stands between several labels in one value; None where a value is no such list.
        separated: values of several labels.
        unspaced: share of the values that are in scripts without spaces between words.
        texts: some values.
    """

    place: str | int
    rows: int
    missing: int
    distinct: int
    words: float
    characters: float
    letters: float
    numbers: float
    decimals: float
    longest: int
    nested: int
    separator: str | None
    separated: int
    unspaced: float
    texts: tuple[str, ...]

    @property
    def filled(self) -> int:
        """Rows with a value."""
        return self.rows - self.missing

    @property
    def looked_at(self) -> str:
        """How many rows with a value were looked at, for a message."""
        return f"{'the first ' if self.rows == PROFILED_ROWS else ''}{self.filled:,} rows"

    @property
    def is_text(self) -> bool:
        """Whether it reads like sentences: letters, several words or a script without spaces, seldom the same twice."""
        long_enough = self.words >= TEXT_WORDS or (self.unspaced > 0.3 and self.characters >= 4)
        varied = self.filled < FEW_ROWS or self.words > MAX_LABEL_WORDS or self.distinct > 0.2 * self.filled
        return self.is_written and long_enough and varied

    @property
    def is_written(self) -> bool:
        """Whether its values are mostly letters."""
        whole = not self.nested and self.separator is None
        return bool(self.filled) and whole and self.letters > 0.6 and self.numbers < 0.5

    @property
    def is_label(self) -> bool:
        """Whether its values could be classes: short, few, each several times, and no numbers with a fraction; or several each."""
        if self.separator is not None:
            return True
        short = self.longest <= MAX_LABEL_CHARACTERS and self.words <= MAX_LABEL_WORDS
        return bool(self.filled) and not self.nested and short and self.repeats and not self.decimals

    @property
    def repeats(self) -> bool:
        """Whether a value occurs often enough for one of a class."""
        return self.filled >= ROWS_A_LABEL * self.distinct or self.distinct < self.filled < FEW_ROWS

    @property
    def language(self) -> str | None:
        """The code of the language of its values, as far as it can be told."""
        return language_of_texts(self.texts)

    def describe(self) -> str:
        """Its name and what it looks like, for a message.

        Example:
            >>> column.describe()
            "'stars' (5 different values, as '4')"
        """
        if not self.filled:
            return f"{self.place!r} (empty)"
        if self.nested:
            return f"{self.place!r} (lists or mappings)"
        if self.separator is not None:
            return f"{self.place!r} (several labels with {self.separator!r} between them)"
        example = self.texts[0] if len(self.texts[0]) <= 40 else self.texts[0][:40] + "…"
        kind = f"{self.distinct:,} different value{'s' * (self.distinct != 1)} in {self.looked_at}"
        if self.words >= TEXT_WORDS:
            kind = f"{self.words:.0f} words on average"
        elif self.numbers > 0.9 and not self.is_label:
            kind = "numbers"
        return f"{self.place!r} ({kind}, as {example!r})"


def profile(rows: Iterable[tuple[int, Sequence[Any]]], names: Sequence[str] | None) -> list[Column]:
    """The columns of a table by its first rows.

    Args:
        rows: line number and values of every row; read as far as `PROFILED_ROWS` or `PROFILED_CHARACTERS` go.
        names: of the columns; None: they are numbered.
    """
    cells: list[list[str | None]] = []
    nested: Counter[int] = Counter()
    characters = 0
    for _, row in itertools.islice(rows, PROFILED_ROWS):
        cells.append([_written(value) for value in row])
        nested.update(place for place, value in enumerate(row) if isinstance(value, list | tuple | dict))
        characters += sum(len(cell) for cell in cells[-1] if cell)
        if characters > PROFILED_CHARACTERS:
            break
    width = len(names) if names is not None else max(map(len, cells), default=0)
    columns = [[row[place] if place < len(row) else None for row in cells] for place in range(width)]
    return [
        _column(names[place] if names is not None else place, values, nested[place])
        for place, values in enumerate(columns)
    ]


def _written(value: Any) -> str | None:
    """A value as text; None where there is none."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    text = str(value)
    return text if text.strip() else None


def _column(place: str | int, cells: Sequence[str | None], nested: int) -> Column:
    values = [cell for cell in cells if cell is not None]
    count = max(1, len(values))
    shown = [value[:1000] for value in values[:: max(1, len(values) // 300)]]
    text = "".join(shown)
    written = max(1, sum(not character.isspace() for character in text))
    numbers = [number for value in values if (number := _number(value)) is not None]
    separator = _separator(values)
    return Column(
        place=place,
        rows=len(cells),
        missing=len(cells) - len(values),
        distinct=len(set(values)),
        words=sum(len(value.split()) for value in values) / count,
        characters=sum(map(len, values)) / count,
        letters=sum(character.isalpha() for character in text) / written,
        numbers=len(numbers) / count,
        decimals=sum(not number.is_integer() for number in numbers) / count,
        longest=max(map(len, values), default=0),
        nested=nested,
        separator=separator,
        separated=sum(separator in value for value in values) if separator else 0,
        unspaced=unspaced_share(shares(map(script_of, shown))),
        texts=tuple(value[:500] for value in shown),
    )


def _separator(values: Sequence[str]) -> str | None:
    """What stands between several labels in one value: the parts are short, occur again, and are fewer than their combinations."""
    for separator in SEPARATORS:
        several = sum(separator in value for value in values)
        if several < max(2, SEPARATED * len(values)):
            continue
        parts = Counter(part.strip() for value in values for part in value.split(separator))
        short = all(len(part) <= MAX_LABEL_CHARACTERS and len(part.split()) <= MAX_LABEL_WORDS for part in parts)
        numbers = all(_number(part) is not None for part in parts)  # 1,5 and 1,234
        if short and not numbers and len(parts) < len(set(values)) and parts.total() >= PARTS_A_LABEL * len(parts):
            return separator
    return None


def _number(value: str) -> float | None:
    if len(value) > 30:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
