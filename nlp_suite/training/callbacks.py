"""What happens around the steps: honest logs, the averaged weights, the best checkpoint, progress, a stop when it diverges.

What Keras calls an epoch is here a *checkpoint interval*: `training.save_every` steps, by default a pass over the training
split, after which the model is validated and saved. Files of a run call it `round` (`run.json`, `round-00012.weights.h5`).
"""

import logging
import math
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import keras
from rich.console import Console

from nlp_suite import progress
from nlp_suite.errors import TrainingError
from nlp_suite.files import Record
from nlp_suite.training.distributions.base import World
from nlp_suite.training.frozen import keeps_frozen_apart, write_others

DIVERGED = 1e4  # times the loss of the first step (or 1): no training that comes so far comes back to anything of use
LOGGER = logging.getLogger(__name__)
Logs = dict[str, Any]
"""Metric → value, as Keras hands them from callback to callback."""


def better(value: float, best: float, mode: str) -> bool:
    """Whether a value of a metric is better than another; of mode `"min"` less is better, of `"max"` more."""
    return value < best if mode == "min" else value > best


@contextmanager
def averaged_weights(model: Any) -> Iterator[None]:
    """Within the context the model has the weights' moving average (EMA), if its optimiser keeps one.

    The exchange is exact. (Keras's `SwapEMAWeights` adds and subtracts on TensorFlow, which rounds.)
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    pairs = []
    if optimizer.use_ema:
        pairs = list(zip(optimizer._trainable_variables, optimizer._model_variables_moving_average))
    before = [keras.ops.convert_to_numpy(variable.value).copy() for variable, _ in pairs]
    for variable, average in pairs:
        variable.assign(keras.ops.copy(average.value))  # JAX wants no buffer to be two variables'
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, before):
            variable.assign(value)


class EvaluateAverage(keras.callbacks.Callback):
    """Validates with the moving average of the weights."""

    _context: AbstractContextManager[None]

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._context = averaged_weights(self.model)
        self._context.__enter__()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._context.__exit__(None, None, None)


class IntervalLog(keras.callbacks.Callback):
    """Makes the logs of a checkpoint interval honest and complete; must come first of those that read them.

    `loss` and `val_loss` become the task's loss metric, which sums and counts over rows, each once (Keras's own is the mean
    over batches of what is minimised, with label smoothing, class weights and penalties);
    `step`, `learning_rate` and `seconds` (training time so far, earlier runs of the folder included) are added.

    Args:
        loss_metric: name of the metric that is the loss.
        steps: steps of an interval.
    """

    def __init__(self, loss_metric: str, steps: int):
        super().__init__()
        self._loss_metric, self._steps, self.seconds = loss_metric, steps, 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._began = time.perf_counter()

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._validation_began = time.perf_counter()

    def on_test_end(self, logs: Logs | None = None) -> None:
        self._began += time.perf_counter() - self._validation_began

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.seconds += time.perf_counter() - self._began
        for prefix in ("", "val_"):
            if prefix + self._loss_metric in logs:
                logs[prefix + "loss"] = logs.pop(prefix + self._loss_metric)
        logs["step"] = (epoch + 1) * self._steps
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        logs["seconds"] = round(self.seconds, 2)


class StopWhenDiverged(keras.callbacks.Callback):
    """Ends training at the first step whose loss is not a number, or `DIVERGED` times that of the first step.

    It also ends it at the end of a checkpoint interval whose validation loss is so; must come before what saves weights.

    Args:
        directory: the run folder, for the message.
        steps: steps of an interval.

    Raises:
        TrainingError: with the step, the learning rate and which checkpoints there are: in the first checkpoint interval, none.
    """

    def __init__(self, directory: Path, steps: int):
        super().__init__()
        self._directory, self._steps, self._epoch = directory, steps, 0
        self._first: float | None = None  # loss of the first step of this process

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        loss = float(logs["loss"])
        self._first = loss if self._first is None else self._first
        self._check("loss", loss, self._epoch * self._steps + batch + 1)

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        if "val_loss" in logs:
            self._check("validation loss", float(logs["val_loss"]), (epoch + 1) * self._steps)

    def _check(self, what: str, loss: float, step: int) -> None:
        first = self._first or 0.0
        if math.isfinite(loss) and loss <= DIVERGED * max(1.0, first):
            return
        checkpoints = f"the checkpoints of the intervals before it are kept in {self._directory}"
        if not self._epoch:
            checkpoints = "there is no checkpoint yet, as this is the first checkpoint interval"
        raise TrainingError(
            f"the training diverged from a loss of {first:g} at its first step: the {what} is {loss:g} at step {step}, with "
            f"learning rate {float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)):g}; {checkpoints}. "
            "Try a lower training.learning_rate or training.clip_norm"
        )


class Checkpoints(keras.callbacks.Callback):
    """Writes `last.weights.h5` every checkpoint interval, and `best.weights.h5` when the monitored metric is at its best.

    Weights are the moving average where there is one. Files are written beside and renamed.

    Args:
        record: of the run folder, in whose `checkpoints` they go.
        monitor: metric; mode: `"min"` or `"max"`.
        writes: whether this process writes the files; of several, one does.
    """

    def __init__(self, record: Record, monitor: str, mode: str, writes: bool = True):
        super().__init__()
        self._record, self._monitor, self._mode, self._writes = record, monitor, mode, writes
        self.best: float | None = None
        self.best_epoch: int | None = None

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        value = float(logs[self._monitor])
        improved = math.isfinite(value) and (self.best is None or better(value, self.best, self._mode))
        with averaged_weights(self.model):
            self._write("last")
            if improved:
                self._write("best")
        if improved:
            self.best, self.best_epoch = value, epoch + 1

    def _write(self, name: str) -> None:
        if self._writes:
            write_weights(self.model, self._record, name)


class Agree(keras.callbacks.Callback):
    """Waits for the other processes at the end of a checkpoint interval; where one of them stops, all do.

    Args:
        what: where this stands, for messages.
        world: the processes.
    """

    def __init__(self, what: str, world: World):
        super().__init__()
        self._what, self._world = what, world

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        self.model.stop_training = any(self._world.gather(self._what, bool(self.model.stop_training)))


@contextmanager
def without_optimizer(model: Any) -> Iterator[None]:
    """Within the context the model has no optimiser, whose variables Keras would save and load with the weights."""
    optimizer, model.optimizer = getattr(model, "optimizer", None), None
    try:
        yield
    finally:
        model.optimizer = optimizer


def write_weights(model: Any, record: Record, checkpoint: str) -> None:
    """Writes a model's weights as a checkpoint of a run folder, beside, and renames them."""
    path = record.directory / "checkpoints" / f"{checkpoint}.weights.h5"
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        if keeps_frozen_apart(record):
            write_others(model, beside)
        else:
            with without_optimizer(model):
                model.save_weights(beside)
        record.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


