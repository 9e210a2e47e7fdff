"""The label of a text and its probability."""

from collections.abc import Mapping
from typing import Any

from nlp_suite.serving.client.forms import FORMS, AnswerForm, cut, shortened


@FORMS.register()
class Label(AnswerForm):
    """`positive  0.9871  A wonderful film.`."""

    outputs = frozenset({"label", "probability"})

    @staticmethod
    def lines(text: str, row: Mapping[str, Any]) -> str:
        """Label, probability and text."""
        return f"{row['label']}  {row['probability']:.4f}  {shortened(text)}{cut(row)}"
