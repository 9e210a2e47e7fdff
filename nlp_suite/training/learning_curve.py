"""A learning curve: the same experiment on more and more of the training split, and whether more data would help."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from nlp_suite.config import Experiment
from nlp_suite.data.prepare import kind_of, open_source, splits
from nlp_suite.errors import DataError, UsageError
from nlp_suite.progress import console as progress_console
from nlp_suite.progress import scope
from nlp_suite.training.run import Run
from nlp_suite.training.several_runs import (
    Experiments,
    changed,
    check_runs,
    figure_writers,
    train_runs,
    write_joint_report,
)


def sized_experiments(experiment: Experiment, sizes: Sequence[int]) -> Experiments:
    """The experiment of every size, by the name of its run folder."""
    return {f"rows-{size}": changed(experiment, "data", train_limit=size) for size in sorted(sizes)}


def check_learning_curve(experiment: Experiment, run_dir: str | Path, sizes: Sequence[int]) -> None:
    """Refuses a learning curve that cannot be; reads the training split, and imports no Keras.

    Raises:
        UsageError: fewer than two sizes, a size below 1, one that is given twice; or the config limits the rows already.
        DataError: a size beyond the rows of the training split.
        RunError, ConfigError, DamagedFileError: see `check_training`.
    """
    given = ",".join(map(str, sizes))
    if len(set(sizes)) < max(2, len(sizes)) or min(sizes) < 1:
        raise UsageError(f"--sizes {given}: two sizes or more are needed, all different and 1 or more")
    if experiment.data.train_limit:
        raise UsageError(f"data.train_limit: {experiment.data.train_limit} is set, which a learning curve sets itself")
    check_runs(sized_experiments(experiment, sizes), Path(run_dir))
    available = splits(experiment, open_source(experiment))["train"].count()
    if max(sizes) > available:
        raise DataError(
            f"--sizes {given}: the training split has {available:,} {kind_of(experiment).unit} (without those that are held "
            f"out for validation); the largest size allowed is {available}"
        )


@scope()
def learning_curve(
    experiment: Experiment,
    run_dir: str | Path,
    sizes: Sequence[int],
    *,
    console: Any = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Trains and measures a model on so many rows of the training split each, and says whether more would help.

    A smaller part lies within every larger one as far as the shares of the labels allow; validation and test stay whole.
    The same call on the folder of a killed learning curve goes on with what is finished.

    Args:
        experiment: the resolved config.
        run_dir: where `report.json`, `report.html` and the run folders `rows-500`, … are written.
        sizes: numbers of rows.
        console: where the trainings show their progress; default: standard error.
        progress: called with a line of text for every step of the work.

    Returns:
        The report: `split` (that was measured), `sizes`, `figures` (name → `values` and `intervals`, null where there is
        none), `advice` (a sentence), `runs`, and `page`, where its HTML lies.

    Raises:
        UsageError, DataError, RunError, ConfigError, DamagedFileError, TrainingError: see `check_learning_curve` and `train`.

    Example:
        >>> learning_curve(load_experiment("configs/sentiment_sample.yaml"), "runs/sizes", [500, 1000, 2000])["advice"]
        'From 1,000 to 2,000 rows accuracy went from 71.20% to 74.80%, …'
    """
    from nlp_suite.evaluation.learning_curve import advice

    directory, progress = Path(run_dir), progress or (lambda line: None)
    check_learning_curve(experiment, directory, sizes)
    experiments = sized_experiments(experiment, sizes)
    runs = train_runs(experiments, directory, console or progress_console(), progress)
    task = next(run.task for run, _ in runs.values())
    of_sizes = [task.report_view().figures(report) for _, report in runs.values()]
    by_name = {figures[0].name: figures for figures in zip(*of_sizes)}
    report = {
        "kind": "learning_curve",
        "split": next(report["split"] for _, report in runs.values()),
        "sizes": sorted(sizes),
        "figures": {
            name: {
                "values": [figure.value for figure in figures],
                "intervals": [figure.interval and list(figure.interval) for figure in figures],
            }
            for name, figures in by_name.items()
        },
        "runs": [str(run.directory) for run, _ in runs.values()],
    }
    report["advice"] = advice(report, {name: figures[0].write for name, figures in by_name.items()})
    return write_joint_report(directory, report, view_of(report), runs, experiment, "learning curve")


def view_of(report: dict[str, Any]) -> Any:
    """How a report of `learning_curve` is shown."""
    from nlp_suite.evaluation.learning_curve import LearningCurveView

    return LearningCurveView(figure_writers(Run(report["runs"][0])))
