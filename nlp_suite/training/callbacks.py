"""What happens around the steps: honest logs, the averaged weights, the best checkpoint, progress, a stop on NaN."""

import math
import os
import time
from contextlib import contextmanager
from pathlib import Path

import keras
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from nlp_suite.errors import TrainingError


@contextmanager
def averaged_weights(model):
    """Within the context the model has the weights' moving average (EMA), if its optimiser keeps one.

    The exchange is exact. (Keras's `SwapEMAWeights` adds and subtracts on TensorFlow, which rounds.)
    """
    optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
    pairs = []
    if optimizer.use_ema:
        pairs = list(zip(optimizer._trainable_variables, optimizer._model_variables_moving_average))
    kept = [keras.ops.convert_to_numpy(variable.value).copy() for variable, _ in pairs]
    for variable, average in pairs:
        variable.assign(keras.ops.copy(average.value))  # JAX wants no buffer to be two variables'
    try:
        yield
    finally:
        for (variable, _), value in zip(pairs, kept):
            variable.assign(value)


class EvaluateAverage(keras.callbacks.Callback):
    """Validates with the moving average of the weights."""

    def on_test_begin(self, logs=None):
        self._context = averaged_weights(self.model)
        self._context.__enter__()

    def on_test_end(self, logs=None):
        self._context.__exit__(None, None, None)


class RoundLog(keras.callbacks.Callback):
    """Makes a round's logs honest and complete; must come first of those that read them.

    `loss` and `val_loss` become the task's loss metric, which sums and counts over rows (Keras's own average batch means);
    `step`, `learning_rate` and `seconds` (training time so far, earlier runs of the folder included) are added.

    Args:
        loss_metric: name of the metric that is the loss.
        steps: steps a round.
    """

    def __init__(self, loss_metric: str, steps: int):
        super().__init__()
        self._loss_metric, self._steps, self.seconds = loss_metric, steps, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()

    def on_test_begin(self, logs=None):
        self._validation_began = time.perf_counter()

    def on_test_end(self, logs=None):
        self._began += time.perf_counter() - self._validation_began

    def on_epoch_end(self, epoch, logs=None):
        self.seconds += time.perf_counter() - self._began
        for prefix in ("", "val_"):
            if prefix + self._loss_metric in logs:
                logs[prefix + "loss"] = logs.pop(prefix + self._loss_metric)
        logs["step"] = (epoch + 1) * self._steps
        logs["learning_rate"] = float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate))
        logs["seconds"] = round(self.seconds, 2)


class StopOnNaN(keras.callbacks.Callback):
    """Ends training at the first step whose loss is not a number.

    Raises:
        TrainingError: with the step, the learning rate and what is kept: in the first round, nothing.
    """

    def __init__(self, directory: Path, steps: int):
        super().__init__()
        self._directory, self._steps, self._epoch = directory, steps, 0

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        loss = float(logs["loss"])
        if not math.isfinite(loss):
            kept = f"the checkpoints of the rounds before it are kept in {self._directory}"
            if not self._epoch:
                kept = "there is no checkpoint yet, as this is the first round"
            raise TrainingError(
                f"the loss is {loss} at step {self._epoch * self._steps + batch + 1}, with learning rate "
                f"{float(keras.ops.convert_to_numpy(self.model.optimizer.learning_rate)):g}; {kept}. "
                "Try a lower training.learning_rate or training.clip_norm"
            )


class Checkpoints(keras.callbacks.Callback):
    """Writes `last.weights.h5` every round and `best.weights.h5` when the monitored metric is better than ever.

    Weights are the moving average where there is one. Files are written beside and renamed.

    Args:
        directory: where they go.
        monitor: metric; mode: `"min"` or `"max"`.
    """

    def __init__(self, directory: Path, monitor: str, mode: str):
        super().__init__()
        self._directory, self._monitor, self._mode = directory, monitor, mode
        self.best, self.best_epoch = None, None

    def on_epoch_end(self, epoch, logs=None):
        value = float(logs[self._monitor])
        improved = self.best is None or (value < self.best if self._mode == "min" else value > self.best)
        better = improved and math.isfinite(value)
        with averaged_weights(self.model):
            self._write("last")
            if better:
                self._write("best")
        if better:
            self.best, self.best_epoch = value, epoch + 1

    def _write(self, name):
        write_weights(self.model, self._directory / f"{name}.weights.h5")


@contextmanager
def without_optimizer(model):
    """Within the context the model has no optimiser, whose variables Keras would save and load with the weights."""
    optimizer, model.optimizer = getattr(model, "optimizer", None), None
    try:
        yield
    finally:
        model.optimizer = optimizer


def write_weights(model, path: Path) -> None:
    """Writes a model's weights beside and renames them."""
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        with without_optimizer(model):
            model.save_weights(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


class ProgressBar(keras.callbacks.Callback):
    """A bar with rate and time left while a round runs, and a line a round that stays.

    Args:
        rounds: rounds in all; steps: steps a round; checkpoints: the `Checkpoints`, to mark the best round.
    """

    def __init__(self, rounds: int, steps: int, checkpoints: Checkpoints, console: Console):
        super().__init__()
        self._rounds, self._steps, self._checkpoints = rounds, steps, checkpoints
        self._console = console
        self._bar, self._task, self._drawn = None, None, 0.0

    def on_train_begin(self, logs=None):
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=28),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[loss]}"),
        )
        self._bar = Progress(*columns, console=self._console, transient=True, disable=not self._console.is_terminal)
        self._bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self._began = time.perf_counter()
        self._task = self._bar.add_task(f"round {epoch + 1}/{self._rounds}", total=self._steps, rate="", loss="")

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        if now - self._drawn > 0.2:
            self._drawn = now
            rate = f"{(batch + 1) / (now - self._began):.1f} steps/s"
            self._bar.update(self._task, completed=batch + 1, rate=rate, loss=f"loss {float(logs['loss']):.4f}")

    def on_epoch_end(self, epoch, logs=None):
        self._bar.remove_task(self._task)
        numbers = "  ".join(
            f"{k} {_short(v)}" for k, v in logs.items() if k not in ("step", "seconds", "learning_rate")
        )
        mark = "  best" if self._checkpoints.best_epoch == epoch + 1 else ""
        rate = self._steps / max(time.perf_counter() - self._began, 1e-9)
        line = (
            f"round {epoch + 1}/{self._rounds}  step {logs['step']}  {numbers}  lr {logs['learning_rate']:.3g}  "
            f"{logs['seconds']:.0f} s  {rate:.1f} steps/s{mark}"
        )
        self._console.print(line, highlight=False, soft_wrap=True)

    def close(self):
        """Takes the bar off the screen, however training ended."""
        if self._bar is not None:
            self._bar.stop()


def _short(value) -> str:
    return f"{float(value):.4f}"
