"""Splits that several processes write: each tokenises every n-th chunk, and their stores become the parts of one."""

import json
import pickle
import subprocess
import sys
from abc import abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from numpy.typing import NDArray

from nlp_suite.config import Experiment
from nlp_suite.data.kinds.base import CorpusKind
from nlp_suite.data.selection import Part, Selection
from nlp_suite.data.store import gather_parts
from nlp_suite.errors import DataError, UsageError
from nlp_suite.task import Assets

Answer = dict[str, Any]  # `counts` of `CorpusKind.write_split` and `remarks` of the source, or the `error`


@dataclass(frozen=True)
class Order:
    """What a process is to write.

    Attributes:
        config: of the experiment.
        texts: the folder of its text layers.
        labels, facts: see `Assets`.
        split: its name.
        origin, rows, label: see `Selection`.
        directory: where the store is made.
        part: which part of the split.
    """

    config: dict[str, Any]
    texts: Path
    labels: Sequence[str]
    facts: Any
    split: str
    origin: str
    rows: NDArray[Any] | None
    label: Any
    directory: Path
    part: Part


def check_processes(kind: CorpusKind, processes: int) -> None:
    """Refuses a number of processes that cannot prepare together.

    Raises:
        UsageError: it is below 1, or above 1 where the corpus kind does not write splits in parts.
    """
    if processes < 1:
        raise UsageError(f"{processes} processes cannot prepare: allowed: 1 or more")
    if processes > 1 and not kind.in_parts:
        raise UsageError(f"{kind.wanted} are prepared by one process: leave out --processes")


class Writers(AbstractContextManager["Writers"]):
    """Processes that write splits together; they are ended with the context.

    Args:
        experiment: the resolved config.
        kind: its corpus kind.
        texts: a folder that holds its text layers.
        count: how many parts a split has.
    """

    def __init__(self, experiment: Experiment, kind: CorpusKind, texts: Path, count: int):
        self._config = experiment.model_dump(mode="json", exclude_unset=True)
        self._kind, self._texts, self._count = kind, texts, count

    @abstractmethod
    def write_parts(self, orders: Sequence[Order]) -> Iterable[Answer]:
        """Has the parts of a split written; yields the answers in the order of the orders."""

    def write_split(
        self, directory: Path, examples: Selection, split: str, assets: Assets
    ) -> tuple[dict[str, Any], list[str]]:
        """Writes what `CorpusKind.write_split` writes.

        Returns:
            What that returns, and the remarks of the source.

        Raises:
            DataError: an example that cannot be used, though perhaps not the first one; or a process died.
        """
        orders = [
            Order(
                config=self._config,
                texts=self._texts,
                labels=assets.labels,
                facts=assets.facts,
                split=split,
                origin=examples.origin,
                rows=examples.rows,
                label=examples.label,
                directory=directory.with_name(f"{directory.name}-{number}"),
                part=Part(number, self._count),
            )
            for number in range(self._count)
        ]
        answers = []
        for answer in self.write_parts(orders):
            if "error" in answer:
                raise DataError(answer["error"])
            answers.append(answer)
        gather_parts([order.directory for order in orders], directory)
        store = self._kind.open_split(directory)
        counts = self._kind.joined_counts([answer["counts"] for answer in answers], store, assets)
        return counts, answers[0]["remarks"]


MakeWriters = Callable[[Experiment, CorpusKind, Path, int], Writers]


class LocalWriters(Writers):
    """Processes of this machine; see `Writers`."""

    def __enter__(self) -> Self:
        self._processes = [  # each in a session of its own: Ctrl-C reaches it through this process
            subprocess.Popen(
                [sys.executable, "-m", "nlp_suite.data.prepare_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
            for _ in range(self._count)
        ]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                with suppress(OSError):
                    pipe.close()  # type: ignore[union-attr]

    def write_parts(self, orders: Sequence[Order]) -> Iterable[Answer]:
        """Sends every process its order."""
        for process, order in zip(self._processes, orders):
            assert process.stdin
            with suppress(BrokenPipeError):  # it died, as its answer will say
                pickle.dump(order, process.stdin)
                process.stdin.flush()
        return map(self._answer, range(self._count))

    def _answer(self, number: int) -> Answer:
        process = self._processes[number]
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise DataError(
                f"process {number} of the {self._count} that prepare died (exit code {process.wait()}), as where the memory "
                "does not suffice; give fewer processes"
            )
        answer: Answer = json.loads(line)
        return answer
