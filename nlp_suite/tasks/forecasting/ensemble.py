"""Several forecasters as one: the mean of their forecasts and of their quantiles."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.series_history import History
from nlp_suite.errors import ConfigError
from nlp_suite.tasks.forecasting.predictor import Forecaster
from nlp_suite.training.run import Run


class ForecastEnsemble(Forecaster):
    """Models of the same series that are trained apart, such as with several seeds; each may have its own network.

    The mean of quantiles is itself a quantile function, of a distribution as wide as those of the members on average (Vincent
    averaging).

    Args:
        members: forecasters.

    Raises:
        ConfigError: their horizons, levels, covariates or steps differ.

    Example:
        >>> members = [nlp_suite.load(f"runs/air-{seed}") for seed in (1, 2, 3)]
        >>> ForecastEnsemble(members).forecast([history])
    """

    def __init__(self, members: Sequence[Forecaster]):
        self.members, first = list(members), members[0]
        calendar = list(dict.fromkeys(feature for member in members for feature in member.inputs.calendar))
        self.inputs, self.levels = replace(first.inputs, calendar=calendar), list(first.levels)
        self.experiment = first.experiment
        for number, member in enumerate(members[1:], 2):
            for what, one, other in (
                ("task.horizon", first.horizon, member.horizon),
                ("task.quantiles", self.levels, list(member.levels)),
                ("covariates", _known(first), _known(member)),
                ("step", str(first.inputs.frequency), str(member.inputs.frequency)),
            ):
                if one != other:
                    raise ConfigError(f"model {number} of the ensemble has another {what}: {other}, not {one}")

    def ask(self, rows: list[History]) -> tuple[NDArray[Any], NDArray[Any]]:
        return mean_of([member.ask(rows) for member in self.members])


def mean_of(answers: Sequence[tuple[NDArray[Any], NDArray[Any]]]) -> tuple[NDArray[Any], NDArray[Any]]:
    """The answer of an ensemble, `[B, H]` and `[B, H, Q]`, of those of its members."""
    forecast, quantiles = (np.mean(parts, axis=0) for parts in zip(*answers))
    return forecast, quantiles


def check_measured_alike(runs: Sequence[Run]) -> None:
    """Refuses runs whose training split may hold what others are tested on.

    Raises:
        ConfigError: one was trained on other series, or on such that were cut elsewhere.
    """
    first = runs[0]
    for run in runs[1:]:
        for what, key in (("task.test", "test"), ("data.validation", "validation")):
            one, other = (each.assets.facts["cut"][key] for each in (first, run))
            if one != other:
                raise ConfigError(
                    f"{run.directory} was trained with {what} {other} and {first.directory} with {one}: one saw in training what "
                    "the other is tested on"
                )
        if run.info["statistics"]["train"] != first.info["statistics"]["train"]:
            raise ConfigError(f"{run.directory} was trained on other series than {first.directory}")


def _known(member: Forecaster) -> dict[str, list[str]]:
    covariates = {**member.inputs.covariates, "categories": list(member.inputs.categories)}
    return {kind: list(names) for kind, names in covariates.items() if names}
