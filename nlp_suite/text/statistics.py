"""How well a text layer fits a corpus: unknown tokens, lengths, truncation."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nlp_suite.progress import track
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.tokenizers.base import UNKNOWN

PERCENTILES = (5, 25, 50, 75, 95, 99)
SHARE_TO_MENTION = 0.05  # of the texts that are cut, or of the tokens that are unknown
_NAMED = 5  # unknown words in a sentence
_READ_FOR_EXAMPLES, _EXAMPLE_LENGTH = 200, 2000  # texts in which they are looked for, and how much of each
_PIECE = re.compile(r"\w[\w'’]*|[^\w\s]")


def text_statistics(rows: Sequence[np.ndarray], full_lengths: Sequence[int], unknown_id: int = UNKNOWN) -> dict:
    """Figures about one split's encoded rows, ready for JSON.

    Args:
        rows: ids of each text after truncation, int32 [T_i].
        full_lengths: number of tokens of each text before truncation, int32 [N].
        unknown_id: id of the unknown token.

    Returns:
        `texts`, `tokens` (after truncation), `unknown_rate` (of these), `truncated_share` (of the texts),
        `dropped_share` (of all tokens, by truncation), and `length` and `full_length`: `{"p5": …, "p99": …, "max": …,
        "mean": …}` in tokens after and before truncation; null where there are no texts.

    Example:
        >>> text_statistics([np.array([5, 1])], [4])["truncated_share"]
        1.0
    """
    lengths, unknown = np.zeros(len(rows), np.int64), 0
    for i, row in enumerate(track(rows, "counting tokens", len(rows), "texts")):
        lengths[i], unknown = len(row), unknown + int(np.count_nonzero(np.asarray(row) == unknown_id))
    full = np.asarray(full_lengths, np.int64)
    if full.shape != lengths.shape:
        raise ValueError(f"{len(rows)} rows but {full.shape} lengths: one length a row is needed")
    tokens = int(lengths.sum())
    return {
        "texts": len(rows),
        "tokens": tokens,
        "unknown_rate": unknown / tokens if tokens else None,
        **truncation_shares(lengths, full),
        "length": _percentiles(lengths),
        "full_length": _percentiles(full),
    }


def truncation_shares(lengths: np.ndarray, full_lengths: np.ndarray) -> dict[str, float | None]:
    """`truncated_share` and `dropped_share`, see `text_statistics`, of N texts' tokens after and before truncation, `[N]`."""
    tokens, all_tokens = int(lengths.sum()), int(full_lengths.sum())
    return {
        "truncated_share": float(np.mean(lengths < full_lengths)) if len(lengths) else None,
        "dropped_share": 1 - tokens / all_tokens if all_tokens else None,
    }


def truncation_remark(facts: Mapping[str, Any], settings: Any, key: str = "text") -> str | None:
    """What to say of a split of which the text layer cuts much; None where it cuts less than 5 % of the texts.

    Args:
        facts: with `truncated_share` and `dropped_share`, as `text_statistics` gives them.
        settings: `TextSettings` of the layer.
        key: the section of the config that they are.

    Example:
        >>> truncation_remark({"truncated_share": 0.9, "dropped_share": 0.5}, TextSettings(max_length=64))
        '90.0% of the texts are cut (text.max_length=64, text.max_characters=20000), and with them 50.0% of all tokens: …'
    """
    texts, tokens = facts.get("truncated_share"), facts.get("dropped_share")
    if texts is None or texts < SHARE_TO_MENTION:
        return None
    kept = {"head": "the beginning", "tail": "the end", "head_tail": "beginning and end"}[settings.truncation]
    return (
        f"{texts:.1%} of the texts are cut ({key}.max_length={settings.max_length}, {key}.max_characters="
        f"{settings.max_characters}), and with them {tokens:.1%} of all tokens: raise {key}.max_length to read more, or "
        f"choose by {key}.truncation which part is kept (now {kept})"
    )


def unknown_words(text: Any, texts: Sequence[str | bytes]) -> list[str]:
    """The most frequent words and marks of some texts that a text layer does not know.

    Args:
        text: the `TextLayer`.
        texts: as a user would give them; a few hundred tell enough.
    """
    counts = Counter(piece for line in text.normalise(texts) for piece in _PIECE.findall(line))
    pieces = list(counts)
    unknown = [piece for piece, row in zip(pieces, text.encode(pieces)) if UNKNOWN in row]
    return sorted(unknown, key=lambda piece: (-counts[piece], piece))[:_NAMED]


