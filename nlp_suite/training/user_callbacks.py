"""What a program wants to be called with after every checkpoint interval: `nlp_suite.train(…, callbacks=[…])`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from nlp_suite.errors import UsageError
from nlp_suite.files import Record
from nlp_suite.training.callbacks import Logs

IntervalCallback = Callable[[int, Mapping[str, Any]], bool | str | None]
"""Called with the number of a checkpoint interval, from 1, and its figures; True, or a reason, ends the training after it."""


def check_callbacks(callbacks: Sequence[Any]) -> None:
    """Refuses what cannot be called.

    Raises:
        UsageError: with the one that is none.
    """
    for callback in callbacks:
        if isinstance(callback, type) or not (callable(callback) or isinstance(callback, keras.callbacks.Callback)):
            raise UsageError(f"callbacks: {callback!r} is neither a function (interval, logs) nor a Keras callback")


class CallAfterIntervals(keras.callbacks.Callback):
    """Calls a function after every checkpoint interval; if it answers True or a reason, no further one begins.

    Args:
        function: an `IntervalCallback`.
        record: of the run folder, which then holds the reason as `stopped`.

    Raises:
        UsageError: it answers anything but True, False, None and a text, which is hardly meant.
    """

    def __init__(self, function: IntervalCallback, record: Record):
        super().__init__()
        self._function, self._record = function, record

    def on_epoch_end(self, epoch: int, logs: Logs) -> None:
        answer: object = self._function(epoch + 1, dict(logs))
        if answer is not None and not isinstance(answer, bool | np.bool_ | str):
            raise UsageError(
                f"callbacks: {self._function!r} answered {answer!r}; allowed: True (stop), a text (stop, and why), False, None"
            )
        if answer:
            if isinstance(answer, str):
                self._record.update(stopped={"round": epoch + 1, "reason": answer})
            self.model.stop_training = True


def as_keras(callbacks: Sequence[Any], record: Record) -> list[Any]:
    """The callbacks as Keras takes them; `record`: of the run folder."""
    return [c if isinstance(c, keras.callbacks.Callback) else CallAfterIntervals(c, record) for c in callbacks]
