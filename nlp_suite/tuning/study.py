"""The study of a search: its trials in Optuna's storage, which several processes and machines may share."""

import datetime
import platform
import uuid
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_suite.config import Experiment, load_experiment
from nlp_suite.config_yaml import read_yaml
from nlp_suite.errors import ConfigError, RunError, UsageError
from nlp_suite.evaluation.number_format import less_is_better
from nlp_suite.files import check_writable, read_json, write_json
from nlp_suite.registry import is_installed
from nlp_suite.training.run import differences, is_run
from nlp_suite.tuning.lost_trials import ask, fail_lost, heartbeat_options, signs_of_life, successors
from nlp_suite.tuning.space import Space

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial

FOLDER, TRIALS, DATABASE = "search.json", "trials", "study.db"
STARTUP = 5  # trials at random, none of which is pruned
ORPHANED = 60.0  # seconds after which a trial that no folder has taken is free
STUDY = "nlp-suite"  # name in the storage
MAY_CHANGE = ("data.cache:", "search.trials:", "search.hours:")  # while a study goes on


def check_optuna() -> None:
    """Refuses a search where Optuna is missing.

    Raises:
        UsageError: with what installs it.
    """
    if not is_installed("optuna"):
        raise UsageError("a search needs the package optuna, which is not installed: pip install 'nlp-suite[search]'")


def check_folder(directory: Path) -> None:
    """Refuses a folder that is there and is not a search's.

    Raises:
        RunError: it is a run folder, cannot be written, or holds something else.
        DamagedFileError: `search.json` is damaged.
    """
    if is_run(directory):
        raise RunError(f"{directory} is a run folder: give another --run-dir, in which those of the trials are made")
    if (directory / FOLDER).exists():
        _folder_id(directory)
    elif directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise RunError(f"--run-dir {str(directory)!r} exists, is not empty and is not the folder of a search")
    check_writable(directory, "give another --run-dir", RunError)


def _folder_id(directory: Path) -> str:
    """What the folder is called in the study; made at the first call."""
    path = directory / FOLDER
    if not path.exists():
        write_json(path, {"schema": 2, "id": uuid.uuid4().hex})
    content: dict[str, Any] = read_json(path, "restore it from a copy, or search into another folder")
    return str(content["id"])


