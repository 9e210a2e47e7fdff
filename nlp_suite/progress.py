"""Progress of work that may take minutes: on a terminal a bar with rate and time left, in a log a line now and then.

Both go to standard error. Work of a few seconds shows nothing, and work within other work stands behind its description.
Single lines go through `say`. A program that has set up logging for `nlp_suite` at INFO gets them all as log records instead.

    with work("training the tokenizer"):
        for text in track(texts, "reading train", total=len(texts), unit="texts"):
            ...
"""

import logging
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, TypeVar

SHOWN_AFTER = 3.0  # seconds that work has gone on
LINE_EVERY = 20.0  # seconds, where standard error is no terminal
TICK = 0.25  # seconds between two looks at what is going on
LOGGER = logging.getLogger(__name__)

Item = TypeVar("Item")
Share = Callable[[int], float]


class Work:
    """One piece of work; who does it counts `done` up.

    Attributes:
        description: what is done, such as `"preparing train"`.
        done: how much of it, in `unit`.
        total: of how much; None where that is not known.
        unit: what is counted, in the plural; empty where nothing is.
        share: from `done` to the share of the whole, where `total` is not known.
        note: shown behind the figures.
    """

    def __init__(self, description: str, total: int | None = None, unit: str = "", share: Share | None = None):
        self.description, self.done, self.total, self.unit, self.share = description, 0, total, unit, share
        self.note = ""
        self.began = time.monotonic()

    def completed(self) -> float | None:
        """The share of the whole that is done, 0 to 1; None where that is not known."""
        share = self.share(self.done) if self.share else self.done / self.total if self.total else None
        return None if share is None or share > 1 else share  # beyond, the end was not where it seemed to be

    def figures(self, now: float) -> str:
        """How much is done, how fast, and the time left, or the time so far where the end is not known."""
        seconds, completed, parts = now - self.began, self.completed(), []
        if self.unit:
            parts.append(f"{self.done:,} of {self.total:,} {self.unit}" if self.total else f"{self.done:,} {self.unit}")
        if completed is not None:
            parts.append(f"{completed:.0%}")
        if self.unit and self.done:
            rate = self.done / max(seconds, 1e-9)
            parts.append(f"{rate:,.0f} {self.unit}/s" if rate >= 10 else f"{rate:.2g} {self.unit}/s")
        parts.append(f"{_clock(seconds * (1 / completed - 1))} left" if completed else f"{_clock(seconds)} so far")
        return ", ".join([*parts, self.note] if self.note else parts)


