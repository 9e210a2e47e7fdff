"""What a corpus looks like: labels or documents, lengths, duplicates within and across splits, a few examples."""

import hashlib
import itertools
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping

import numpy as np

from nlp_suite.data.corpora.text import lines

PERCENTILES = (5, 50, 95, 99)
SHOWN, SHOWN_CHARACTERS = 2, 200


def inspect(examples: Mapping[str, Iterable[dict[str, str]]], store_statistics: dict | None = None) -> dict:
    """Reads every split of labelled texts once and counts; of a text only its hash and lengths are kept.

    Args:
        examples: split to examples `{"text": …, "label": …}`, label optional; any iterable.
        store_statistics: token statistics by split, as `prepare` gives them; passed through as `tokens`.

    Returns:
        A JSON-able dict:

        * `kind`: `"labelled"`;
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
    report = {"kind": "labelled", "splits": {}, "duplicates": {}, "examples": {}}
    seen: dict[str, Counter] = {}  # split → rows by hash of the text
    labels_of: dict[bytes, str] = {}
    conflicting = set()
    for split, rows in examples.items():
        labels, characters, words, texts = Counter(), array("q"), array("q"), Counter()
        for example in rows:
            text, label = example["text"], example.get("label")
            key = _hash(text)
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
                shown.append(_shortened(text))
        report["splits"][split] = {
            "examples": len(characters),
            "labels": dict(sorted(labels.items())),
            "empty_texts": characters.count(0),
            "characters": _lengths(characters),
            "words": _lengths(words),
        }
        seen[split] = texts
    report["duplicates"] = {**_duplicates(seen), "conflicting": len(conflicting)}
    report["examples"] = dict(sorted(report["examples"].items()))
    report["tokens"] = store_statistics
    return report


def inspect_text(examples: Mapping[str, Iterable[dict[str, str]]], store_statistics: dict | None = None) -> dict:
    """Reads every split of running text once and counts; of a line only its hash and lengths are kept.

    Args:
        examples: split to examples `{"text": …}`, `"document"` optional, as sources of kind `"text"` give them.
        store_statistics: token statistics by split, as `prepare` gives them; passed through as `tokens`.

    Returns:
        A JSON-able dict:

        * `kind`: `"text"`;
        * `splits`: split → `documents`, `lines`, `blank_lines`, `words` (parted by white space), `characters` (without
          line ends), and by line `line_words`, `line_characters` with `min`, `mean`, `p5`, `p50`, `p95`, `p99`, `max`;
          the same by document as `document_lines`;
        * `duplicates`: `within` and `across` as `inspect` gives them, of lines that are not blank;
        * `examples`: split → its first few lines that are not blank, cut to 200 characters;
        * `tokens`: `store_statistics`.

    Example:
        >>> inspect_text({"train": [{"text": "one\\ntwo"}]})["splits"]["train"]["lines"]
        2
    """
    report = {"kind": "text", "splits": {}, "duplicates": {}, "examples": {}}
    seen: dict[str, Counter] = {}  # split → lines by hash
    for split, rows in examples.items():
        characters, words, documents, texts, shown = array("q"), array("q"), array("q"), Counter(), []
        blank = 0
        for line, begins in lines(rows):
            if begins:
                documents.append(0)
            documents[-1] += 1
            characters.append(len(line))
            words.append(len(line.split()))
            if not words[-1]:
                blank += 1
                continue
            texts[_hash(line)] += 1
            if len(shown) < SHOWN:
                shown.append(_shortened(line))
        report["splits"][split] = {
            "documents": len(documents),
            "lines": len(characters),
            "blank_lines": blank,
            "words": sum(words),
            "characters": sum(characters),
            "line_words": _lengths(words),
            "line_characters": _lengths(characters),
            "document_lines": _lengths(documents),
        }
        report["examples"][split] = shown
        seen[split] = texts
    report["duplicates"] = _duplicates(seen)
    report["tokens"] = store_statistics
    return report


def _hash(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _shortened(text: str) -> str:
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"


def _duplicates(seen: dict[str, Counter]) -> dict:
    """Rows that repeat one of their split, and rows that an earlier split has too; `seen`: split → rows by hash."""
    across = [
        {"split": split, "also_in": earlier, "rows": sum(n for key, n in seen[split].items() if key in seen[earlier])}
        for place, split in enumerate(seen)
        for earlier in list(seen)[:place]
    ]
    return {"within": {split: rows.total() - len(rows) for split, rows in seen.items()}, "across": across}


def _lengths(values: array) -> dict[str, float]:
    if not values:
        return {}
    values = np.asarray(values)
    points = {f"p{p}": float(np.percentile(values, p)) for p in PERCENTILES}
    return {"min": int(values.min()), "mean": round(float(values.mean()), 2), **points, "max": int(values.max())}


def inspect_experiment(experiment) -> dict:
    """`inspect` or `inspect_text` on the splits of an experiment, as its task reads them; nothing is written.

    The validation split and the limit are applied.

    Token statistics are among them once the experiment was prepared.

    Args:
        experiment: a resolved `nlp_suite.config.Experiment`.

    Raises:
        DataError: data that cannot be read.
    """
    from nlp_suite.data.prepare import kind_of, known_statistics, open_source, selected, splits

    source = open_source(experiment)
    chosen = splits(experiment, source)
    examples = {split: selected(source, *choice) for split, choice in chosen.items()}
    make = inspect_text if kind_of(experiment) == "text" else inspect
    return make(examples, known_statistics(experiment, source))


def format_inspection(report: dict):
    """The report as tables for a terminal.

    Args:
        report: what `inspect` or `inspect_text` returns.

    Returns:
        A rich renderable.
    """
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    labelled = report["kind"] == "labelled"
    parts = [_label_balance(report) if labelled else _sizes(report)]

    names = ["min", "mean", *(f"p{p}" for p in PERCENTILES), "max"]
    lengths = _table("Lengths", "split", "in", *names)
    units = {"words": "words", "characters": "characters"}
    if not labelled:
        units = {"words a line": "line_words", "characters a line": "line_characters"}
        units["lines a document"] = "document_lines"
    for (split, facts), (unit, key) in itertools.product(report["splits"].items(), units.items()):
        lengths.add_row(split, unit, *(f"{facts[key][name]:,.0f}" if facts[key] else "–" for name in names))
    parts.append(lengths)

    duplicates = report["duplicates"]
    what = "rows" if labelled else "lines"
    copies = _table("Duplicate texts" if labelled else "Duplicate lines", "where", what)
    for split, rows in duplicates["within"].items():
        copies.add_row(f"repeated within {split}", f"{rows:,}")
    for pair in duplicates["across"]:
        copies.add_row(f"{pair['split']} {what} also in {pair['also_in']}", f"{pair['rows']:,}")
    if labelled:
        copies.add_row("texts with more than one label", f"{duplicates['conflicting']:,}")
    parts.append(copies)

    if report.get("tokens"):
        keys = list(dict.fromkeys(key for facts in report["tokens"].values() for key in _flat(facts)))
        tokens = _table("Tokens", "", *report["tokens"])
        for key in keys:
            tokens.add_row(key, *(_number(_flat(facts).get(key)) for facts in report["tokens"].values()))
        parts.append(tokens)
    shown = Table(title="Examples", title_justify="left", show_lines=True)
    shown.add_column("label" if labelled else "split")
    shown.add_column("text", overflow="fold")
    for name, texts in report["examples"].items():
        for text in texts:
            shown.add_row(Text(name), Text(text))  # Text: brackets in the data are no markup
    return Group(*parts, shown)


def _table(title: str, *columns):
    """An empty table, its first column flush left and the others right."""
    from rich.table import Table

    made = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        made.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    return made


def _sizes(report: dict):
    """Table of documents, lines, words and characters of every split."""
    columns = ["documents", "lines", "blank_lines", "words", "characters"]
    sizes = _table("Sizes", "split", *(column.replace("_", " ") for column in columns))
    for split, facts in report["splits"].items():
        sizes.add_row(split, *(f"{facts[column]:,}" for column in columns))
    return sizes


def _label_balance(report: dict):
    """Table of the labels of every split."""
    from rich.text import Text

    splits = report["splits"]
    labels = sorted(set(itertools.chain.from_iterable(facts["labels"] for facts in splits.values())))
    balance = _table("Label balance", "split", "examples", *map(Text, labels), "empty texts")
    for split, facts in splits.items():
        counts = [facts["labels"].get(label, 0) for label in labels]
        shares = [f"{count:,} ({count / max(1, facts['examples']):.1%})" for count in counts]
        balance.add_row(split, f"{facts['examples']:,}", *shares, f"{facts['empty_texts']:,}")
    return balance


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
