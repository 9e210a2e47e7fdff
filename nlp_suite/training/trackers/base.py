"""What every tracker is: a program that people look at the figures of their trainings with."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from nlp_suite.config import ComponentSettings

Outcome = Literal["finished", "failed", "interrupted"]


class TrackerSettings(ComponentSettings):
    """Settings of a tracker that has none: its own environment variables say where figures go."""


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker is told of a run when it opens it.

    Attributes:
        id: 32 hexadecimal digits, the same whenever this run folder is trained on or evaluated.
        name: of the run folder.
        parameters: the resolved config, as `{"training.epochs": 5, …}`.
        config: the file `config.yaml`.
    """

    id: str
    name: str
    parameters: Mapping[str, Any]
    config: Path


class Tracker(ABC):
    """One tracker; its constructor takes the fields of its settings and imports its package.

    All other calls come from one thread, not the main one: what hangs holds up no training. (An import may parse Python code,
    as TensorFlow does when it traces a step, and Python 3.11 cannot do so in two threads at once.) A call that raises is told
    to the user once, and made again later.

    Attributes:
        package: what it imports.
        install: what `pip install` takes to install it.
        place: set by `open`: where the run is to be seen, for the user.
    """

    package: ClassVar[str]
    install: ClassVar[str]
    place: str = ""

    @abstractmethod
    def open(self, run: TrackedRun) -> int:
        """Continues the tracker's run of this id, or begins one, and gives it the parameters and the config.

        Returns:
            The last step whose figures it has, 0 if none; later ones are logged again.
        """

    @abstractmethod
    def log(self, figures: Mapping[str, float], step: int) -> None:
        """Takes the figures of a checkpoint interval that ended with a step."""

    @abstractmethod
    def report(self, figures: Mapping[str, float], files: list[Path]) -> None:
        """Takes the figures of an evaluation, and the files of its report."""

    @abstractmethod
    def close(self, outcome: Outcome | None) -> None:
        """Ends the run as it ended; None: as it was before it was opened."""
