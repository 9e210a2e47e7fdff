"""Several devices and several processes train what one device trains."""

import csv
import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress

import pytest

from tests.backend_processes import ROOT, environment
from tests.training.distributed_runs import distance, experiment

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


SRUN = """#!/bin/sh
# stands in for srun: two tasks, each of which is the first of its node, with what srun tells it
shift
cd "$(dirname "$0")"
export SLURM_JOB_ID={job} SLURM_STEP_NODELIST=localhost SLURM_STEP_NUM_TASKS=2 SLURM_NTASKS=2 SLURM_LOCALID=0
for task in 0 1; do
    SLURM_PROCID=$task "$@" > task$task.log 2>&1 &
    echo $! > task$task.new && mv task$task.new task$task.pid
done
wait "$(cat task0.pid)"
"""


def begin_and_kill(config, run, folder):
    """Two tasks of SLURM train, and the second is killed once an interval is saved; what the first one said, and when it ended."""
    job = next(job for job in range(4096) if is_free(61440 + job))  # which decides the port
    for name, script in (
        ("srun", SRUN.format(job=job)),
        ("nlp-suite", f'#!/bin/sh\ncd {ROOT}\nexec {sys.executable} -m nlp_suite "$@"\n'),
    ):
        (folder / name).write_text(script)
        (folder / name).chmod(0o755)
    cluster = ROOT / "configs" / "cluster" / "slurm.sh"
    variables = {**environment("jax"), "PATH": f"{folder}:{os.environ['PATH']}"}
    script = subprocess.Popen(["sh", cluster, config, run], env=variables)
    pids = [folder / f"task{task}.pid" for task in (0, 1)]
    try:
        while script.poll() is None and not (run / "checkpoints" / "state.npz").exists():
            time.sleep(0.02)
        os.kill(int(pids[1].read_text()), signal.SIGKILL)
        began = time.monotonic()
        code = script.wait(timeout=60)
        said = (folder / "task0.log").read_text()
        assert code == 1, said
        return said, time.monotonic() - began
    finally:
        for pid in pids:
            with suppress(OSError, ValueError):
                os.kill(int(pid.read_text()), signal.SIGKILL)
        script.wait()


def is_free(port):
    with socket.socket() as probe, suppress(OSError):
        probe.bind(("localhost", port))
        return True
    return False


def test_devices_and_processes_train_what_one_device_does(tmp_path):
    """With dropout, clipping, accumulation, averages, a carried state and odd batches; and after the death of a process.

    Eight devices have copies of these networks; of pretrained ones four have parts each.
    """
    config, run = tmp_path / "config.yaml", tmp_path / "begun-killed"
    config.write_text(experiment("sentiment", tmp_path, distribution="data_parallel").to_yaml())
    (tmp_path / "srun").mkdir()
    said, seconds = begin_and_kill(config, run, tmp_path / "srun")
    assert "error: process 1 of 2 died" in said and seconds < 60
    assert json.loads((run / "run.json").read_text())["state"] == "running"
    together = tmp_path / "together"
    shutil.copytree(run, together)  # goes on with two processes, and the other with one of two devices

    goes_on = start("-m", "nlp_suite", "launch", "--processes", 2, "--", "train", config, "--run-dir", together)
    said, _ = goes_on.communicate()
    assert goes_on.returncode == 0, said
    assert said.count("continuing after checkpoint interval") == 1 and said.count("next: nlp-suite evaluate") == 1

    flags = "--xla_force_host_platform_device_count=8"
    alone = start(ROOT / "tests" / "training" / "distributed_runs.py", tmp_path, XLA_FLAGS=flags)
    said, _ = alone.communicate()
    assert alone.returncode == 0, said
    distances = json.loads(said.splitlines()[-1])
    assert 0.25 < distances.pop("share") < 0.4  # model_parallel by four: norms and the like are whole on each device
    distances["together"] = distance(tmp_path / "sentiment-none", together)
    trained = {"sentiment", "language_model", "translation", "begun-killed", "together", "decoder", "encoder"}
    assert set(distances) == trained and max(distances.values()) < NEAR, distances
    one, two = (
        list(csv.DictReader((tmp_path / name / "history.csv").open())) for name in ("sentiment-none", "together")
    )
    assert len(one) == len(two) == 10
    for row, other in zip(one, two):
        assert float(row["val_loss"]) == pytest.approx(float(other["val_loss"]), abs=1e-5)
