"""Memory of training one forecaster over many series: over the training, and by how many series there are.

    python -m tests.benchmarks.forecasting_memory [--series 100 1000] [--length 1000] [--batches 3000]

A table of generated series is prepared in one process and trained on in another, with as many batches whatever their number.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

import nlp_suite
from tests.benchmarks.generate_memory import resident

PARTS = 6  # of the training, after each of which the memory is said


def write_table(path, series, length):
    """A long table of random walks with a season of a week."""
    random, steps = np.random.default_rng(0), np.arange(length)
    dates = (np.datetime64("2000-01-01") + steps).astype(str)
    with path.open("w") as file:
        print("unique_id,ds,y", file=file)
        for number in range(series):
            values = 100 + random.normal(size=length).cumsum() + 5 * np.sin(2 * np.pi * steps / 7)
            file.writelines(f"s{number},{date},{value:.3f}\n" for date, value in zip(dates, values))


def config(folder, batches, windows):
    """A small GRU over 60 days, for so many batches of 128 windows."""
    return {
        "task": {"name": "forecasting", "horizon": 7, "context": 60},
        "data": {"source": {"name": "series", "train": str(folder / "table.csv")}, "cache": str(folder / "cache")},
        "backbone": {"name": "gru", "embedding_size": 16, "units": 16, "bidirectional": False},
        "training": {
            "epochs": max(1, round(batches * 128 / windows)),
            "batch_size": 128,
            "save_every": batches // PARTS,
            "tensorboard": False,
        },
    }


def worker(verb, experiment, folder):
    """Prepares, or trains; prints MiB of resident memory after every part, and the most there was."""
    measured = []
    if verb == "prepare":
        nlp_suite.prepare(experiment)
    else:
        nlp_suite.train(experiment, folder / "run", callbacks=[lambda number, figures: measured.append(resident())])
    print(json.dumps([*measured, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, nargs="+", default=[100, 1000])
    parser.add_argument("--length", type=int, default=1000)
    parser.add_argument("--batches", type=int, default=3000)
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        verb, folder = options.worker[0], Path(options.worker[1])
        worker(verb, nlp_suite.load_experiment(folder / "config.json"), folder)
        return
    for series in options.series:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            write_table(folder / "table.csv", series, options.length)
            chosen = config(folder, options.batches, series * (options.length - 200))
            (folder / "config.json").write_text(json.dumps(chosen))
            for verb in ("prepare", "train"):
                command = [sys.executable, "-m", "tests.benchmarks.forecasting_memory", "--worker", verb, place]
                environment = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3")
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
                *during, peak = json.loads(done.stdout.splitlines()[-1])
                parts = " ".join(f"{each:.0f}" for each in during)
                print(
                    f"{series:6} series, {verb}: peak {peak:.0f} MiB{', after every part ' if parts else ''}{parts}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
