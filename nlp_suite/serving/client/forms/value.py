"""The number that a text is answered with."""

from collections.abc import Mapping
from typing import Any

from nlp_suite.serving.client.forms import FORMS, AnswerForm, cut, shortened


@FORMS.register()
class Value(AnswerForm):
    """`4.25  A wonderful film.`."""

    outputs = frozenset({"value"})

    @staticmethod
    def lines(text: str, row: Mapping[str, Any]) -> str:
        """The number, then the text."""
        return f"{row['value']:.6g}  {shortened(text)}{cut(row)}"
