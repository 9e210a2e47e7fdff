"""Evaluating a run on one of its splits, or on other files: `report.json` and `report.html`."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from nlp_suite.backend import import_backend
from nlp_suite.data.prepare import kind_of
from nlp_suite.data.remarks import remarks_on_settings
from nlp_suite.data.sources.base import SPLITS
from nlp_suite.errors import ConfigError, RunError, UsageError
from nlp_suite.files import check_writable
from nlp_suite.predictor import Adaptation
from nlp_suite.progress import say, scope
from nlp_suite.training.measured_files import checked_files, report_folder, with_files
from nlp_suite.training.run import Run
from nlp_suite.training.trackers.base import Outcome
from nlp_suite.training.tracking import Tracking, check_trackers

LOGGER = logging.getLogger(__name__)

SHARES = ("truncated_share", "dropped_share", "unknown_rate")
"""Of the statistics of a split: how much of its texts is cut off, and how much is unknown."""


@scope()
def evaluate(
    run: Run | str | Path,
    split: str | None = None,
    *,
    data: str | Path | Sequence[str | Path] | None = None,
    output: str | Path | None = None,
    baseline: bool = True,
    ensemble: Sequence[Run | str | Path] = (),
    adapt: Mapping[str, Mapping[str, Any]] | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Measures a run on a split, or on any file, and writes `report.json` and `report.html`.

    They go into the run folder, those of an ensemble into `ensemble/` in it; those of another than the default split into a folder of the split's name in it, and those of a
    file into `data/` and the file's name. A run folder that cannot be written is measured with an `output` elsewhere.

    Args:
        run: the run, or its folder.
        split: `"train"`, `"validation"` or `"test"`; default: test where there is one, else validation.
        data: a file instead of a split, with what the run was trained on: a table, read by the run's own columns, or a text
            for a language model; of a translation model also two files, of sources and of targets.
        output: another folder for the report; made if absent.
        baseline: also fit the task's baselines on the training split, once, and measure them on the split; on the training
            split itself there are none.
        ensemble: further runs, of the same data, that answer together with this one (`Task.measure_together`).
        adapt: of a language model: also how well it does where it adapts to the text, `{"cache": {}, "dynamic": {}}` with settings
            by key, see `nlp_suite.tasks.language_model.adaptation`.
        progress: called with a line of text for every step of the work; default: they are only logged.

    Returns:
        The report of the run's task, see its `report` module; `page` is where its HTML lies. Where the task has baselines,
        `baseline` are their figures, see `Task.baselines`, and `baseline_remark` says which of them the model is not better
        than; null where it is better than all. With `adapt`, `adapted` are the figures by its names.

    Raises:
        RunError: the run's data have no such split, the report cannot be written, or the task has no ensembles.
        ConfigError: runs that do not go together.
        DataError: a file that cannot be read, or holds what the run does not know, such as another label.
        UsageError: both a split and data, or a setting of `adapt` that there is not.
        RequestError: `adapt` of a task whose models do not adapt.
        DamagedFileError: a file of the run, or of the prepared data, is missing or damaged.
    """
    run = run if isinstance(run, Run) else Run(run)
    runs = [run, *(each if isinstance(each, Run) else Run(each) for each in ensemble)]
    for each in runs:
        each.weights()
        if each.experiment.task.name != run.experiment.task.name:
            raise RunError(
                f"{each.directory} is a run of {each.experiment.task.name}, not of {run.experiment.task.name}"
            )
    if split not in (None, *SPLITS):
        raise RunError(f"{run.directory}: there is no split {split!r} (there are: {', '.join(SPLITS)})")
    if split and data:
        raise UsageError(f"either a split ({split}) is measured, or data are: give one of them")
    adaptation = run.task.adaptation(adapt) if adapt else None
    files = checked_files(data) if data else []
    own = run.directory / "ensemble" if ensemble else run.directory
    folder = Path(output) if output else own
    asked: dict[str, Any] = {"recorded": not output, "baseline": baseline, "adaptation": adaptation}
    check_writable(folder, "give another folder with --output", RunError)
    import_backend()
    if files:
        with with_files(run, files, progress or (lambda line: None)) as (measured, name, stores):
            folder = folder if output else report_folder(own, files)
            facts = {"data": list(map(str, files))}
            runs[0] = measured
            return _report(runs, name, stores, folder, facts=facts, **asked)
    stores = run.stores(progress)
    default = "test" if "test" in stores else "validation"
    split = split or default
    if split not in stores:
        raise RunError(f"{run.directory}: there is no split {split!r} (there are: {', '.join(stores)})")
    folder = folder if output or split == default else folder / split
    return _report(runs, split, stores, folder, facts={}, **asked)


