"""Trains small experiments on one device and on several, in one process of its own; prints how far their weights are apart.

    XLA_FLAGS=--xla_force_host_platform_device_count=8 python tests/training/distributed_runs.py FOLDER

Runs of other processes that lie in the folder go on here, see `test_distribution.py`. With `--all` after the folder it is every
task with every backbone that it takes, and with `--processes 2` those experiments are trained by so many processes of one device.
With KERAS_BACKEND=tensorflow `--devices 2` makes the processor so many devices, as XLA_FLAGS does for JAX.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np

from nlp_suite.config import load_experiment
from nlp_suite.errors import NlpSuiteError
from nlp_suite.training.checks import check_training
from nlp_suite.training.train import train
from tests.training.model_parallel_runs import compare_presets

DECODER = {"name": "transformer", "layers": 1, "heads": 2, "feed_forward": 8}
SECTIONS = {
    "sentiment": {
        "task": {"name": "sentiment", "dropout": 0.1},
        "data": {"source": {"name": "sample", "size": 160, "test": 20}},
        "text": {"max_length": 24},
        "backbone": {"name": "bag", "embedding_size": 4, "ngram_buckets": 512, "dropout": 0.2},
        "training": {
            "epochs": 10,
            "buckets": 1,
            "batch_size": 32,
            "ema": 0.9,
            "clip_norm": 0.05,
            "accumulation_steps": 2,
        },
    },
    "language_model": {  # which carries a state, and averages its iterates
        "task": {
            "name": "language_model",
            "window": 8,
            "batching": "stream",
            "evaluation_batch_size": 8,
            "dropout": 0.1,
        },
        "data": {"source": {"name": "sample", "size": 120, "test": 20}},
        "text": {"max_length": 80},
        "backbone": {"name": "gru", "embedding_size": 8, "units": 8, "word_dropout": 0.1},
        "training": {
            **{"epochs": 1, "save_every": 10, "batch_size": 8, "clip_norm": 0.1},
            **{"optimizer": "sgd", "learning_rate": 0.5, "average_after": 1},
        },
    },
    "translation": {  # whose batches of tokens have odd numbers of rows
        "task": {"name": "translation", "max_tokens": 30, "dropout": 0.1, "decoder": DECODER},
        "data": {"source": {"name": "sample", "size": 150, "test": 20}},
        "text": {"max_length": 31},
        "backbone": {
            "name": "transformer",
            "embedding_size": 8,
            "heads": 2,
            "feed_forward": 8,
            "layers": 1,
            "dropout": 0.1,
        },
        "training": {"epochs": 1, "batch_tokens": 200, "buckets": 1, "clip_norm": 0.1},
    },
}


FORECASTING = {
    "task": {"name": "forecasting", "horizon": 4, "context": 16, "quantiles": [0.1, 0.5, 0.9], "dropout": 0.1},
    "data": {"source": {"name": "sample"}},
    "training": {"epochs": 1, "batch_size": 512, "clip_norm": 0.1, "ema": 0.9, "accumulation_steps": 2},
}
RECURRENT = {"embedding_size": 8, "units": 8, "dropout": 0.1}
BACKBONES = {
    "bag": SECTIONS["sentiment"]["backbone"],
    "cnn": {"name": "cnn", "embedding_size": 8, "filters": 8, "dropout": 0.1},
    **{name: {"name": name, **RECURRENT} for name in ("rnn", "lstm", "gru")},
    "transformer": SECTIONS["translation"]["backbone"],
}


def every_combination() -> dict[str, dict]:
    """Every task with every backbone; a translation's decoder is of the same name where there is one."""
    found = {}
    for task, sections in {**SECTIONS, "forecasting": FORECASTING}.items():
        for name, backbone in BACKBONES.items():
            found[f"{task} {name}"] = {**sections, "backbone": backbone}
            if task == "language_model" and name == "transformer":  # which carries no state
                found[f"{task} {name}"] |= {"task": {**sections["task"], "batching": "windows"}}
            if task == "translation" and name in ("rnn", "lstm", "gru"):
                decoder = {"name": name, "units": 8}
                found[f"{task} {name}"] |= {"task": {**sections["task"], "decoder": decoder}}
    return found


def experiment(name: str, folder: Path, sections: dict | None = None, **training):
    """An experiment of this file, or of sections of a config, whose data are prepared in the folder."""
    sections = sections or SECTIONS[name]
    settings = {**sections["training"], "tensorboard": False, **training}
    data = {**sections["data"], "cache": str(folder / "cache")}
    return load_experiment({**sections, "data": data, "training": settings})


def weights(run: Path) -> list[np.ndarray]:
    """All weights of a run after its last checkpoint interval."""
    arrays = []
    with h5py.File(run / "checkpoints" / "last.weights.h5") as file:
        file.visititems(lambda _, item: arrays.append(item[()]) if isinstance(item, h5py.Dataset) else None)
    return arrays


def distance(run: Path, other: Path) -> float:
    """The largest difference of a weight of two runs."""
    return float(max(np.abs(a - b).max() for a, b in zip(weights(run), weights(other), strict=True)))


def main(folder: Path) -> None:
    distances = {}
    for name in SECTIONS:
        for distribution in ("none", "data_parallel"):
            train(experiment(name, folder, distribution=distribution), folder / f"{name}-{distribution}")
        distances[name] = distance(folder / f"{name}-none", folder / f"{name}-data_parallel")
    for run in sorted(folder.glob("begun-*")):
        train(experiment("sentiment", folder, distribution="data_parallel"), run)
        distances[run.name] = distance(folder / "sentiment-none", run)
    print(json.dumps(distances | compare_presets(folder, distance)))


def compare_all(folder: Path, processes: int, chosen: str) -> None:
    """Prints a line for every combination whose name contains `chosen`; several processes are started for each."""
    for name, sections in every_combination().items():
        if chosen not in name:
            continue
        runs = [folder / f"{name.replace(' ', '-')}-{number}" for number in ("one", "several")]
        one, several = (experiment(name, folder, sections, distribution=d) for d in ("none", "data_parallel"))
        try:
            check_training(one, runs[0])
        except NlpSuiteError as error:
            print(f"{name}: {error}", flush=True)
            continue
        train(one, runs[0])
        if processes == 1:
            train(several, runs[1])
        else:
            config = folder / f"{runs[1].name}.yaml"
            config.write_text(several.to_yaml())
            launch = ["launch", "--processes", str(processes), "--", "train", str(config), "--run-dir", str(runs[1])]
            subprocess.run([sys.executable, "-m", "nlp_suite", *launch], check=True)
        history = (runs[0] / "history.csv").read_text().splitlines()
        steps = dict(zip(history[0].split(","), history[-1].split(",")))["step"]
        print(f"{name}: {distance(*runs):.1e} after {steps} steps", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", nargs="?", const="", help="every task and backbone, or those whose names contain this")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--devices", type=int, default=1)
    options = parser.parse_args()
    if options.devices > 1:
        import tensorflow as tf

        parts = [tf.config.LogicalDeviceConfiguration()] * options.devices
        tf.config.set_logical_device_configuration(tf.config.list_physical_devices("CPU")[0], parts)
    if options.all is None:
        main(options.folder)
    else:
        compare_all(options.folder, options.processes, options.all)
