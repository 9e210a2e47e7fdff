"""Weights that training does not change lie once in a run folder: checkpoints and training state hold the others only."""

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from nlp_suite.files import Record

FROZEN = "checkpoints/frozen.weights.h5"
FROZEN_SCHEMA = 3  # of a run folder that has it


def frozen_weights(model: Any) -> list[Any]:
    """The weights of a network that its backbones freeze, see `Backbone.frozen_weights`."""
    return [weight for backbone in backbones_of(model) for weight in backbone.frozen_weights()]


def backbones_of(model: Any) -> list[Any]:
    """The backbones of a network."""
    from nlp_suite.backbones.base import Backbone

    return [layer for layer in model._flatten_layers() if isinstance(layer, Backbone)]


def keeps_frozen_apart(record: Record) -> bool:
    """Whether a run folder has its frozen weights in a file of their own."""
    return record.has(FROZEN)


def write_frozen(model: Any, record: Record) -> None:
    """Writes the frozen weights of a training that begins, where there are any; from then on no other file has them."""
    frozen = {id(weight) for weight in frozen_weights(model)}
    if not frozen:
        return
    path = record.directory / FROZEN
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        _write(beside, model, (i for i, weight in enumerate(model.weights) if id(weight) in frozen))
        record.replace(beside, path)
        record.update(schema=FROZEN_SCHEMA)
    finally:
        beside.unlink(missing_ok=True)


def write_others(model: Any, path: Path) -> None:
    """Writes the weights that are not frozen."""
    frozen = {id(weight) for weight in frozen_weights(model)}
    _write(path, model, (i for i, weight in enumerate(model.weights) if id(weight) not in frozen))


def load_all(model: Any, record: Record, path: Path) -> None:
    """Loads what `write_frozen` and `write_others` wrote.

    Raises:
        DamagedFileError: the frozen weights are missing or damaged.
        ValueError, KeyError, OSError: a file is damaged, or of another network.
    """
    read = [*load_frozen(model, record), *_read(path, model)]
    if sorted(read) != list(range(len(model.weights))):
        raise ValueError(f"it has {len(read)} arrays with those of {FROZEN}; the network has {len(model.weights)}")


def load_frozen(model: Any, record: Record) -> Collection[int]:
    """Loads what `write_frozen` wrote; returns the numbers of those weights among all of the network."""
    return _read(record.check(FROZEN), model)


def _write(path: Path, model: Any, numbers: Iterable[int]) -> None:
    """Writes some of the network's weights, each under its number."""
    import h5py
    import keras

    with h5py.File(path, "w") as file:
        for number in numbers:
            weight = model.weights[number]
            file.create_dataset(str(number), data=keras.ops.convert_to_numpy(weight.value)).attrs["path"] = weight.path


def _read(path: Path, model: Any) -> list[int]:
    """Assigns the weights that a file has; returns their numbers."""
    import h5py

    with h5py.File(path, "r") as file:
        for number, array in file.items():
            weight = model.weights[int(number)]
            if array.shape != weight.shape:
                raise ValueError(f"array {number} has the shape {array.shape}, {weight.path} has {weight.shape}")
            weight.assign(array[()])
        return [int(number) for number in file]
