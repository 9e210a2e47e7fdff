"""What a trained model answers in Python, and what it was asked for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from nlp_suite.errors import RequestError
from nlp_suite.registry import TASKS

if TYPE_CHECKING:
    from nlp_suite.config import Experiment
    from nlp_suite.training.run import Run


class Adaptation(ABC):
    """How a model adapts to the texts that it reads, see `Task.adaptation`.

    Attributes:
        settings: name of the method → its settings.
    """

    settings: Mapping[str, Any]

    @abstractmethod
    def report(self, run: Run, split: str, stores: Mapping[str, Any]) -> dict[str, Any]:
        """What a report says as `adapted`, beside what `Task.measure` does, whose arguments these are."""


@dataclass(frozen=True)
class ScoreOptions:
    """What `nlp-suite score` was asked for.

    Attributes:
        model: the path that the predictor was loaded from.
        file: a table, or a text a line; None: standard input.
        column: of the table, that has the texts; None: as the model's config says.
        adapt: of a language model: how it adapts to the texts; None: not at all.
        source, target: of a task of pairs, files with a text a line each.
        format: `"table"`, `"jsonl"` or `"tsv"`; all but the table keep memory flat.
        tokens: the log-probability of every token as well.
        html: a page to write, with every token coloured by its surprise.
        max_characters: of a text that a table shows.
    """

    model: Path
    file: Path | None = None
    source: Path | None = None
    target: Path | None = None
    format: str = "table"
    tokens: bool = False
    html: Path | None = None
    max_characters: int = 60
    column: str | None = None
    adapt: Adaptation | None = None


@dataclass(frozen=True)
class AnswerOptions:
    """How answers of `predict` are chosen from what a model says; checked as it is made.

    Attributes:
        top_k: the K most probable labels are shown.
        thresholds: label → probability. A label with a threshold is the answer where it reaches it, the most probable one of
            several; where none does, the most probable label without a threshold is; where all have one, there is none.
        abstain_below: probability of the answer below which there is none.

    Raises:
        RequestError: a number out of range.
    """

    top_k: int | None = None
    thresholds: Mapping[str, float] = field(default_factory=dict)
    abstain_below: float | None = None

    def __post_init__(self) -> None:
        if self.top_k is not None and self.top_k < 1:
            raise RequestError(f"top_k is {self.top_k}; allowed: whole numbers from 1")
        named = {f"the threshold of {label!r}": value for label, value in self.thresholds.items()}
        named |= {} if self.abstain_below is None else {"abstain_below": self.abstain_below}
        for name, value in named.items():
            if not 0 <= value <= 1:  # which a NaN is not, either
                raise RequestError(f"{name} is {value}; allowed: a probability, from 0 to 1")

    @property
    def given(self) -> list[str]:
        """Names of those that say anything."""
        return [name for name, value in vars(self).items() if value not in (None, {})]


class Predictor:
    """A trained model that answers requests in Python, whatever it was loaded from; a task's own has its methods.

    Attributes:
        task_name: the name of its task.
        task_settings: those of the task that choose its variant (`Task.variant`).
        labels: label names, where the task has any.
        experiment: the config that it was trained with, where it was loaded from something that holds it.
    """

    task_name: str = ""
    task_settings: Mapping[str, Any] = MappingProxyType({})
    labels: Sequence[str] = ()
    experiment: Experiment | None = None

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...  # what a task's predictor has besides: generate, translate, score

    def predict(self, texts: Sequence[str | bytes]) -> list[dict[str, Any]]:
        """One answer a text, where the task has such a thing.

        Raises:
            RequestError: the task answers other questions.
        """
        task = TASKS.get(self.task_name)
        raise RequestError(f"this is a {task.model_kind}: {task.how_to_ask}")

    def embed(self, texts: Sequence[str | bytes], normalize: bool = False) -> Any:
        """A vector for every text, where the task has such a thing: float32 `[N, D]`; of length 1 with `normalize`.

        Raises:
            RequestError: the task has none.
        """
        task = TASKS.get(self.task_name)
        raise RequestError(
            f"this is a {task.model_kind}, which gives no vectors of texts; classifiers do: {task.how_to_ask}"
        )

    def remarks(self) -> list[str]:
        """Sentences on the texts read since the last call, such as how much is unknown; empty where all is well or not known."""
        return []


def answers_of(
    predictor: Predictor, options: AnswerOptions, for_people: bool
) -> tuple[Callable[[list[str]], list[dict[str, Any]]], dict[str, Callable[[dict[str, Any]], Any]]]:
    """What a predictor answers to texts with some options, and the columns of these answers (`Task.answer_columns`).

    Raises:
        RequestError: the task has no answers, or none with such options.
    """
    task = TASKS.get(predictor.task_name).variant(predictor.task_settings)
    if not task.predicts:
        predictor.predict([])
    if not options.given:
        return predictor.predict, task.answer_columns(predictor.labels, for_people)
    choose = task.chosen(predictor.labels, options)
    columns = task.answer_columns(predictor.labels, for_people, options)
    return lambda texts: [choose(answer) for answer in predictor.predict(texts)], columns
