"""The training state: all that a killed run needs to continue as if it had never stopped.

At the end of a checkpoint interval the model's variables (random seeds of dropout included), the optimiser's, the states of
stateful callbacks and the interval's number go into one file, written beside and renamed. The file belongs to one backend;
only weights cross backends.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np

from nlp_suite.errors import DamagedFileError, RunError
from nlp_suite.files import Record, content_of
from nlp_suite.training.callbacks import Logs
from nlp_suite.training.frozen import frozen_weights, keeps_frozen_apart, load_frozen
from nlp_suite.training.run import HISTORY, STATE

_CALLBACK_STATE = ("wait", "best", "best_epoch", "stopped_epoch", "cooldown_counter", "seconds", "monitored")


class TrainingState(keras.callbacks.Callback):
    """Saves the state at the end of every checkpoint interval and restores it at the beginning of training.

    Must stand after the callbacks whose state it keeps.

    Args:
        record: of the run folder, in whose `checkpoints` the file lies.
        callbacks: callbacks with attributes such as `best` and `wait`.
        writes: whether this process writes the file; of several, one does, and all read it.

    Attributes:
        saved: number of checkpoint intervals that the file holds.
        stopped: whether training had been stopped early when the state was saved.
    """

    def __init__(self, record: Record, callbacks: Sequence[Any], writes: bool = True):
        super().__init__()
        self._record, self._callbacks, self._writes = record, callbacks, writes
        self._path = record.directory / STATE
        self._pending: list[dict[str, Any]] | None = None
        self.saved, self.stopped = 0, False

    def load(self, model: Any) -> int:
        """Puts the saved variables into a compiled model; returns the number of intervals done, 0 without a file.

        Raises:
            RunError: the file was written on another backend or does not fit the model.
            DamagedFileError: it is missing or damaged.
        """
        if not self._record.check(STATE).exists():
            return 0
        with _open(self._path, self._record.remedy(STATE)) as (file, meta):
            if meta["backend"] != keras.backend.backend():
                raise RunError(
                    f"{self._path} was written with Keras backend {meta['backend']!r}; this is "
                    f"{keras.backend.backend()!r}. Continue with KERAS_BACKEND={meta['backend']}"
                )
            variables = self._variables(model)
            if meta["shapes"] != _shapes(variables):
                raise RunError(f"{self._path} does not fit the model of this config (another version of the code?)")
            for i, variable in enumerate(variables):
                variable.assign(_from_numpy(file[f"v{i}"], variable))
        if keeps_frozen_apart(self._record):
            load_frozen(model, self._record)
        states: list[dict[str, Any]] = meta["callbacks"]
        stopped_early = any(state.get("stopped_epoch") for state in states)  # all that older states say of it
        self._pending, self.stopped = states, meta.get("stopped", stopped_early)
        self.saved = int(meta["rounds"])
        return self.saved

    def _variables(self, model: Any) -> list[Any]:
        """What the file holds: all variables of the model but frozen weights that lie elsewhere, and the optimiser's."""
        frozen = frozen_weights(model) if keeps_frozen_apart(self._record) else ()
        apart = {id(weight) for weight in frozen}
        return [*(v for v in model.variables if id(v) not in apart), *model.optimizer.variables]

    def on_train_begin(self, logs: Logs | None = None) -> None:
        for callback, state in zip(self._callbacks, self._pending or []):
            for name, value in state.items():
                setattr(callback, name, value)

    def on_epoch_end(self, epoch: int, logs: Logs | None = None) -> None:
        if not self._writes:
            return
        variables = self._variables(self.model)
        meta = {
            "backend": keras.backend.backend(),
            "rounds": epoch + 1,
            "stopped": bool(self.model.stop_training),
            "shapes": _shapes(variables),
            "callbacks": [
                {name: _plain(getattr(callback, name)) for name in _CALLBACK_STATE if hasattr(callback, name)}
                for callback in self._callbacks
            ],
        }
        arrays: dict[str, Any] = {f"v{i}": _to_numpy(variable) for i, variable in enumerate(variables)}
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}")
        try:
            with open(beside, "wb") as file:
                np.savez(file, meta=json.dumps(meta), **arrays)
                file.flush()
                os.fsync(file.fileno())
            rows = content_of(self._record.directory / HISTORY, appended=True)  # those that the log has now
            self._record.replace(beside, self._path, also={HISTORY: [rows]})
            self.saved = epoch + 1
        finally:
            beside.unlink(missing_ok=True)


@contextmanager
def _open(path: Path, remedy: str) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The arrays of a state, and what else it holds; that of a run without digests may be damaged."""
    try:
        file = np.load(path, allow_pickle=False)
        meta = json.loads(str(file["meta"]))
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, LookupError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}): {remedy}") from None
    try:
        with file:
            yield file, meta
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise DamagedFileError(f"{path} is damaged ({error}): {remedy}") from None


def _shapes(variables: Sequence[Any]) -> list[Any]:
    return [[list(variable.shape), keras.backend.standardize_dtype(variable.dtype)] for variable in variables]


def _to_numpy(variable: Any) -> np.ndarray:
    array: np.ndarray = keras.ops.convert_to_numpy(variable.value)
    return array.view("uint16") if array.dtype.name == "bfloat16" else array


def _from_numpy(array: np.ndarray, variable: Any) -> np.ndarray:
    if keras.backend.standardize_dtype(variable.dtype) == "bfloat16":
        import ml_dtypes

        return array.view(ml_dtypes.bfloat16)
    return array


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
