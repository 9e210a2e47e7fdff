"""A translation and its score."""

from collections.abc import Mapping
from typing import Any

from nlp_suite.serving.client.forms import FORMS, AnswerForm, cut


@FORMS.register()
class Translation(AnswerForm):
    """`Ein Mann fährt Fahrrad.  (score -0.4210)`."""

    outputs = frozenset({"translation", "score"})

    @staticmethod
    def lines(text: str, row: Mapping[str, Any]) -> str:
        """Translation and score."""
        return f"{row['translation']}  (score {row['score']:.4f}){cut(row)}"
