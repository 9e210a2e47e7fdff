"""One process, which computes as its backend does by itself."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from nlp_suite.config import Experiment
from nlp_suite.errors import UsageError
from nlp_suite.registry import DISTRIBUTIONS
from nlp_suite.training.distributions.base import Distribution, DistributionSettings, World
from nlp_suite.training.launch import Launch


@DISTRIBUTIONS.register(DistributionSettings)
class NoDistribution(Distribution):
    """Nothing is spread."""

    def check(self, experiment: Experiment, launch: Launch) -> None:
        if launch.processes > 1:
            raise UsageError(
                f"this is one of {launch.processes} processes ({launch.by}), and training.distribution: none is for one: set "
                "training.distribution=data_parallel, or start one process"
            )

    @contextmanager
    def world(self, launch: Launch, facts: Mapping[str, Any], settings: Any) -> Iterator[World]:
        yield World()
