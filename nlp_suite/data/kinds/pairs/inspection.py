"""What a parallel corpus looks like: lengths of both sides and their ratio, empty and equal sides, duplicates, examples."""

from array import array
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_suite.data.corpus_stats import SHOWN_EXAMPLES, TextCounts, duplicates, figures, shortened, text_hash
from nlp_suite.data.kinds.pairs.store import SIDES
from nlp_suite.data.pair_faults import FAULTS, PairFaults
from nlp_suite.data.selection import Example
from nlp_suite.data.tables import (
    Report,
    duplicates_table,
    examples_table,
    lengths_table,
    numbers_table,
    sizes_table,
    tokens_tables,
)

if TYPE_CHECKING:
    from rich.table import Table


def inspect_pairs(examples: Mapping[str, Iterable[Example]]) -> dict[str, Any]:
    """Reads every split of pairs once and counts; of a pair only hashes and lengths are held.

    Args:
        examples: split → examples.

    Returns:
        * `splits`: split → `pairs`, `empty_sources` and `empty_targets` (nothing but white space), `equal_sides` (pairs
          that are not empty and say the same twice), and `source_words`, `target_words`, `source_characters`,
          `target_characters` and `length_ratio` (words of the target for one of the source, of pairs with both), each
          with `min`, `mean`, `p5`, `p50`, `p95`, `p99`, `max`; `source_invisible` and `target_invisible`, see
          `TextCounts.invisible_figures`; and `faults`, see `PairFaults.report`;
        * `duplicates`: of `pairs`, `sources` and `targets` each `within` (split → rows that came before in that split)
          and `across` (a list of `split`, `also_in`, `rows`: rows that also occur in an earlier split);
        * `examples`: split → the first few pairs `[source, target]`, cut to 200 characters.

    Example:
        >>> inspect_pairs({"train": [{"source": "a dog", "target": "ein Hund"}]})["splits"]["train"]["pairs"]
        1
    """
    splits: dict[str, Any] = {}
    shown: dict[str, list[list[str]]] = {}
    hashes: dict[str, dict[str, array[int]]] = {"pairs": {}, "sources": {}, "targets": {}}
    for split, rows in examples.items():
        counts = {side: TextCounts() for side in SIDES}
        for by_split in hashes.values():
            by_split[split] = array("Q")
        equal, shown[split], faults = 0, [], PairFaults()
        for example in rows:
            pair = [example[side] for side in SIDES]
            for by_split, texts in zip(hashes.values(), (pair, pair[:1], pair[1:])):
                by_split[split].append(text_hash(*texts))
            for side, text in zip(SIDES, pair):
                counts[side].add(text)
            faults.add(*pair)
            equal += pair[0] == pair[1] and not pair[0].isspace() and pair[0] != ""
            if len(shown[split]) < SHOWN_EXAMPLES:
                shown[split].append([shortened(text) for text in pair])
        source, target = (np.asarray(counts[side].words) for side in SIDES)  # [N] each
        is_full = (source > 0) & (target > 0)
        splits[split] = {
            "pairs": len(source),
            "empty_sources": int(np.sum(source == 0)),
            "empty_targets": int(np.sum(target == 0)),
            "equal_sides": equal,
            **{f"{side}_words": figures(counts[side].words) for side in SIDES},
            **{f"{side}_characters": figures(counts[side].characters) for side in SIDES},
            **{f"{side}_invisible": counts[side].invisible_figures() for side in SIDES},
            "length_ratio": figures(target[is_full] / source[is_full]),
            "faults": faults.report(),
        }
    return {
        "splits": splits,
        "duplicates": {what: duplicates(by_split) for what, by_split in hashes.items()},
        "examples": shown,
    }


def pair_tables(report: Report) -> list["Table"]:
    """A report on pairs as tables for a terminal."""
    units = {
        "words of the source": "source_words",
        "words of the target": "target_words",
        "characters of the source": "source_characters",
        "characters of the target": "target_characters",
        "target words a source word": "length_ratio",
    }
    return [
        sizes_table(report, "pairs", "empty_sources", "empty_targets", "equal_sides"),
        lengths_table(report, units, decimals={"length_ratio": 2}),
        _faults_table(report),
        duplicates_table("Duplicates", report["duplicates"]),
        *tokens_tables(report),
        examples_table(report, "split", *SIDES),
    ]


def _faults_table(report: Report) -> "Table":
    """What the languages are and how many pairs are doubtful, by split."""
    table = numbers_table("Doubtful pairs", "pairs that", *report["splits"])
    found = [facts["faults"] for facts in report["splits"].values()]
    table.add_row("(languages)", *(" – ".join(language or "?" for language in faults["languages"]) for faults in found))
    for name, what in FAULTS.items():
        table.add_row(what, *(f"{faults[name]['pairs']:,}" for faults in found))
    shifted = ((block["last"] - block["first"] + 1 for block in faults["shifted"]) for faults in found)
    table.add_row("stand in shifted lines", *(f"{sum(pairs):,}" for pairs in shifted))
    return table
