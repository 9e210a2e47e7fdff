"""Trials of a storage that several searches share, whose search never comes back: found by Optuna's heartbeat and taken up.

A search gives a sign of life for its trial every `BEAT` seconds. One that has given none for `GRACE` seconds is failed by the
next search that asks for a trial, and its settings become those of a trial that is yet to begin. Optuna keeps these signs in
databases, not in a journal.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

BEAT = 30  # seconds between two signs of life
GRACE = 300  # seconds without one, after which a trial is lost
TIMES = 3  # that the same settings are tried where their searches do not come back
INSTEAD, TRIED = "instead_of", "tried"  # attributes of a trial that takes up a lost one's settings


def heartbeat_options() -> dict[str, Any]:
    """Arguments of an Optuna storage."""
    return {"heartbeat_interval": BEAT, "grace_period": GRACE, "heartbeat_stale_trial_callback": _take_up}


def _take_up(study: "Study", trial: "FrozenTrial") -> None:
    tried = trial.user_attrs.get(TRIED, 1) + 1
    if tried <= TIMES:
        study.enqueue_trial(trial.params, user_attrs={INSTEAD: trial.number, TRIED: tried})


def ask(study: "Study") -> "Trial":
    """A new trial."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Heartbeat of storage")  # it is `signs_of_life` that gives them
        return study.ask()


def fail_lost(study: "Study") -> None:
    """Fails the trials of a study that are lost, and makes their settings those of next trials."""
    from optuna.storages import fail_stale_trials

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it counts as experimental
        fail_stale_trials(study)


def successors(study: "Study") -> dict[int, int]:
    """The number of a lost trial → that of the trial with its settings."""
    trials = study.get_trials(deepcopy=False)
    return {trial.user_attrs[INSTEAD]: trial.number for trial in trials if INSTEAD in trial.user_attrs}


@contextmanager
def signs_of_life(study: "Study", trial: "Trial") -> Iterator[None]:
    """Within the context a trial gives signs of life, if the storage takes them."""
    storage: Any = study._storage
    if getattr(storage, "get_heartbeat_interval", lambda: None)() is None:
        yield
        return
    storage.record_heartbeat(trial._trial_id)
    stop = threading.Event()

    def beat() -> None:
        while not stop.wait(BEAT):
            with suppress(Exception):  # the storage may be out of reach for a while
                storage.record_heartbeat(trial._trial_id)

    thread = threading.Thread(target=beat, daemon=True, name=f"trial {trial.number}")
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
