"""Tables of series, long, wide or of one column: their rows as one regular series for every name."""

import math
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.table_reading import Table
from nlp_suite.data.time_steps import Frequency, Stamp, Unit, find_frequency, month_stamps, read_stamp
from nlp_suite.errors import DataError
from nlp_suite.registry import unknown

Gaps = Literal["fail", "missing"]
Duplicates = Literal["fail", "first", "last", "mean", "sum"]
MISSING = ("", "na", "n/a", "nan", "null", "none", "?")
DAY = 86_400  # seconds
SHOWN = 3  # dates that a message names


@dataclass
class Rows:
    """What the rows of a table say of one series: stamps, the values of every column beside them, and column → category."""

    stamps: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))
    words: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Regular:
    """A series of regular steps.

    Attributes:
        name: of the series.
        start: its first stamp.
        values: float64 `[T, K]`, NaN where missing: the series, then its covariates.
        words: column → category of the series; empty where it has none.
    """

    name: str
    start: int
    values: NDArray[np.float64]
    words: dict[str, str]


class SeriesReader:
    """Collects the rows of tables, and makes regular series of them.

    Args:
        time: column of dates; None: rows are numbered.
        series: column of names; None: `value` names the series.
        value: columns of values; several are several series, each with the column's name.
        covariates: columns that stand beside the values.
        categories: columns of words that are the same in all rows of a series.
    """

    def __init__(
        self,
        time: str | int | None,
        series: str | int | None,
        value: Sequence[str | int],
        covariates: Sequence[str] = (),
        categories: Sequence[str] = (),
    ):
        self._time, self._series, self._value, self._covariates = time, series, list(value), list(covariates)
        self._categories = list(categories)
        self._rows: dict[str, Rows] = {}
        self._stamps: dict[str, int] = {}
        self._kind: tuple[Unit, float | None] | None = None
        self._path = ""

    def read(self, table: Table) -> None:
        """Takes the rows of a table.

        Raises:
            DataError: a column that there is not, a cell that is no date or number, or a second category of a series: with
                file, line and column.
        """
        self._path = str(table.path)
        wanted = [self._time, self._series, *self._value, *self._covariates, *self._categories]
        if any(isinstance(place, str) and place not in (table.columns or ()) for place in wanted):
            table.look_further()
        places: list[Any] | None = None  # numbers of columns; None for one that is not given
        number = 0
        for number, row in table.rows():
            where = f"{table.path}, {table.place} {number}"
            if places is None:
                places = [None if place is None else _position(table, len(row), place, where) for place in wanted]
            time, series, *columns = places
            values, beside, words = _parted(columns, len(self._value), len(self._covariates))
            cells = [self._number(row[place], called, where) for place, called in zip(beside, self._covariates)]
            for place, called in zip(values, self._value):
                name = str(called) if series is None else str(row[series]).strip()
                rows = self._rows.setdefault(name, Rows())
                rows.stamps.append(len(rows.stamps) if time is None else self._stamp(row[time], where))
                rows.values.append(self._number(row[place], called, where))
                rows.values.extend(cells)
                for word, column in zip(words, self._categories):
                    _add_word(rows.words, column, row[word], where)
        if not number:
            raise DataError(f"{table.path}: the file has no rows of values")

    def _stamp(self, cell: Any, where: str) -> int:
        text = str(cell).strip()
        if text not in self._stamps:
            try:
                stamp = read_stamp(text)
            except DataError as error:
                raise DataError(f"{where}, column {self._time!r}: {error}") from None
            self._check_kind(stamp, text, where)
            self._stamps[text] = stamp.value
        return self._stamps[text]

    def _check_kind(self, stamp: Stamp, text: str, where: str) -> None:
        """All dates of the tables must be of one kind, in one time zone."""
        kind = (stamp.unit, stamp.zone)
        self._kind = self._kind or kind
        if kind == self._kind:
            return
        place = f"{where}, column {self._time!r}: {text!r}"
        if kind[0] == self._kind[0]:
            raise DataError(f"{place} is in another time zone than the rows before; write all dates in one")
        raise DataError(f"{place} is written otherwise than the dates of the rows before; write all in one way")

    def _number(self, cell: Any, called: str | int, where: str) -> float:
        if cell is None or (isinstance(cell, str) and cell.strip().lower() in MISSING):
            return math.nan
        try:
            value = math.nan if isinstance(cell, bool) else float(cell)
            if isinstance(cell, bool) or "_" in str(cell):
                raise ValueError
        except (TypeError, ValueError):
            hint = "; decimals are written with a point" if isinstance(cell, str) and "," in cell else ""
            raise DataError(f"{where}, column {called!r}: {str(cell)[:60]!r} is no number{hint}") from None
        if math.isinf(value):
            raise DataError(f"{where}, column {called!r}: infinite values cannot be used; leave the cell empty")
        return value

    def regular(self, frequency: str, gaps: Gaps, duplicates: Duplicates) -> tuple[list[Regular], Frequency, list[str]]:
        """The series in the order in which they first occurred, their frequency, and sentences on what was found.

        Args:
            frequency: as it is written, or `"auto"`.
            gaps: what is done with steps that no row has: refused, or taken as missing values.
            duplicates: what is done with several rows of one step: refused, or one value made of them.

        Raises:
            DataError: gaps or duplicates that are refused, or dates that are no steps of the frequency.
        """
        unit: Unit = self._kind[0] if self._kind else "step"
        columns = 1 + len(self._covariates)
        found = {
            name: (np.array(rows.stamps, np.int64), np.array(rows.values).reshape(-1, columns))
            for name, rows in self._rows.items()
        }
        if unit == "second":
            months = month_stamps(np.concatenate([stamps for stamps, _ in found.values()]))
            if months is not None and frequency in ("auto", "month", "quarter", "year"):
                unit, begin = "month", 0
                for name, (stamps, values) in found.items():
                    found[name] = (months[begin : begin + len(stamps)], values)
                    begin += len(stamps)
        repeated = 0
        for name, (stamps, values) in found.items():
            order = np.argsort(stamps, kind="stable")
            stamps, values = stamps[order], values[order]
            again = np.flatnonzero(stamps[1:] == stamps[:-1]) + 1
            if len(again):
                if duplicates == "fail":
                    listed = self._dates(stamps[again], unit)
                    raise DataError(
                        f"{self._path}, series {name!r}: {len(again):,} dates have several rows ({listed}); "
                        "source.duplicates: first, last, mean or sum makes one value of them"
                    )
                repeated += len(again)
                stamps, values = _merged(stamps, values, duplicates)
            found[name] = (stamps, values)
        step = self._frequency(frequency, unit, [stamps for stamps, _ in found.values()])
        remarks = [f"{repeated:,} dates had several rows: taken by {duplicates}"] if repeated else []
        series, absent = [], 0
        for name, (stamps, values) in found.items():
            places = self._places(name, stamps, step)
            lacking = int(places[-1]) + 1 - len(places)
            if lacking and gaps == "fail":
                holes = np.setdiff1d(np.arange(places[-1] + 1), places)
                listed = self._dates(stamps[0] + holes * step.count, unit, step)
                raise DataError(
                    f"{self._path}, series {name!r}: a step is a {step}, and {lacking:,} of {int(places[-1]) + 1:,} steps have "
                    f"no row ({listed}); source.gaps: missing takes them as missing values"
                )
            absent += lacking
            whole = np.full((int(places[-1]) + 1, columns), np.nan)
            whole[places] = values
            words = {column: self._rows[name].words.get(column, "") for column in self._categories}
            series.append(Regular(name, int(stamps[0]), whole, words))
        remarks += [f"{absent:,} steps had no row: taken as missing values"] if absent else []
        return series, step, remarks

    def _frequency(self, frequency: str, unit: Unit, stamps: Sequence[NDArray[np.int64]]) -> Frequency:
        if frequency == "auto":
            return find_frequency(stamps, unit)
        step = Frequency.parse(frequency)
        if step.unit != unit:
            raise DataError(
                f"{self._path}: frequency {frequency!r} does not suit its dates, which are {_described(unit)}"
            )
        return step

    def _places(self, name: str, stamps: NDArray[np.int64], step: Frequency) -> NDArray[np.int64]:
        places: NDArray[np.int64] = (stamps - stamps[0]) // step.count
        rest = (stamps - stamps[0]) % step.count
        if rest.any():
            off = self._dates(stamps[rest != 0], step.unit, step)
            raise DataError(
                f"{self._path}, series {name!r}: a step is a {step}, and {int((rest != 0).sum()):,} dates lie between two steps "
                f"({off}); give source.frequency"
            )
        return places

    def _dates(self, stamps: NDArray[np.int64], unit: Unit, step: Frequency | None = None) -> str:
        whole_days = unit == "second" and not (stamps % DAY).any()
        step = step or Frequency(unit, DAY if whole_days else 1)
        shown = [step.written(int(stamp)) for stamp in stamps[:SHOWN]]
        return ", ".join(shown) + (", …" if len(stamps) > SHOWN else "")


