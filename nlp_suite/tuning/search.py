"""The search: takes trials from a study until there are enough, and says what they found."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_suite import progress
from nlp_suite.config import Experiment
from nlp_suite.data.staging import only_process
from nlp_suite.errors import ConfigError, TrainingError
from nlp_suite.training.run import Run
from nlp_suite.tuning.search_report import write_search_report
from nlp_suite.tuning.space import Space, written
from nlp_suite.tuning.study import STUDY, SearchStudy, check_folder, check_optuna
from nlp_suite.tuning.trial_training import Objective, TrialFailed, train_trial

if TYPE_CHECKING:
    from optuna import Trial

FAILURES = 3  # trials in a row that fail, after which the search ends


def check_search(experiment: Experiment, run_dir: str | Path, start_from: Sequence[str | Path] = ()) -> Space:
    """Refuses a search that cannot be, before its first trial; imports no Keras and reads no data.

    Raises:
        UsageError: Optuna is missing.
        ConfigError: a key or a value of the space that cannot be, or a run to start from that lies outside the space.
        RunError, DamagedFileError, DataError: see `check_folder` and `check_training`.
    """
    check_optuna()
    check_folder(Path(run_dir))
    space = Space(experiment)
    space.check_training(Path(run_dir) / "trials")
    for run in start_from:
        try:
            space.stored(Run(run).experiment)
        except ConfigError as error:
            raise ConfigError(f"--from {run}: {error}") from None
    return space


@progress.scope()
def search(
    experiment: Experiment,
    run_dir: str | Path,
    *,
    storage: Any = None,
    study: str = STUDY,
    start_from: Sequence[str | Path] = (),
    progress: Callable[[str], None] | None = None,
    objective: Objective = train_trial,
) -> dict[str, Any]:
    """Searches the settings that `search` in a config names: trains a model for each trial and says which is the best.

    A trial is a run folder, trained in a process of its own; one that is pruned ends early, and its `run.json` says why. The
    first trial has the config's own settings, if they lie in the space. The same call on the folder of a killed search goes
    on: with a trial that was begun where it was. The same seed draws the same settings (of one process).

    Several processes and machines share a study, each with a folder of its own, if they are given one `storage`.

    Args:
        experiment: the resolved config.
        run_dir: where `trials/000`, …, `best.yaml`, `report.json` and `report.html` are written, and `study.db`.
        storage: URL of another storage of the study, or an Optuna storage.
        study: its name there.
        start_from: run folders whose settings are tried first.
        progress: called with a line of text for every trial. The trainings' own lines go to standard error.
        objective: what trains a trial.

    Returns:
        The report: `monitor`, `trials` (`number`, `state`, `score`, `seconds`, `settings`, …), `best` (of which `test` are the
        figures on the test split, null where it was not read), `importance` (setting → share), `remarks`, and `page`, where
        its HTML lies.

    Raises:
        UsageError, ConfigError, RunError, DataError, DamagedFileError: see `check_search` and `SearchStudy`.
        TrainingError: another search is going on in the folder, or several trials in a row failed.

    Example:
        >>> experiment = load_experiment("mine.yaml", ["search={training.learning_rate: {log: [1e-4, 1e-2]}, trials: 10}"])
        >>> search(experiment, "runs/search")["best"]["settings"]
        {'training.learning_rate': 0.0034}
    """
    directory, say = Path(run_dir), progress or (lambda line: None)
    space = check_search(experiment, directory, start_from)
    directory.mkdir(parents=True, exist_ok=True)
    with only_process(directory, f"another search is going on in {directory}; give another --run-dir"):
        opened = SearchStudy(experiment, space, directory, storage, study)
        try:
            opened.enqueue(space.base)
        except ConfigError as error:
            say(f"the config itself is no trial: {error}")
        for run in start_from:
            opened.enqueue(Run(run).experiment)
        try:
            _Trials(opened, space, say, objective).run()
        except KeyboardInterrupt as error:
            ended = sum(trial.state.is_finished() for trial in opened.trials())
            error.add_note(f"{directory}: interrupted after {ended} trials; the same command goes on")
            raise
        return write_search_report(opened, space, experiment, directory, say)


class _Trials:
    """Runs trials one after the other."""

    def __init__(self, study: SearchStudy, space: Space, say: Callable[[str], None], objective: Objective):
        self._study, self._space, self._say, self._objective = study, space, say, objective
        self._failures: list[str] = []

    def run(self) -> None:
        for trial in self._study.unfinished():
            self._begin(trial)
        while new := self._study.next():
            self._begin(new)

    def _begin(self, trial: "Trial") -> None:
        from optuna.exceptions import UpdateFinishedTrialError

        with self._study.running(trial):
            try:
                self._run(trial)
            except UpdateFinishedTrialError:
                self._say(
                    f"trial {trial.number} ends here: it gave no sign of life for so long that its settings are another's"
                )

    def _run(self, trial: "Trial") -> None:
        settings, before, began = self._study.draw(trial), trial.user_attrs.get("seconds", 0.0), time.monotonic()
        self._say(f"trial {trial.number}: {written(settings)}")

        def note_time() -> float:
            seconds: float = round(before + time.monotonic() - began, 2)
            trial.set_user_attr("seconds", seconds)
            return seconds

        def report(interval: int, score: float) -> str | None:
            note_time()
            return self._study.report(trial, interval, score)

        directory = self._study.run_folder(trial.number)
        try:
            outcome = self._objective(self._space.experiment(settings), directory, report)
        except (TrialFailed, ConfigError) as error:
            note_time()
            self._study.fail(trial, str(error))
            self._say(f"trial {trial.number} failed: {error}")
            self._failures.append(str(error))
            if len(self._failures) >= FAILURES:
                raise TrainingError(f"{FAILURES} trials in a row failed, the last one so: {error}") from None
            return
        seconds = note_time()
        self._failures.clear()
        self._study.finish(trial, outcome.score, outcome.stopped)
        how = "pruned" if outcome.stopped else f"{self._space.base.training.monitor} {outcome.score:.4g}"
        best = self._study.best()
        mark = "  best" if best and best.number == trial.number else ""
        self._say(f"trial {trial.number}: {how}, {seconds:.0f} s{mark}")
