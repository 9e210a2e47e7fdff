"""Finished runs of classifiers made into one run folder, which stands alone."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from nlp_suite.backend import import_backend
from nlp_suite.config import Experiment, load_experiment
from nlp_suite.data.prepare import Prepared
from nlp_suite.data.staging import hidden_folder, place_folder
from nlp_suite.errors import RunError, UsageError
from nlp_suite.export.load import open_run
from nlp_suite.progress import scope, work
from nlp_suite.tasks.sentiment.finished_runs import check_finished, data_differences
from nlp_suite.training.distributions.base import World
from nlp_suite.training.run import Run, check_new_run, run_record

Weights = Literal["validation", "equal"]


@scope()
def ensemble(
    runs: Sequence[str | Path],
    to: str | Path,
    *,
    weights: Weights = "validation",
    progress: Callable[[str], None] | None = None,
) -> Run:
    """Makes one run of several: it answers with the weighted mean of their calibrated probabilities.

    Backbones, tokenizers and all else of the members may differ, but not labels and data. A temperature for the mean is fitted on
    the validation split, as after a training (`task.calibration` of the first run; its `task.threshold` counts, too).

    Args:
        runs: run folders of classifiers that give a text one label, two or more; they are copied.
        to: the new run folder, for `evaluate`, `predict` and `export`.
        weights: `"validation"`: those of the least cross-entropy on the validation split of the first run; `"equal"`: all the same.
        progress: called with a line of text for every step of preparing the data.

    Raises:
        RunError: a run that is not finished, of another task, with other labels or data; or `to` is not empty.
        UsageError: fewer than two runs, the same one twice, or other weights.
        DataError: the data of the first run cannot be read.

    Example:
        >>> run = ensemble(["runs/bag", "runs/cnn"], "runs/both")
        >>> run.experiment.task.members
        {'bag': 0.55, 'cnn': 0.45}
    """
    to = Path(to)
    opened = check_ensemble(runs, to, weights)
    import_backend()
    from nlp_suite.tasks.sentiment.ensemble.measure import answers_of
    from nlp_suite.tasks.sentiment.ensemble.network import EnsembleModel
    from nlp_suite.tasks.sentiment.ensemble.predictor import fit_weights, log_mean
    from nlp_suite.tasks.sentiment.measure import fit
    from nlp_suite.training.callbacks import write_weights
    from nlp_suite.training.run_start import begin_run

    first, names = opened[0], _names(opened)
    store = first.stores(progress)["validation"]
    with work(f"weighing {len(opened)} runs"):
        models = [run.model() for run in opened]
        predictors: list[Any] = [open_run(run, model) for run, model in zip(opened, models)]
        answers = answers_of(predictors, store)  # [M, N, C]
    truth = np.array(store.labels)
    chosen = np.full(len(opened), 1 / len(opened))
    if weights == "validation":
        chosen = fit_weights(answers[:, np.arange(len(truth)), truth])
    experiment = _experiment(first, dict(zip(names, chosen.tolist())))
    members = {name: (_without_updates(run.experiment), run.assets) for name, run in zip(names, opened)}
    to.parent.mkdir(parents=True, exist_ok=True)
    with hidden_folder(to.parent, ".nlp-suite-run-") as hidden:
        folder = hidden / "run"
        prepared = Prepared(replace(first.assets, members=members), {}, first.info["statistics"], folder)
        begin_run(folder, experiment, prepared, [], _origins(opened), World())
        record = run_record(folder)
        write_weights(EnsembleModel(models), record, "best")
        fitted = fit(experiment.task, log_mean(answers, chosen), truth)
        record.update(state="finished", fitted=fitted)
        place_folder(folder, to)
    return Run(to)


def check_ensemble(runs: Sequence[str | Path], to: Path, weights: str) -> list[Run]:
    """Refuses what `ensemble` refuses before the work; returns the runs. Imports neither TensorFlow nor Keras."""
    if weights not in get_args(Weights):
        raise UsageError(f"--weights {weights!r} is unknown (allowed: {', '.join(get_args(Weights))})")
    if len(runs) < 2:
        given = f"only {runs[0]} is" if runs else "none is"
        raise UsageError(f"an ensemble is made of two runs or more, and {given} given")
    places = [Path(run).resolve() for run in runs]
    if twice := [str(run) for run, place in zip(runs, places) if places.count(place) > 1]:
        raise UsageError(f"{twice[0]} is given {len(twice)} times: an ensemble is made of different runs")
    opened = [Run(run) for run in runs]
    for run in opened:
        _check_member(run, opened[0])
    check_new_run(to, "--to")
    return opened


def _check_member(run: Run, first: Run) -> None:
    where, members = str(run.directory), getattr(run.experiment.task, "members", {})
    if members:
        raise RunError(f"{where} is an ensemble itself: give the runs that it is made of ({', '.join(members)})")
    check_finished(run, "an ensemble is made of classifiers")
    if list(run.labels) != list(first.labels):
        raise RunError(
            f"{where} has the labels {', '.join(run.labels)}, and {first.directory} has {', '.join(first.labels)}: members "
            "of an ensemble have the same labels in the same order"
        )
    lines = data_differences(first.experiment, run.experiment)
    for split in ("validation", "test"):
        there, here = (each.info["statistics"].get(split, {}).get("texts") for each in (first, run))
        if there != here:
            lines.append(f"texts of {split}: {there} → {here}")
    if lines:
        listed = "\n  ".join(lines)
        raise RunError(
            f"{where} was trained on other data than {first.directory}, or on data that are split otherwise, so it may know the "
            f"texts that the ensemble is weighed and tested on. What differs (there → here):\n  {listed}"
        )


def _names(runs: Sequence[Run]) -> list[str]:
    """What the members are called: as their folders, with a number where two have one name."""
    names: list[str] = []
    for run in runs:
        name = own = run.directory.resolve().name
        number = 2
        while name in names:
            name, number = f"{own}-{number}", number + 1
        names.append(name)
    return names


def _experiment(first: Run, members: Mapping[str, float]) -> Experiment:
    """The config of the ensemble: data and text layer of the first run, by which it reads what it is measured on."""
    own = first.experiment
    sections = {name: getattr(own, name).model_dump(mode="json") for name in ("data", "text", "backbone", "export")}
    task = {"calibration": own.task.calibration, "threshold": own.task.threshold}
    return load_experiment(
        {"task": {"name": "sentiment", "members": dict(members), **task}, **sections, "training": {"epochs": 0}}
    )


def _without_updates(experiment: Experiment) -> Experiment:
    """The config of a member whose low-rank updates, if it has any, are part of its weights."""
    if getattr(experiment.backbone, "lora_rank", None) is None:
        return experiment
    merged = experiment.backbone.model_copy(update={"lora_rank": None, "lora_alpha": None})
    return experiment.model_copy(update={"backbone": merged})


def _origins(runs: Sequence[Run]) -> dict[str, Any] | None:
    """Where weights began that members did not begin themselves, and the licences of those."""
    origins = [run.info["pretrained"] for run in runs if "pretrained" in run.info]
    if not origins:
        return None
    return {key: ", ".join(dict.fromkeys(o[key] or "not stated" for o in origins)) for key in ("from", "licence")}
