"""Counting over a corpus in one pass with a few bytes a text: hashes of texts, what occurs twice, lengths."""

import hashlib
from array import array
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from nlp_suite.config import Experiment
from nlp_suite.progress import work
from nlp_suite.text.invisible import invisible_in

PERCENTILES = (5, 50, 95, 99)
SHOWN_EXAMPLES = 2  # of every label or split
SHOWN_CHARACTERS = 200  # of every text of them


class TextCounts:
    """Lengths of texts, 16 bytes a text.

    Attributes:
        characters: of every text.
        words: of every text, parted by white space.
        invisible: how often each character occurs that nobody sees and `text.invisible: drop` drops.
        invisible_texts: in how many texts one does.
    """

    def __init__(self) -> None:
        self.characters: array[int] = array("q")
        self.words: array[int] = array("q")
        self.invisible: Counter[str] = Counter()
        self.invisible_texts = 0

    def add(self, text: str) -> int:
        """Counts a text; returns its number of words."""
        self.characters.append(len(text))
        self.words.append(len(text.split()))
        if invisible := invisible_in(text):
            self.invisible.update(invisible)
            self.invisible_texts += 1
        return self.words[-1]

    def invisible_figures(self) -> dict[str, Any]:
        """`texts` that have invisible characters, `characters` in all, and of the most frequent ones the `names`."""
        names = [f"U+{ord(character):04X}" for character, _ in self.invisible.most_common(3)]
        return {"texts": self.invisible_texts, "characters": self.invisible.total(), "names": names}


def invisible_remarks(report: Mapping[str, Any], experiment: Experiment) -> list[str]:
    """A sentence on the invisible characters of the training texts, where `inspect` found some (of each side of pairs)."""
    train, lines = report["splits"]["train"], []
    for side in ("", "source_", "target_"):
        facts = train.get(f"{side}invisible")
        if facts and facts["texts"]:
            settings = experiment.target_text if side == "target_" and experiment.target_text else experiment.text
            section = "target_text" if settings is experiment.target_text else "text"
            dropped = {
                "drop": f"which are dropped ({section}.invisible: keep leaves them)",
                "keep": f"which make known words unknown: {section}.invisible: drop removes them",
            }
            lines.append(
                f"{facts['texts']:,} training {side[:-1] or 'text'}s have invisible characters ({facts['characters']:,} in all, "
                f"such as {', '.join(facts['names'])}), {dropped[settings.invisible]}"
            )
    return lines


def text_hash(*texts: str) -> int:
    """64-bit hash of a text, or of several in their order."""
    state = hashlib.blake2b(digest_size=8)
    for text in texts:
        raw = text.encode("utf-8", "surrogatepass")
        state.update(len(raw).to_bytes(8, "little") + raw)
    return int.from_bytes(state.digest(), "little")


def conflicting(texts: "array[int]", labels: "array[int]") -> int:
    """How many texts occur with more than one label.

    Args:
        texts: hash of every text, in any order.
        labels: hash of the label of each.
    """
    order = np.lexsort((labels, texts))
    text, label = np.asarray(texts, np.uint64)[order], np.asarray(labels, np.uint64)[order]
    return len(np.unique(text[1:][(text[1:] == text[:-1]) & (label[1:] != label[:-1])]))


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
