"""What a corpus looks like: label balance, lengths, duplicates within and across splits, a few examples."""

import hashlib
import itertools
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

PERCENTILES = (5, 50, 95, 99)
SHOWN, SHOWN_CHARACTERS = 2, 200


def inspect(examples: Mapping[str, Iterable[dict[str, str]]], store_statistics: dict | None = None) -> dict:
    """Reads every split once and counts; of a text only its hash and lengths are kept.

    Args:
        examples: split to examples `{"text": …, "label": …}`, label optional; any iterable.
        store_statistics: token statistics by split, as `prepare` gives them; passed through as `tokens`.

    Returns:
        A JSON-able dict:

        * `splits`: split → `examples`, `labels` (label → rows), `empty_texts`, and `characters` and `words`, each with
          `min`, `mean`, `p5`, `p50`, `p95`, `p99`, `max`;
        * `duplicates`: `within` (split → rows whose text came before in that split), `across` (a list of `split`,
          `also_in`, `rows`: rows whose text also occurs in an earlier split) and `conflicting` (texts that occur with
          more than one label, anywhere);
        * `examples`: label → the first few texts, cut to 200 characters;
        * `tokens`: `store_statistics`.

    Example:
        >>> inspect({"train": [{"text": "fine", "label": "pos"}]})["splits"]["train"]["labels"]
        {'pos': 1}
    """
    report = {"splits": {}, "duplicates": {"within": {}, "across": [], "conflicting": 0}, "examples": {}}
    seen: dict[str, Counter] = {}  # split → rows by hash of the text
    labels_of: dict[bytes, str] = {}
    conflicting = set()
    for split, rows in examples.items():
        labels, characters, words, texts = Counter(), array("q"), array("q"), Counter()
        for example in rows:
            text, label = example["text"], example.get("label")
            key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
            texts[key] += 1
            characters.append(len(text))
            words.append(len(text.split()))
            if label is None:
                continue
            labels[label] += 1
            if labels_of.setdefault(key, label) != label:
                conflicting.add(key)
            shown = report["examples"].setdefault(label, [])
            if len(shown) < SHOWN:
                shown.append(text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…")
        report["splits"][split] = {
            "examples": len(characters),
            "labels": dict(sorted(labels.items())),
            "empty_texts": characters.count(0),
            "characters": _lengths(characters),
            "words": _lengths(words),
        }
        report["duplicates"]["within"][split] = len(characters) - len(texts)
        for earlier, known in seen.items():
            rows_also_there = sum(count for key, count in texts.items() if key in known)
            report["duplicates"]["across"].append({"split": split, "also_in": earlier, "rows": rows_also_there})
        seen[split] = texts
    report["duplicates"]["conflicting"] = len(conflicting)
    report["examples"] = dict(sorted(report["examples"].items()))
    report["tokens"] = store_statistics
    return report


def _lengths(values: array) -> dict[str, float]:
    if not values:
        return {}
    values = np.asarray(values)
    points = {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES}
    return {"min": int(values.min()), "mean": round(float(values.mean()), 2), **points, "max": int(values.max())}


def inspect_experiment(experiment) -> dict:
    """`inspect` on the splits of an experiment, with its validation split and limit applied; nothing is written.

    Token statistics are among them once the experiment was prepared.

    Args:
        experiment: a resolved `nlp_suite.config.Experiment`.

    Raises:
        DataError: data that cannot be read.
    """
    from nlp_suite.data.prepare import known_statistics, selected, splits
    from nlp_suite.registry import SOURCES

    data = experiment.data
    source = SOURCES.get(data.source.name)(on_error=data.on_error, **data.source.arguments())
    chosen = splits(experiment, source)
    statistics = known_statistics(experiment, source)
    return inspect({split: selected(source, *choice) for split, choice in chosen.items()}, statistics)


def format_inspection(report: dict):
    """The report as tables for a terminal.

    Args:
        report: what `inspect` returns.

    Returns:
        A rich renderable.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    def table(title: str, *columns: str) -> Table:
        made = Table(title=title, title_justify="left")
        for i, column in enumerate(columns):
            made.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
        return made

    splits, duplicates = report["splits"], report["duplicates"]
    labels = sorted(set(itertools.chain.from_iterable(facts["labels"] for facts in splits.values())))
    balance = table("Label balance", "split", "examples", *map(Text, labels), "empty texts")
    for split, facts in splits.items():
        counts = [facts["labels"].get(label, 0) for label in labels]
        shares = [f"{count:,} ({count / max(1, facts['examples']):.1%})" for count in counts]
        balance.add_row(split, f"{facts['examples']:,}", *shares, f"{facts['empty_texts']:,}")

    names = ["min", "mean", *(f"p{p}" for p in PERCENTILES), "max"]
    lengths = table("Lengths", "split", "in", *names)
    for (split, facts), unit in itertools.product(splits.items(), ("words", "characters")):
        lengths.add_row(split, unit, *(f"{facts[unit][name]:,.0f}" if facts[unit] else "–" for name in names))

    copies = table("Duplicate texts", "where", "rows")
    for split, rows in duplicates["within"].items():
        copies.add_row(f"repeated within {split}", f"{rows:,}")
    for pair in duplicates["across"]:
        copies.add_row(f"{pair['split']} rows also in {pair['also_in']}", f"{pair['rows']:,}")
    copies.add_row("texts with more than one label", f"{duplicates['conflicting']:,}")

    parts = [balance, lengths, copies]
    if report.get("tokens"):
        keys = list(dict.fromkeys(key for facts in report["tokens"].values() for key in _flat(facts)))
        tokens = table("Tokens", "", *report["tokens"])
        for key in keys:
            tokens.add_row(key, *(_number(_flat(facts).get(key)) for facts in report["tokens"].values()))
        parts.append(tokens)
    shown = Table(title="Examples", title_justify="left", show_lines=True)
    shown.add_column("label")
    shown.add_column("text", overflow="fold")
    for label, texts in report["examples"].items():
        for text in texts:
            shown.add_row(Text(label), Text(text))  # Text: brackets in the data are no markup
    return Group(*parts, shown)


def _flat(facts: dict, prefix: str = "") -> dict:
    """Nested facts as `outer.inner` keys; label counts stand in their own table."""
    flat = {}
    for key, value in facts.items():
        if isinstance(value, dict) and key != "labels":
            flat |= _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, dict):
            flat[prefix + key] = value
    return flat


def _number(value) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
