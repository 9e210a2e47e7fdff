"""What several problems refuse."""

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
