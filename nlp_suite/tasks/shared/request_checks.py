"""Checks that the requests of all predictors share: lists of texts, numbers, the shapes of batches."""

import math
import numbers
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from nlp_suite.errors import RequestError
from nlp_suite.progress import track

MAX_BATCH = 2**20  # texts that run together
MAX_BEAMS = 1024  # hypotheses of a search
SORTED_BATCHES = 16  # whose texts are sorted by length together


def checked_list(texts) -> Any:
    """A list of texts, and not a single one, whose characters would each be taken for a text."""
    if isinstance(texts, str | bytes):
        raise TypeError(f"a list of texts is needed, got the single text {texts[:40]!r}")
    return texts


def checked_texts(texts) -> list[str | bytes]:
    """A list of texts.

    Raises:
        TypeError: a single text, or something that is neither str nor bytes.
    """
    texts = list(checked_list(texts))
    for text in texts:
        if not isinstance(text, str | bytes):
            raise TypeError(f"a text is str or bytes, not {type(text).__name__}")
    return texts


def as_bytes(texts: Sequence[str | bytes]) -> list[bytes]:
    """Texts as bytes; what is no text is refused, as by `checked_texts`."""
    return [text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text for text in checked_texts(texts)]


def checked_int(name: str, value, low: int, high: int, why: str = "") -> int:
    """A whole number within bounds.

    Raises:
        RequestError: anything else; the message names bounds and what they come from.
    """
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not is_whole or not low <= value <= high:
        raise RequestError(f"{name} is {value!r}; allowed: whole numbers from {low} to {high}{why and f' ({why})'}")
    return int(value)


def checked_non_negative(name: str, value) -> float:
    """A finite number, 0 or above.

    Raises:
        RequestError: anything else.
    """
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not is_number or not math.isfinite(value) or value < 0:
        raise RequestError(f"{name} is {value!r}; allowed: finite numbers, 0 or above")
    return float(value)


def batches_by_length(lengths: Sequence[int], rows: int) -> Iterator[np.ndarray]:
    """Indices of texts of similar length, at most `rows` at a time."""
    order = np.argsort(lengths, kind="stable")
    starts = range(0, len(order), rows)
    return (order[start : start + rows] for start in track(starts, "answering", len(starts), "batches"))


def round_up(length: int, step: int = 32) -> int:
    """The next multiple of 32, so that a compiling backend meets few widths."""
    return -(-length // step) * step


def padded_width(rows: Sequence[np.ndarray]) -> int:
    """The width to pad rows to: the longest, on JAX rounded up, as it compiles every shape anew."""
    longest = max(len(row) for row in rows)
    return round_up(longest) if _compiles_every_shape() else longest


def padded_rows(count: int) -> int:
    """How many rows a batch of `count` gets: on JAX the next power of two."""
    return 1 << (count - 1).bit_length() if _compiles_every_shape() else count


def _compiles_every_shape() -> bool:
    import keras

    return keras.backend.backend() == "jax"
