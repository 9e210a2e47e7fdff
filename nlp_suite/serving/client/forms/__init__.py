"""How answers look on a terminal: a file for each kind of answer, chosen by the outputs of the signature."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Set
from typing import Any, ClassVar

from nlp_suite.registry import Registry

FORMS = Registry("form of an answer", "nlp_suite.serving.client.forms")
_MAX_CHARACTERS = 60  # of a text beside its answer


class AnswerForm(ABC):
    """One kind of answer.

    Attributes:
        outputs: names of the outputs that it shows.
    """

    outputs: ClassVar[frozenset[str]]

    @classmethod
    def fits(cls, outputs: Set[str]) -> bool:
        """Whether it suits a signature with these outputs: by default, one that has those shown, and maybe more."""
        return cls.outputs <= outputs

    @staticmethod
    @abstractmethod
    def lines(text: str, row: Mapping[str, Any]) -> str:
        """A text and its answer.

        Args:
            text: what was asked.
            row: output name → value: numbers, texts and lists of them.
        """


def answer_lines(text: str, row: Mapping[str, Any]) -> str:
    """A text and its answer in the form that shows most of its outputs; every output by name where no form fits."""
    forms: list[type[AnswerForm]] = [FORMS.get(name) for name in FORMS.names()]
    fitting = [form for form in forms if form.fits(row.keys())]
    if fitting:
        return max(fitting, key=lambda form: len(form.outputs)).lines(text, row)
    width = max(map(len, row), default=0)
    return "\n".join([shortened(text), *(f"  {name:<{width}}  {_value(value)}" for name, value in row.items())])


def _value(value: Any) -> str:
    if isinstance(value, list):
        return " ".join(_value(item) for item in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def cut(row: Mapping[str, Any]) -> str:
    """What follows an answer to a text that was not read whole."""
    return "  (longer than the model reads: cut)" if row.get("truncated") else ""


def shortened(text: str) -> str:
    """A text in one line of at most 60 characters."""
    text = " ".join(text.split())
    return text if len(text) <= _MAX_CHARACTERS else text[: _MAX_CHARACTERS - 1] + "…"
