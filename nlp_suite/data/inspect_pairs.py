"""What a parallel corpus looks like: lengths of both sides and their ratio, empty and equal sides, duplicates, examples."""

from array import array
from collections.abc import Iterable, Mapping

import numpy as np

from nlp_suite.data.corpus_stats import SHOWN, duplicates, figures, shortened, text_hash

SIDES = ("source", "target")


def inspect_pairs(examples: Mapping[str, Iterable[dict[str, str]]], store_statistics: dict | None = None) -> dict:
    """Reads every split of pairs once and counts; of a pair only hashes and lengths are kept.

    Args:
        examples: split to examples `{"source": …, "target": …}`; any iterable.
        store_statistics: token statistics by split, as `prepare` gives them; passed through as `tokens`.

    Returns:
        A JSON-able dict:

        * `kind`: `"pairs"`;
        * `splits`: split → `pairs`, `empty_sources` and `empty_targets` (nothing but white space), `equal_sides` (pairs
          that are not empty and say the same twice), and `source_words`, `target_words`, `source_characters`,
          `target_characters` and `length_ratio` (words of the target for one of the source, of pairs with both), each
          with `min`, `mean`, `p5`, `p50`, `p95`, `p99`, `max`;
        * `duplicates`: of `pairs`, `sources` and `targets` each `within` (split → rows that came before in that split)
          and `across` (a list of `split`, `also_in`, `rows`: rows that also occur in an earlier split);
        * `examples`: split → the first few pairs `[source, target]`, cut to 200 characters;
        * `tokens`: `store_statistics`.

    Example:
        >>> inspect_pairs({"train": [{"source": "a dog", "target": "ein Hund"}]})["splits"]["train"]["pairs"]
        1
    """
    report = {"kind": "pairs", "splits": {}, "duplicates": {}, "examples": {}, "tokens": store_statistics}
    seen = {what: {} for what in ("pairs", "sources", "targets")}
    for split, rows in examples.items():
        words, characters = ({side: array("q") for side in SIDES} for _ in range(2))
        hashes = {what: array("Q") for what in seen}
        equal, shown = 0, []
        for example in rows:
            both = [example[side] for side in SIDES]
            for what, texts in zip(seen, (both, both[:1], both[1:])):
                hashes[what].append(text_hash(*texts))
            for side, text in zip(SIDES, both):
                words[side].append(len(text.split()))
                characters[side].append(len(text))
            equal += both[0] == both[1] and not both[0].isspace() and both[0] != ""
            if len(shown) < SHOWN:
                shown.append([shortened(text) for text in both])
        source, target = (np.asarray(words[side]) for side in SIDES)  # [N] each
        both_there = (source > 0) & (target > 0)
        report["splits"][split] = {
            "pairs": len(source),
            "empty_sources": int(np.sum(source == 0)),
            "empty_targets": int(np.sum(target == 0)),
            "equal_sides": equal,
            **{f"{side}_words": figures(words[side]) for side in SIDES},
            **{f"{side}_characters": figures(characters[side]) for side in SIDES},
            "length_ratio": figures(target[both_there] / source[both_there]),
        }
        report["examples"][split] = shown
        for what in seen:
            seen[what][split] = hashes[what]
    report["duplicates"] = {what: duplicates(found) for what, found in seen.items()}
    return report
