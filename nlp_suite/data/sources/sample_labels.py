"""What the sample reviews are labelled with where a task wants more than one label a review, or a number."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from nlp_suite.data.sources.sentiment_grammar import DEGREES

TOPICS = {
    "music": {"music", "songs"},
    "people": {"acting", "cast", "characters"},
    "pictures": {"costumes", "effects"},
    "writing": {"plot", "story", "script", "dialogue", "ending", "pacing", "humour", "jokes"},
}


def rating(text: str, label: str) -> str:
    """Stars from 1 to 5: 2 or 4 for a negative or positive review, 1 or 5 for one with a word such as "really", else 3."""
    direction = {"negative": -1, "positive": 1}.get(label, 0)
    return str(3 + direction * (2 if _words(text) & set(DEGREES) else 1))


def labels(text: str, label: str) -> list[str]:
    """The label of the review, and the topics that it speaks of."""
    return [label, *(topic for topic, words in TOPICS.items() if words & _words(text))]


BY_FORM: Mapping[str, Callable[[str, str], Any]] = {"number": rating, "several": labels}
"""`CorpusKind.label_form` → what makes a review's label of its text and the grammar's label."""


def _words(text: str) -> set[str]:
    return set(re.findall(r"\w+", text.lower()))
