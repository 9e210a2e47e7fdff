"""Translation models at work: one, or several as an ensemble."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from nlp_suite.errors import ExportError
from nlp_suite.export.samples import check_texts
from nlp_suite.tasks.translation.predictor import TranslationInference
from nlp_suite.text.text_layer import START


def opened(experiment, model, text, labels, target_text) -> TranslationInference:
    """See `nlp_suite.export.open_network.open_network`."""
    return TranslationInference([model], text, text if target_text is None else target_text, experiment.task)


def open_ensemble(paths: Sequence[str | Path]) -> TranslationInference:
    """Runs of translation as one: every token has their mean probability; settings and attention are the first's.

    Args:
        paths: run folders whose vocabularies are the same.

    Raises:
        ExportError: no run of translation, or one with other vocabularies than the first.

    Example:
        >>> open_ensemble(["runs/seed1", "runs/seed2"]).translate(["A dog runs."])[0]["translation"]
        'Ein Hund rennt.'
    """
    from nlp_suite.training.run import Run

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
    first = runs[0]
    return TranslationInference([run.model() for run in runs], first.text, first.target_text, first.experiment.task)


def check_inputs(run):
    """Padded sources int32 `[N, S]`, and the beginnings of targets without padding, int32 `[N, T]`."""
    texts = check_texts(run)
    targets = np.resize(np.concatenate(run.target_text.encode(texts)), (len(texts), 8))
    target_in = np.concatenate([np.full((len(texts), 1), START), targets], axis=1).astype("int32")
    return {"source": run.text.pad(run.text.encode(texts)), "target_in": target_in}
