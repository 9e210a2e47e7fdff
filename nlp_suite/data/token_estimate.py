"""What the configured tokenizer would make of a corpus that is not prepared yet, from its first texts."""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from nlp_suite.backend import import_backend
from nlp_suite.config import Experiment
from nlp_suite.data.kinds.base import CorpusKind, add_unknown_words
from nlp_suite.data.selection import Example
from nlp_suite.errors import TextError
from nlp_suite.progress import work
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.statistics import text_remarks, text_statistics
from nlp_suite.text.text_layer import TextLayer

CHARACTERS = 2_000_000  # of the training texts that are read


def estimate_tokens(experiment: Experiment, kind: CorpusKind, train: Iterable[Example]) -> dict[str, Any]:
    """Trains the tokenizer on the first texts of the training split and counts their tokens; nothing is written.

    Args:
        experiment: the resolved config.
        kind: of its corpus.
        train: the training split.

    Returns:
        Section of the config (`text` and perhaps `target_text`) → statistics as `text_statistics` gives them, with
        `unknown_words` where much is unknown, or `error` where the tokenizer cannot be trained on them. A tokenizer that
        knows every text, or learns from none, is left out, as that of a kind without texts.
    """
    found: dict[str, Any] = {}
    for section, texts in kind.tokenized_texts(experiment, train).items():
        settings = getattr(experiment, section)
        tokenizer = TOKENIZERS.get(settings.tokenizer.name)(**settings.tokenizer.arguments())
        if tokenizer.lossless or not tokenizer.learns:
            continue
        read = list(_first(texts, CHARACTERS))
        import_backend()
        with work(f"trying the {settings.tokenizer.name} tokenizer"):
            try:
                layer = TextLayer.train(settings, read)
            except TextError as error:
                found[section] = {"error": str(error)}
                continue
            rows, full_lengths = layer.encode_with_lengths(read)
            facts = text_statistics(rows, full_lengths.tolist())
            found[section] = add_unknown_words(facts, layer, len(read), partial(_at, read))
    return found


def estimate_remarks(estimate: dict[str, Any], experiment: Experiment) -> list[str]:
    """What `text_remarks` says of an estimate, and that it is one."""
    lines = []
    for section, facts in estimate.items():
        if "error" in facts:
            lines.append(f"{section}.tokenizer cannot be trained on the first training texts: {facts['error']}")
            continue
        said = text_remarks(facts, getattr(experiment, section), section)
        lines += [f"of the first {facts['texts']:,} training texts: {line}" for line in said]
    return lines


def _at(texts: Sequence[str], rows: Sequence[int]) -> list[str]:
    return [texts[row] for row in rows]


def _first(texts: Iterable[str], characters: int) -> Iterator[str]:
    for text in texts:
        yield text
        characters -= len(text)
        if characters <= 0:
            return
