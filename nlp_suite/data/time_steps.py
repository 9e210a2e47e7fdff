"""Regular time steps: reading dates, finding the frequency of a series, and writing dates again.

A stamp is a whole number: a month counted from year 0, a second counted from 1970, or a plain number of a row. A frequency is
one such unit and how many of them a step has, written as `month`, `3 months`, `day`, `15 minutes`, `step`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from nlp_suite.errors import DataError

Unit = Literal["month", "second", "step"]

NAMED = {
    "step": ("step", 1), "second": ("second", 1), "minute": ("second", 60), "hour": ("second", 3600),
    "day": ("second", 86_400), "week": ("second", 7 * 86_400), "month": ("month", 1), "quarter": ("month", 3),
    "year": ("month", 12),
}  # fmt: skip
"""Name → unit and how many of it."""
SEASONS = {("month", 1): 12, ("month", 3): 4, ("second", 86_400): 7, ("second", 3600): 24, ("second", 7 * 86_400): 52}
"""Steps of a season where none is given: a year of months, quarters or weeks, a week of days, a day of hours."""

_MONTH = re.compile(r"(\d{1,4})-(\d{1,2})")
_YEAR = re.compile(r"\d{4}")
_NUMBER = re.compile(r"[+-]?\d{1,15}")
_FREQUENCY = re.compile(r"(?:(\d{1,6}) )?([a-z]+?)s?")
_EPOCH = datetime(1970, 1, 1)
FORMS = "2024-01-31, 2024-01-31 18:00, 2024-01-31T18:00:00+01:00, 2024-01, 2024, or the number of a row"


@dataclass(frozen=True)
class Frequency:
    """The distance of two steps.

    Attributes:
        unit: what stamps count.
        count: how many of them a step has.
    """

    unit: Unit
    count: int

    @classmethod
    def parse(cls, text: str) -> "Frequency":
        """The frequency that is written as `month`, `2 hours`, `quarter`.

        Raises:
            DataError: there is no such unit.
        """
        match = _FREQUENCY.fullmatch(text.strip())
        if not match or match[2] not in NAMED:
            names = ", ".join(NAMED)
            raise DataError(f"frequency {text!r} is not known (allowed: auto, a unit such as {names}, or 15 minutes)")
        unit, count = NAMED[match[2]]
        return cls(unit, int(match[1] or 1) * count)  # type: ignore[arg-type]

    def __str__(self) -> str:
        by_size = sorted(NAMED.items(), key=lambda item: -item[1][1])
        name, each = next((n, c) for n, (unit, c) in by_size if unit == self.unit and self.count % c == 0)
        number = self.count // each
        return name if number == 1 else f"{number} {name}s"

    @property
    def season(self) -> int:
        """Steps of a season where none is given; 1: none is known."""
        return SEASONS.get((self.unit, self.count), 1)

    def written(self, stamp: int) -> str:
        """A stamp as it is read: `2024-01`, `2024-01-31`, `2024-01-31 18:00:00`, or a number."""
        if self.unit == "step":
            return str(stamp)
        if self.unit == "month":
            year, month = divmod(stamp, 12)
            return f"{year:04d}-{month + 1:02d}"
        moment = _EPOCH + timedelta(seconds=int(stamp))
        return moment.strftime("%Y-%m-%d" if self.count % 86_400 == 0 else "%Y-%m-%d %H:%M:%S")


@dataclass(frozen=True)
class Stamp:
    """A date as it was read.

    Attributes:
        unit: `month` of a date without a day, `step` of a number, else `second`.
        value: counted in it.
        zone: offset of the time zone in seconds; None where none is written.
    """

    unit: Unit
    value: int
    zone: float | None = None


def read_stamp(text: str) -> Stamp:
    """A date, or the number of a row.

    Raises:
        DataError: it is neither.
    """
    text = text.strip()
    if match := _MONTH.fullmatch(text):
        year, month = int(match[1]), int(match[2])
        if 1 <= month <= 12:
            return Stamp("month", 12 * year + month - 1)
    elif _YEAR.fullmatch(text) and int(text) >= 1000:
        return Stamp("month", 12 * int(text))
    elif _NUMBER.fullmatch(text):
        return Stamp("step", int(text))
    else:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            moment = None
        if moment is not None:
            offset = moment.utcoffset()
            local = moment.replace(tzinfo=UTC).timestamp()
            if local != int(local):
                raise DataError(f"{text!r} has parts of a second; whole seconds are the finest step")
            return Stamp("second", int(local), None if offset is None else offset.total_seconds())
    raise DataError(f"{text!r} is no date (allowed: {FORMS})")


def month_stamps(seconds: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """The months of dates that are all the first, or all the last day of one, at midnight; None where they are not."""
    days = seconds.astype("datetime64[s]")
    months = days.astype("datetime64[M]")
    first, last = months.astype("datetime64[s]"), (months + 1).astype("datetime64[D]") - 1
    if np.array_equal(days, first) or np.array_equal(days, last.astype("datetime64[s]")):
        return np.asarray(months.astype(np.int64) + 12 * 1970, np.int64)
    return None


def find_frequency(stamps: Sequence[NDArray[np.int64]], unit: Unit) -> Frequency:
    """The most common distance of two neighbouring stamps of the same series, the smaller one of equals.

    Args:
        stamps: of every series, ascending and without duplicates.
        unit: of the stamps.

    Raises:
        DataError: no series has two stamps.
    """
    parts = [np.diff(each) for each in stamps if len(each) > 1]
    if not parts:
        raise DataError("no series has two dates, so no frequency can be found: give frequency, such as month")
    steps, counts = np.unique(np.concatenate(parts), return_counts=True)
    return Frequency(unit, int(steps[np.argmax(counts)]))
