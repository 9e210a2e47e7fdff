"""The run folder: everything that a training made, and the way back to its model."""

import csv
import importlib.metadata
import os
import platform
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from nlp_suite.config import Experiment, load_recorded
from nlp_suite.data.prepare import open_assets, prepare
from nlp_suite.errors import ConfigError, DamagedFileError, RunError
from nlp_suite.files import Record, check_writable
from nlp_suite.task import Assets, Task, task_class
from nlp_suite.text.text_layer import TextLayer
from nlp_suite.training.frozen import FROZEN, FROZEN_SCHEMA, backbones_of, keeps_frozen_apart, load_all

SCHEMA = 2  # of a run that begins; `FROZEN_SCHEMA` from when its frozen weights lie apart, which earlier versions do not read
HISTORY, STATE, MEMBERS = "history.csv", "checkpoints/state.npz", "members"
NO_HISTORY = [None, "first 0 bytes, crc32 00000000"]  # its entry in the record before the first interval is saved
_REMEDIES = {
    "checkpoints/average.weights.h5": "make it again: nlp-suite average {run} --last N",
    STATE: "restore it from a copy, or remove the folder to train from the start",
    HISTORY: "restore it from a copy, or remove it, and reports have no learning curve",
    "report.json": "make it again: nlp-suite evaluate {run}",
}
RECORDED_PACKAGES = ("keras", "tensorflow", "tensorflow-text", "jax", "torch", "numpy", "sentencepiece")


class Run:
    """A run folder.

    It holds `config.yaml` (resolved), `run.json`, `text/`, `target_text/` where the targets have a vocabulary of their own,
    `members/` of an ensemble (config and text layers of each; the weights of all are one checkpoint),
    `checkpoints/` (frozen weights apart, see `nlp_suite.training.frozen`), `history.csv`, `tensorboard/` and, once evaluated, `report.json` and `report.html`. `run.json` is the
    record of the others: a file that is missing or damaged is named when it is wanted, and never used.

    Args:
        directory: the folder.

    Attributes:
        experiment: the resolved config.
        assets: what belongs to the network beside its weights; `text`, `target_text` and `labels` are the same in short.
        text: the text layer.
        target_text: that of the targets; the same object where there is one vocabulary.
        labels: label names, in the order of the model's outputs.
        record: the record of the folder's files.
        info: what `run.json` holds.
        history: a mapping for every checkpoint interval, from `history.csv`.

    Raises:
        RunError: not a run folder, one of a newer version, or one whose training did not complete its first checkpoint interval.
        DamagedFileError: the config or a text layer is missing or damaged.
    """

    def __init__(self, directory: str | Path):
        self.directory = Path(directory)
        self.info = read_info(self.directory)
        self.record = run_record(self.directory)
        check_opened(self.record)
        self.experiment = load_recorded(self.directory / "config.yaml")
        assets = open_assets(self.experiment, self.directory, self.info["labels"], self.info.get("facts", {}))
        members = {name: _open_member(self, name, facts) for name, facts in self.info.get("members", {}).items()}
        self.assets = replace(assets, fitted=self.info.get("fitted", {}), members=members)
        self.labels = self.assets.labels
        self.text: TextLayer | Any = self.assets.text  # None only of a corpus kind without texts
        self.target_text: TextLayer | Any = self.assets.target_text

    @property
    def history(self) -> list[dict[str, Any]]:
        """Metrics of every checkpoint interval so far."""
        return read_history(self.record.check(HISTORY))

    @property
    def task(self) -> Task:
        """The task, made from the config."""
        return make_task(self.experiment)

    @property
    def network(self) -> str:
        """The name of its backbone; of an ensemble those of its members."""
        members = [member.backbone.name for member, _ in self.assets.members.values()]
        return " + ".join(members) or str(self.experiment.backbone.name)

    def weights(self, checkpoint: str | None = None) -> Path:
        """The file of the weights of `"average"`, `"best"` or `"last"`; default: of the first two the one there is.

        Raises:
            RunError: there is no such checkpoint yet.
            DamagedFileError: its file is missing or damaged.
        """
        if checkpoint is None:
            checkpoint = "average" if self.record.has("checkpoints/average.weights.h5") else "best"
        path = self.record.check(f"checkpoints/{checkpoint}.weights.h5")
        frozen = self.directory / FROZEN  # a part of each
        if not path.exists() or path == frozen:
            files = [file for file in path.parent.glob("*.weights.h5") if file != frozen]
            names = sorted(file.name.removesuffix(".weights.h5") for file in files)
            available = ", ".join(names) or "none"
            raise RunError(f"{self.directory} has no checkpoint {checkpoint!r} (it has: {available})")
        return path

    def model(self, checkpoint: str | None = None) -> Any:
        """The network with the weights of a checkpoint, see `weights`; low-rank updates are part of them."""
        path = self.weights(checkpoint)
        model = self.task.model(self.experiment.backbone, self.assets)
        load_weights(model, path)
        for backbone in backbones_of(model):
            backbone.merge_updates()
        return model

    def stores(self, progress: Callable[[str], None] | None = None) -> dict[str, Any]:
        """The token stores of all splits; prepared again if the cache is gone."""
        prepared = prepare(
            self.experiment,
            text=self.text,
            target_text=self.target_text,
            labels=self.labels,
            facts=self.assets.facts,
            progress=progress,
        )
        return prepared.stores


