"""What every request to a model at work shares: its error, its lists of texts, its numbers, the shapes of its batches."""

import math
import numbers
from collections.abc import Iterator, Sequence

import keras
import numpy as np

from nlp_suite.errors import RequestError

MOST_BEAMS = 1024  # hypotheses of a search


def several(texts):
    """A list of texts, and not a single one, whose characters would each be taken for a text."""
    if isinstance(texts, str | bytes):
        raise TypeError(f"a list of texts is needed, got the single text {texts[:40]!r}")
    return texts


def all_texts(texts) -> list[str | bytes]:
    """A list of texts.

    Raises:
        TypeError: a single text, or something that is neither str nor bytes.
    """
    texts = list(several(texts))
    for text in texts:
        if not isinstance(text, str | bytes):
            raise TypeError(f"a text is str or bytes, not {type(text).__name__}")
    return texts


def whole(name: str, value, least: int, most: int, why: str = "") -> int:
    """A whole number within bounds.

    Raises:
        RequestError: anything else; the message names bounds and what they come from.
    """
    given = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    if not given or not least <= value <= most:
        raise RequestError(f"{name} is {value!r}; allowed: whole numbers from {least} to {most}{why and f' ({why})'}")
    return int(value)


def not_negative(name: str, value) -> float:
    """A finite number, 0 or above.

    Raises:
        RequestError: anything else.
    """
    given = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if not given or not math.isfinite(value) or value < 0:
        raise RequestError(f"{name} is {value!r}; allowed: finite numbers, 0 or above")
    return float(value)


def by_length(lengths: Sequence[int], rows: int) -> Iterator[np.ndarray]:
    """Places of texts of similar length, at most `rows` at a time."""
    order = np.argsort(lengths, kind="stable")
    return (order[start : start + rows] for start in range(0, len(order), rows))


def up(length: int, step: int = 32) -> int:
    """The next multiple of 32, so that a compiling backend meets few widths."""
    return -(-length // step) * step


def width_of(rows: Sequence[np.ndarray]) -> int:
    """The width to pad rows to: the longest, on JAX rounded up, as it compiles every shape anew."""
    longest = max(len(row) for row in rows)
    return up(longest) if keras.backend.backend() == "jax" else longest


def rows_of(count: int) -> int:
    """How many rows a batch of `count` gets: on JAX the next power of two."""
    return 1 << (count - 1).bit_length() if keras.backend.backend() == "jax" else count
