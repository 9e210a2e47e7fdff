"""A trial's process: it may die and goes on, fail and say why, and ends with the search; the whole command, really killed."""

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from nlp_suite.data.staging import only_process
from nlp_suite.errors import TrainingError
from nlp_suite.training.run import SCHEMA, run_record
from nlp_suite.tuning import trial_training
from nlp_suite.tuning.trial_training import Outcome, TrialFailed, train_trial


@pytest.fixture
def processes(monkeypatch):
    """A function that says how the processes end: functions of the run folder, or exit code and error."""

    def ending(*ends):
        left = list(ends)

        def train(experiment, directory, report):
            end = left.pop(0)
            return end(directory) if callable(end) else end

        monkeypatch.setattr(trial_training, "_train", train)
        return left

    return ending


def finishes(directory, **more):
    directory.mkdir(exist_ok=True)
    info = {"schema": SCHEMA, "state": "finished", "labels": [], "statistics": {}, "best": {"value": 0.25}, "files": {}}
    run_record(directory).write({**info, **more})
    return 0, ""


def test_a_process_that_is_killed_is_followed_by_another(tmp_path, processes):
    left = processes((-signal.SIGKILL, ""), (-signal.SIGKILL, ""), finishes)
    assert train_trial(None, tmp_path / "run", None) == Outcome(0.25) and left == []
    processes()  # none is needed
    assert train_trial(None, tmp_path / "run", None) == Outcome(0.25)


def test_one_that_dies_every_time_has_failed(tmp_path, processes):
    processes(*[(-signal.SIGKILL, "")] * 3)
    with pytest.raises(
        TrialFailed, match=r"its process died \(SIGKILL, as where the memory does not suffice\), 3 times"
    ):
        train_trial(None, tmp_path / "run", None)


def test_what_ends_it_early_and_what_refuses_it_are_told(tmp_path, processes):
    processes(lambda directory: finishes(directory, stopped={"round": 1, "reason": "pruned"}), (0, "no such column"))
    assert train_trial(None, tmp_path / "run", None) == Outcome(0.25, "pruned")
    with pytest.raises(TrialFailed, match="no such column"):
        train_trial(None, tmp_path / "other", None)


def test_it_waits_for_a_process_that_still_holds_the_run(tmp_path, processes, monkeypatch):
    finishes(tmp_path)
    run_record(tmp_path).update(state="running")
    left = processes(finishes)
    with ExitStack() as held:
        held.enter_context(only_process(tmp_path, ""))
        monkeypatch.setattr(trial_training.time, "sleep", lambda seconds: held.close())
        assert train_trial(None, tmp_path, None) == Outcome(0.25) and left == []
    run_record(tmp_path).update(state="running")
    monkeypatch.setattr(trial_training, "WAIT", -1)
    with only_process(tmp_path, ""), pytest.raises(TrainingError, match="another process is training in"):
        train_trial(None, tmp_path, None)


CONFIG = """
data: {source: {name: sample, size: 200, test: 60}}
text: {max_length: 40}
backbone: {name: bag, embedding_size: 4, ngram_buckets: 1024}
training: {epochs: 40, learning_rate: 0.01, buckets: 1, tensorboard: false}
search: {trials: 1, monitor: val_loss, pruner: none, training.learning_rate: {log: [0.001, 0.1]}}
"""


def begun(folder):
    """The command, in a process of its own whose lines can be read."""
    command = [sys.executable, "-m", "nlp_suite", "search", "tiny.yaml"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdout=pipe, stderr=subprocess.STDOUT, text=True, cwd=folder, env=environment)


def read_until(process, line):
    """Reads what a process says up to a line; returns it."""
    said = ""
    for read in process.stdout:
        said += read
        if line in read:
            return said
    raise AssertionError(said)


def child_of(process):
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


@pytest.mark.slow
def test_the_command_goes_on_after_its_process_and_that_of_a_trial_were_killed(tmp_path):
    (tmp_path / "tiny.yaml").write_text(CONFIG)
    with begun(tmp_path) as first:
        read_until(first, "checkpoint interval 2/40")
        child = child_of(first)
        first.kill()
        end = time.monotonic() + 20
        while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
            assert time.monotonic() < end, "a trial must end with its search"
            time.sleep(0.05)
    with begun(tmp_path) as second:
        said = read_until(second, "continuing after checkpoint interval")
        done = int(re.search(r"continuing after checkpoint interval (\d+)", said)[1])
        read_until(second, f"checkpoint interval {done + 3}/40")
        os.kill(child_of(second), signal.SIGKILL)
        rest = read_until(second, "report:")
    again = int(re.search(r"its process died \(SIGKILL(?s:.)*continuing after checkpoint interval (\d+)", rest)[1])
    assert again > done >= 1
    told = " ".join(rest.split())
    assert "1 complete" in told and "the test split was read for this trial only, once" in told
    assert (tmp_path / "runs/tiny-search/best.yaml").exists() and second.returncode == 0
