"""Evaluating a run on one of its splits: `report.json` and `report.html`."""

from pathlib import Path

import numpy as np

from nlp_suite.data.batches import BucketedBatches
from nlp_suite.training.run import Run, RunError


def predict_split(run: Run, store, batch_size: int = 64, checkpoint: str = "best") -> np.ndarray:
    """Class probabilities of every row of a store, float32 `[N, C]`."""
    model, task = run.model(checkpoint), run.task
    batches = BucketedBatches(store.lengths, batch_size, run.experiment.training.buckets, None)
    probabilities = np.zeros((len(store), len(run.labels)), "float32")
    for n in range(batches.steps_per_epoch):
        rows, weights, length = batches[n]
        tokens, *_ = task.batch(store, rows, weights, length)
        kept = weights > 0
        probabilities[rows[kept]] = task.probabilities(model.predict_on_batch(tokens))[kept]
    return probabilities


def evaluate(run: Run | str | Path, split: str | None = None, *, progress=None) -> dict:
    """Measures a run on a split and writes `report.json` and `report.html`.

    They go into the run folder; those of another than the default split into a folder of the split's name in it.

    Args:
        run: the run, or its folder.
        split: `"train"`, `"validation"` or `"test"`; default: test where there is one, else validation.
        progress: called with a line of text as the work goes on.

    Returns:
        The report, see `nlp_suite.evaluation.classification.classification_report`; `page` is where its HTML lies.

    Raises:
        RunError: the run's data have no such split.
    """
    from nlp_suite.evaluation.classification import classification_report
    from nlp_suite.evaluation.report import write_report

    run = run if isinstance(run, Run) else Run(run)
    stores = run.stores(progress)
    default = "test" if "test" in stores else "validation"
    split = split or default
    if split not in stores:
        raise RunError(f"{run.directory}: there is no split {split!r} (there are: {', '.join(stores)})")
    store = stores[split]
    texts = _Texts(store)
    report = classification_report(run.labels, np.array(store.labels), predict_split(run, store), texts)
    report = {"split": split, "run": str(run.directory), **report}
    title = f"{run.directory.name}: {run.experiment.task.name}, {run.experiment.backbone.name}, {split} split"
    page = write_report(
        run.directory if split == default else run.directory / split,
        report,
        title=title,
        history=run.history,
        experiment_yaml=run.experiment.to_yaml(),
        info=run.info,
    )
    return {**report, "page": str(page)}


class _Texts:
    """The texts of a store as a sequence that reads them one at a time."""

    def __init__(self, store):
        self._store = store

    def __len__(self):
        return len(self._store)

    def __getitem__(self, row):
        return self._store.text(int(row))
