"""Tables for a terminal, of which the kinds of corpora make their reports."""

import itertools
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nlp_suite.data.corpus_stats import PERCENTILES

if TYPE_CHECKING:
    from rich.table import Table

Report = Mapping[str, Any]


def numbers_table(title: str, *columns: Any) -> "Table":
    """An empty table, its first column flush left and the others right."""
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    return table


def sizes_table(report: Report, *keys: str) -> "Table":
    """How much there is in every split: the counts called `keys` in a report of `inspect`."""
    table = numbers_table("Sizes", "split", *(key.replace("_", " ") for key in keys))
    for split, facts in report["splits"].items():
        table.add_row(split, *(f"{facts[key]:,}" for key in keys))
    return table


def lengths_table(report: Report, units: Mapping[str, str], decimals: Mapping[str, int] | None = None) -> "Table":
    """Distributions of lengths in every split.

    Args:
        report: of `inspect`.
        units: what is counted, for people → the report's key of its `figures`.
        decimals: of a key's numbers; default: none.
    """
    names = ["min", "mean", *(f"p{p}" for p in PERCENTILES), "max"]
    table = numbers_table("Lengths", "split", "in", *names)
    for (split, facts), (unit, key) in itertools.product(report["splits"].items(), units.items()):
        digits = (decimals or {}).get(key, 0)
        table.add_row(split, unit, *(f"{facts[key][name]:,.{digits}f}" if facts[key] else "–" for name in names))
    return table


def duplicates_table(title: str, columns: Mapping[str, Mapping[str, Any]], unit: str = "") -> "Table":
    """Rows that occur twice, within a split and across splits.

    Args:
        title: of the table.
        columns: what is compared → what `duplicates` found.
        unit: what a row is called in "train … also in test", where there is one column.
    """
    table = numbers_table(title, "where", *columns)
    first, space = next(iter(columns.values())), " " if unit else ""
    for split in first["within"]:
        table.add_row(f"repeated within {split}", *(f"{column['within'][split]:,}" for column in columns.values()))
    for i, pair in enumerate(first["across"]):
        rows = (f"{column['across'][i]['rows']:,}" for column in columns.values())
        table.add_row(f"{pair['split']}{space}{unit} also in {pair['also_in']}", *rows)
    return table


def near_copies_table(found: Mapping[str, Any]) -> "Table":
    """Texts of other splits that have a near copy in training, of `nlp_suite.data.near_copies.inspected`, with an example."""
    from rich.text import Text

    title = f"Near copies in training (similarity {found['similarity']:g} or more)"
    table = numbers_table(title, "split", "texts", "share", "such as", "in training")
    for split, count in found["texts"].items():
        pair = next(iter(found["examples"][split]), {"text": "", "train": ""})
        table.add_row(split, f"{count:,}", f"{found['shares'][split]:.1%}", Text(pair["text"]), Text(pair["train"]))
    return table


def tokens_tables(report: Report) -> list["Table"]:
    """A table of the token statistics of every split; none where the corpus was not prepared yet."""
    statistics = report.get("tokens")
    if not statistics:
        return []
    flat = {split: _flat(facts) for split, facts in statistics.items()}
    table = numbers_table("Tokens", "", *statistics)
    for key in dict.fromkeys(key for facts in flat.values() for key in facts):
        table.add_row(key, *(_number(facts.get(key)) for facts in flat.values()))
    return [table]


def examples_table(report: Report, group: str, *columns: str) -> "Table":
    """The examples that a report shows.

    Args:
        report: of `inspect`; its `examples` are lists by group, of texts or of lists of texts.
        group: heading of the column of the groups.
        columns: headings of the texts of an example.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(title="Examples", title_justify="left", show_lines=True)
    table.add_column(group)
    for column in columns:
        table.add_column(column, overflow="fold")
    for name, rows in report["examples"].items():
        for row in rows:
            texts = row if isinstance(row, list) else [row]
            table.add_row(Text(name), *map(Text, texts))  # Text: brackets in the data are no markup
    return table


def token_statistics_table(unit: str, statistics: Mapping[str, Mapping[str, Any]], of: str = "split") -> "Table":
    """Statistics of `text_statistics`, a row a split (or what `of` says); `unit`: what the texts are called."""
    from rich.table import Table

    table = Table(of, unit, "tokens", "unknown", "median length", "95 %", "longest", "truncated texts")
    for name, facts in statistics.items():
        length = facts["full_length"]
        numbers = (f"{facts['texts']:,}", f"{facts['tokens']:,}", f"{facts['unknown_rate']:.2%}")
        lengths = (f"{length['p50']:,}", f"{length['p95']:,}", f"{length['max']:,}", f"{facts['truncated_share']:.1%}")
        table.add_row(name, *numbers, *lengths)
    return table


def _flat(facts: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested facts as `outer.inner` keys; label counts have their own table."""
    flat: dict[str, Any] = {}
    for key, value in facts.items():
        if isinstance(value, dict) and key != "labels":
            flat |= _flat(value, f"{prefix}{key}.")
        elif not isinstance(value, dict):
            flat[prefix + key] = value
    return flat


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return "–" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
