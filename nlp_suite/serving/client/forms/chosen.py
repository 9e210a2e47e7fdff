"""The labels of a text that reach their thresholds."""

from collections.abc import Mapping
from typing import Any

from nlp_suite.serving.client.forms import FORMS, AnswerForm, cut, shortened


@FORMS.register()
class Chosen(AnswerForm):
    """`people 0.9612, music 0.8110  The songs and the cast are great.`."""

    outputs = frozenset({"labels", "probabilities", "chosen"})

    @staticmethod
    def lines(text: str, row: Mapping[str, Any]) -> str:
        """The labels that are chosen with their probabilities, the highest first; then the text."""
        pairs = sorted(zip(row["probabilities"], row["labels"], row["chosen"]), reverse=True)
        chosen = [f"{label} {probability:.4f}" for probability, label, is_chosen in pairs if is_chosen]
        return f"{', '.join(chosen) or '(no label)'}  {shortened(text)}{cut(row)}"
