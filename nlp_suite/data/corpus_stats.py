"""Counting over a corpus in one pass with a few bytes a text: hashes of texts, what occurs twice, lengths."""

import hashlib
from array import array

import numpy as np

PERCENTILES = (5, 50, 95, 99)
SHOWN, SHOWN_CHARACTERS = 2, 200


def text_hash(*texts: str) -> int:
    """64-bit hash of a text, or of several in their order."""
    state = hashlib.blake2b(digest_size=8)
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        state.update(len(raw).to_bytes(8, "little") + raw)
    return int.from_bytes(state.digest(), "little")


def duplicates(seen: dict[str, array]) -> dict:
    """Rows that repeat one of their split, and rows that an earlier split has too.

    Args:
        seen: split → hashes of its rows, `array("Q")`.

    Returns:
        `within`: split → rows; `across`: a list of `split`, `also_in`, `rows`.
    """
    hashes = {split: np.asarray(rows, np.uint64) for split, rows in seen.items()}
    different = {split: np.unique(rows) for split, rows in hashes.items()}
    across = [
        {"split": split, "also_in": earlier, "rows": int(np.isin(hashes[split], different[earlier]).sum())}
        for place, split in enumerate(hashes)
        for earlier in list(hashes)[:place]
    ]
    return {"within": {split: len(rows) - len(different[split]) for split, rows in hashes.items()}, "across": across}


def figures(values) -> dict[str, float]:
    """`min`, `mean`, percentiles and `max` of numbers; nothing where there are none."""
    values = np.asarray(values)
    if not len(values):
        return {}
    points = {f"p{p}": round(float(np.percentile(values, p)), 2) for p in PERCENTILES}
    ends = {"min": values.min(), "max": values.max()}
    ends = {name: round(float(end), 2) if values.dtype.kind == "f" else int(end) for name, end in ends.items()}
    return {"min": ends["min"], "mean": round(float(values.mean()), 2), **points, "max": ends["max"]}


def shortened(text: str) -> str:
    """The text, cut where it is long, to be shown."""
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
