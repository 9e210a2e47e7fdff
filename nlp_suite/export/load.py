"""One door to everything that predicts: a run folder, an exported version, a model's folder, or a `.keras` file."""

from pathlib import Path

from nlp_suite.export.errors import ExportError
from nlp_suite.export.predictors import NetworkPredictor, Predictor, SavedModelPredictor
from nlp_suite.export.staging import versions

_EXPECTED = (
    "a run folder (with run.json), an exported version (with saved_model.pb), a folder of versions, or a .keras file "
    "written by nlp-suite export"
)


def load(path: str | Path) -> Predictor:
    """Opens a trained model for prediction.

    Args:
        path: a run folder (its best weights), an exported SavedModel, the folder of its versions (the newest is
            taken), or a `.keras` file of `nlp-suite export --format keras`.

    Returns:
        An object with `labels`, `predict(texts)` and, for streams, `predict_iter(texts)`.

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
        from nlp_suite.export.formats._keras_file import open_keras_file

        return open_keras_file(path)
    if (path / "run.json").is_file():
        from nlp_suite.training.run import Run

        run = Run(path)
        return NetworkPredictor(run.model("best"), run.text, run.labels)
    found = {number: folder for number, folder in versions(path).items() if (folder / "saved_model.pb").is_file()}
    if (path / "saved_model.pb").is_file():
        return SavedModelPredictor(path)
    if found:
        return SavedModelPredictor(found[max(found)])
    raise ExportError(f"{str(path)!r} is none of these: {_EXPECTED}")
