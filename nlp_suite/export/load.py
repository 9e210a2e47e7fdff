"""Opening whatever was trained or exported: a run folder, an exported version, a model's folder, or a `.keras` file."""

from pathlib import Path
from typing import Any

from nlp_suite.backend import import_backend
from nlp_suite.config import load_recorded
from nlp_suite.errors import ConfigError, ExportError
from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.export.staging import versions
from nlp_suite.predictor import Predictor
from nlp_suite.training.run import Run, make_task

OPENED = ("run.json", "saved_model.pb")
EXPECTED = (
    "a run folder (with run.json), an exported version (with saved_model.pb), a folder of versions, or a .keras file "
    "written by nlp-suite export"
)


def load(path: str | Path) -> Predictor:
    """Opens a trained model to be asked; the config that lies in it says which task it is of.

    Args:
        path: a run folder (its best weights), an exported SavedModel, the folder of its versions (the newest is
            taken), or a `.keras` file of `nlp-suite export --format keras`.

    Returns:
        The task's predictor: of a classifier an object with `labels`, `predict(texts)`, for streams
        `predict_iter(texts)`, and `embed(texts)`; of a language model one with `score(texts)`, `generate(prompts, …)` and
        `next_tokens(prompts)`; of a translation model one with `translate(texts, …)` and `score(sources, targets)`.

    Raises:
        ExportError: the path does not exist or is none of these.

    Example:
        >>> nlp_suite.load("saved_models/imdb").predict(["A wonderful film.", "Two lost hours."])
        [{'label': 'pos', …}, {'label': 'neg', …}]
    """
    place = _place(Path(path))
    if place.is_file():
        from nlp_suite.export.formats.keras_file import open_keras_file

        return open_keras_file(place)
    if (place / "run.json").is_file():
        run = Run(place)
        run.weights()
        import_backend()
        return open_run(run, run.model())
    return open_saved_model(place)


def task_at(path: str | Path) -> str | None:
    """The name of the task of what `load` opens, from its config alone: imports neither TensorFlow nor Keras.

    None for a `.keras` file, whose config lies within it, and for a SavedModel without one, which `load` refuses.

    Raises:
        ExportError: the path does not exist or is none of what `load` opens.
    """
    place = _place(Path(path))
    config = place / ("config.yaml" if (place / "run.json").is_file() else "assets.extra/config.yaml")
    return str(load_recorded(config).task.name) if config.is_file() else None


def _place(path: Path) -> Path:
    """The run folder, the version folder or the file that a path means."""
    if not path.exists():
        raise ExportError(f"{str(path)!r} does not exist; expected {EXPECTED}")
    if (path.is_file() and path.suffix == ".keras") or any((path / name).is_file() for name in OPENED):
        return path
    exported = {number: folder for number, folder in versions(path).items() if (folder / "saved_model.pb").is_file()}
    if not exported:
        raise ExportError(f"{str(path)!r} is none of these: {EXPECTED}")
    return exported[max(exported)]


def open_run(run: Run, model: Any) -> Predictor:
    """A run's network as its task's predictor."""
    predictor = run.task.predictor(model, run.assets, run.task.freeze_data_defaults(run))
    predictor.experiment = run.experiment
    return predictor


def open_saved_model(path: Path) -> Predictor:
    """An export as its task's predictor.

    Raises:
        ExportError: it has no config of ours.
    """
    loaded = LoadedSignatures(path)
    try:
        experiment = loaded.experiment()
    except ConfigError as error:
        raise ExportError(f"{str(path)!r} is no model of nlp-suite export: {error}") from None
    predictor = make_task(experiment).export_predictor(loaded)
    predictor.experiment = experiment
    return predictor
