"""Splits that several processes write: each tokenises every n-th chunk, and the stores are joined to that of one process."""

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from nlp_suite.config import Experiment
from nlp_suite.data.kinds.base import CorpusKind
from nlp_suite.data.selection import Part, Selection
from nlp_suite.data.store_joining import join_split
from nlp_suite.errors import DataError, UsageError
from nlp_suite.task import Assets


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


class Writers:
    """Processes that write splits together; they are ended with the context.

    Args:
        experiment: the resolved config.
        kind: its corpus kind.
        texts: a folder that holds its text layers.
        processes: how many.
    """

    def __init__(self, experiment: Experiment, kind: CorpusKind, texts: Path, processes: int):
        self._config = experiment.model_dump(mode="json", exclude_unset=True)
        self._kind, self._texts, self._count = kind, texts, processes
        self._processes: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Writers":
        for _ in range(self._count):  # each in a session of its own: Ctrl-C reaches it through this process
            self._processes.append(
                subprocess.Popen(
                    [sys.executable, "-m", "nlp_suite.data.prepare_process"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
            )
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

    def write_split(
        self, directory: Path, examples: Selection, split: str, assets: Assets
    ) -> tuple[dict[str, Any], list[str]]:
        """Writes what `CorpusKind.write_split` writes.

        Returns:
            What that returns, and the remarks of the source.

        Raises:
            DataError: an example that cannot be used, though perhaps not the first one; or a process died.
        """
        parts = [directory.with_name(f"{directory.name}-{number}") for number in range(self._count)]
        for number, (process, part) in enumerate(zip(self._processes, parts)):
            order = Order(
                config=self._config,
                texts=self._texts,
                labels=assets.labels,
                facts=assets.facts,
                split=split,
                origin=examples.origin,
                rows=examples.rows,
                label=examples.label,
                directory=part,
                part=Part(number, self._count),
            )
            assert process.stdin
            with suppress(BrokenPipeError):  # it died, as its answer will say
                pickle.dump(order, process.stdin)
                process.stdin.flush()
        answers = [self._answer(number) for number in range(self._count)]
        join_split(parts, directory)
        for part in parts:
            shutil.rmtree(part)
        store = self._kind.open_split(directory)
        counts = self._kind.joined_counts([answer["counts"] for answer in answers], store, assets)
        return counts, answers[0]["remarks"]

    def _answer(self, number: int) -> dict[str, Any]:
        process = self._processes[number]
        assert process.stdout
        line = process.stdout.readline()
        if not line:
            raise DataError(
                f"process {number} of the {self._count} that prepare died (exit code {process.wait()}), as where the memory "
                "does not suffice; give fewer processes"
            )
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise DataError(answer["error"])
        return answer
