"""Trains small experiments on one device and on several, in one process of its own; prints how far their weights are apart.

    XLA_FLAGS=--xla_force_host_platform_device_count=2 python tests/training/distributed_runs.py FOLDER

Runs of other processes that lie in the folder go on here, see `test_distribution.py`.
"""

import json
import sys
from pathlib import Path

import h5py
import numpy as np

from nlp_suite.config import load_experiment
from nlp_suite.training.train import train

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


def experiment(name: str, folder: Path, **training):
    """An experiment of this file, whose data are prepared in the folder."""
    sections = SECTIONS[name]
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
    print(json.dumps(distances))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
