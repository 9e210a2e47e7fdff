"""Cross-validation: a model for each part of the training split, trained on the others; how much its numbers vary.

As every row is tested by a model that has not seen it, the rows whose label these models doubt are found as well.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.config import Experiment
from nlp_suite.data.prepare import kind_of, open_source, splits
from nlp_suite.data.table_writing import open_table_writer
from nlp_suite.errors import UsageError
from nlp_suite.progress import console as progress_console
from nlp_suite.progress import scope
from nlp_suite.training.run import Run
from nlp_suite.training.several_runs import (
    Experiments,
    changed,
    check_runs,
    figure_writers,
    means_with_intervals,
    train_runs,
    write_joint_report,
)

DOUBTED = "doubted_labels.tsv"
SHOWN = 10  # of the doubted rows, in the report
MAX_FOLDS = 100
IMPROBABLE = 0.1  # probability of a label below which its row should be looked at first


def fold_experiments(experiment: Experiment, folds: int) -> Experiments:
    """The experiment of every fold, by the name of its run folder."""
    return {f"fold-{i}": changed(experiment, "data", fold=f"{i}/{folds}") for i in range(1, folds + 1)}


def check_cross_validation(experiment: Experiment, run_dir: str | Path, folds: int) -> None:
    """Refuses a cross-validation that cannot be; reads the labels of the training split, and imports no Keras.

    Raises:
        UsageError: fewer than 2 folds, or more than 100; or the config names a fold already.
        DataError: more folds than rows of the rarest label, or than examples.
        RunError, ConfigError, DamagedFileError: see `check_training`.
    """
    if not 2 <= folds <= MAX_FOLDS:
        raise UsageError(f"--folds {folds}: a cross-validation has 2 to {MAX_FOLDS} folds")
    if experiment.data.fold:
        raise UsageError(
            f"data.fold: {experiment.data.fold!r} is set, which a cross-validation sets itself: leave it out"
        )
    experiments = fold_experiments(experiment, folds)
    check_runs(experiments, Path(run_dir))
    splits(experiments["fold-1"], open_source(experiment))


@scope()
def cross_validate(
    experiment: Experiment,
    run_dir: str | Path,
    folds: int = 5,
    *,
    console: Any = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Trains and measures a model for every fold, and says by how much the numbers vary.

    The training split is cut into parts, in which every label has its share. Each part is tested by a model that is trained
    on the others (a validation split is held out of them where the data have none). The test split is not looked at.
    The same call on the folder of a killed cross-validation goes on with what is finished.

    Args:
        experiment: the resolved config.
        run_dir: where `report.json`, `report.html`, `doubted_labels.tsv` and the run folders `fold-1`, … are written.
        folds: how many parts.
        console: where the trainings show their progress; default: standard error.
        progress: called with a line of text for every step of the work.

    Returns:
        The report: `figures` (name → `mean`, `interval` (95 %, Student's t over the folds), `values`), `runs`,
        `doubted` (null unless rows have one label each: `rows`, `share`, `improbable`, `worst`, `file`), and
        `page`, where its HTML lies.

    Raises:
        UsageError, DataError, RunError, ConfigError, DamagedFileError, TrainingError: see `check_cross_validation` and
            `train`.

    Example:
        >>> report = cross_validate(load_experiment("configs/sentiment_sample.yaml"), "runs/sample-folds", folds=5)
        >>> report["figures"]["accuracy"]["mean"]
        0.71
    """
    directory, progress = Path(run_dir), progress or (lambda line: None)
    check_cross_validation(experiment, directory, folds)
    console = console or progress_console()
    runs = train_runs(fold_experiments(experiment, folds), directory, console, progress)
    report = {
        "kind": "cross_validation",
        "folds": folds,
        "figures": means_with_intervals(runs),
        "runs": [str(run.directory) for run, _ in runs.values()],
        "doubted": _doubted(experiment, [run for run, _ in runs.values()], directory),
    }
    return write_joint_report(directory, report, view_of(report), runs, experiment, f"{folds} folds")


def view_of(report: dict[str, Any]) -> Any:
    """How a report of `cross_validate` is shown."""
    from nlp_suite.evaluation.cross_validation import CrossValidationView

    return CrossValidationView(figure_writers(Run(report["runs"][0])))


def _doubted(experiment: Experiment, runs: list[Any], directory: Path) -> dict[str, Any] | None:
    """Writes the rows of the training split whose label their fold's model doubts, the most doubted first."""
    from nlp_suite.evaluation.label_noise import doubted_rows

    source, kind = open_source(experiment), kind_of(experiment)
    labels, tested, answered = runs[0].labels, [], []
    for fold, run in enumerate(runs):
        stores = run.stores()
        given = run.task.label_probabilities(run, "test", stores)
        if given is None or list(run.labels) != list(labels):
            return None
        rows = splits(run.experiment, source)["test"].rows
        tested += [(fold, stores["test"], i, int(row)) for i, row in enumerate([] if rows is None else rows)]
        answered.append(given)
    truth, probabilities = (np.concatenate(parts) for parts in zip(*answered))  # [N], [N, C]
    order, worst = doubted_rows(truth, probabilities), list[dict[str, Any]]()
    with open_table_writer(
        directory / DOUBTED, ["row", "label", "probability", "answered", "with", "fold", "text"]
    ) as table:
        for i in order:
            fold, store, at, number = tested[i]
            answer = int(probabilities[i].argmax())
            row = {
                "row": number + 1,
                "label": labels[truth[i]],
                "probability": float(probabilities[i, truth[i]]),
                "answered": labels[answer],
                "with": float(probabilities[i, answer]),
                "fold": fold + 1,
                "text": kind.input_texts(store, [at])[0],
            }
            rounded = [f"{value:.6f}" if isinstance(value, float) else value for value in row.values()]
            table.write(rounded)
            if len(worst) < SHOWN:
                worst.append(row)
    return {
        "rows": len(order),
        "share": len(order) / len(truth),
        "improbable": int((probabilities[order, truth[order]] < IMPROBABLE).sum()),
        "worst": worst,
        "file": str(directory / DOUBTED),
        "examples": len(truth),
    }
