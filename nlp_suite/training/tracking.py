"""The trackers of a run: opened, told its figures and closed, each in a thread of its own that holds up nothing.

`history.csv` in the run folder is the truth; a tracker lags behind it and catches up. What it lacks when it is opened, or
when a call has failed, it is told again later: no figure is lost because a server was away for a while.
"""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nlp_suite import progress
from nlp_suite.config import Experiment, TrainingSettings
from nlp_suite.errors import ConfigError
from nlp_suite.registry import TRACKERS, is_installed
from nlp_suite.training.run import flattened
from nlp_suite.training.trackers.base import Outcome, TrackedRun, Tracker

LOGGER = logging.getLogger(__name__)
WAIT, WAIT_INTERRUPTED = 60.0, 10.0  # seconds that the end of a training or an evaluation waits for a tracker
NOT_FIGURES = ("step", "epoch")  # what a row of the history has beside them


def check_trackers(settings: TrainingSettings) -> None:
    """Refuses a tracker whose package is missing, and one that is named twice.

    Raises:
        ConfigError: with what installs it.
    """
    names = [chosen.name for chosen in settings.trackers]
    if len(set(names)) < len(names):
        raise ConfigError(f"training.trackers: {', '.join(names)}: name each once")
    for chosen in settings.trackers:
        tracker = TRACKERS.get(chosen.name)
        if not is_installed(tracker.package):
            raise ConfigError(
                f"training.trackers: {chosen.name} needs the package {tracker.package}, which is not installed: "
                f"pip install '{tracker.install}'"
            )


class Tracking:
    """The trackers of a run, as a context: what ends it, ends the run at the trackers.

    Args:
        experiment: the resolved config; one without `training.trackers` is tracked nowhere.
        directory: the run folder.
        id: of the run at the trackers, see `TrackedRun`.
        history: the rows of its `history.csv` so far.
        outcome: what the run is at the end of the context; None: whatever the tracker had it as.
        console: where lines go, see `progress.say`.
    """

    def __init__(
        self,
        experiment: Experiment,
        directory: Path,
        id: str,
        history: Iterable[Mapping[str, Any]],
        *,
        outcome: Outcome | None = "finished",
        console: Any = None,
    ):
        run = TrackedRun(id, directory.absolute().name, flattened(experiment), directory / "config.yaml")
        self._outcome: Outcome | None = outcome
        self._threads: list[_Thread] = []
        for chosen in experiment.training.trackers:
            try:
                tracker = TRACKERS.get(chosen.name)(**chosen.arguments())
            except Exception as error:  # whatever its package does when it is imported
                _warn(f"tracker {chosen.name}: {_reason(error)}; it is left out", console)
            else:
                self._threads.append(_Thread(chosen.name, tracker, run, console))
        for row in history:
            self.log(row)

    def log(self, row: Mapping[str, Any]) -> None:
        """Takes the logs of a checkpoint interval, or its row of the history."""
        figures = {key: float(value) for key, value in row.items() if value is not None and key not in NOT_FIGURES}
        for thread in self._threads:
            thread.log(figures, int(row["step"]))

    def report(self, report: Mapping[str, Any], files: list[Path]) -> None:
        """Takes the report of a split: its plain numbers, named as `test_accuracy`, and the files."""
        numbers = {key: value for key, value in report.items() if isinstance(value, int | float)}
        figures = {f"{report['split']}_{key}": float(v) for key, v in numbers.items() if not isinstance(v, bool)}
        for thread in self._threads:
            thread.report(figures, files)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and self._outcome:
            self._outcome = "failed" if isinstance(error, Exception) else "interrupted"
        for thread in self._threads:
            thread.close(self._outcome)
        for thread in self._threads:
            thread.wait(WAIT_INTERRUPTED if self._outcome == "interrupted" else WAIT)


class _Thread(threading.Thread):
    """A tracker, and what it is still to be told: a call that fails stays first, until there is something new to tell."""

    def __init__(self, name: str, tracker: Tracker, run: TrackedRun, console: Any):
        super().__init__(name=f"tracker {name}", daemon=True)
        self._tracker, self._run, self._console = tracker, run, console
        self._queue: deque[Callable[[], None]] = deque([self._open])
        self._news, self._closing, self._warned, self._known = threading.Event(), False, False, 0
        self._news.set()

    def log(self, figures: Mapping[str, float], step: int) -> None:
        def log() -> None:
            if step > self._known:
                self._tracker.log(figures, step)

        self._put(log)

    def report(self, figures: Mapping[str, float], files: list[Path]) -> None:
        self._put(partial(self._tracker.report, figures, files))

    def close(self, outcome: Outcome | None) -> None:
        self._queue.append(partial(self._tracker.close, outcome))
        self._closing = True
        self._news.set()

    def wait(self, seconds: float) -> None:
        with progress.work(f"waiting for the {self.name}"):
            self.join(seconds)
        if self.is_alive():
            self._fail(f"it has not answered within {seconds:.0f} s")

    def run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            closing = self._closing
            try:
                while self._queue:
                    self._queue[0]()
                    self._queue.popleft()
            except (Exception, SystemExit) as error:
                self._fail(_reason(error))
                if closing and self._tracker.place:  # what it does not take is no reason to leave its run open
                    with suppress(Exception):
                        self._queue[-1]()
            if closing:
                return

    def _put(self, call: Callable[[], None]) -> None:
        self._queue.append(call)
        self._news.set()

    def _open(self) -> None:
        self._known = self._tracker.open(self._run)
        progress.say(f"{self.name}: {self._tracker.place}", LOGGER, to=self._console)

    def _fail(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            _warn(f"{self.name}: {why}; all that it lacks is in {self._run.config.parent}", self._console)


def _warn(line: str, console: Any) -> None:
    progress.say(line, LOGGER, to=console, level=logging.WARNING)


def _reason(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300]
