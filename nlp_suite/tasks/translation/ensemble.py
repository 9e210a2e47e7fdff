"""Several runs of translation as one model."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nlp_suite.backend import import_backend
from nlp_suite.errors import ExportError
from nlp_suite.training.run import Run

if TYPE_CHECKING:
    from nlp_suite.tasks.translation.predictor import TranslationPredictor


def open_ensemble(paths: Sequence[str | Path]) -> "TranslationPredictor":
    """Runs of translation as one: every token has their mean probability; settings and attention are the first's.

    Args:
        paths: run folders whose vocabularies are the same.

    Raises:
        ExportError: no run of translation, or one with other vocabularies than the first.

    Example:
        >>> open_ensemble(["runs/seed1", "runs/seed2"]).translate(["A dog runs."])[0]["translation"]
        'Ein Hund rennt.'
    """
    runs = []
    for path in map(Path, paths):
        if not (path / "run.json").is_file():
            raise ExportError(f"{str(path)!r}: an ensemble is made of run folders (with run.json)")
        runs.append(Run(path))
        if runs[-1].experiment.task.name != "translation":
            raise ExportError(f"{str(path)!r} is a run of {runs[-1].experiment.task.name}, not of translation")
        for side in ("text", "target_text"):
            if getattr(runs[-1], side).fingerprint != getattr(runs[0], side).fingerprint:
                raise ExportError(
                    f"{str(path)!r} has another vocabulary ({side}) than {str(paths[0])!r}; allowed: runs trained on the "
                    "same data with the same text settings"
                )
    import_backend()
    from nlp_suite.tasks.translation.predictor import TranslationPredictor

    first = runs[0]
    models = [run.model() for run in runs]
    predictor = TranslationPredictor(models, first.text, first.target_text, first.experiment.task)
    predictor.experiment = first.experiment
    return predictor
