"""The verb: a run folder, a destination and a format."""

import time
from pathlib import Path

from pydantic import ValidationError

from nlp_suite.errors import ExportError
from nlp_suite.export.formats.base import ExportResult
from nlp_suite.registry import EXPORTERS, unknown


def run_export(
    run_dir: str | Path,
    to: str | Path,
    format: str = "saved_model",
    server_version: str | None = None,
    xla: bool = False,
) -> ExportResult:
    """Exports the best weights of a run.

    Args:
        run_dir: a run folder.
        to: for `saved_model` the model's folder, such as `saved_models/imdb` (the next version is made in it); for
            `keras` and `keras-plain` a path that ends in `.keras`; for `ctranslate2` a new folder.
        format: `saved_model`, `keras`, `keras-plain` or `ctranslate2`.
        server_version: TensorFlow Serving version that must be able to run a SavedModel; default: the config's.

        xla: whether a translation's SavedModel also gets the signature `translate_xla`, for servers with XLA.

    Raises:
        ExportError: the model cannot be expressed in the format, the server lacks an op, an answer differs from
            Python's, or the disk is full; nothing is left behind.
        UnknownNameError: no such format.
        RunError: `run_dir` is no run folder.

    Example:
        >>> print(run_export("runs/imdb", "saved_models/imdb").curl)
    """
    start = time.perf_counter()
    exporter, settings = EXPORTERS.get(format), EXPORTERS.settings(format)
    given = {key: value for key, value in {"server_version": server_version, "xla": xla}.items() if value}
    for key in given:
        if key not in settings.model_fields:
            raise ExportError(f"format {format!r}: {unknown('setting', key, set(settings.model_fields) - {'name'})}")
    try:
        arguments = settings(name=format, **given).arguments()
    except ValidationError as error:
        raise ExportError(f"format {format!r}: {error.errors()[0]['msg']}") from None
    from nlp_suite.training.run import Run

    result = exporter(**arguments).export(Run(run_dir), Path(to))
    result.seconds = time.perf_counter() - start
    return result