def unknown_remark(facts: Mapping[str, Any], settings: Any, key: str = "text") -> str | None:
    """What to say of a split of which much is unknown; None where less than 5 % of the tokens are.

    Args:
        facts: with `unknown_rate`, as `text_statistics` gives it, and perhaps `unknown_words` and the size of the `vocabulary`.
        settings: `TextSettings` of the layer.
        key: the section of the config that they are.

    Example:
        >>> unknown_remark({"unknown_rate": 0.094, "unknown_words": ["thou"]}, TextSettings())
        "9.4% of the tokens are unknown ('thou', …): raise text.tokenizer.vocabulary_size or lower …"
    """
    rate = facts.get("unknown_rate")
    if rate is None or rate < SHARE_TO_MENTION:
        return None
    words = ", ".join(repr(word if len(word) <= 20 else word[:20] + "…") for word in facts.get("unknown_words", ()))
    named = f" ({words}, …)" if words else ""
    tokenizer, place = settings.tokenizer, f"{key}.tokenizer"
    changes = {"vocabulary_size": "raise", "character_coverage": "raise", "min_count": "lower"}
    changeable = [name for name in changes if getattr(tokenizer, name, 1) != 1]  # a count or a share of 1 is at its end
    if (
        "vocabulary_size" in changeable
        and facts.get("vocabulary", tokenizer.vocabulary_size) < tokenizer.vocabulary_size
    ):
        changeable.remove("vocabulary_size")  # it holds all that there is
    remedies = [f"{changes[name]} {place}.{name}" for name in changeable]
    remedies.append(f"take {place}: sentencepiece, which with byte_fallback knows every text")
    remedy = ", or ".join(filter(None, (" or ".join(remedies[:-1]), remedies[-1])))
    if not TOKENIZERS.get(tokenizer.name).learns:
        remedy = "start from a pretrained model whose vocabulary has them"
    return f"{rate:.1%} of the tokens are unknown{named}, and all look the same to the model: {remedy}"


class TokensRead:
    """Counts what a predictor reads, and says of how much of it nothing is known.

    Args:
        text: the `TextLayer`.
    """

    def __init__(self, text: Any):
        self._text = text
        self._begin()

    def _begin(self) -> None:
        self._tokens = self._unknown = 0
        self._examples: list[str | bytes] = []  # of texts with something unknown

    def add(self, texts: Sequence[str | bytes], rows: Sequence[np.ndarray]) -> None:
        """Counts texts and their ids."""
        for text, row in zip(texts, rows, strict=True):
            unknown = int(np.count_nonzero(row == UNKNOWN))
            self._tokens, self._unknown = self._tokens + len(row), self._unknown + unknown
            if unknown and len(self._examples) < _READ_FOR_EXAMPLES:
                self._examples.append(text[:_EXAMPLE_LENGTH])

    def remarks(self) -> list[str]:
        """What `unknown_remark` says of what was read since the last call; empty where all is well."""
        rate = self._unknown / max(1, self._tokens)
        words = unknown_words(self._text, self._examples) if rate >= SHARE_TO_MENTION else []
        facts = {"unknown_rate": rate, "unknown_words": words, "vocabulary": self._text.vocabulary_size}
        line = unknown_remark(facts, self._text.settings)
        self._begin()
        return [line] if line else []


def text_remarks(facts: Mapping[str, Any], settings: Any, key: str = "text") -> list[str]:
    """What `truncation_remark` and `unknown_remark` say."""
    lines = (truncation_remark(facts, settings, key), unknown_remark(facts, settings, key))
    return [line for line in lines if line]


def _percentiles(lengths: np.ndarray) -> dict:
    """Percentiles, maximum and mean of lengths int64 [N]; percentiles are whole numbers, as lengths are."""
    if not len(lengths):
        return {**{f"p{p}": None for p in PERCENTILES}, "max": None, "mean": None}
    values = np.percentile(lengths, PERCENTILES, method="higher")
    named = {f"p{p}": int(value) for p, value in zip(PERCENTILES, values, strict=True)}
    return {**named, "max": int(lengths.max()), "mean": float(lengths.mean())}
