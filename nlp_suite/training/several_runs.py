"""Several trainings of one experiment, each in a run folder of its own, measured alike: what has been done is not done again."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nlp_suite.config import Experiment
from nlp_suite.errors import RunError
from nlp_suite.files import check_writable
from nlp_suite.training.checks import check_training
from nlp_suite.training.run import Run, is_run

Experiments = Mapping[str, Experiment]
"""Name of the run folder → what is trained in it."""


Runs = Mapping[str, tuple[Run, dict[str, Any]]]
"""Name of the run folder → the run and its report."""


def changed(experiment: Experiment, section: str, **settings: Any) -> Experiment:
    """The experiment with other settings of a section."""
    return experiment.model_copy(update={section: getattr(experiment, section).model_copy(update=settings)})


def check_runs(experiments: Experiments, directory: Path) -> None:
    """Refuses before the first training what would be refused at a later one; imports no Keras.

    Raises:
        RunError, ConfigError, DamagedFileError, DataError: see `check_training`.
    """
    if is_run(directory):
        raise RunError(f"{directory} is a run folder: give another --run-dir, in which the run folders are made")
    check_writable(directory, "give another --run-dir", RunError)
    for name, experiment in experiments.items():
        check_training(experiment, directory / name)


def train_runs(
    experiments: Experiments, directory: Path, console: Any, progress: Callable[[str], None]
) -> dict[str, tuple[Run, dict[str, Any]]]:
    """Trains and measures what is not trained and measured yet; returns every run with its report.

    Args:
        experiments: what to train.
        directory: where the run folders lie.
        console: where the trainings show their progress.
        progress: called with a line of text for every run.
    """
    from nlp_suite.training.evaluate import evaluate
    from nlp_suite.training.train import train

    directory.mkdir(parents=True, exist_ok=True)
    done = {}
    for i, (name, experiment) in enumerate(experiments.items(), 1):
        progress(f"{directory / name}: {i} of {len(experiments)}")
        run = train(experiment, directory / name, console=console)
        if not (run.directory / "report.json").exists():
            evaluate(run, baseline=False, progress=progress)
        done[name] = (run, _report(run))
    return done


def _report(run: Run) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(run.record.check("report.json").read_text("utf-8"))
    return report


def means_with_intervals(runs: Runs) -> dict[str, dict[str, Any]]:
    """The figures of the runs: name → their mean, its interval and the values, see `mean_with_interval`."""
    from nlp_suite.evaluation.several_runs import mean_with_interval

    of_runs = [
        {figure.name: figure for figure in run.task.report_view().figures(report)} for run, report in runs.values()
    ]
    return {
        name: mean_with_interval([figures[name].value for figures in of_runs if name in figures], figure.highest)
        for name, figure in of_runs[0].items()
    }


def write_joint_report(
    directory: Path, report: dict[str, Any], view: Any, runs: Runs, experiment: Experiment, what: str
) -> dict[str, Any]:
    """Writes a report on several runs; returns it with `page`, where its HTML lies.

    Args:
        directory: where to.
        report: the numbers.
        view: how they are shown.
        runs: what was trained.
        experiment: what they have in common.
        what: the end of the title, such as `"5 folds"`.
    """
    from nlp_suite.evaluation.report import write_report

    task = next(run.task for run, _ in runs.values())
    page = write_report(
        directory,
        report,
        view,
        title=f"{directory.name}: {task.title}, {experiment.backbone.name}, {what}",
        history=None,
        experiment_yaml=experiment.to_yaml(),
        info={},
    )
    return {**report, "page": str(page)}


def figure_writers(run: Run) -> dict[str, Callable[[float], str]]:
    """The figures of a measured run: name → how it is written."""
    return {figure.name: figure.write for figure in run.task.report_view().figures(_report(run))}
