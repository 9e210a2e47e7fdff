"""What is wrong with pairs of sentences: not translated, in another language, of lengths or numbers that do not fit, shifted.

All are guesses from what is cheap to count, in one pass and a few bytes a pair; each is said with examples to look at.
"""

import math
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from nlp_suite.data.corpus_stats import shortened
from nlp_suite.text.language import LANGUAGES, language_of, script_of, script_of_language

SHARE_TO_MENTION = 0.01  # of the pairs
SHOWN = 3  # examples of every fault
LANGUAGE_PAIRS = 100_000  # of which the languages are looked at: the first ones
RATIO = 3.0  # times the usual number of characters of one side for one of the other
LONG = 30  # characters of the longer side, from which a ratio tells something
BLOCK, SHIFTS = (
    200,
    (-3, -2, -1, 1, 2, 3),
)  # pairs whose lengths are compared at once, and with those of pairs so far away
MIN_GAIN, MIN_CORRELATION = 0.3, 0.5  # of lengths at a shift, over those in place, and in all
UNRELATED = 0.1  # a correlation of lengths in place that translations do not have
FAULTS = {
    "untranslated": "say the same on both sides",
    "source_language": "have a source in another language",
    "target_language": "have a target in another language",
    "lengths": "have sides of very different lengths",
    "numbers": "have different numbers on the two sides",
}
"""Fault → what such pairs do, as the end of a sentence."""
_NUMBER = re.compile(r"\d{2,}")