def _report(
    runs: Sequence[Run],
    split: str,
    stores: Mapping[str, Any],
    folder: Path,
    *,
    recorded: bool,
    baseline: bool,
    adaptation: Adaptation | None,
    facts: dict[str, Any],
) -> dict[str, Any]:
    """Measures a split and writes its report into a folder.

    Args:
        runs: whose model is measured; of several all together.
        split: a key of `stores`.
        stores: stores of the first run by split.
        folder: for the report.
        recorded: whether the run's record lists the report.
        baseline: whether there are baselines, where the training split is at hand.
        adaptation: how the model adapts besides, if at all.
        facts: what the report says beside what the task does.

    Returns:
        The report, see `evaluate`.
    """
    from nlp_suite.evaluation.baseline import remark
    from nlp_suite.evaluation.report import write_report

    run = runs[0]
    task, view = run.task, run.task.report_view()
    measured = task.measure(run, split, stores) if len(runs) == 1 else task.measure_together(runs, split, stores)
    report: dict[str, Any] = {"split": split, "run": str(run.directory), **facts, **measured}
    report |= text_facts(run, split, stores[split], report)
    by_row = report.pop("by_row", None)
    beside = baseline and "train" in stores and split != "train"  # what was fitted on a split knows its answers
    if beside and (baselines := task.baselines(run, split, stores, by_row)):
        report["baseline"] = baselines
        report["baseline_remark"] = remark(report, view.compared(report), run.task.model_kind)
    if adaptation:
        report["adapted"] = adaptation.report(run, split, stores)
    name = " and ".join(each.directory.name for each in runs)
    title = f"{name}: {run.experiment.task.name.replace('_', ' ')}, {run.network}, {split} split"
    page = write_report(
        folder,
        report,
        view,
        title=title,
        history=run.history or None,  # none where nothing was trained
        experiment_yaml=run.experiment.to_yaml(),
        info=run.info,
        place=run.record.replace if recorded else None,
    )
    if len(runs) == 1:
        _track(run, report, page)
    return {**report, "page": str(page)}


def text_facts(run: Run, split: str, store: Any, report: dict[str, Any]) -> dict[str, Any]:
    """How much of the texts the model does not see, and all `remarks`: on the texts, the answers and the settings.

    Args:
        run: the run.
        split: which split was measured.
        store: its store; read only where the run has no statistics of it.
        report: of the task, with `remarks` on the answers where it has some.
    """
    kind = kind_of(run.experiment)
    statistics = run.info["statistics"].get(split) or kind.with_unknown_words(kind.statistics(store), store, run.assets)
    on_texts = kind.remarks({split: statistics}, run.experiment, split)
    on_settings = [*remarks_on_settings(run.experiment, run.labels), *run.info.get("remarks", ())]
    if stopped := run.info.get("stopped"):
        on_settings.append(
            f"This training was ended after checkpoint interval {stopped['round']}, before its config says: {stopped['reason']}. "
            "Measured is the best of its checkpoints until then."
        )
    shares = {key: statistics[key] for key in SHARES if key in statistics and key not in report}
    return {**shares, "remarks": [*on_texts, *report.get("remarks", ()), *on_settings]}


def _track(run: Run, report: dict[str, Any], page: Path) -> None:
    """Tells the trackers of the run, where it has any; without their packages, that they are not told."""
    if not (id := run.info.get("tracking")):
        return
    try:
        check_trackers(run.experiment.training)
    except ConfigError as error:
        say(f"{error}; the report is only in {page.parent}", LOGGER, level=logging.WARNING)
        return
    outcome: Outcome | None = "finished" if run.info["state"] == "finished" else None
    with Tracking(run.experiment, run.directory, id, run.history, outcome=outcome) as tracking:
        tracking.report(report, [page.with_suffix(".json"), page])
