"""Counting over a corpus in one pass with a few bytes a text: hashes of texts, what occurs twice, lengths."""

import hashlib
from array import array
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_suite.progress import work

PERCENTILES = (5, 50, 95, 99)
SHOWN_EXAMPLES = 2  # of every label or split
SHOWN_CHARACTERS = 200  # of every text of them


class TextCounts:
    """Lengths of texts, 16 bytes a text.

    Attributes:
        characters: of every text.
        words: of every text, parted by white space.
    """

    def __init__(self) -> None:
        self.characters: array[int] = array("q")
        self.words: array[int] = array("q")

    def add(self, text: str) -> int:
        """Counts a text; returns its number of words."""
        self.characters.append(len(text))
        self.words.append(len(text.split()))
        return self.words[-1]


def text_hash(*texts: str) -> int:
    """64-bit hash of a text, or of several in their order."""
    state = hashlib.blake2b(digest_size=8)
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        state.update(len(raw).to_bytes(8, "little") + raw)
    return int.from_bytes(state.digest(), "little")


def duplicates(hashes_by_split: Mapping[str, "array[int]"]) -> dict[str, Any]:
    """Rows that repeat one of their split, and rows that an earlier split has too.

    Args:
        hashes_by_split: split → hashes of its rows, `array("Q")`.

    Returns:
        `within`: split → rows; `across`: a list of `split`, `also_in`, `rows`.
    """
    hashes = {split: np.asarray(rows, np.uint64) for split, rows in hashes_by_split.items()}
    with work("looking for duplicates"):
        different = {split: np.unique(rows) for split, rows in hashes.items()}
        across = [
            {"split": split, "also_in": earlier, "rows": int(np.isin(hashes[split], different[earlier]).sum())}
            for i, split in enumerate(hashes)
            for earlier in list(hashes)[:i]
        ]
    return {"within": {split: len(rows) - len(different[split]) for split, rows in hashes.items()}, "across": across}


def figures(values: Any) -> dict[str, float]:
    """`min`, `mean`, percentiles and `max` of numbers; nothing where there are none."""
    values = np.asarray(values)
    if not len(values):
        return {}
    points = {f"p{p}": round(float(np.percentile(values, p)), 2) for p in PERCENTILES}
    is_float = values.dtype.kind == "f"
    low, high = (round(float(end), 2) if is_float else int(end) for end in (values.min(), values.max()))
    return {"min": low, "mean": round(float(values.mean()), 2), **points, "max": high}


def shortened(text: str) -> str:
    """The text, cut where it is long, to be shown."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
