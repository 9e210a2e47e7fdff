"""What every distribution has, and the world that a training sees of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlp_suite.config import ComponentSettings, Experiment
from nlp_suite.training.launch import Launch

if TYPE_CHECKING:
    from nlp_suite.training.peers import Peers


class DistributionSettings(ComponentSettings):
    """Settings that every distribution has: none."""


@dataclass(frozen=True)
class World:
    """The processes of a training and their devices.

    Attributes:
        processes: how many there are.
        process: the number of this one, from 0.
        devices: those of all processes together.
        peers: the connections to the other processes; None where there are none.
        sharing: names of the devices that share every step where `share_steps` makes the steps so; empty where the backend does.
    """

    processes: int = 1
    process: int = 0
    devices: int = 1
    peers: "Peers | None" = None
    sharing: tuple[str, ...] = ()

    @property
    def writes(self) -> bool:
        """Whether this process writes the run folder; the others only read it."""
        return self.process == 0

    def gather(self, what: str, value: Any = None) -> list[Any]:
        """Waits until all processes are here; returns the values that they gave, by their number.

        Raises:
            TrainingError: another process ended meanwhile.
        """
        return self.peers.gather(what, value) if self.peers else [value]

    def first(self, what: str, function: Callable[[], Any]) -> Any:
        """What a function returns that process 0 calls before all others do: they find what it has written."""
        result = function() if self.writes else None
        self.gather(what)
        return result if self.writes else function()

    @contextmanager
    def local(self) -> Iterator[None]:
        """Within the context networks are made, and asked, in this process alone."""
        with distributed(None):
            yield


@contextmanager
def distributed(distribution: Any) -> Iterator[None]:
    """Within the context networks that are made are spread as a distribution of Keras says; None: they are not."""
    import keras

    before = keras.distribution.distribution()
    if distribution is before:
        yield
        return
    keras.distribution.set_distribution(distribution)
    try:
        yield
    finally:
        keras.distribution.set_distribution(before)


class Distribution(ABC):
    """A way to spread a training; its constructor takes the fields of its settings, but the name."""

    @abstractmethod
    def check(self, experiment: Experiment, launch: Launch) -> None:
        """Refuses what cannot be, without Keras.

        Args:
            experiment: the resolved config.
            launch: how this process was started.

        Raises:
            ConfigError, UsageError: it cannot be.
        """

    @abstractmethod
    def world(self, launch: Launch, facts: Mapping[str, Any], settings: Any) -> AbstractContextManager[World]:
        """A context in which the networks that are made are spread; at its beginning all processes have come.

        Args:
            launch: how this process was started.
            facts: name → what must be the same in all processes, as plain data.
            settings: the training section.

        Raises:
            ConfigError, UsageError: the devices or the backend do not allow it.
            TrainingError: the other processes did not come, or differ.
        """
