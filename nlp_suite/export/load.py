"""One door to everything that predicts: a run folder, an exported version, a model's folder, or a `.keras` file."""

from pathlib import Path

from nlp_suite.errors import ExportError
from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.export.open_network import open_run
from nlp_suite.export.staging import versions
from nlp_suite.tasks.language_model.export_predictor import SavedModelLanguage
from nlp_suite.tasks.sentiment.predictor import SavedModelPredictor
from nlp_suite.tasks.translation.export_predictor import SavedModelTranslation

_EXPECTED = (
    "a run folder (with run.json), an exported version (with saved_model.pb), a folder of versions, or a .keras file "
    "written by nlp-suite export"
)


def load(path: str | Path):
    """Opens a trained model to be asked.

    Args:
        path: a run folder (its best weights), an exported SavedModel, the folder of its versions (the newest is
            taken), or a `.keras` file of `nlp-suite export --format keras`.

    Returns:
        Of a classifier an object with `labels`, `predict(texts)` and, for streams, `predict_iter(texts)`; of a language
        model one with `score(texts)`, `generate(prompts, …)` and `next_tokens(prompts)`; of a translation model one with
        `translate(texts, …)` and `score(sources, targets)`.

    Raises:
        ExportError: the path does not exist or is none of these.

    Example:
        >>> nlp_suite.load("saved_models/imdb").predict(["A wonderful film.", "Two lost hours."])
        [{'label': 'pos', …}, {'label': 'neg', …}]
    """
    path = Path(path)
    if not path.exists():
        raise ExportError(f"{str(path)!r} does not exist; expected {_EXPECTED}")
    if path.is_file() and path.suffix == ".keras":
        from nlp_suite.export.formats.keras_file import open_keras_file

        return open_keras_file(path)
    if (path / "run.json").is_file():
        from nlp_suite.training.run import Run

        run = Run(path)
        return open_run(run, run.model())
    found = {number: folder for number, folder in versions(path).items() if (folder / "saved_model.pb").is_file()}
    if (path / "saved_model.pb").is_file():
        return open_saved_model(path)
    if found:
        return open_saved_model(found[max(found)])
    raise ExportError(f"{str(path)!r} is none of these: {_EXPECTED}")


def open_saved_model(path: Path):
    """An export at work in Python, by what its `serving_default` signature answers."""
    loaded = LoadedSignatures(path)
    outputs = set(loaded.outputs("serving_default"))
    if {"probabilities", "labels"} <= outputs:
        return SavedModelPredictor(loaded)
    if {"translation", "score", "log_prob"} <= outputs:
        return SavedModelTranslation(loaded)
    if {"text", "log_prob", "length"} <= outputs:
        return SavedModelLanguage(loaded)
    raise ExportError(
        f"{str(path)!r} is no model of nlp-suite export: its serving_default signature has the outputs "
        f"{sorted(outputs)}"
    )