class SearchStudy:
    """The trials of a search, and those of this folder among them.

    Args:
        experiment: the resolved config, with its section `search`.
        space: what it searches.
        directory: the search's folder, locked by this process.
        storage: URL of an Optuna storage, or one itself; default: SQLite in the folder.
        name: of the study in it.

    Raises:
        UsageError: the storage cannot be opened.
        RunError: it holds a study of another config, or not the one whose trials lie in the folder.
    """

    def __init__(self, experiment: Experiment, space: Space, directory: Path, storage: Any, name: str):
        assert experiment.search
        self._settings, self._space, self._directory = experiment.search, space, directory
        self._own, self._shared = _folder_id(directory), storage is not None
        self.mode = "min" if less_is_better(space.base.training.monitor) else "max"
        self._study = self._open(storage, name)
        self._check_same(experiment, name)
        self._check_trials()

    def trials(self) -> list["FrozenTrial"]:
        """All trials that have begun, by their numbers."""
        from optuna.trial import TrialState

        begun = [t for t in self._study.get_trials(deepcopy=False) if t.state != TrialState.WAITING]
        return [trial for trial in begun if "surplus" not in trial.user_attrs]

    def is_own(self, trial: "FrozenTrial") -> bool:
        """Whether its run folder lies in this search's folder."""
        return bool(trial.user_attrs.get("folder") == self._own)

    def run_folder(self, number: int) -> Path:
        """The run folder of a trial of this folder."""
        return self._directory / TRIALS / f"{number:03d}"

    def enqueue(self, experiment: Experiment) -> None:
        """Makes the settings of an experiment those of a next trial, unless they were one.

        Raises:
            ConfigError: they lie outside the space.
        """
        self._study.enqueue_trial(self._space.stored(experiment), skip_if_exists=True)

    def unfinished(self) -> list["Trial"]:
        """Trials of this folder, and of none, that a killed process left."""
        from optuna import Trial
        from optuna.trial import TrialState

        found = []
        for trial in self._study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
            free = "folder" not in trial.user_attrs and (not self._shared or _age(trial) > ORPHANED)
            if free or self.is_own(trial):
                found.append(Trial(self._study, trial._trial_id))
        return [trial for trial in found if self._take(trial)]

    def next(self) -> "Trial | None":
        """A new trial; None once there are as many as the config says, or the time is up. Those that are lost do not count."""
        if self._shared:
            fail_lost(self._study)
        trials = self._counted()
        hours = sum(trial.user_attrs.get("seconds", 0.0) for trial in trials) / 3600
        if len(trials) >= self._settings.trials or hours >= (self._settings.hours or float("inf")):
            return None
        trial = ask(self._study)
        self._take(trial)
        before = [other for other in self._counted() if other.number < trial.number]
        if len(before) >= self._settings.trials:  # another process was faster
            trial.set_user_attr("surplus", True)
            self.fail(trial, "there were enough")
            return None
        return trial

    def _counted(self) -> list["FrozenTrial"]:
        lost = self.lost()
        return [trial for trial in self.trials() if trial.number not in lost]

    def lost(self) -> dict[int, int]:
        """The number of a trial whose search did not come back → that of the trial that has its settings."""
        return successors(self._study)

    def running(self, trial: "Trial") -> AbstractContextManager[None]:
        """A context in which a trial of this process goes on, as other searches can see."""
        return signs_of_life(self._study, trial)

    def draw(self, trial: "Trial") -> dict[str, Any]:
        """The settings of a trial of this process, key → value: new ones, or those that it has."""
        return {key: p.value(p.suggest(trial)) for key, p in self._space.parameters.items()}

    def settings(self, trial: "FrozenTrial") -> dict[str, Any]:
        """The settings that a trial has so far: key → value."""
        return {key: p.value(trial.params[key]) for key, p in self._space.parameters.items() if key in trial.params}

    def finish(self, trial: "Trial", score: float, stopped: str = "") -> None:
        """Ends a trial; `stopped`: why it was pruned."""
        from optuna.trial import TrialState

        if stopped:
            trial.set_user_attr("reason", stopped)
            self._study.tell(trial, state=TrialState.PRUNED)
        else:
            self._study.tell(trial, score)

    def fail(self, trial: "Trial", reason: str) -> None:
        """Ends a trial that has no score."""
        from optuna.trial import TrialState

        trial.set_user_attr("reason", reason)
        self._study.tell(trial, state=TrialState.FAIL)

    def report(self, trial: "Trial", interval: int, score: float) -> str | None:
        """Takes the metric of a checkpoint interval; answers why the trial is pruned, or None."""
        if interval not in self._study.get_trials(deepcopy=False)[trial.number].intermediate_values:
            trial.report(score, interval)
        if not trial.should_prune():
            return None
        than = {
            "median": "half of the trials before it were better by then",
            "hyperband": "it was not among the best of its bracket",
        }[self._settings.pruner]
        monitor = self._space.base.training.monitor
        return f"pruned as trial {trial.number} of a search, with {monitor} {score:.4g}: {than}"

    def best(self) -> "FrozenTrial | None":
        """The complete trial with the best score, the first of equals."""
        from optuna.trial import TrialState

        complete = [(t, t.value) for t in self.trials() if t.state == TrialState.COMPLETE and t.value is not None]
        sign = 1 if self.mode == "min" else -1
        return min(complete, key=lambda pair: (sign * pair[1], pair[0].number))[0] if complete else None

    def importance(self) -> dict[str, float]:
        """How much of the score's variation each setting explains; empty where that cannot be told yet."""
        from optuna.importance import get_param_importances

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return dict(get_param_importances(self._study))
            except (RuntimeError, ValueError):  # too few complete trials, or equal scores
                return {}

    def note_test(self, number: int) -> list[int]:
        """Notes that the test score of a trial was read; returns the numbers of all those."""
        numbers: list[int] = self._study.user_attrs.get("tested", [])
        if number not in numbers:
            self._study.set_user_attr("tested", [*numbers, number])
        return sorted({*numbers, number})

    def _take(self, trial: "Trial") -> bool:
        """Makes a trial one of this folder; answers whether it is, as another search may just have taken it for lost."""
        from optuna.exceptions import UpdateFinishedTrialError

        try:
            trial.set_user_attr("folder", self._own)
            trial.set_user_attr("place", f"{platform.node()}:{self.run_folder(trial.number).absolute()}")
        except UpdateFinishedTrialError:
            return False
        return True

    def _open(self, storage: Any, name: str) -> "Study":
        import optuna
        import sqlalchemy

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        if storage is None:
            path = str((self._directory / DATABASE).absolute())
            storage = sqlalchemy.URL.create("sqlite", database=path).render_as_string()
        self._where = _without_password(storage)
        try:
            return optuna.create_study(
                storage=_opened(storage, self._shared),
                study_name=name,
                load_if_exists=True,
                direction="minimize" if self.mode == "min" else "maximize",
                sampler=self._sampler(),
                pruner=self._pruner(),
            )
        except (
            *(sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.OptunaError),
            *(ImportError, ValueError, RuntimeError, OSError),
        ) as error:
            raise UsageError(
                f"--storage {self._where!r} cannot be opened ({(str(error).splitlines() or [''])[0]}); allowed: "
                "sqlite:///FILE, journal:FILE (for a folder that several machines share), or the URL of a database, such as "
                "postgresql://USER@HOST/DATABASE"
            ) from None

    def _sampler(self) -> "BaseSampler":
        from optuna import samplers

        def make(seed: int) -> "BaseSampler":
            if self._settings.sampler == "random":
                return samplers.RandomSampler(seed=seed)
            return samplers.TPESampler(seed=seed, n_startup_trials=STARTUP)

        return by_number(make, self._settings.seed)

    def _pruner(self) -> Any:
        from optuna import pruners

        if self._settings.pruner == "none":
            return pruners.NopPruner()
        if self._settings.pruner == "hyperband":
            return pruners.HyperbandPruner(min_resource=1, reduction_factor=3)
        return pruners.MedianPruner(n_startup_trials=STARTUP, n_warmup_steps=0)

    def _check_same(self, experiment: Experiment, name: str) -> None:
        """Refuses a study of another config; one that is new becomes this config's."""
        recorded = self._study.user_attrs.get("config")
        if recorded is None:
            if self._study.get_trials(deepcopy=False):
                raise RunError(
                    f"{self._where} holds a study {name!r} that is not of a search of nlp-suite; "
                    "give another --study or --storage"
                )
            self._study.set_user_attr("config", experiment.to_yaml())
            return
        try:
            before = load_experiment(read_yaml(recorded, self._where))
        except ConfigError as error:
            raise RunError(f"the config of the study in {self._where} cannot be read: {error}") from None
        if lines := [line for line in differences(before, experiment) if not line.startswith(MAY_CHANGE)]:
            listed = "\n  ".join(lines)
            raise RunError(
                f"{self._where} holds a study of another config; give another --run-dir, --storage or --study. "
                f"What differs (there → here):\n  {listed}"
            )

    def _check_trials(self) -> None:
        """Refuses a storage that does not know the trials of the folder."""
        folders = (self._directory / TRIALS).glob("[0-9]*")
        numbers = {int(folder.name) for folder in folders if folder.name.isdigit() and is_run(folder)}
        known = {trial.number for trial in self._study.get_trials(deepcopy=False) if self.is_own(trial)}
        if strange := sorted(numbers - known):
            raise RunError(
                f"{self.run_folder(strange[0])} is a trial of another study than the one in the storage; give the --storage "
                "that this search began with, or another --run-dir"
            )