class PairFaults:
    """Counts over the pairs of a split; `report` when all were added.

    Example:
        >>> faults = PairFaults()
        >>> faults.add("A dog runs in the park.", "A dog runs in the park.")
        >>> faults.report()["untranslated"]["pairs"]
        1
    """

    def __init__(self) -> None:
        self._characters = (array("l"), array("l"))  # of every pair
        self._totals: tuple[Counter[str], Counter[str]] = (Counter(), Counter())
        self._counts = Counter(dict.fromkeys(("untranslated", "numbers"), 0))
        self._examples: dict[Any, list[list[Any]]] = {}
        self._beginnings: list[str] = []  # the source that every block begins with
        self._extreme: list[tuple[float, list[Any]]] = []  # logarithm of a pair's ratio, and the pair

    def add(self, source: str, target: str) -> None:
        """Counts a pair."""
        number = len(self._characters[0]) + 1
        row = [number, source, target]
        if number % BLOCK == 1:
            self._beginnings.append(shortened(source))
        for characters, text in zip(self._characters, (source, target)):
            characters.append(len(text))
        if len(source.split()) > 2 and " ".join(source.casefold().split()) == " ".join(target.casefold().split()):
            self._note("untranslated", row)
        numbers = set(_NUMBER.findall(source)), set(_NUMBER.findall(target))
        if all(numbers) and not numbers[0] & numbers[1]:
            self._note("numbers", row)
        if number <= LANGUAGE_PAIRS:
            for side, text in enumerate((source, target)):
                tongue = _tongue(text)
                if tongue:
                    self._totals[side][tongue] += 1
                    self._show((side, tongue), row)
        self._keep_extreme(row)

    def report(self) -> dict[str, Any]:
        """What was found.

        Returns:
            `languages` (those of source and target, or their script, or null), `length_correlation` (of the characters of both
            sides, or null), for every fault of `FAULTS` `pairs` (their number) and `examples`
            (number of the pair from 1, source, target), and `shifted`: a list of `first`, `last` (pairs), `source` (of
            the first) and `shift` (how many lines further down the target of a source stands). Pairs are numbered as they were
            added: in `inspect` without those that are held out for validation.
        """
        languages = [_main_tongue(total, min(len(self._characters[0]), LANGUAGE_PAIRS)) for total in self._totals]
        faults = {name: self._fault(self._counts[name], name) for name in ("untranslated", "numbers")}
        for side, language in enumerate(languages):
            name = ("source_language", "target_language")[side]
            others = [tongue for tongue in self._totals[side] if language and _differ(tongue, language)]
            wrong = sum(self._totals[side][tongue] for tongue in others)
            faults[name] = {
                "pairs": wrong,
                "examples": sorted(row for tongue in others for row in self._examples[side, tongue])[:SHOWN],
            }
        faults["lengths"] = self._lengths()
        lengths = [np.asarray(characters, float) for characters in self._characters]  # [N] each
        return {
            "languages": languages,
            **{name: faults[name] for name in FAULTS},
            "length_correlation": _correlation(*(np.log1p(side) for side in lengths)),
            "shifted": [
                {**block, "source": self._beginnings[block["first"] // BLOCK]} for block in shifted_blocks(*lengths)
            ],
        }

    def _note(self, name: str, row: list[Any]) -> None:
        self._counts[name] += 1
        self._show(name, row)

    def _show(self, key: Any, row: list[Any]) -> None:
        if len(rows := self._examples.setdefault(key, [])) < SHOWN:
            rows.append(_shown(row))

    def _fault(self, count: int, key: Any) -> dict[str, Any]:
        return {"pairs": count, "examples": self._examples.get(key, [])}

    def _keep_extreme(self, row: list[Any]) -> None:
        source, target = len(row[1]), len(row[2])
        if min(source, target) and max(source, target) >= LONG:
            ratio = math.log(target / source)
            if len(self._extreme) < SHOWN or abs(ratio) > abs(self._extreme[-1][0]):
                self._extreme = sorted([*self._extreme, (ratio, _shown(row))], key=lambda item: -abs(item[0]))[:SHOWN]

    def _lengths(self) -> dict[str, Any]:
        source, target = (np.asarray(characters, float) for characters in self._characters)  # [N] each
        usable = (source > 0) & (target > 0) & (np.maximum(source, target) >= LONG)
        if not usable.any():
            return {"pairs": 0, "examples": []}
        ratios = np.log(target[usable] / source[usable])
        usual = float(np.median(ratios))
        count = int(np.count_nonzero(np.abs(ratios - usual) > math.log(RATIO)))
        rows = [row for ratio, row in self._extreme if abs(ratio - usual) > math.log(RATIO)]
        return {"pairs": count, "examples": rows}


def shifted_blocks(source: np.ndarray, target: np.ndarray) -> list[dict[str, int]]:
    """Where targets stand some lines away from their sources: long sentences have long translations.

    In every block of pairs the lengths of sources are compared with those of the targets in place and of those a few lines
    further up and down; where the latter correlate much better, the block is shifted.

    Args:
        source: characters of the sources, int `[N]`.
        target: those of the targets, `[N]`.

    Returns:
        A list of `first` and `last` (numbers of pairs, from 1) and `shift`, contiguous blocks joined.
    """
    lengths = [np.log1p(np.asarray(side, float)) for side in (source, target)]
    found: list[dict[str, int]] = []
    for first in range(0, len(source) - BLOCK // 2, BLOCK):
        last = min(first + BLOCK, len(source))
        in_place = _correlation(lengths[0][first:last], lengths[1][first:last]) or 0.0
        at = {}
        for shift in SHIFTS:
            low, high = max(first, -shift), min(last, len(source) - shift)
            at[shift] = _correlation(lengths[0][low:high], lengths[1][low + shift : high + shift]) or 0.0
        shift = max(at, key=lambda key: at[key])
        if at[shift] < max(MIN_CORRELATION, in_place + MIN_GAIN):
            continue
        if found and found[-1]["shift"] == shift and found[-1]["last"] == first:
            found[-1]["last"] = last
        else:
            found.append({"first": first + 1, "last": last, "shift": shift})
    return found


def fault_remarks(report: Mapping[str, Any], pairs: int, split: str) -> list[str]:
    """What to say of a report of `PairFaults`: every fault that 1 % of the pairs have, and all that are shifted.

    Args:
        report: what `PairFaults.report` gave.
        pairs: how many there are.
        split: what they are called.
    """
    lines = [
        f"{split}: from pair {block['first']:,} ({block['source']!r}) to {block['last']:,} the targets seem to stand {abs(block['shift'])} "
        f"line{'s' * (abs(block['shift']) != 1)} too {'low' if block['shift'] > 0 else 'high'}: a line is missing or too many on one side"
        for block in report["shifted"]
    ]
    correlation = report["length_correlation"]
    if correlation is not None and pairs >= BLOCK and correlation < UNRELATED:
        lines.append(
            f"{split}: the lengths of sources and targets have nothing in common (correlation {correlation:.2f}): the lines of "
            "the two sides may be in different orders"
        )
    for name, what in FAULTS.items():
        fault = report[name]
        if fault["pairs"] and fault["pairs"] >= SHARE_TO_MENTION * pairs:
            number, source, target = fault["examples"][0]
            lines.append(
                f"{split}: {fault['pairs']:,} of {pairs:,} pairs {what}, as pair {number:,}: {source!r} – {target!r}; "
                "remove them, if they are no translations"
            )
    return lines


def _correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """None of too few numbers, or of equal ones."""
    if len(a) < BLOCK // 4 or a.std() < 1e-9 or b.std() < 1e-9:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _tongue(text: str) -> str | None:
    """The language of a text or, where only that is known, its script (never Latin, in which words may be names)."""
    script = script_of(text)
    return language_of(text) or (script if script != "Latin" else None)


def _differ(tongue: str, other: str) -> bool:
    """Whether two tongues are certainly two: a script is one with every language that is written in it."""
    if tongue in LANGUAGES and other in LANGUAGES:
        return tongue != other
    return script_of_language(tongue) != script_of_language(other)


def _main_tongue(total: Counter[str], read: int) -> str | None:
    """The tongue of a side: that of most of its sentences that tell one, if they are a tenth of all or more."""
    tongue, count = next(iter(total.most_common(1)), (None, 0))
    return tongue if count >= max(2, read / 10, total.total() / 2) else None


def _shown(row: Iterable[Any]) -> list[Any]:
    number, source, target = row
    return [number, shortened(source), shortened(target)]
