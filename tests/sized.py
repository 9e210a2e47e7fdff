"""What a network needs to know of its data, where only sizes matter."""

from types import SimpleNamespace

from nlp_suite.task import Assets
from nlp_suite.text.tokenizers.base import END


def sized(vocabulary_size, labels=(), target_vocabulary_size=None):
    """Assets with text layers that have nothing but a vocabulary size."""
    text = SimpleNamespace(
        vocabulary_size=vocabulary_size, tokenizer=SimpleNamespace(document_start=END, always_starts=False)
    )
    target = SimpleNamespace(vocabulary_size=target_vocabulary_size) if target_vocabulary_size else text
    return Assets(text, target, list(labels))
