"""Several devices and several processes train what one device trains."""

import csv
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.backend_processes import ROOT, environment
from tests.training.distributed_runs import distance, experiment
from tests.training.test_launch import address

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("jax") is None, reason="JAX is not installed"),
]
NEAR = 1e-6


def start(*arguments, **variables):
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        env={**environment("jax"), **variables},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def begin_and_kill(config, run, killed):
    """Two processes train, one is killed once an interval is saved; what the other one said, and after how many seconds."""
    place = address()
    options = ["-m", "nlp_suite", "train", config, "--run-dir", run, "--coordinator", place, "--processes", 2]
    processes = [start(*options, "--process-id", p) for p in (0, 1)]
    try:
        while processes[0].poll() is None and not (run / "checkpoints" / "state.npz").exists():
            time.sleep(0.02)
        os.kill(processes[killed].pid, signal.SIGKILL)
        began = time.monotonic()
        said, _ = processes[1 - killed].communicate(timeout=60)
        assert processes[1 - killed].returncode == 1, said
        return said, time.monotonic() - began
    finally:
        for process in processes:
            process.kill()
            process.communicate()


def test_devices_and_processes_train_what_one_device_does(tmp_path):
    """With dropout, clipping, accumulation, averages, a carried state and odd batches; and after the death of a process."""
    config, run = tmp_path / "config.yaml", tmp_path / "begun-killed"
    config.write_text(experiment("sentiment", tmp_path, distribution="data_parallel").to_yaml())
    said, seconds = begin_and_kill(config, run, killed=1)
    assert "error: process 1 of 2 died" in said and seconds < 60
    assert json.loads((run / "run.json").read_text())["state"] == "running"
    together = tmp_path / "together"
    shutil.copytree(run, together)  # goes on with two processes, and the other with one of two devices

    goes_on = start("-m", "nlp_suite", "launch", "--processes", 2, "--", "train", config, "--run-dir", together)
    said, _ = goes_on.communicate()
    assert goes_on.returncode == 0, said
    assert said.count("continuing after checkpoint interval") == 1 and said.count("next: nlp-suite evaluate") == 1

    flags = "--xla_force_host_platform_device_count=2"
    alone = start(ROOT / "tests" / "training" / "distributed_runs.py", tmp_path, XLA_FLAGS=flags)
    said, _ = alone.communicate()
    assert alone.returncode == 0, said
    distances = json.loads(said.splitlines()[-1])
    distances["together"] = distance(tmp_path / "sentiment-none", together)
    assert set(distances) == {"sentiment", "language_model", "translation", "begun-killed", "together"}
    assert max(distances.values()) < NEAR, distances
    one, two = (
        list(csv.DictReader((tmp_path / name / "history.csv").open())) for name in ("sentiment-none", "together")
    )
    assert len(one) == len(two) == 10
    for row, other in zip(one, two):
        assert float(row["val_loss"]) == pytest.approx(float(other["val_loss"]), abs=1e-5)
