"""A prompt with its continuation, and how probable that is."""

from collections.abc import Mapping
from typing import Any

from nlp_suite.serving.client.forms import FORMS, AnswerForm


@FORMS.register()
class Continuation(AnswerForm):
    """`The cat sat down.` and below it `(3 tokens, log-probability -3.25)`."""

    outputs = frozenset({"text", "log_prob"})

    @staticmethod
    def lines(text: str, row: Mapping[str, Any]) -> str:
        """Prompt and continuation; number of tokens and log-probability."""
        return f"{text}{row['text']}\n  ({row.get('length', '?')} tokens, log-probability {row['log_prob']:.2f})"
