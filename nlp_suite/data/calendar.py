"""Where in a day, a week or a year a step lies, of stamps as NumPy arrays or as tensors: whole-number arithmetic only.

The months of days follow from the algorithm of Hinnant, "chrono-Compatible Low-Level Date Algorithms" (2013).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlp_suite.data.time_steps import Frequency
from nlp_suite.errors import ConfigError

DAY, WEEK = 86_400, 7 * 86_400  # seconds


def months_and_days(days: Any) -> tuple[Any, Any]:
    """Months counted from year 0, and the day of the month from 0, of days counted from 1970."""
    shifted = days + 719_468  # from the first of March of year 0
    era = shifted // 146_097
    of_era = shifted - era * 146_097
    year = (of_era - of_era // 1460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)  # from the first of March
    month = (5 * of_year + 2) // 153  # from March
    return 12 * (year + era * 400) + month + 2, of_year - (153 * month + 2) // 5


def days_before(months: Any) -> Any:
    """Days from 1970 to the first of a month that is counted from year 0."""
    from_march = months - 2
    year, month = from_march // 12, from_march % 12
    return 365 * year + year // 4 - year // 100 + year // 400 + (153 * month + 2) // 5 - 719_468


def _month_of(seconds: Any) -> Any:
    return months_and_days(seconds // DAY)[0]


OF_MONTHS: dict[str, Callable[[Any], tuple[Any, int]]] = {
    "month": lambda months: (months % 12, 12),
    "quarter": lambda months: (months // 3 % 4, 4),
}
OF_SECONDS: dict[str, Callable[[Any], tuple[Any, int]]] = {
    "time_of_day": lambda seconds: (seconds % DAY, DAY),
    "day_of_week": lambda seconds: ((seconds // DAY + 3) % 7, 7),
    "day_of_month": lambda seconds: (months_and_days(seconds // DAY)[1], 31),
    "day_of_year": lambda seconds: (seconds // DAY - days_before(_month_of(seconds) // 12 * 12), 366),
    "month": lambda seconds: (_month_of(seconds) % 12, 12),
    "quarter": lambda seconds: (_month_of(seconds) // 3 % 4, 4),
}
"""Feature → its value of stamps, from 0, and how many values there are."""


def check_calendar(features: Sequence[str], frequency: Frequency) -> None:
    """Refuses features that steps of such a frequency do not have, or that are the same for all of them.

    Raises:
        ConfigError: with the features that there are.
    """
    of_unit: Mapping[str, Any] = {"month": OF_MONTHS, "second": OF_SECONDS, "step": {}}[frequency.unit]
    if frequency.unit == "month":
        constant = set(of_unit) if frequency.count % 12 == 0 else set()
    else:
        constant = {name for name, size in (("time_of_day", DAY), ("day_of_week", WEEK)) if frequency.count % size == 0}
    allowed = [name for name in of_unit if name not in constant]
    if wrong := [name for name in features if name not in allowed]:
        listed = ", ".join(allowed) or "none, as they have no dates that differ within a year"
        raise ConfigError(f"task.calendar {wrong[0]}: steps of a {frequency} do not differ in it (allowed: {listed})")


def phases(stamps: Any, frequency: Frequency, features: Sequence[str]) -> list[tuple[Any, int]]:
    """Of every feature the values of stamps, from 0, and how many values there are: their quotient is a place on a circle.

    Args:
        stamps: int64, NumPy or tensor, of any shape.
        frequency: of the steps.
        features: see `check_calendar`.
    """
    of_unit = OF_MONTHS if frequency.unit == "month" else OF_SECONDS
    return [of_unit[name](stamps) for name in features]


def stamp_of(seconds: Any, frequency: Frequency) -> Any:
    """Unix seconds, NumPy or tensor, as stamps of a frequency that has dates."""
    return _month_of(seconds) if frequency.unit == "month" else seconds


def seconds_of(stamp: int, frequency: Frequency) -> int:
    """A stamp of a frequency that has dates as Unix seconds."""
    return int(days_before(stamp) * DAY if frequency.unit == "month" else stamp)
