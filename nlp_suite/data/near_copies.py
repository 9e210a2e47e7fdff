"""Training texts that are nearly those of another split: MinHash sketches of character 5-grams, compared by locality-sensitive hashing.

What is compared is lower case with a blank for everything that is no letter or digit. The similarity of two texts is the share of
their different 5-grams that both have (Jaccard), estimated from 252 minima by one permutation hashing (Li, Owen & Zhang 2012) with
densification by rotation (Shrivastava & Li 2014). On lines of WikiText-2 of 60, 150 and 600 characters its standard error was 0.03,
0.02 and 0.02; of equal texts it is 1.
"""

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.corpus_stats import shortened
from nlp_suite.data.selection import Example, chunks

SHINGLE = 5  # characters
BANDS, ROWS = 42, 6  # texts are compared where all 6 minima of a band agree: 99.5 % of those with a similarity of 0.7
MINIMA = BANDS * ROWS
LEAST, DEFAULT = 0.7, 0.8  # similarities from which a text is a copy
MAX_HELD_OUT = 100_000  # texts of another split that are compared, from its beginning: a KB of memory each
MAX_INSPECTED = (
    50_000,
    25_000,
)  # training texts, and texts of another split, that `inspect` compares: 0.1 to 0.4 ms each
SHOWN = 2
_NO_LETTERS = re.compile(r"[\W_]+")
_EMPTY = np.uint32(2**32 - 1)
_BASE = np.uint64(0x9E3779B97F4A7C15)
_SEEDS = np.arange(1, 5, dtype="uint64") * np.uint64(
    0xBF58476D1CE4E5B9
)  # each 5-gram counts as four, so that bins of short texts fill
_BAND_FACTORS = np.random.default_rng(0).integers(2**63, size=ROWS, dtype="uint64") | np.uint64(1)


@dataclass
class NearCopies:
    """What was found.

    Attributes:
        rows: positions of the training texts that are near copies of a text of another split, ascending.
        texts: split → how many of its texts have a near copy in training.
        examples: split → a few pairs, `{"train", "text", "similarity"}`, texts cut to 200 characters.
    """

    rows: NDArray[Any]
    texts: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[dict[str, Any]]] = field(default_factory=dict)


class ComparedTexts:
    """The texts of a split that are compared, in order.

    Args:
        examples: of the split.
        text: of an example.
    """

    def __init__(self, examples: Iterable[Example], text: Callable[[Example], str]):
        self._examples, self._text = examples, text

    def __iter__(self) -> Iterator[str]:
        return map(self._text, self._examples)


def inspected(
    splits: Mapping[str, Iterable[Example]], text: Callable[[Example], str], similarity: float
) -> dict[str, Any]:
    """What `inspect` says of near copies: of the first 50,000 training texts, in the first 25,000 of each other split.

    Returns:
        `similarity` from which texts are copies, `train_rows` that are copies of `train_compared`, `texts` (split → how many of
        its texts have a copy in training), `shares` of the split's texts, `examples` (see `NearCopies`), and `all`: whether all texts were compared.
    """
    texts = {split: _Counted(ComparedTexts(examples, text)) for split, examples in splits.items()}
    train, (most_train, most) = texts.pop("train"), MAX_INSPECTED
    found = near_copies(itertools.islice(train, most_train), texts, similarity, most)
    sizes = {split: min(counted.count, most) for split, counted in texts.items()}
    return {
        "similarity": similarity,
        "train_rows": len(found.rows),
        "train_compared": min(train.count, most_train),
        "texts": found.texts,
        "shares": {split: count / max(sizes[split], 1) for split, count in found.texts.items()},
        "examples": found.examples,
        "all": train.count < most_train and all(size < most for size in sizes.values()),
    }


class _Counted:
    """Texts that are counted when they are read for the first time."""

    def __init__(self, texts: Iterable[str]):
        self._texts, self.count = texts, 0

    def __iter__(self) -> Iterator[str]:
        first = not self.count
        for text in self._texts:
            self.count += first
            yield text


