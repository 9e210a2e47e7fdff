"""Trains on one process with all cores and on several that share them, in turns: steps a second, and the sum of gradients alone.

Both networks train as `nlp-suite train` does, on JAX: a Transformer language model and a bidirectional LSTM classifier, on the
sample. The first checkpoint interval, in which the step is compiled, does not count. `sum` is the time of an all-reduce of as
many numbers as the network has parameters, which is what a step spends in communication.

    python tests/benchmarks/data_parallel.py --processes 2 --rounds 3

With `--small` it takes a few steps of each, which shows that it runs and not how fast.
"""

import argparse
import csv
import json
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CONFIGS = {
    "Transformer language model": [
        "lm_sample",
        "data.source={name: sample, size: SIZE, test: 100}",
        *("task.batching=windows", "task.window=32", "backbone={name: transformer, layers: 2}"),
    ],
    "BiLSTM": [
        "sentiment_sample",
        "data.source={name: sample, size: SIZE, test: 100}",
        "backbone={name: lstm, units: 64}",
        "training.buckets=1",
    ],
}
SIZES = {"Transformer language model": 9000, "BiLSTM": 3000}  # lines and texts
COMMON = ("training.epochs=1", "training.batch_size=32", "training.tensorboard=false", "training.monitor=val_loss")


def train(config, processes, folder, save_every):
    """Seconds a step of the second and later checkpoint intervals, and the number of parameters."""
    distribution = "data_parallel" if processes > 1 else "none"
    name, *settings = config
    keys = [*COMMON, *settings, f"training.save_every={save_every}", f"training.distribution={distribution}"]
    options = [word for key in (*keys, f"data.cache={folder / 'cache'}") for word in ("--set", key)]
    run = folder / f"run{time.time_ns()}"
    launcher = ["launch", "--processes", str(processes), "--"] if processes > 1 else []
    command = [sys.executable, "-m", "nlp_suite", *launcher, "train", name, "--run-dir", str(run), *options]
    done = subprocess.run(command, env=environment(), cwd=ROOT, check=False, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} ended with exit code {done.returncode}:\n{done.stderr[-4000:]}")
    seconds = [float(row["seconds"]) for row in csv.DictReader((run / "history.csv").open())]
    if len(seconds) < 2:
        raise SystemExit(f"{name}: one checkpoint interval only; give fewer --steps")
    parameters = json.loads((run / "run.json").read_text("utf-8"))["parameters"]
    return (seconds[-1] - seconds[0]) / ((len(seconds) - 1) * save_every), parameters


def environment():
    """For processes on JAX, which find this package."""
    return {**os.environ, "KERAS_BACKEND": "jax", "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}


def sum_seconds(parameters, processes):
    """Median seconds of a sum of so many float32 over the processes."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        address = f"localhost:{probe.getsockname()[1]}"
    command = [sys.executable, __file__, "--sum", str(parameters)]
    variables = {**environment(), "JAX_COORDINATOR_ADDRESS": address, "JAX_NUM_PROCESSES": str(processes)}
    started = [
        subprocess.Popen(command, env={**variables, "JAX_PROCESS_ID": str(p)}, stdout=subprocess.PIPE, text=True)
        for p in range(processes)
    ]
    said = [process.communicate()[0] for process in started]
    return float(said[0].split()[-1])  # after what the backend prints


def sum_worker(parameters):
    """One of the processes of `sum_seconds`."""
    import jax
    import numpy as np

    from nlp_suite.config import load_experiment
    from nlp_suite.training.checks import make_distribution
    from nlp_suite.training.launch import find_launch

    experiment = load_experiment({"training": {"distribution": "data_parallel"}})
    launch = find_launch()
    with make_distribution(experiment).world(launch, {}, experiment.training):
        mesh = jax.make_mesh((jax.device_count(),), ("batch",))
        shard = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("batch"))
        whole = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
        own = np.ones((jax.local_device_count(), parameters), "float32")
        array = jax.make_array_from_process_local_data(shard, own)
        total = jax.jit(lambda a: a.sum(0), out_shardings=whole)
        taken = []
        for _ in range(30):
            start = time.perf_counter()
            total(array).block_until_ready()
            taken.append(time.perf_counter() - start)
        if launch.process == 0:
            print(statistics.median(taken[5:]))


def main():
    """Prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=25, help="steps of a checkpoint interval")
    parser.add_argument("--small", action="store_true", help="one round of few steps")
    parser.add_argument("--sum", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.sum:
        sum_worker(options.sum)
        return
    n = options.processes
    if options.small:
        options.rounds, options.steps = 1, 3
    print(f"| | 1 process, ms/step | {n} processes, ms/step | speed-up | sum of gradients, ms |")
    print("|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for name, config in CONFIGS.items():
            size = str(300 if options.small else SIZES[name])
            config = [word.replace("SIZE", size) for word in config]
            turns = [[train(config, p, Path(folder), options.steps) for p in (1, n)] for _ in range(options.rounds)]
            one, several = (1000 * statistics.median(turn[i][0] for turn in turns) for i in (0, 1))
            summed = 1000 * sum_seconds(turns[0][0][1], n)
            print(f"| {name} | {one:.1f} | {several:.1f} | {one / several:.2f} | {summed:.2f} |", flush=True)


if __name__ == "__main__":
    main()
