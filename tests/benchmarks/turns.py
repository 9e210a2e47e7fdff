"""Benchmarks in turns: each implementation in a process of its own, one after another, turn by turn.

So the machine's mood is the same for all. A benchmark is a script that makes a step function for an implementation's
name; it runs itself again with `--worker NAME`.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np


def seconds(function, times):
    """Median seconds of a call, after one that does not count."""
    function()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return float(np.median(taken))


def worker(options, step, gemm):
    """Runs one implementation on request: a line on stdin gives one measured turn, answered by a line of JSON.

    Args:
        options: with `steps`, how many steps a turn has.
        step: does one step and returns its loss.
        gemm: measures the rate of matrix products, in GFLOP/s.
    """
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    losses = [step() for _ in range(10)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"losses": losses, "peak_mib": peak, "step_mib": peak - before}), flush=True)
    for _ in sys.stdin:
        wall, cpu = time.perf_counter(), time.process_time()
        for _ in range(options.steps):
            step()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        turn = {"seconds": wall / options.steps, "cpu_seconds": cpu / options.steps, "gemm": gemm()}
        print(json.dumps(turn), flush=True)


def measure(options, script, python=lambda name: sys.executable):
    """Runs all implementations in turns and returns a row of figures for each.

    Args:
        options: with `only` (names), `rounds` and `threads`.
        script: path of the benchmark.
        python: the interpreter that runs an implementation, by its name.
    """
    environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", KERAS_BACKEND="tensorflow")
    environment["OMP_NUM_THREADS"] = str(options.threads)
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join([root, environment.get("PYTHONPATH", "")])
    workers, rows = {}, {}
    for name in options.only:
        command = [python(name), script, *sys.argv[1:], "--worker", name]
        workers[name] = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        first = workers[name].stdout.readline()
        if not first:
            raise SystemExit(f"{name} did not start: run with --worker {name} to see why")
        rows[name] = {**json.loads(first), "seconds": [], "cpu_seconds": [], "gemm": []}
    for _ in range(options.rounds):
        for name, process in workers.items():
            process.stdin.write("go\n")
            process.stdin.flush()
            turn = json.loads(process.stdout.readline())
            for key, value in turn.items():
                rows[name][key].append(value)
    for process in workers.values():
        process.stdin.close()
        process.wait()
    return rows


def limit_tensorflow(threads):
    """TensorFlow with so many threads; before anything else of it runs."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    return tf


def gemm_tensorflow():
    """GFLOP/s of a matrix product of 1024 x 1024."""
    import tensorflow as tf

    a = tf.random.normal((1024, 1024))
    product = tf.function(lambda: tf.matmul(a, a))
    return 2 * 1024**3 / seconds(product, 5) / 1e9


def gemm_torch():
    """As `gemm_tensorflow`, for PyTorch."""
    import torch

    a = torch.randn(1024, 1024)
    return 2 * 1024**3 / seconds(lambda: a @ a, 5) / 1e9


def common_options(parser, implementations):
    """Adds the options that every benchmark in turns has."""
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=5, help="steps a turn")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=implementations, default=list(implementations))
    parser.add_argument("--json", action="store_true", help="print all figures instead of the table")
    parser.add_argument("--worker", choices=implementations, help=argparse.SUPPRESS)
