"""Checkpoint averaging: the mean of the weights of several checkpoint intervals, the last ones or the best ones.

Of low-rank updates (LoRA) the two factors are averaged, whose product is not the mean of the products: that has a higher rank,
and would have no place in the factors. The factors of neighbouring intervals hardly differ; those of far ones may.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nlp_suite.errors import RunError
from nlp_suite.files import Record
from nlp_suite.progress import track
from nlp_suite.training.callbacks import Logs, without_optimizer, write_weights
from nlp_suite.training.checks import check_average
from nlp_suite.training.optimizer import monitor_mode
from nlp_suite.training.run import Run, load_weights


class KeepIntervals(keras.callbacks.Callback):
    """Keeps the weights of several checkpoint intervals as `round-00012.weights.h5`.

    Must come after `Checkpoints`, which writes them.

    Args:
        record: of the run folder.
        number: how many intervals.
        of: `"last"`, or `"best"` by the monitored metric.
        monitor: metric; mode: `"min"` or `"max"`.
        writes: whether this process writes the files; of several, one does.

    Attributes:
        monitored: values of the intervals so far.
    """

    def __init__(self, record: Record, number: int, of: str, monitor: str, mode: str, writes: bool = True):
        super().__init__()
        self._record, self._directory, self._writes = record, record.directory / "checkpoints", writes
        self._number, self._of = number, of
        self._monitor, self._mode = monitor, mode
        self.monitored: list[float] = []

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.monitored = [*self.monitored[:epoch], float(logs[self._monitor])]
        if not self._writes:
            return
        name = _name(epoch + 1)
        beside = self._directory / f".{name}.{os.getpid()}"
        shutil.copyfile(self._directory / "last.weights.h5", beside)
        self._record.replace(beside, self._directory / name)
        wanted = {_name(number) for number in self._chosen()}
        surplus = [path for path in self._directory.glob("round-*.weights.h5") if path.name not in wanted]
        if surplus:
            self._record.update(without=[f"checkpoints/{path.name}" for path in surplus])
        for path in surplus:
            path.unlink()

    def _chosen(self) -> list[int]:
        if self._of == "best":
            return ranked(self.monitored, self._mode)[: self._number]
        return list(range(1, len(self.monitored) + 1))[-self._number :]


def _name(number: int) -> str:
    return f"round-{number:05d}.weights.h5"


def ranked(values: Sequence[float], mode: str) -> list[int]:
    """Numbers of the checkpoint intervals, from 1, from the best value to the worst; of equal ones the later first."""
    sign = 1 if mode == "min" else -1
    order = [(sign * value if np.isfinite(value) else np.inf, -number) for number, value in enumerate(values, 1)]
    return [-number for _, number in sorted(order)]


def kept_intervals(record: Record) -> list[int]:
    """Checkpoint intervals whose weights a run folder keeps, ascending."""
    return sorted(int(Path(name).name[6:11]) for name in record.matching("checkpoints/round-*.weights.h5"))


def average_intervals(model: Any, record: Record, intervals: Sequence[int]) -> None:
    """Writes the mean of the weights of some checkpoint intervals as `average.weights.h5`: from then on the run's model.

    Args:
        model: the network; has the mean afterwards.
        record: of the run folder.
        intervals: their numbers.

    Raises:
        RunError: weights of an interval that are not kept, or of none.
        DamagedFileError: weights that are missing or damaged.
    """
    _check_kept(record, intervals)
    totals: list[np.ndarray] = []
    for number in track(intervals, "averaging weights", len(intervals), "checkpoints"):
        with without_optimizer(model):
            load_weights(model, record.check(f"checkpoints/{_name(number)}"))
        weights = [np.asarray(w, "float64") for w in model.get_weights()]
        totals = [a + b for a, b in zip(totals, weights)] if totals else weights
    model.set_weights([total / len(intervals) for total in totals])
    write_weights(model, record, "average")


def _check_kept(record: Record, intervals: Sequence[int]) -> None:
    available = kept_intervals(record)
    missing = [number for number in intervals if number not in available]
    if missing or not intervals:
        raise RunError(
            f"{record.directory} keeps the weights of {_listed(available)}, not of {_listed(missing or intervals)}; "
            "training.average_checkpoints says of how many they are kept"
        )


def _listed(intervals: Sequence[int]) -> str:
    if not intervals:
        return "no checkpoint interval"
    return f"checkpoint interval{'s' * (len(intervals) != 1)} {', '.join(map(str, intervals))}"


def average(run: Run, *, last: int | None = None, best: int | None = None) -> list[int]:
    """Averages the weights of checkpoint intervals of a finished run anew.

    Args:
        run: the run.
        last: how many of the last intervals; either this or `best` is given.
        best: how many of the best intervals by the monitored metric.

    Returns:
        The intervals averaged.

    Raises:
        UsageError: neither or both are given.
        RunError: fewer intervals than 1 or more than there are, or weights that are not kept.
        DamagedFileError: the history, or weights of an interval, are missing or damaged.
    """
    number, monitor = check_average(run, last, best), run.experiment.training.monitor
    values = [row[monitor] for row in run.history]
    intervals = list(range(1, len(values) + 1))[-number:]
    if best is not None:
        intervals = sorted(ranked(values, monitor_mode(monitor))[:number])
    _check_kept(run.record, intervals)
    stores = run.stores() if "fitted" in run.info else {}
    if stores:
        run.record.update(fitted={})  # what there is belongs to the weights that are replaced
    average_intervals(run.task.model(run.experiment.backbone, run.assets), run.record, intervals)
    if stores:
        run.record.update(fitted=run.task.after_training(run, stores))
    return intervals
