"""A trial seen from the search: a training in a process of its own, which may die and goes on where it was."""

import json
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_suite import progress
from nlp_suite.config import Experiment
from nlp_suite.data.staging import only_process
from nlp_suite.errors import TrainingError
from nlp_suite.training.run import is_run, read_info

LOGGER = logging.getLogger(__name__)
DEATHS = 3  # of a trial's process, after which the trial has failed
WAIT = 30.0  # seconds that a process which still holds the run folder has to end

Report = Callable[[int, float], str | None]
"""Takes the number of a checkpoint interval, from 1, and the metric; answers why the training ends now, or None."""


@dataclass(frozen=True)
class Outcome:
    """How a trial ended.

    Attributes:
        score: the metric at its best checkpoint interval.
        stopped: why it ended early; empty of one that did not.
    """

    score: float
    stopped: str = ""


Objective = Callable[[Experiment, Path, Report], Outcome]
"""Trains an experiment into a run folder, or goes on there; raises `TrialFailed` where it cannot."""


class TrialFailed(Exception):
    """A trial without a score; the message says why."""


def train_trial(experiment: Experiment, directory: Path, report: Report) -> Outcome:
    """Trains in a process of its own, again where that is killed; a run that is finished is not trained again.

    Args:
        experiment: what to train.
        directory: the run folder.
        report: see `Report`.

    Raises:
        TrialFailed: the training was refused or diverged, or its process died again and again.
    """
    for _ in range(DEATHS):
        if outcome := _outcome(directory):
            return outcome
        _wait_until_free(directory)
        code, error = _train(experiment, directory, report)
        if error:
            raise TrialFailed(error)
        if _outcome(directory) is None:
            died = f"its process died ({_cause(code)})"
            progress.say(f"{directory}: {died}; it goes on", LOGGER, level=logging.WARNING)
    if outcome := _outcome(directory):
        return outcome
    raise TrialFailed(f"{died}, {DEATHS} times")


def _outcome(directory: Path) -> Outcome | None:
    """How the run ended; None of one that has not."""
    if not is_run(directory) or (info := read_info(directory))["state"] != "finished":
        return None
    stopped = info.get("stopped") or {}
    return Outcome(float(info["best"]["value"]), stopped.get("reason", ""))


def _train(experiment: Experiment, directory: Path, report: Report) -> tuple[int, str]:
    """The exit code of a process that trains, and the error that it told."""
    # in a session of its own Ctrl-C does not reach it: it ends with this process
    process = subprocess.Popen(
        [sys.executable, "-m", "nlp_suite.tuning.trial_process"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        start_new_session=True,
    )
    assert process.stdin and process.stdout
    order = {
        "config": experiment.model_dump(mode="json", exclude_unset=True),
        "run_dir": str(directory),
        "monitor": experiment.training.monitor,
        "quiet": progress.is_quiet(),
    }
    error = ""
    try:
        _tell(process, order)
        for line in process.stdout:
            message = json.loads(line)
            error = message.get("error", "")
            if "interval" in message:
                _tell(process, {"stop": report(message["interval"], message["score"])})
            else:
                break
        return process.wait(), error
    finally:  # after its last line it ends by itself
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            with suppress(BrokenPipeError):
                pipe.close()


def _tell(process: Any, message: dict[str, Any]) -> None:
    with suppress(BrokenPipeError):  # it died, as its standard output will say
        print(json.dumps(message), file=process.stdin, flush=True)


def _wait_until_free(directory: Path) -> None:
    """Waits for the process of a search that was killed to leave its run folder."""
    end = time.monotonic() + WAIT
    while directory.is_dir():
        try:
            with only_process(directory, f"another process is training in {directory}"):
                return
        except TrainingError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def _cause(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit code {code}"
    name = signal.Signals(-code).name
    return f"{name}, as where the memory does not suffice" if -code == signal.SIGKILL else name
