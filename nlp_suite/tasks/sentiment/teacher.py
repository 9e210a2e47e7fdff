"""Distillation (Hinton, Vinyals and Dean 2015): a classifier learns what a finished one, its teacher, answers to its texts.

The target of a row is a distribution over the labels: `task.teacher_weight` of it is the teacher's calibrated probabilities,
the rest the row's label. The teacher reads the texts themselves, by its own text layer. It is asked before the first batch; what
it answers lies beside the prepared data, where every student of the same texts finds it.
"""

import hashlib
import json
from collections.abc import Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.backend import precision
from nlp_suite.config import Experiment
from nlp_suite.errors import ConfigError, RunError
from nlp_suite.evaluation.baseline import cached, contents
from nlp_suite.export.load import open_run
from nlp_suite.files import Record, content_of
from nlp_suite.progress import track
from nlp_suite.task import Batches
from nlp_suite.tasks.sentiment.finished_runs import check_finished, data_differences
from nlp_suite.text.pairs import SEPARATOR
from nlp_suite.training.distributions.base import distributed
from nlp_suite.training.frozen import FROZEN
from nlp_suite.training.run import Run, is_run

if TYPE_CHECKING:
    from nlp_suite.tasks.sentiment.predictor import ClassifierPredictor

ROWS = 2048  # that the teacher is asked together, and that lie in a file


def check_teacher(directory: str) -> None:
    """Refuses what cannot teach, as far as its folder says; imports neither TensorFlow nor Keras.

    Raises:
        ConfigError: it is no run folder.
        RunError, DamagedFileError: see `check_finished`.
    """
    if not is_run(directory):
        raise ConfigError(
            f"task.teacher: {directory!r} is not a run folder (it has no run.json); a training needs its teacher until it is "
            "finished, also where it goes on"
        )
    check_finished(Run(directory), "task.teacher is for classifiers")


def remarks_on_teacher(experiment: Experiment) -> list[str]:
    """What is to be said of a teacher that knows other data; nothing of one that is not there, which `check_teacher` refuses."""
    teacher = experiment.task.teacher
    if not is_run(teacher) or not (lines := data_differences(Run(teacher).experiment, experiment)):
        return []
    return [
        f"task.teacher: {teacher} was trained on other data, or on data that are split otherwise ({'; '.join(lines)}, there → "
        "here): if it learned texts that are validation or test here, figures on these are too good"
    ]


def taught(batches: Batches, numbered: Any, store: Any, labels: Sequence[str], settings: Any) -> Batches:
    """Batches of the training split whose targets are those of a student.

    Args:
        batches: whose targets are label ids.
        numbered: the rows of each.
        store: the token store of the split.
        labels: label names.
        settings: `SentimentSettings` with a teacher.

    Returns:
        Batches with the targets `{"labels": label ids [B], "target": float32 [B, C]}`; `begin` asks the teacher.

    Raises:
        ConfigError: the teacher has other labels, or reads pairs where the store has single texts, or the other way.
        RunError: raised by `begin`, where a run goes on and the teacher is another one than before.
    """
    teacher = Teacher(Run(settings.teacher), store, labels)
    share, ones = np.float32(settings.teacher_weight), np.eye(len(labels), dtype="float32")

    def batch(number: int) -> tuple[Any, ...]:
        inputs, ids, weights = batches.batch(number)
        target = share * teacher.probabilities[numbered[number][0]] + (1 - share) * ones[ids]
        return inputs, {"labels": ids, "target": target}, weights

    def begin(record: Record) -> list[str]:
        return [*batches.begin(record), *teacher.ask(record)]

    return Batches(batch, batches.steps_per_epoch, batches.description, begin)


class Teacher:
    """A run that is asked for the probabilities of the labels of all rows of a store.

    Args:
        run: a finished run.
        store: the token store.
        labels: the label names that it must have.

    Attributes:
        probabilities: calibrated, of every row, float32 `[N, C]`, once `ask` was called.

    Raises:
        ConfigError: see `taught`.
    """

    probabilities: NDArray[Any]

    def __init__(self, run: Run, store: Any, labels: Sequence[str]):
        self._run, self._store = run, store
        if list(run.labels) != list(labels):
            raise ConfigError(
                f"task.teacher: {run.directory} has the labels {', '.join(run.labels)}, and the data have {', '.join(labels)}: a "
                "teacher has the same labels in the same order"
            )
        kinds = ["single texts", "pairs of texts"]
        there, here = bool(run.assets.facts.get("text_pairs")), SEPARATOR in store.text(0)
        if there != here:
            raise ConfigError(f"task.teacher: {run.directory} reads {kinds[there]}, and the data are {kinds[here]}")

    def ask(self, record: Record) -> list[str]:
        """Has the probabilities of all rows; returns a line that says so.

        What is asked together follows from the store alone, so the answers are the same, to the last bit, whether they were found,
        made, or made after a kill.

        Args:
            record: of the student's run folder, which keeps what identifies the teacher.

        Raises:
            RunError: it is another teacher than the one that the run began with.
        """
        import keras

        identity = self._identity()
        if record.read().get("teacher", identity) != identity:
            raise RunError(
                f"task.teacher: {self._run.directory} is another one than when the run in {record.directory} began (its weights or "
                "calibration have changed): restore it, or give another --run-dir"
            )
        record.update(teacher=identity)
        asked, parts, starts = 0, [], range(0, len(self._store), ROWS)

        @cache
        def opened() -> "ClassifierPredictor":
            predictor: Any = open_run(self._run, self._run.model())
            return predictor

        def answers(rows: range) -> dict[str, NDArray[Any]]:
            nonlocal asked
            asked += len(rows)
            return {"probabilities": opened().probabilities([self._store.text(row) for row in rows])}

        with precision("float32"), distributed(None):  # as it is evaluated, and in this process alone
            for start in track(starts, "asking the teacher", len(starts), "parts"):
                rows = range(start, min(start + ROWS, len(self._store)))
                key = ["teacher", identity, keras.backend.backend(), contents(self._store), start, ROWS]
                made = cached(self._store.directory.parent, key, partial(answers, rows), "teachers")
                parts.append(made["probabilities"])
        self.probabilities = np.concatenate(parts)
        return [
            f"teacher {self._run.directory} ({self._run.network}): {len(self._store):,} texts, {asked:,} of them asked now"
        ]

    def _identity(self) -> str:
        """What differs where the answers do."""
        run = self._run
        files = (run.directory / "config.yaml", run.weights(), run.directory / FROZEN)
        contained = [content_of(path) for path in files if path.exists()]
        known = [run.info.get(key) for key in ("facts", "fitted", "members")]
        return hashlib.sha256(json.dumps([contained, known], sort_keys=True).encode()).hexdigest()[:16]
