"""What a search tries: settings and their values, checked as a config is checked, before the first trial."""

import itertools
import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_suite.config import Experiment, load_experiment
from nlp_suite.config_search import Dimension
from nlp_suite.config_yaml import shown, write_inline
from nlp_suite.errors import ConfigError, NlpSuiteError
from nlp_suite.training.checks import check_training
from nlp_suite.training.run import flattened, make_task

SAME_FOR_ALL = {
    "data": "every trial is measured on the same rows",
    "export": "it changes no score",
    "search": "it is not a setting of a training",
    "training.monitor": "every trial is measured alike: name the metric in search.monitor",
}
"""Keys, and sections, that are not searched, and why."""
COMBINATIONS = 64  # of values that are checked together
Scalar = None | bool | int | float | str


@dataclass(frozen=True)
class Parameter:
    """A setting that is searched.

    Attributes:
        key: such as `"training.learning_rate"`.
        choices: what Optuna stores → the value, of a `choice`; else empty.
        low, high: ends of a range.
        log: whether it is logarithmic.
        whole: whether its values are whole numbers.
    """

    key: str
    choices: Mapping[Scalar, Any]
    low: float = 0
    high: float = 0
    log: bool = False
    whole: bool = False

    def ends(self) -> list[Any]:
        """All values of a choice, both ends of a range."""
        return list(self.choices.values()) if self.choices else [self.low, self.high]

    def suggest(self, trial: Any) -> Any:
        """Draws what Optuna stores for a trial, or gives what it has stored; the value for a config is `value` of it."""
        if self.choices:
            return trial.suggest_categorical(self.key, list(self.choices))
        if self.whole:
            return trial.suggest_int(self.key, int(self.low), int(self.high), log=self.log)
        return trial.suggest_float(self.key, float(self.low), float(self.high), log=self.log)

    def value(self, stored: Any) -> Any:
        """The value for a config of what Optuna stores."""
        return self.choices[stored] if self.choices else stored


class Space:
    """The settings that an experiment with a section `search` searches.

    Args:
        experiment: the resolved config.

    Attributes:
        base: what all trials have in common, without `search`.
        parameters: by key.

    Raises:
        ConfigError: nothing is searched; a key that there is not, or that is the same for all trials; a value that does
            not fit its key, or those beside it.
    """

    def __init__(self, experiment: Experiment):
        settings = experiment.search
        if settings is None or not settings.space:
            raise ConfigError(
                "search: no setting is searched; write which, as in search: {training.learning_rate: {log: [1e-4, 1e-2]}}"
            )
        self._values = experiment.model_dump(mode="json", exclude_unset=True, exclude={"search"})
        if settings.monitor:
            self._values["training"] = {**self._values.get("training", {}), "monitor": settings.monitor}
        self.base = load_experiment(self._values)
        self.parameters = {key: self._parameter(key, dimension) for key, dimension in settings.space.items()}
        self._check_combinations()

    def values(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The config with other settings, as `load_experiment` takes it: what was not given is not written out."""
        return self.experiment(settings).model_dump(mode="json", exclude_unset=True)

    def experiment(self, settings: Mapping[str, Any]) -> Experiment:
        """The experiment with other settings.

        Args:
            settings: key → value.

        Raises:
            ConfigError: they do not go together.
        """
        return load_experiment(self._values, [f"{key}={write_inline(value)}" for key, value in settings.items()])

    def stored(self, experiment: Experiment) -> dict[str, Any]:
        """The settings of an experiment as Optuna stores them.

        Raises:
            ConfigError: one lies outside the space.
        """
        experiment = experiment.model_copy(update={"search": None})
        values, found = flattened(experiment), dict[str, Any]()
        given = experiment.model_dump(mode="json", exclude_unset=True)
        for key, parameter in self.parameters.items():
            value = values.get(key)
            if parameter.choices:
                same = [k for k, v in parameter.choices.items() if _is_set(given, experiment, key, v)]
                if same:
                    found[key] = same[0]
            elif isinstance(value, int | float) and parameter.low <= value <= parameter.high:
                found[key] = value
            if key not in found:
                raise ConfigError(f"its {key} {shown(value)} is not among what search.{key} names")
        return found

    def check_training(self, directory: Path) -> None:
        """Refuses before the first trial what `check_training` would refuse at one; imports no Keras.

        Args:
            directory: where the run folders will lie.

        Raises:
            NlpSuiteError: with the setting.
        """
        check_training(self.base, directory / "new")
        for key, parameter in self.parameters.items():
            for value in parameter.ends():
                experiment = self.experiment({key: value})
                if experiment.training.epochs < 1:
                    raise ConfigError(f"search: with training.epochs {experiment.training.epochs} nothing is trained")
                try:
                    check_training(experiment, directory / "new")
                except NlpSuiteError as error:
                    raise ConfigError(f"search.{key}: {shown(value)}: {error}") from None

    def _parameter(self, key: str, dimension: Dimension) -> Parameter:
        for fixed, why in SAME_FOR_ALL.items():
            if key == fixed or key.startswith(f"{fixed}."):
                raise ConfigError(f"search.{key} cannot be searched: {why}")
        if dimension.choice is not None:
            choices = {_storable(value): value for value in dimension.choice}
            parameter = Parameter(key, choices)
        else:
            low, high = dimension.log or dimension.range or (0, 1)  # it has one of them
            middle = low + (high - low) * math.pi / 10  # no whole number
            fractions = any(isinstance(end, float) for end in (low, high)) or self._problem({key: middle}) == ""
            parameter = Parameter(key, {}, low, high, dimension.log is not None, not fractions)
        for value in parameter.ends() if parameter.choices or parameter.whole else (*parameter.ends(), middle):
            if problem := self._problem({key: value}):
                raise ConfigError(f"search.{key}: {problem}")
        return parameter

    def _problem(self, settings: Mapping[str, Any]) -> str:
        """What is wrong with settings; empty if nothing is."""
        try:
            experiment = self.experiment(settings)
            make_task(experiment).check(experiment)
        except ConfigError as error:
            return "\n".join(line.strip() for line in str(error).removeprefix("config:").splitlines() if line.strip())
        return ""

    def _check_combinations(self) -> None:
        ends = [parameter.ends() for parameter in self.parameters.values()]
        if math.prod(map(len, ends)) <= COMBINATIONS:
            combinations = list(itertools.product(*ends))
        else:
            draw = random.Random(0)
            combinations = [tuple(map(draw.choice, ends)) for _ in range(COMBINATIONS)]
        for combination in combinations:
            settings = dict(zip(self.parameters, combination))
            if problem := self._problem(settings):
                raise ConfigError(f"search: {written(settings)} do not go together: {problem}")


def written(settings: Mapping[str, Any]) -> str:
    """Settings on one line."""
    return ", ".join(f"{key} {write_inline(value)}" for key, value in settings.items())


def _storable(value: Any) -> Scalar:
    """What stands for a value of a choice in the study: a component with settings is its YAML."""
    return value if isinstance(value, Scalar) else write_inline(value)


def _is_set(values: Mapping[str, Any], experiment: Experiment, key: str, value: Any) -> bool:
    """Whether an experiment already has a setting: giving it changes nothing."""
    try:
        return load_experiment(values, [f"{key}={write_inline(value)}"]) == experiment
    except ConfigError:
        return False
