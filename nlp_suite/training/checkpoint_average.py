"""Checkpoint averaging: the mean of the weights of several rounds, the last ones or the best ones."""

import os
import shutil
from pathlib import Path

import keras
import numpy as np

from nlp_suite.errors import RunError
from nlp_suite.training.callbacks import without_optimizer, write_weights
from nlp_suite.training.optimizer import monitor_mode


class KeepRounds(keras.callbacks.Callback):
    """Keeps the weights of several rounds as `round-00012.weights.h5`; must come after `Checkpoints`, which writes them.

    Args:
        directory: of the checkpoints.
        number: how many rounds.
        of: `"last"`, or `"best"` by the monitored metric.
        monitor: metric; mode: `"min"` or `"max"`.

    Attributes:
        monitored: values of the rounds so far.
    """

    def __init__(self, directory: Path, number: int, of: str, monitor: str, mode: str):
        super().__init__()
        self._directory, self._number, self._of = directory, number, of
        self._monitor, self._mode = monitor, mode
        self.monitored: list[float] = []

    def on_epoch_end(self, epoch, logs=None):
        self.monitored = [*self.monitored[:epoch], float(logs[self._monitor])]
        name = _name(epoch + 1)
        beside = self._directory / f".{name}.{os.getpid()}"
        shutil.copyfile(self._directory / "last.weights.h5", beside)
        os.replace(beside, self._directory / name)
        kept = {_name(number) for number in self._chosen()}
        for path in self._directory.glob("round-*.weights.h5"):
            if path.name not in kept:
                path.unlink()

    def _chosen(self) -> list[int]:
        rounds = range(1, len(self.monitored) + 1)
        if self._of == "best":
            rounds = ranked(self.monitored, self._mode)[: self._number]
        return list(rounds)[-self._number :]


def _name(number: int) -> str:
    return f"round-{number:05d}.weights.h5"


def ranked(values: list[float], mode: str) -> list[int]:
    """Round numbers, from 1, from the best value to the worst; of equal ones the later first."""
    sign = 1 if mode == "min" else -1
    order = [(sign * value if np.isfinite(value) else np.inf, -number) for number, value in enumerate(values, 1)]
    return [-number for _, number in sorted(order)]


def kept_rounds(directory: Path) -> list[int]:
    """Rounds whose weights lie in a folder of checkpoints, ascending."""
    return sorted(int(path.name[6:11]) for path in directory.glob("round-*.weights.h5"))


def average_rounds(model, directory: Path, rounds: list[int]) -> Path:
    """Writes the mean of the weights of some rounds as `average.weights.h5`, which the run's model then is.

    Args:
        model: the network; has the mean afterwards.
        directory: of the checkpoints.
        rounds: their numbers.

    Raises:
        RunError: weights of a round that are not kept, or of none.
    """
    there = kept_rounds(directory)
    missing = [number for number in rounds if number not in there]
    if missing or not rounds:
        raise RunError(
            f"{directory.parent} keeps the weights of {_listed(there)}, not of {_listed(missing or rounds)}; "
            "training.average_checkpoints says how many rounds are kept"
        )
    totals = None
    for number in rounds:
        with without_optimizer(model):
            model.load_weights(directory / _name(number))
        weights = [np.asarray(w, "float64") for w in model.get_weights()]
        totals = weights if totals is None else [a + b for a, b in zip(totals, weights)]
    model.set_weights([total / len(rounds) for total in totals])
    write_weights(model, directory / "average.weights.h5")
    return directory / "average.weights.h5"


def _listed(rounds) -> str:
    return f"round{'s' * (len(rounds) != 1)} {', '.join(map(str, rounds))}" if rounds else "no round"


def average(run, *, last: int | None = None, best: int | None = None) -> list[int]:
    """Averages rounds of a finished run anew.

    Args:
        run: the `Run`.
        last: how many of the last rounds; best: how many of the best ones by the monitored metric. Give one of them.

    Returns:
        The rounds averaged.

    Raises:
        RunError: neither or both are given, fewer rounds than 1 or more than there are, or weights that are not kept.
    """
    if (last is None) == (best is None):
        raise RunError("give one of --last N and --best N")
    option, number = ("--last", last) if best is None else ("--best", best)
    monitor = run.experiment.training.monitor
    values = [row[monitor] for row in run.history]
    if not 1 <= number <= len(values):
        raise RunError(f"{option} {number}: {run.directory} has {len(values)} rounds; allowed: 1 to {len(values)}")
    rounds = list(range(1, len(values) + 1))[-number:]
    if best is not None:
        rounds = sorted(ranked(values, monitor_mode(monitor))[:number])
    average_rounds(run.model(), run.directory / "checkpoints", rounds)
    return rounds
