"""What several problems refuse, and leave out of the recipe."""

from collections.abc import Mapping
from typing import Any

from nlp_suite.config import Experiment
from nlp_suite.errors import ConfigError


def refuse_naive_bayes(experiment: Experiment) -> None:
    """Refuses a backbone that counts words by class, where a text has not one class.

    Raises:
        ConfigError: it does.
    """
    if experiment.backbone.arguments().get("naive_bayes"):
        raise ConfigError(
            f"backbone.naive_bayes counts words by the one label of a text; task.problem: {experiment.task.problem} has none"
        )


def without_naive_bayes(recipe: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """A default recipe whose backbone does not count words by class, whose weights the average `l2` needs."""
    return {**recipe, "backbone": {**recipe["backbone"], "naive_bayes": False, "average": "sqrt"}}
