"""What a search found: `report.json`, `report.html` and `best.yaml`."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_suite.config import Experiment
from nlp_suite.config_yaml import write_yaml
from nlp_suite.files import write_file
from nlp_suite.training.run import Run, is_run
from nlp_suite.tuning.space import Space
from nlp_suite.tuning.study import SearchStudy

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

BEST = "best.yaml"


def write_search_report(
    study: SearchStudy, space: Space, experiment: Experiment, directory: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measures the best trial on the test split, once, and writes what the search found.

    Args:
        study: the study.
        space: what was searched.
        experiment: the config of the search.
        directory: its folder.
        say: called with lines of progress.

    Returns:
        The report, see `nlp_suite.tuning.search.search`.
    """
    from nlp_suite.evaluation.report import write_report
    from nlp_suite.evaluation.search import SearchView

    lost = study.lost()
    trials = [_facts(study, trial, lost) for trial in study.trials()]
    report: dict[str, Any] = {
        "kind": "search",
        "monitor": space.base.training.monitor,
        "mode": study.mode,
        "trials": trials,
        "seconds": round(sum(trial["seconds"] for trial in trials), 2),
        "importance": study.importance(),
        "log": [key for key, parameter in space.parameters.items() if parameter.log],
        "best": None,
        "start": None,
        "remarks": [],
    }
    waiting = [trial for trial in trials if trial["state"] == "running"]
    report["remarks"] += [
        f"Trial {trial['number']} is not finished ({trial['place']}): the same command there goes on with it."
        for trial in waiting
    ]
    if best := study.best():
        report["start"] = _start(study, space, trials)
        report["best"] = _best(study, space, best, report, directory, say, bool(waiting))
    view = SearchView()
    page = write_report(
        directory,
        report,
        view,
        title=f"{directory.name}: search, {experiment.task.name.replace('_', ' ')}, {len(trials)} trials",
        history=None,
        experiment_yaml=experiment.to_yaml(),
        info={},
    )
    return {**report, "page": str(page)}


def _facts(study: SearchStudy, trial: "FrozenTrial", lost: Mapping[int, int]) -> dict[str, Any]:
    """A trial as the report has it; `lost`: see `SearchStudy.lost`."""
    reason = trial.user_attrs.get("reason")
    if reason is None and trial.state.name == "FAIL":
        reason = "its search did not come back, as those of other trials with its settings"
    if trial.number in lost:
        reason = f"its search did not come back; trial {lost[trial.number]} has its settings"
    intervals, score = trial.intermediate_values, trial.value
    if trial.state.name != "COMPLETE":  # the best until then
        better = min if study.mode == "min" else max
        score = better(intervals.values(), default=None)
    return {
        "number": trial.number,
        "state": {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}.get(trial.state.name, "running"),
        "score": score,
        "seconds": trial.user_attrs.get("seconds", 0.0),
        "intervals": len(intervals),
        "settings": study.settings(trial),
        "run": str(study.run_folder(trial.number)) if study.is_own(trial) else None,
        "place": trial.user_attrs.get("place", "nowhere"),
        "reason": reason,
    }


def _start(study: SearchStudy, space: Space, trials: list[dict[str, Any]]) -> dict[str, Any] | None:
    """The trial with the settings of the config itself, if there is one and it is complete."""
    for trial in trials:
        if trial["state"] == "complete" and space.experiment(trial["settings"]) == space.base:
            return {"trial": trial["number"], "score": trial["score"]}
    return None


def _best(
    study: SearchStudy,
    space: Space,
    trial: "FrozenTrial",
    report: dict[str, Any],
    directory: Path,
    say: Callable[[str], None],
    waiting: bool,
) -> dict[str, Any]:
    """The best trial: its config is written, its test score read; the report gets the sentences on them."""
    facts = next(item for item in report["trials"] if item["number"] == trial.number)
    complete = [item["number"] for item in report["trials"] if item["state"] == "complete"]
    settings, remarks = facts["settings"], report["remarks"]
    path = directory / BEST
    head = (
        f"Trial {trial.number}, the best of {len(complete)} complete ones of a search: {report['monitor']} {facts['score']:.6g}"
        " on the validation split, which is optimistic, as it was chosen by that."
    )
    values = space.experiment(settings).model_dump(mode="json", exclude_unset=True)
    write_file(path, f"# {head}\n#\n#   nlp-suite train {path}\n\n{write_yaml(values)}")
    chosen = f"The {report['monitor']} of trial {trial.number} is the best of {len(complete)}, chosen by itself, so it is optimistic: "
    best = {"trial": trial.number, **facts, "config": str(path), "test": None}
    if waiting:
        remarks.append(chosen + "the test split is read once all trials are finished.")
    elif not facts["run"] or not is_run(Path(facts["run"])):
        remarks.append(
            f"{chosen}its test score is read by the same command where its run folder lies ({facts['place']})."
        )
    else:
        best["test"] = _test(Path(facts["run"]), say)
        if best["test"]["split"] == "test":
            numbers = study.note_test(trial.number)
            times = (
                "the test split was read for this trial only, once."
                if len(numbers) == 1
                else f"the test split was read for {len(numbers)} trials so far ({', '.join(map(str, numbers))}), so it is no "
                "longer quite independent."
            )
            remarks.append(f"{chosen}expect on new texts what it has on the test split; {times}")
        else:
            remarks.append(f"{chosen}the data have no test split, so there is no independent score.")
    return best


def _test(run: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """The figures of a run on its test split, measured unless they were before."""
    from nlp_suite.training.evaluate import evaluate

    opened = Run(run)
    if not opened.record.has("report.json"):
        evaluate(opened, baseline=False, progress=say)
    measured = json.loads(opened.record.check("report.json").read_text("utf-8"))
    figures = opened.task.report_view().figures(measured)
    return {
        "split": measured["split"],
        "figures": {
            figure.name: {
                "value": figure.value,
                "interval": figure.interval and list(figure.interval),
                "written": None if figure.value is None else figure.write(figure.value),
            }
            for figure in figures
        },
    }
