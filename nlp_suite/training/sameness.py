"""What must be the same in all processes of a training, and what their devices must be able to share."""

import json
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_suite.backend import chosen_backend
from nlp_suite.config import Experiment
from nlp_suite.data.prepare import Prepared
from nlp_suite.errors import ConfigError, TrainingError
from nlp_suite.training.run import STATE, environment, flattened, is_run, read_info

SHOWN = 20  # differences that a message lists


def facts_of(experiment: Experiment, directory: Path) -> dict[str, Any]:
    """What a process has before it begins: config, versions of packages, and what it sees of the run folder."""
    facts = {key: value for key, value in flattened(experiment).items() if key != "data.cache"}
    facts |= {f"version of {package}": version for package, version in environment()["versions"].items()}
    state = read_info(directory).get("files", {}).get(STATE, "no state") if is_run(directory) else None
    return facts | {"KERAS_BACKEND": chosen_backend(), f"run folder {directory}": state}


def data_identity(prepared: Prepared) -> str:
    """What is the same where the prepared data are."""
    record = (prepared.directory / "prepared.json").read_bytes()
    return f"{prepared.directory.name}, crc32 {zlib.crc32(record):08x}"


def compare(facts: Sequence[Mapping[str, Any]]) -> None:
    """Refuses processes that differ.

    Args:
        facts: of every process, name → plain data.

    Raises:
        TrainingError: with what differs, and where.
    """
    lines = []
    for number, others in enumerate(facts[1:], 1):
        names = [*facts[0], *(name for name in others if name not in facts[0])]
        lines += [
            f"{name}: {_shown(facts[0].get(name))} in process 0, {_shown(others.get(name))} in process {number}"
            for name in names
            if facts[0].get(name) != others.get(name)
        ]
    if lines:
        more = f"\n  and {len(lines) - SHOWN} more" if len(lines) > SHOWN else ""
        listed = "\n  ".join(lines[:SHOWN]) + more
        raise TrainingError(f"the processes of a training must be alike, and these differ in\n  {listed}")


def _shown(value: Any) -> str:
    return "nothing" if value is None else value if isinstance(value, str) else json.dumps(value)


def check_carried(model: Any, devices: int) -> None:
    """Refuses a state that is carried by rows which the devices cannot share equally, so that they would be filled up.

    Raises:
        ConfigError: with the nearest numbers that can be shared.
    """
    from nlp_suite.layers.carried_state import CarriedState

    states = [layer for layer in model._flatten_layers() if isinstance(layer, CarriedState)]
    for rows in sorted({state.rows for state in states if state.rows}):
        if rows % devices:
            below, above = rows // devices * devices, -(-rows // devices) * devices
            nearest = " and ".join(str(size) for size in (below, above) if size)
            raise ConfigError(
                f"a state is carried by {rows} rows, which {devices} devices cannot share equally; set training.batch_size "
                f"and task.evaluation_batch_size to multiples of {devices}; the nearest: {nearest}"
            )
