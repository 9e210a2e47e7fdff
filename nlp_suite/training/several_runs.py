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


def changed(experiment: Experiment, **data: Any) -> Experiment:
    """The experiment with other settings of `data`."""
    return experiment.model_copy(update={"data": experiment.data.model_copy(update=data)})


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


def figure_writers(run: Run) -> dict[str, Callable[[float], str]]:
    """The figures of a measured run: name → how it is written."""
    return {figure.name: figure.write for figure in run.task.report_view().figures(_report(run))}
