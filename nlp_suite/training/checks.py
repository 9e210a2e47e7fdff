"""What can be refused before a training begins: without Keras, which takes seconds to import, and without reading the data."""

from collections.abc import Sequence
from pathlib import Path

from nlp_suite.config import Experiment, TrainingSettings
from nlp_suite.data.prepare import open_source
from nlp_suite.errors import ConfigError, DamagedFileError, RunError, UsageError
from nlp_suite.files import check_writable
from nlp_suite.registry import DISTRIBUTIONS, unknown
from nlp_suite.task import Task
from nlp_suite.training.backbone_start import open_backbone, text_of_origin
from nlp_suite.training.distributions.base import Distribution
from nlp_suite.training.launch import Launch
from nlp_suite.training.run import (
    HISTORY,
    STATE,
    Run,
    check_opened,
    check_same,
    differences,
    has_state,
    is_run,
    make_task,
    read_info,
    run_record,
)
from nlp_suite.training.tracking import check_trackers

ALONE = Launch()
OPTIMIZERS = (
    *("adadelta", "adafactor", "adagrad", "adam", "adamax", "adamw", "ftrl", "lamb", "lion"),
    *("muon", "nadam", "rmsprop", "schedulefreeadamw", "sgd"),
)
"""Keras's optimisers, in lower case."""


def check_training(experiment: Experiment, directory: Path, launch: Launch = ALONE) -> None:
    """Refuses a training that cannot be, as far as its config and the folders that it names say.

    Args:
        experiment: the resolved config.
        directory: the run folder; one that is finished is refused nothing but another config.
        launch: which of several processes this one is.

    Raises:
        RunError: the folder holds a run of another config, or cannot be written.
        DamagedFileError: a file of the run is missing or damaged.
        UsageError: the processes are not those that `training.distribution` wants.
        ConfigError, DataError: settings that do not go together, or data that are not there.
    """
    make_distribution(experiment).check(experiment, launch)
    if is_run(directory):
        for name in (STATE, HISTORY):
            run_record(directory).check(name)
        check_opened(run_record(directory))
        check_same(directory, experiment)
        if read_info(directory)["state"] == "finished":
            return
    elif directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ConfigError(f"--run-dir {str(directory)!r} exists, is not empty and is not a run folder")
    for folder in (directory,) if is_run(directory) else (directory, directory.parent):
        check_writable(folder, "give another --run-dir", RunError)
    task = make_task(experiment)
    task.check(experiment)
    if _defined_by(task, "metric_names") is _defined_by(task, "metrics"):  # a variant may have other metrics
        check_monitor(experiment.training.monitor, task, task.metric_names)
    check_optimizer(experiment.training.optimizer)
    check_trackers(experiment.training)
    if not has_state(directory):
        if experiment.training.init_from:
            _check_origin(experiment, Run(experiment.training.init_from))
        elif experiment.backbone.init_from:
            open_backbone(experiment)
        else:
            text_of_origin(experiment)
    open_source(experiment)


def make_distribution(experiment: Experiment) -> Distribution:
    """How the experiment's training is spread, made from the config."""
    chosen = experiment.training.distribution
    distribution: Distribution = DISTRIBUTIONS.get(chosen.name)(**chosen.arguments())
    return distribution


def doubtful_lengths(settings: TrainingSettings, epoch_steps: int, total_steps: int) -> list[str]:
    """Sentences on lengths that are hardly meant so, once it is known how long the training is.

    Args:
        settings: the training section.
        epoch_steps: batches of a pass over the training split.
        total_steps: batches of the whole training.
    """
    lines: list[str] = []
    if not total_steps:
        return lines
    warmup = getattr(settings.schedule, "warmup_steps", 0)
    if warmup >= total_steps:
        lines.append(
            f"training.schedule.warmup_steps is {warmup:,} and the training has {total_steps:,} steps: the learning rate rises "
            f"to its end and never reaches training.learning_rate ({settings.learning_rate:g}); lower warmup_steps"
        )
    if settings.epochs * epoch_steps < (settings.save_every or 0):
        lines.append(
            f"training.save_every {settings.save_every:,} is more than the {settings.epochs * epoch_steps:,} steps of "
            f"training.epochs {settings.epochs:,}, so this training takes {total_steps:,} steps"
        )
    return lines


def check_optimizer(name: str, allowed: Sequence[str] = OPTIMIZERS) -> None:
    """Refuses an optimiser that is not among those allowed, which are in lower case."""
    if name.lower() not in allowed:
        raise ConfigError(f"training.optimizer: {unknown('optimizer', name, allowed)}")


def check_monitor(monitor: str, task: Task, metrics: Sequence[str]) -> None:
    """Refuses a `training.monitor` that the logs will not have.

    Args:
        monitor: the name.
        task: the task, with the metrics that it measures itself.
        metrics: names of the model's Keras metrics.

    Raises:
        ConfigError: with the names that there are.
    """
    names = ["loss", *(name for name in metrics if name != task.loss_metric)]
    known = [*task.monitors, *(prefix + name for prefix in ("val_", "") for name in names)]
    if monitor not in known:
        raise ConfigError(f"training.monitor: {unknown('metric', monitor, known)}")


def check_average(run: Run, last: int | None, best: int | None) -> int:
    """Refuses to average checkpoint intervals that a run has not had; returns how many are averaged.

    Args:
        run: the run.
        last: how many of the last intervals; either this or `best` is given.
        best: how many of the best intervals.

    Raises:
        UsageError: neither or both are given.
        RunError: fewer intervals than 1 or more than there are.
        DamagedFileError: the history is missing or damaged.
    """
    if (last is None) == (best is None):
        raise UsageError("give one of --last N and --best N")
    option, number = ("--last", last) if best is None else ("--best", best)
    if not run.experiment.training.epochs:
        raise RunError(
            f"{run.directory} was not trained (training.epochs: 0): it has no checkpoint intervals to average"
        )
    if not (run.directory / HISTORY).exists():
        raise DamagedFileError(f"{run.directory / HISTORY} is missing, which has the values: restore it from a copy")
    count = len(run.history)
    if number is None or not 1 <= number <= count:
        raise RunError(f"{option} {number}: {run.directory} has {count} checkpoint intervals; allowed: 1 to {count}")
    return number


def _defined_by(task: Task, member: str) -> type:
    """The class of a task that defines a member."""
    return next(cls for cls in type(task).__mro__ if member in vars(cls))


def _check_origin(experiment: Experiment, origin: Run) -> None:
    """Refuses to start from a run that has another network or text layer, or no weights."""
    lines = differences(origin.experiment, experiment)
    network = ("task.", "text.", "target_text", "backbone.", "data.labels:")
    # how the weights came to be is no part of the network
    of_training = ("backbone.init_from:", "backbone.freeze:", "backbone.lora_rank:", "backbone.lora_alpha:")
    if lines := [line for line in lines if line.startswith(network) and not line.startswith(of_training)]:
        listed = "\n  ".join(lines)
        raise ConfigError(
            f"training.init_from: {origin.directory} has another network or text layer. "
            f"What differs (there → here):\n  {listed}"
        )
    origin.weights()
