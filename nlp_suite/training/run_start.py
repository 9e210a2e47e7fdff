"""The beginning of a training in its run folder: the folder is made, or found to be one that the training can go on in."""

import csv
import io
import uuid
from pathlib import Path
from typing import Any

import keras

from nlp_suite.config import Experiment
from nlp_suite.data.prepare import Prepared, open_assets, save_texts
from nlp_suite.data.staging import hidden_folder, place_folder
from nlp_suite.errors import DamagedFileError, RunError
from nlp_suite.files import Record, contents_of, write_file
from nlp_suite.task import Assets
from nlp_suite.training.distributions.base import World
from nlp_suite.training.run import HISTORY, MEMBERS, NO_HISTORY, SCHEMA, environment, is_run, read_info, run_record


def check_same_data(directory: Path, experiment: Experiment, prepared: Prepared) -> None:
    """Refuses to continue a run whose data have changed since it began."""
    if not is_run(directory):
        return
    info = read_info(directory)
    assets = open_assets(experiment, directory, info["labels"], info.get("facts", {}))
    if (_identity(assets), _counts(info["statistics"])) != (_identity(prepared.assets), _counts(prepared.statistics)):
        raise RunError(
            f"the data have changed since the run in {directory} began, so it cannot continue; give another --run-dir, "
            f"or train on from it there with training.init_from={directory}"
        )


def _counts(statistics: Any) -> Any:
    """Statistics without what is said beside unknown words, which earlier versions did not."""
    if not isinstance(statistics, dict):
        return statistics
    return {key: _counts(value) for key, value in statistics.items() if key not in ("unknown_words", "vocabulary")}


def _identity(assets: Assets) -> list[Any]:
    """What differs where assets do."""
    texts = (assets.text, assets.target_text)
    return [*(text and text.fingerprint for text in texts), list(assets.labels), dict(assets.facts)]


def begin_run(
    directory: Path, experiment: Experiment, prepared: Prepared, doubtful: list[str], pretrained: Any, world: World
) -> None:
    """Makes the run folder, which appears complete or not at all.

    Args:
        directory: the folder.
        experiment: the resolved config.
        prepared: the data.
        doubtful: remarks on the lengths of the training.
        pretrained: where the weights come from, for `run.json`; None: from nowhere.
        world: the processes and devices that train.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    prefix = ".nlp-suite-run-"  # not the run's name, which may be as long as names can be
    with hidden_folder(directory.parent, prefix) as hidden:
        temporary = hidden / "run"
        (temporary / "checkpoints").mkdir(parents=True)
        save_texts(temporary, prepared.text, prepared.target_text)
        write_file(temporary / "config.yaml", experiment.to_yaml())
        for name, (member, assets) in prepared.assets.members.items():
            save_texts(temporary / MEMBERS / name, assets.text, assets.target_text)
            write_file(temporary / MEMBERS / name / "config.yaml", member.to_yaml())
        files = contents_of(temporary, (path for path in temporary.rglob("*") if path.is_file()))
        info = {"schema": SCHEMA, "state": "running", "labels": prepared.labels, "statistics": prepared.statistics}
        info |= {"facts": prepared.assets.facts} if prepared.assets.facts else {}
        members = {name: {"facts": m.facts, "fitted": m.fitted} for name, (_, m) in prepared.assets.members.items()}
        info |= {"members": members} if members else {}
        info |= {"remarks": doubtful} if doubtful else {}
        info |= {"pretrained": pretrained} if pretrained else {}
        info |= {"tracking": uuid.uuid4().hex} if experiment.training.trackers else {}
        info |= {"processes": world.processes, "devices": world.devices} if world.devices > 1 else {}
        info |= {"backend": keras.backend.backend(), **environment(), "files": {**files, HISTORY: NO_HISTORY}}
        run_record(temporary).write(info)
        place_folder(temporary, directory)


def cut_history(record: Record, intervals: int) -> None:
    """Leaves the first rows of the history, so that a resumed run holds each checkpoint interval once."""
    path = record.check(HISTORY)
    if not path.exists():
        if intervals:
            raise DamagedFileError(f"{path} is missing: restore it from a copy, or train again into another folder")
        return
    if not intervals:
        record.update({HISTORY: NO_HISTORY})
        path.unlink()
        return
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    content = io.StringIO()
    csv.writer(content, lineterminator="\n").writerows(rows[: intervals + 1])
    write_file(path, content.getvalue(), lambda staged, target: record.replace(staged, target, appended=True))
