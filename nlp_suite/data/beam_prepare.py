"""Splits whose parts Apache Beam's workers write, on storage that all of them see."""

import shutil
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from nlp_suite.backend import import_backend
from nlp_suite.beam import BeamRunner
from nlp_suite.config import Experiment
from nlp_suite.data.kinds.base import CorpusKind
from nlp_suite.data.parallel_prepare import Answer, MakeWriters, Order, Writers
from nlp_suite.data.prepare_process import write_part
from nlp_suite.errors import DataError, NlpSuiteError
from nlp_suite.files import read_json, write_json


class BeamWriters(Writers):
    """Workers of Apache Beam; see `Writers`.

    Args:
        runner: where they run.
    """

    def __init__(self, experiment: Experiment, kind: CorpusKind, texts: Path, count: int, runner: BeamRunner):
        super().__init__(experiment, kind, texts.absolute(), count)
        self._runner = runner

    @classmethod
    def on(cls, runner: BeamRunner) -> MakeWriters:
        """What makes them, for `prepare`."""
        return partial(cls, runner=runner)

    def __exit__(self, *error: object) -> None:
        """Nothing is left running: a pipeline ends with its split."""

    def write_parts(self, orders: Sequence[Order]) -> Iterable[Answer]:
        """Runs a pipeline of a step an order."""
        beam = self._runner.beam
        orders = [replace(order, directory=order.directory.absolute()) for order in orders]
        with self._runner.pipeline() as pipeline:
            pipeline | beam.Create(orders) | beam.Reshuffle() | "write" >> beam.Map(write_once)
        for order in orders:
            answer = _answer_file(order)
            if not answer.exists():
                raise DataError(f"{answer} was not written: data.cache must lie on storage that all workers see")
            yield read_json(answer, "")
            answer.unlink()
            for abandoned in answer.parent.glob(f"{order.directory.name}.*"):  # by a worker whose work was tried again
                shutil.rmtree(abandoned)


def write_once(order: Order) -> None:
    """Writes a part and, beside it, the answer; what is written again, or by two workers at once, appears once."""
    if _answer_file(order).exists():
        return
    import_backend()
    attempt = order.directory.with_name(f"{order.directory.name}.{uuid.uuid4().hex}")
    try:
        answer = write_part(replace(order, directory=attempt))
    except NlpSuiteError as error:  # the same whenever it is tried
        write_json(_answer_file(order), {"error": str(error)})
        return
    try:
        attempt.rename(order.directory)
    except OSError:
        if not order.directory.exists():
            raise
        shutil.rmtree(attempt)
    write_json(_answer_file(order), answer)


def _answer_file(order: Order) -> Path:
    return order.directory.with_name(f"{order.directory.name}.json")
