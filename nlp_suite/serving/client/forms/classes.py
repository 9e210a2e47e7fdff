"""All classes of a text with their scores, the highest first: what Classify answers."""

from collections.abc import Mapping, Set
from typing import Any

from nlp_suite.serving.client.forms import FORMS, AnswerForm, shortened


@FORMS.register()
class Classes(AnswerForm):
    """`positive 0.9871  negative 0.0129  A wonderful film.`."""

    outputs = frozenset({"classes", "scores"})

    @classmethod
    def fits(cls, outputs: Set[str]) -> bool:
        """Whether there are these outputs and no other."""
        return outputs == cls.outputs

    @staticmethod
    def lines(text: str, row: Mapping[str, Any]) -> str:
        """Classes and scores, then the text."""
        pairs = sorted(zip(row["scores"], row["classes"]), reverse=True)
        return "  ".join(f"{name} {score:.4f}" for score, name in pairs) + f"  {shortened(text)}"