class ShowProgress(keras.callbacks.Callback):
    """What `nlp_suite.progress` shows while a checkpoint interval trains and validates, and a line for each that stays.

    Args:
        intervals: how many there are in all.
        steps: steps of an interval.
        validation_steps: batches of a validation.
        checkpoints: the `Checkpoints`, to mark the best interval.
        console: where the lines go; see `progress.say`.
        loss_metric: name of the metric that is the loss.
    """

    def __init__(
        self,
        intervals: int,
        steps: int,
        validation_steps: int,
        checkpoints: Checkpoints,
        console: Console | None,
        loss_metric: str,
    ):
        super().__init__()
        self._loss_metric = loss_metric
        self._intervals, self._steps, self._validation_steps = intervals, steps, validation_steps
        self._checkpoints, self._console = checkpoints, console
        self._works: list[progress.Work] = []  # the interval, and its validation while that goes on
        self._noted = 0.0

    def on_epoch_begin(self, epoch: int, logs: Logs | None = None) -> None:
        self._began = time.perf_counter()
        self._works.append(progress.begin(self._title(epoch), self._steps, "steps"))

    def on_train_batch_end(self, batch: int, logs: Logs) -> None:
        work, now = self._works[0], time.monotonic()
        work.done = batch + 1
        if now - self._noted > progress.TICK:  # the loss is not always in this process's memory
            metric = self._loss_metric if self._loss_metric in logs else "loss"
            self._noted, work.note = now, f"loss {float(logs[metric]):.4f}"

    def on_test_begin(self, logs: Logs | None = None) -> None:
        self._works.append(progress.begin("validating", self._validation_steps, "batches"))

    def on_test_batch_end(self, batch: int, logs: Logs | None = None) -> None:
        self._works[-1].done = batch + 1

    def on_test_end(self, logs: Logs | None = None) -> None:
        progress.end(self._works.pop())

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        self.close()
        numbers = "  ".join(
            f"{k} {float(v):.4f}" for k, v in logs.items() if k not in ("step", "seconds", "learning_rate")
        )
        mark = "  best" if self._checkpoints.best_epoch == epoch + 1 else ""
        rate = self._steps / max(time.perf_counter() - self._began, 1e-9)
        line = (
            f"{self._title(epoch)}  step {logs['step']}  {numbers}  lr {logs['learning_rate']:.3g}  "
            f"{logs['seconds']:.0f} s  {rate:.1f} steps/s{mark}"
        )
        progress.say(line, LOGGER, to=self._console)

    def _title(self, epoch: int) -> str:
        return f"checkpoint interval {epoch + 1}/{self._intervals}"

    def close(self) -> None:
        """Ends what is shown, however training ended."""
        while self._works:
            progress.end(self._works.pop())
