"""Which requests run in their own thread: those that are short, since a wait for another thread is much of their time."""

from collections.abc import Hashable

SHORT = 1e-3  # seconds; longer requests gain more by ops that run side by side
_SPARE = (
    1000  # how many times as long as expected a request may take before its time is up: in its thread it is not ended
)
_FORGET = 1.02  # what is known of the fastest row grows by this factor a request, so that it follows slower ones


class RowTimes:
    """How long a row took at its fastest, by what was asked: without what other work added."""

    def __init__(self) -> None:
        self._fastest: dict[Hashable, float] = {}

    def is_short(self, key: Hashable, rows: int, seconds: float | None) -> bool:
        """Whether a request should run in its own thread.

        Args:
            key: what is asked.
            rows: its rows.
            seconds: until its time is up; None: never.
        """
        expected = self._fastest.get(key, SHORT) * rows
        return expected < SHORT and (seconds is None or expected * _SPARE < seconds)

    def add(self, key: Hashable, rows: int, seconds: float) -> None:
        """Takes note of a run of rows; of two at the same moment one may be lost."""
        if rows:
            taken = seconds / rows
            self._fastest[key] = min(taken, self._fastest.get(key, taken) * _FORGET)
