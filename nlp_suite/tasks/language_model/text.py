"""Inputs and outputs of a language model as plain strings: lines of texts, numbers of tokens, stop strings."""

from collections.abc import Sequence

import numpy as np

from nlp_suite.errors import RequestError
from nlp_suite.tasks.shared.request_checks import MAX_BEAMS, checked_int, checked_list, checked_non_negative

DEFAULT_TOKENS = 50
BATCH_ROWS = 16


def token_counts(max_tokens, rows: int, limit: int) -> np.ndarray:
    """How many tokens each row may generate, int32 `[rows]`; `None` is 50, or the limit where that is less.

    Raises:
        RequestError: not one whole number from 0 to the limit, nor one for each of the rows.
    """
    max_tokens = min(DEFAULT_TOKENS, limit) if max_tokens is None else max_tokens
    values = np.atleast_1d(np.asarray(max_tokens))
    fits = values.dtype.kind in "iu" and len(values) in (1, rows)
    if not fits or (values < 0).any() or (values > limit).any():
        raise RequestError(f"max_tokens is {max_tokens}; allowed: whole numbers from 0 to {limit} (task.max_generated)")
    return np.broadcast_to(values.astype("int32"), (rows,)).copy()


def search_options(beam_size, length_penalty, **sampling) -> tuple[int, float]:
    """Beams and length penalty; 1 beam is no search.

    Args:
        beam_size: of the search.
        length_penalty: of the search.
        **sampling: name → (value or values, the value that changes nothing).

    Raises:
        RequestError: one out of range, a length penalty without a search, or a search that is to sample.
    """
    beam_size = checked_int("beam_size", beam_size, 1, MAX_BEAMS, "1: sampling")
    length_penalty = checked_non_negative("length_penalty", length_penalty)
    if beam_size == 1 and length_penalty:
        raise RequestError(f"length_penalty {length_penalty} is for beam search: give a beam_size above 1")
    changed = [name for name, (value, neutral) in sampling.items() if np.any(np.asarray(value) != neutral)]
    if beam_size > 1 and changed:
        raise RequestError(f"{', '.join(changed)}: beam search does not sample; leave it out or use beam_size 1")
    return beam_size, length_penalty


def split_lines(text: str | bytes, complete: bool = True) -> list[bytes]:
    """Lines of a text; the break at the end of a complete text ends its last line."""
    if not isinstance(text, str | bytes):
        raise TypeError(f"a text is str or bytes, not {type(text).__name__}")
    raw = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return (raw.removesuffix(b"\n") if complete else raw).split(b"\n")


def stop_strings(stop) -> list[str]:
    """The stop strings that are not empty.

    Raises:
        TypeError: a single string.
        RequestError: something that is no string.
    """
    stop = list(checked_list(stop))
    for string in stop:
        if not isinstance(string, str):
            raise RequestError(f"stop has {string!r}; allowed: strings (str)")
    return [s for s in stop if s]


def contains_any(text: str, stop: Sequence[str]) -> bool:
    """Whether a text contains one of the stop strings."""
    return any(s in text for s in stop)


def before_stop(text: str, stop: Sequence[str]) -> str:
    """The text before the first of the stop strings."""
    starts = [start for s in stop if (start := text.find(s)) >= 0]
    return text[: min(starts)] if starts else text


def unchanging_prefix(text: str, stop: Sequence[str]) -> str:
    """What later tokens cannot change: not an unfinished character, nor the beginning of a stop string."""
    text = text.rstrip("\ufffd")
    longest = max((n for s in stop for n in range(1, len(s)) if text.endswith(s[:n])), default=0)
    return text[: len(text) - longest]