def _parted(columns: list[Any], *sizes: int) -> list[list[Any]]:
    """A list in parts of so many, and the rest."""
    ends = [0, *np.cumsum(sizes).tolist(), len(columns)]
    return [columns[begin:end] for begin, end in pairwise(ends)]


def _add_word(words: dict[str, str], column: str, cell: Any, where: str) -> None:
    """Takes the category of a row; a missing one says nothing.

    Raises:
        DataError: the series has another one.
    """
    word = "" if cell is None else str(cell).strip()
    if word.lower() not in MISSING and words.setdefault(column, word) != word:
        raise DataError(
            f"{where}, column {column!r}: {word!r}, and {words[column]!r} in a row before; a category is the same in all rows of "
            "a series"
        )


def _described(unit: Unit) -> str:
    return {"month": "months", "second": "days or times of day", "step": "numbers"}[unit]


def _merged(
    stamps: NDArray[np.int64], values: NDArray[np.float64], how: str
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """One row a stamp."""
    kept: NDArray[np.int64]
    first: NDArray[np.int64]
    kept, first, counts = np.unique(stamps, return_index=True, return_counts=True)
    if how in ("first", "last"):
        chosen: NDArray[np.float64] = values[first if how == "first" else first + counts - 1]
        return kept, chosen
    there = np.isfinite(values)
    sums, numbers = np.add.reduceat(np.where(there, values, 0), first), np.add.reduceat(there.astype(int), first)
    made = sums if how == "sum" else sums / np.maximum(numbers, 1)
    return kept, np.where(numbers > 0, made, np.nan)


def _position(table: Table, width: int, place: str | int, where: str) -> int:
    """The number of a column that is given by name or number.

    Raises:
        DataError: there is no such column.
    """
    if isinstance(place, int):
        if place < width:
            return place
        raise DataError(f"{where}: there is no column {place}; columns go from 0 to {width - 1}")
    names = list(table.columns or ())
    if names.count(place) == 1:
        return names.index(place)
    raise DataError(f"{table.path}: {unknown('column', place, names)}; columns without a name take numbers from 0")


def values_of(cells: Any, called: str) -> Iterator[float]:
    """The numbers of a JSON list; null is a missing one.

    Raises:
        DataError: it is no list, or holds something else.
    """
    if not isinstance(cells, list):
        raise DataError(f"{called!r} must be a list of numbers, got {str(cells)[:60]}")
    for cell in cells:
        if isinstance(cell, bool) or not isinstance(cell, int | float | None) or math.isinf(cell or 0):
            raise DataError(f"{called!r} must hold finite numbers and null, got {str(cell)[:60]}")
        yield math.nan if cell is None else float(cell)
