"""The verb: a run folder, a destination and a format."""

import time
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nlp_suite.errors import ExportError
from nlp_suite.export.formats.base import Exporter, ExportResult
from nlp_suite.progress import scope, work
from nlp_suite.registry import EXPORTERS, TASKS, unknown
from nlp_suite.training.run import Run


@scope()
def run_export(run_dir: str | Path, to: str | Path, format: str = "saved_model", **settings: Any) -> ExportResult:
    """Exports the best weights of a run.

    Args:
        run_dir: a run folder.
        to: for `saved_model` the model's folder, such as `saved_models/imdb` (the next version is made in it); for
            `keras` and `keras-plain` a path that ends in `.keras`; for `ctranslate2` a new folder.
        format: a name of `nlp_suite/export/formats`.
        **settings: of the format; None and False leave a default. `saved_model` takes `server_version` (of TensorFlow
            Serving, that must be able to run it; default: the config's) and `xla` (whether signatures that XLA compiles
            stand beside the others).

    Raises:
        ExportError: the model cannot be expressed in the format, the server lacks an op, an answer differs from
            Python's, or the disk is full; nothing is left behind.
        UnknownNameError: no such format.
        RunError: `run_dir` is no run folder.

    Example:
        >>> print(run_export("runs/imdb", "saved_models/imdb").curl)
    """
    start = time.perf_counter()
    exporter, run = check_export(run_dir, to, format, **settings)
    with work(f"exporting {run_dir}"):
        result: ExportResult = exporter.export(run, Path(to))
    result.seconds = time.perf_counter() - start
    return result


def check_export(run_dir: str | Path, to: str | Path, format: str, **settings: Any) -> tuple[Exporter, Run]:
    """What exports, and the run; imports neither TensorFlow nor Keras.

    Args:
        run_dir: a run folder.
        to: the destination.
        format: a name of `nlp_suite/export/formats`.
        **settings: of the format, see `run_export`.

    Raises:
        ExportError: a setting that the format has not, a destination that it cannot use, or a task that it cannot express.
        UnknownNameError: no such format.
        RunError: `run_dir` is no run folder, or has no weights yet.
    """
    exporter, model = EXPORTERS.get(format), EXPORTERS.settings(format)
    settings = {key: value for key, value in settings.items() if value is not None and value is not False}
    for key in settings:
        if key not in model.model_fields:
            raise ExportError(f"format {format!r}: {unknown('setting', key, set(model.model_fields) - {'name'})}")
    try:
        arguments = model(name=format, **settings).arguments()
    except ValidationError as error:
        (fault, *_) = error.errors()
        key = ".".join(map(str, fault["loc"]))
        raise ExportError(f"format {format!r}: {key} {fault['input']!r}: {fault['msg']}") from None
    run = Run(run_dir)
    run.weights()
    if exporter.for_named_tasks and format.replace("-", "_") not in run.task.exports_to:
        tasks = ", ".join(name for name in TASKS.names() if format.replace("-", "_") in TASKS.get(name).exports_to)
        raise ExportError(
            f"format {format!r} cannot express a run of {run.experiment.task.name!r} (tasks that it can: {tasks})"
        )
    if run.assets.members and format != "saved_model":
        raise ExportError(
            f"format {format!r} holds one network, and {run.directory} is an ensemble of {len(run.assets.members)}, each with a "
            "text layer of its own (format that can: saved_model)"
        )
    made: Exporter = exporter(**arguments)
    made.check(run, Path(to))
    return made, run