def by_number(make: Callable[[int], "BaseSampler"], seed: int) -> "BaseSampler":
    """A sampler whose draws for a trial follow from the seed, the trial's number and the trials before it alone.

    A search that was killed draws what it would have drawn.

    Args:
        make: seed → the sampler that draws.
        seed: of the search.
    """
    from numpy.random import SeedSequence
    from optuna.samplers import BaseSampler

    class ByNumber(BaseSampler):
        def __init__(self) -> None:
            self._sampler = make(seed)

        def before_trial(self, study: "Study", trial: "FrozenTrial") -> None:
            self._sampler = make(int(SeedSequence([seed, trial.number]).generate_state(1)[0]))
            self._sampler.before_trial(study, trial)

        def infer_relative_search_space(self, study: "Study", trial: "FrozenTrial") -> Any:
            return self._sampler.infer_relative_search_space(study, trial)

        def sample_relative(self, study: "Study", trial: "FrozenTrial", search_space: Any) -> dict[str, Any]:
            return self._sampler.sample_relative(study, trial, search_space)

        def sample_independent(
            self, study: "Study", trial: "FrozenTrial", param_name: str, param_distribution: Any
        ) -> Any:
            return self._sampler.sample_independent(study, trial, param_name, param_distribution)

        def after_trial(self, study: "Study", trial: "FrozenTrial", state: Any, values: Any) -> None:
            self._sampler.after_trial(study, trial, state, values)

    return ByNumber()


def _age(trial: "FrozenTrial") -> float:
    """Seconds since a trial began."""
    began = trial.datetime_start or datetime.datetime.min
    return (datetime.datetime.now() - began).total_seconds()


def _opened(storage: Any, shared: bool) -> Any:
    """A storage by its URL; one that is opened already is taken as it is.

    Args:
        storage: see `SearchStudy`.
        shared: whether other searches may take trials from it.
    """
    from optuna import storages
    from optuna.storages.journal import JournalFileBackend

    if not isinstance(storage, str):
        return storage
    if storage.startswith("journal:"):
        return storages.JournalStorage(JournalFileBackend(storage.removeprefix("journal:")))
    options = {"connect_args": {"timeout": 60}} if storage.startswith("sqlite") else {}  # others may be writing
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the heartbeat counts as experimental
        return storages.RDBStorage(storage, engine_kwargs=options, **(heartbeat_options() if shared else {}))


def _without_password(storage: Any) -> str:
    """A storage for a message."""
    import sqlalchemy

    try:
        return sqlalchemy.make_url(storage).render_as_string(hide_password=True)
    except sqlalchemy.exc.ArgumentError:
        return str(storage)
