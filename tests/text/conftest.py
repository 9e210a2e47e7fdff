"""A small corpus and one trained text layer per tokenizer."""

import functools

import pytest

from nlp_suite.config import TextSettings
from nlp_suite.text.text_layer import TextLayer

CORPUS = [
    "The film was not good, but the cast was great!",
    "I don't like it.<br /><br />It isn't a good film at all...",
    "A great film; the actors' work is unforgettable (10/10).",
    "Unwatchable. Unbelievable. Unforgettably bad acting and a bad plot",
    "Der Film war über alle Maßen gut, die Straße nicht.",
    "电影很好看 映画です 한국어 ภาษาไทย",
    "emoji 👍 and ❤️ and 👩‍👩‍👧",
    "<s> </s> <pad> <unk> <0x41> ##ing ▁a ▅ \ufffd \ufffd",
    "",
] * 3
TOKENIZERS = {
    "word": {"name": "word", "min_count": 1},
    "wordpiece": {"name": "wordpiece", "vocabulary_size": 400},
    "sentencepiece": {"name": "sentencepiece", "vocabulary_size": 480, "character_coverage": 0.98},
    "unigram": {"name": "sentencepiece", "vocabulary_size": 480, "model": "unigram"},
    "character": {"name": "character"},
    "byte": {"name": "byte"},
}


@functools.cache
def trained(tokenizer: str, **settings) -> TextLayer:
    """The layer of one tokenizer of TOKENIZERS, trained once a session."""
    return TextLayer.train(TextSettings(tokenizer=TOKENIZERS[tokenizer], **settings), CORPUS)


@pytest.fixture(params=TOKENIZERS)
def name(request):
    """Each tokenizer in turn."""
    return request.param


@pytest.fixture
def layer(name):
    """A trained layer of each tokenizer in turn, that truncates late."""
    return trained(name, max_length=30_000)