def _open_member(run: Run, name: str, info: Mapping[str, Any]) -> tuple[Experiment, Assets]:
    """The config and the assets of a member of an ensemble; what is fitted is that of the run that it was."""
    folder = run.directory / MEMBERS / name
    experiment = load_recorded(folder / "config.yaml")
    assets = open_assets(experiment, folder, run.info["labels"], info["facts"])
    return experiment, replace(assets, fitted=info["fitted"])


def load_weights(model: Any, path: Path) -> None:
    """Loads a checkpoint of a run folder into a network, with the weights that all its checkpoints share.

    Raises:
        RunError: the file is damaged, or of another network.
        DamagedFileError: the file of the shared weights is missing or damaged.
    """
    record = run_record(path.parents[1])
    try:
        if keeps_frozen_apart(record):
            load_all(model, record, path)
        else:
            model.load_weights(path)
    except DamagedFileError:
        raise
    except (ValueError, KeyError, OSError) as error:
        raise RunError(f"{path} is damaged, or holds the weights of another network: {error}") from None


def make_task(experiment: Experiment) -> Task:
    """The task object of an experiment."""
    settings = experiment.task.arguments()
    return task_class(experiment.task.name, settings)(**settings)


def check_new_run(directory: Path, option: str) -> None:
    """Refuses a folder for a new run that holds something.

    Raises:
        RunError: it does, or cannot be written; the message names the option that gave it.
    """
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise RunError(f"{option} {str(directory)!r} exists and is not empty: give a new folder")
    check_writable(directory.parent, f"give another {option}", RunError)


def is_run(directory: str | Path) -> bool:
    """Whether the folder is a run folder."""
    return (Path(directory) / "run.json").is_file()


def has_state(directory: Path) -> bool:
    """Whether a run folder holds a state to continue from; what the training started from is no longer needed then."""
    return is_run(directory) and (directory / STATE).exists()


def run_record(directory: Path) -> Record:
    """The record of a run folder's files: its `run.json`."""

    def remedy(name: str) -> str:
        return _REMEDIES.get(name, "restore it from a copy, or train again into another folder").format(run=directory)

    return Record(directory, "run.json", remedy)


def check_opened(record: Record) -> None:
    """Checks the files that every use of a run opens: its config and its text layers.

    Raises:
        DamagedFileError: one is missing or damaged.
    """
    for name in record.read().get("files", ()):
        if name.split("/")[0] in ("config.yaml", "text", "target_text", MEMBERS):
            record.check(name)


def read_info(directory: Path) -> dict[str, Any]:
    """`run.json` of a run folder, checked."""
    if not (directory / "run.json").is_file():
        raise RunError(
            f"{str(directory)!r} is not a run folder: it has no run.json (train one: nlp-suite train CONFIG)"
        )
    info = run_record(directory).read()
    if not {"schema", "state", "labels", "statistics"} <= info.keys():
        raise DamagedFileError(f"{directory / 'run.json'} is damaged (keys are missing): restore it from a copy")
    if info["schema"] > FROZEN_SCHEMA:
        raise RunError(
            f"{directory} was made by a newer nlp_suite (schema {info['schema']}; this one knows {FROZEN_SCHEMA})"
        )
    return info


def read_history(path: Path) -> list[dict[str, Any]]:
    """Rows of `history.csv` as numbers; an incomplete last line is left out."""
    if not path.exists():
        return []
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return [
            {key: float(value) if value not in ("", "NA") else None for key, value in row.items()}
            for row in rows
            if None not in row and None not in row.values()
        ]
    except (ValueError, csv.Error) as error:
        raise DamagedFileError(f"{path} is damaged ({error}): {_REMEDIES[HISTORY]}") from None


def environment() -> dict[str, Any]:
    """Versions and hardware, for `run.json`."""
    versions = {"python": platform.python_version()}
    for package in ("nlp-suite", *RECORDED_PACKAGES):
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {"versions": versions, "hardware": f"{platform.machine()}, {os.cpu_count()} CPU cores, {platform.system()}"}


def default_directory(config: str | Path) -> Path:
    """`runs/NAME` for `configs/NAME.yaml`."""
    return Path("runs") / Path(config).stem


def flattened(experiment: Experiment) -> dict[str, Any]:
    """Every key of a config with its value, as `{"training.epochs": 5, …}`."""

    def flat(value: Any, prefix: str = "") -> dict[str, Any]:
        if isinstance(value, dict):
            return {k: v for key, item in value.items() for k, v in flat(item, f"{prefix}{key}.").items()}
        return {prefix[:-1]: value}

    return flat(experiment.model_dump(mode="json"))


def differences(old: Experiment, new: Experiment) -> list[str]:
    """Every key in which two experiments differ, as `a.b: old → new` lines."""
    before, after = flattened(old), flattened(new)
    keys = [*before, *(key for key in after if key not in before)]
    return [
        f"{k}: {before.get(k, '(absent)')} → {after.get(k, '(absent)')}" for k in keys if before.get(k) != after.get(k)
    ]


def check_same(directory: Path, experiment: Experiment) -> None:
    """Refuses a folder that holds a run of another config.

    Raises:
        RunError: with every key that differs.
    """
    try:
        before = load_recorded(directory / "config.yaml")
    except ConfigError as error:
        raise RunError(f"{directory} holds a run whose config cannot be read: {error}") from None
    # Where the data lie, who computes and what was searched for change no weight.
    free = ("data.cache:", "training.distribution.", "search:", "search.")
    lines = [line for line in differences(before, experiment) if not line.startswith(free)]
    if lines:
        listed = "\n  ".join(lines)
        raise RunError(
            f"{directory} holds a run of another config; give another --run-dir, or remove the folder. "
            f"What differs (there → here):\n  {listed}"
        )