def near_copies(
    train: Iterable[str], others: Mapping[str, Iterable[str]], similarity: float = DEFAULT, most: int = MAX_HELD_OUT
) -> NearCopies:
    """Training texts that are near copies of texts of other splits.

    Args:
        train: read once.
        others: split → texts, read twice where there are copies.
        similarity: from which a text is a copy, from 0.7 to 1.
        most: how many texts of each of `others` are compared, from its beginning.

    Example:
        >>> near_copies(["A fine film, all in all.", "Bad."], {"test": ["a fine film all in all"]}).rows
        array([0])
    """
    held_out = {split: _sketches(itertools.islice(texts, most)) for split, texts in others.items()}
    indices = {split: _Index(sketches) for split, sketches in held_out.items()}
    found: dict[str, list[tuple[int, int, float, str]]] = {split: [] for split in others}
    rows: set[int] = set()
    copied: dict[str, set[int]] = {split: set() for split in others}
    before = 0
    for texts in chunks(train):
        sketches = _sketches(texts)
        for split, index in indices.items():
            ours, theirs = index.candidates(sketches)
            alike = (sketches[ours] == held_out[split][theirs]).mean(axis=1)
            for row, text, value in zip(ours, theirs, alike):
                if value >= similarity:
                    if text not in copied[split] and len(found[split]) < SHOWN:
                        found[split].append((int(text), before + int(row), float(value), shortened(texts[row])))
                    rows.add(before + int(row))
                    copied[split].add(int(text))
        before += len(texts)
    result = NearCopies(np.array(sorted(rows), int), {split: len(texts) for split, texts in copied.items()})
    for split, pairs in found.items():
        shown = _texts_at({text for text, *_ in pairs}, others[split])
        result.examples[split] = [
            {"train": ours, "text": shown[text], "similarity": round(value, 2)} for text, _, value, ours in pairs
        ]
    return result


def sketch(text: str) -> NDArray[Any]:
    """The minima of a text, uint32 `[252]`; all of them `2**32 - 1` where it has no letter or digit."""
    plain = _NO_LETTERS.sub(" ", text.lower()).strip()
    minima = np.full(MINIMA, _EMPTY)
    if not plain:
        return minima
    codes = np.frombuffer(plain.encode("utf-32-le", "surrogatepass"), "<u4").astype("uint64")
    codes = np.pad(codes, (0, max(0, SHINGLE - len(codes))))
    count = len(codes) - SHINGLE + 1
    hashes = np.zeros(count, "uint64")
    for k in range(SHINGLE):
        hashes = hashes * _BASE + codes[k : k + count] + np.uint64(1)
    hashes = (hashes[:, None] + _SEEDS).ravel()
    for shift in (30, 27, 31):  # as the end of splitmix64
        hashes = (hashes ^ (hashes >> np.uint64(shift))) * _BASE
    bins = (hashes & np.uint64(2**32 - 1)) % np.uint64(MINIMA)
    np.minimum.at(minima, bins.astype(int), np.minimum((hashes >> np.uint64(32)).astype("uint32"), _EMPTY - 1))
    filled, places = np.flatnonzero(minima != _EMPTY), np.arange(MINIMA)
    next_filled = filled[np.searchsorted(filled, places) % len(filled)]
    distance = ((next_filled - places) % MINIMA).astype("uint32")
    return minima[next_filled] + distance * np.uint32(0x85EBCA6B)


def _sketches(texts: Iterable[str]) -> NDArray[Any]:
    """uint32 `[N, 252]`."""
    rows = [sketch(text) for text in texts]
    return np.stack(rows) if rows else np.zeros((0, MINIMA), "uint32")


class _Index:
    """Finds sketches that agree in a band."""

    def __init__(self, sketches: NDArray[Any]):
        keys = _band_keys(sketches)  # [N, bands]
        self._wordless = (sketches == _EMPTY).all(axis=1)
        self._order = np.argsort(keys, axis=0, kind="stable")
        self._keys = np.take_along_axis(keys, self._order, axis=0)

    def candidates(self, sketches: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Pairs of rows, of `sketches` and of those here, each once, in their order."""
        pairs = []
        keys, size = _band_keys(sketches), len(self._keys)
        for band in range(BANDS):
            low, high = (np.searchsorted(self._keys[:, band], keys[:, band], side) for side in ("left", "right"))
            counts = high - low
            ours = np.repeat(np.arange(len(sketches)), counts)
            places = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(low, counts)
            pairs.append(ours * size + self._order[places, band])
        unique = np.unique(np.concatenate(pairs)).astype(int)
        ours, theirs = unique // max(size, 1), unique % max(size, 1)
        worded = ~self._wordless[theirs] if size else np.zeros(0, bool)
        return ours[worded], theirs[worded]


def _band_keys(sketches: NDArray[Any]) -> NDArray[Any]:
    """uint64 `[N, 42]`."""
    keys: NDArray[Any] = (sketches.reshape(-1, BANDS, ROWS).astype("uint64") * _BAND_FACTORS).sum(
        axis=2, dtype="uint64"
    )
    return keys


def _texts_at(places: set[int], texts: Iterable[str]) -> dict[int, str]:
    """The texts at some places, shortened; read no further than needed."""
    numbered: Iterator[tuple[int, str]] = itertools.islice(enumerate(texts), max(places, default=-1) + 1)
    return {place: shortened(text) for place, text in numbered if place in places}
