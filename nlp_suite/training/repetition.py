"""Repetition: the same experiment with several seeds, and how much its numbers vary by that alone."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from nlp_suite.config import Experiment
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

MAX_SEEDS = 1000
LAST_SEED = 2**32 - 1


def seeded_experiments(experiment: Experiment, seeds: int) -> Experiments:
    """The experiment of every seed, that of the config and those after it, by the name of its run folder."""
    first = experiment.training.seed
    return {f"seed-{seed}": changed(experiment, "training", seed=seed) for seed in range(first, first + seeds)}


def check_repetition(experiment: Experiment, run_dir: str | Path, seeds: int) -> None:
    """Refuses a repetition that cannot be; imports no Keras and reads no data.

    Raises:
        UsageError: fewer than 2 seeds, or more than 1,000 or than there are from `training.seed` on.
        RunError, ConfigError, DataError, DamagedFileError: see `check_training`.
    """
    if not 2 <= seeds <= MAX_SEEDS:
        raise UsageError(f"--seeds {seeds}: an interval needs 2 to {MAX_SEEDS} seeds")
    if experiment.training.seed + seeds - 1 > LAST_SEED:
        raise UsageError(
            f"--seeds {seeds}: from training.seed {experiment.training.seed} on there are not so many seeds"
        )
    check_runs(seeded_experiments(experiment, seeds), Path(run_dir))


@scope()
def repeat(
    experiment: Experiment,
    run_dir: str | Path,
    seeds: int = 5,
    *,
    console: Any = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Trains and measures the experiment with several seeds: `training.seed` of the config, and those after it.

    The data and their splits (`data.seed`) stay the same. Measured is the test split where there is one. The same call on the
    folder of a killed repetition goes on with what is finished; one with more seeds trains those that are new.

    Args:
        experiment: the resolved config.
        run_dir: where `report.json`, `report.html` and the run folders `seed-1`, … are written.
        seeds: how many.
        console: where the trainings show their progress; default: standard error.
        progress: called with a line of text for every step of the work.

    Returns:
        The report: `split` (that was measured), `seeds`, `figures` (name → `mean`, `interval` (95 %, Student's t over the
        seeds), `values`), `best` (the same of `training.monitor` on the validation split, as it was chosen by), `runs`, and
        `page`, where its HTML lies.

    Raises:
        UsageError, DataError, RunError, ConfigError, DamagedFileError, TrainingError: see `check_repetition` and `train`.

    Example:
        >>> repeat(load_experiment("configs/sentiment_sample.yaml"), "runs/sample-seeds", 5)["figures"]["accuracy"]["mean"]
        1.0
    """
    from nlp_suite.evaluation.several_runs import mean_with_interval

    directory, progress = Path(run_dir), progress or (lambda line: None)
    check_repetition(experiment, directory, seeds)
    experiments = seeded_experiments(experiment, seeds)
    runs = train_runs(experiments, directory, console or progress_console(), progress)
    bests = [run.info["best"] for run, _ in runs.values()]
    report = {
        "kind": "repetition",
        "split": next(report["split"] for _, report in runs.values()),
        "seeds": [one.training.seed for one in experiments.values()],
        "figures": means_with_intervals(runs),
        "monitor": experiment.training.monitor,
        "best": mean_with_interval([best["value"] for best in bests]),
        "runs": [str(run.directory) for run, _ in runs.values()],
    }
    return write_joint_report(directory, report, view_of(report), runs, experiment, f"{seeds} seeds")


def view_of(report: dict[str, Any]) -> Any:
    """How a report of `repeat` is shown."""
    from nlp_suite.evaluation.several_runs import RepetitionView

    return RepetitionView(figure_writers(Run(report["runs"][0])))
