"""The callbacks of a training, and the order in which they are called."""

from collections.abc import Sequence
from typing import Any

import keras
from rich.console import Console

from nlp_suite.config import TrainingSettings
from nlp_suite.files import Record
from nlp_suite.training.callbacks import (
    Agree,
    Checkpoints,
    EvaluateAverage,
    IntervalLog,
    ShowProgress,
    StopWhenDiverged,
)
from nlp_suite.training.checkpoint_average import KeepIntervals
from nlp_suite.training.distributions.base import World
from nlp_suite.training.optimizer import monitor_mode
from nlp_suite.training.run import HISTORY
from nlp_suite.training.state import TrainingState
from nlp_suite.training.tracking import Tracking
from nlp_suite.training.user_callbacks import as_keras


class FitCallbacks:
    """What Keras calls around the steps, in the order of this list.

    1. `EvaluateAverage` puts the averaged weights in place before a validation and takes them out after it.
    2. `IntervalLog` completes the logs, before anything reads them.
    3. `StopWhenDiverged` refuses a loss that is no number or far too large, before the weights are saved.
    4. The task's own callbacks measure, and add to the logs.
    5. Those of the schedule and of the averaging optimiser read the logs and change the learning rate or the average.
    6. `Checkpoints` writes the weights, after the average may have been started.
    7. `KeepIntervals` copies what `Checkpoints` wrote.
    8. Keras's `EarlyStopping` decides whether to end.
    9. Those of the program that trains may decide so, too.
    10. Several processes agree on whether to end. `CSVLogger` and `TensorBoard` record the completed logs.
    11. `ShowProgress` shows which interval `Checkpoints` found the best.
    12. `TrainingState` saves the state of 2 and 4 to 8, and whether training ends; a run that is killed before it repeats
        the interval.
    13. The trackers are told what is saved now, and the other processes wait until then. They do all but write and show.

    Args:
        settings: the training section.
        record: of the run folder.
        console: where progress is shown; see `progress.say`.
        loss_metric: name of the metric that is the loss.
        intervals: checkpoint intervals in all.
        steps: steps of one.
        validation_steps: batches of its validation.
        measuring: the task's callbacks.
        optimizing: those of the optimiser.
        of_program: those that the program gave.
        world: the processes that train.

    Attributes:
        state: the `TrainingState`.
        progress: the `ShowProgress`.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        record: Record,
        console: Console | None,
        *,
        loss_metric: str,
        intervals: int,
        steps: int,
        validation_steps: int,
        measuring: Sequence[Any],
        optimizing: Sequence[Any],
        of_program: Sequence[Any],
        world: World,
    ):
        self._world, writes = world, world.writes
        self._of_program = as_keras(of_program, record)
        self._settings, self._directory, self._steps = settings, record.directory, steps
        monitor, mode = settings.monitor, monitor_mode(settings.monitor)
        self._log = IntervalLog(loss_metric, steps)
        self._checkpoints = Checkpoints(record, monitor, mode, writes)
        self._stateful = [self._log, *measuring, *optimizing, self._checkpoints]
        if settings.average_checkpoints:
            self._stateful.append(
                KeepIntervals(record, settings.average_checkpoints, settings.average_of, monitor, mode, writes)
            )
        if settings.patience:
            self._stateful.append(keras.callbacks.EarlyStopping(monitor, mode=mode, patience=settings.patience))
        self.progress = ShowProgress(intervals, steps, validation_steps, self._checkpoints, console, loss_metric)
        self.state = TrainingState(record, self._stateful, writes)

    def in_order(self, tracking: Tracking | None) -> list[Any]:
        """All of them, as `fit` takes them.

        Args:
            tracking: the trackers, which are told the logs of every interval.
        """
        stop = StopWhenDiverged(self._directory, self._steps)
        log, *others = self._stateful
        callbacks = [EvaluateAverage(), log, stop, *others, *self._of_program]
        several = self._world.processes > 1
        if several:
            callbacks.append(Agree("interval", self._world))
        if self._world.writes:
            callbacks.append(keras.callbacks.CSVLogger(str(self._directory / HISTORY), append=True))
            if self._settings.tensorboard:
                board = keras.callbacks.TensorBoard(str(self._directory / "tensorboard"), write_graph=False)
                callbacks.append(board)
        callbacks += [self.progress, self.state]
        if tracking:
            callbacks.append(keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: tracking.log(logs)))
        if several:
            callbacks.append(Agree("saved", self._world))
        return callbacks

    def outcome(self, parameters: int) -> dict[str, Any]:
        """What `run.json` says of a finished training; the key `round` is the number of the best checkpoint interval."""
        best = {
            "round": self._checkpoints.best_epoch,
            "metric": self._settings.monitor,
            "value": self._checkpoints.best,
        }
        return {"state": "finished", "parameters": parameters, "seconds": self._log.seconds, "best": best}