class _Display:
    """What is going on in this process, shown by a thread for as long as anything is."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # a work may end in the thread that shows it: generators end when they are freed
        self._works: list[Work] = []
        self._stop = threading.Event()
        self._silent_since, self._idle_since = 0.0, 0.0
        self._bars: Any = None
        self._tasks: dict[Work, Any] = {}

    def begin(self, work: Work) -> None:
        with self._lock:
            if not self._works:
                if work.began - self._idle_since > 1:
                    self._silent_since = work.began
                self._stop = threading.Event()
                threading.Thread(target=self._run, args=(self._stop,), daemon=True, name="progress").start()
            self._works.append(work)

    def end(self, work: Work) -> None:
        with self._lock:
            if work not in self._works:
                return  # `scope` has ended it
            self._works.remove(work)
            if not self._works:
                self._stop.set()
                self._idle_since = time.monotonic()
            with suppress(OSError, ValueError):  # the terminal is gone, and the work goes on
                if work in self._tasks:
                    self._bars.remove_task(self._tasks.pop(work))
                if self._bars and not self._works:
                    bars, self._bars = self._bars, None
                    bars.stop()

    def going_on(self) -> list[Work]:
        with self._lock:
            return list(self._works)

    def _run(self, stop: threading.Event) -> None:
        while not stop.wait(TICK):
            with self._lock, suppress(OSError, ValueError):
                if not stop.is_set():
                    self.show(time.monotonic())

    def show(self, now: float) -> None:
        """Draws the bars, or writes a line if it is time for one; of work that has just begun within other work, neither."""
        works = [work for work in self._works if now - work.began >= SHOWN_AFTER]
        if not works or _quiet:
            return
        if sys.stderr is not None and console().is_interactive and not _is_logged(LOGGER, logging.INFO):
            self._draw(works, now)
        elif now - self._silent_since >= LINE_EVERY:
            self._silent_since = now
            described = ": ".join(work.description for work in works)
            say(f"{described}: {works[-1].figures(now)}", LOGGER)

    def _draw(self, works: list[Work], now: float) -> None:
        if self._bars is None:
            self._bars = _bars()
            self._bars.start()
        for work in works:
            if work not in self._tasks:
                self._tasks[work] = self._bars.add_task(work.description, total=None, figures="")
            completed = work.completed()
            total = None if completed is None else 1.0
            self._bars.update(self._tasks[work], completed=completed or 0.0, total=total, figures=work.figures(now))
        self._bars.refresh()


_DISPLAY = _Display()
_quiet = False


def set_quiet(quiet: bool) -> None:
    """Whether this process shows no progress: warnings are still shown, and log records are made as ever."""
    global _quiet
    _quiet = quiet


def is_quiet() -> bool:
    """Whether this process shows no progress, see `set_quiet`."""
    return _quiet


def say(line: str, logger: logging.Logger, *, to: Any = None, level: int = logging.INFO) -> None:
    """Tells in a line what goes on: on standard error or, where the program logs `logger` at this level, in its log.

    Args:
        line: the line.
        logger: that of the module which has something to say.
        to: a `rich.console.Console` to which the line goes in any case, in place of standard error.
        level: of `logging`; below WARNING nothing is shown after `set_quiet(True)`.
    """
    logged = _is_logged(logger, level)
    if logged:
        logger.log(level, line)
    if (to or not logged) and (level >= logging.WARNING or not _quiet):
        (to or console()).out(line, highlight=False)


def _is_logged(logger: logging.Logger, level: int) -> bool:
    return logger.isEnabledFor(level) and logger.hasHandlers()


def begin(description: str, total: int | None = None, unit: str = "", share: Share | None = None) -> Work:
    """Begins work whose end is told by `end`; where a block or a loop is the work, see `work` and `track`."""
    begun = Work(description, total, unit, share)
    _DISPLAY.begin(begun)
    return begun


def end(work: Work) -> None:
    """Ends what `begin` began."""
    _DISPLAY.end(work)


@contextmanager
def work(description: str, total: int | None = None, unit: str = "", share: Share | None = None) -> Iterator[Work]:
    """Within the context the work goes on; see `Work` for the arguments."""
    begun = begin(description, total, unit, share)
    try:
        yield begun
    finally:
        end(begun)


@contextmanager
def scope() -> Iterator[None]:
    """Ends what has begun within the context, or the decorated function: a loop that an error has left does not end itself.

    Its generator lives as long as the error's traceback, in a notebook until the next error.
    """
    before = _DISPLAY.going_on()
    try:
        yield
    finally:
        for begun in _DISPLAY.going_on():
            if begun not in before:
                end(begun)


def track(
    items: Iterable[Item], description: str, total: int | None = None, unit: str = "", share: Share | None = None
) -> Iterator[Item]:
    """The items, each of which is done when the next one is asked for; see `Work` for the arguments."""
    with work(description, total, unit, share) as begun:
        for item in items:
            yield item
            begun.done += 1


@cache
def console() -> Any:
    """Standard error, for all that is shown while work goes on."""
    from rich.console import Console

    return Console(stderr=True)


def _bars() -> Any:
    from rich.progress import BarColumn, Progress, TextColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=28),
        TextColumn("{task.fields[figures]}", markup=False),
    )
    to_screen = bool(sys.stdout and sys.stdout.isatty())  # else the bars would take what goes to a file
    return Progress(*columns, console=console(), transient=True, auto_refresh=False, redirect_stdout=to_screen)


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
