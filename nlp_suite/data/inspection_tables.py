"""The report of an inspection as tables for a terminal."""

import itertools

from nlp_suite.data.corpus_stats import PERCENTILES

UNITS = {  # kind → what a row of the table of lengths counts → key of the report
    "labelled": {"words": "words", "characters": "characters"},
    "text": {
        "words a line": "line_words",
        "characters a line": "line_characters",
        "lines a document": "document_lines",
    },
    "pairs": {
        "words of the source": "source_words",
        "words of the target": "target_words",
        "characters of the source": "source_characters",
        "characters of the target": "target_characters",
        "target words a source word": "length_ratio",
    },
}
SIZES = {  # kind → columns of the table of sizes
    "text": ["documents", "lines", "blank_lines", "words", "characters"],
    "pairs": ["pairs", "empty_sources", "empty_targets", "equal_sides"],
}


def format_inspection(report: dict):
    """The report as tables for a terminal.

    Args:
        report: what `inspect`, `inspect_text` or `inspect_pairs` returns.

    Returns:
        A rich renderable.
    """
    from rich.console import Group

    first = _label_balance(report) if report["kind"] == "labelled" else _sizes(report)
    parts = [first, _lengths(report), _duplicates(report)]
    return Group(*parts, *([_tokens(report["tokens"])] if report.get("tokens") else []), _examples(report))


def _lengths(report: dict):
    names = ["min", "mean", *(f"p{p}" for p in PERCENTILES), "max"]
    lengths = _table("Lengths", "split", "in", *names)
    for (split, facts), (unit, key) in itertools.product(report["splits"].items(), UNITS[report["kind"]].items()):
        form = ",.2f" if key == "length_ratio" else ",.0f"
        lengths.add_row(split, unit, *(f"{facts[key][name]:{form}}" if facts[key] else "–" for name in names))
    return lengths


def _duplicates(report: dict):
    """Table of rows that occur twice: of texts or lines one column, of pairs one for each of their parts."""
    kind, found = report["kind"], report["duplicates"]
    title = {"labelled": "Duplicate texts", "text": "Duplicate lines", "pairs": "Duplicates"}[kind]
    columns = found if kind == "pairs" else {"rows" if kind == "labelled" else "lines": found}
    what = "" if kind == "pairs" else f" {next(iter(columns))}"
    copies = _table(title, "where", *columns)
    first = next(iter(columns.values()))
    for split in first["within"]:
        copies.add_row(f"repeated within {split}", *(f"{column['within'][split]:,}" for column in columns.values()))
    for place, pair in enumerate(first["across"]):
        rows = (f"{column['across'][place]['rows']:,}" for column in columns.values())
        copies.add_row(f"{pair['split']}{what} also in {pair['also_in']}", *rows)
    if kind == "labelled":
        copies.add_row("texts with more than one label", f"{found['conflicting']:,}")
    return copies


def _tokens(statistics: dict):
    tokens = _table("Tokens", "", *statistics)
    for key in dict.fromkeys(key for facts in statistics.values() for key in _flat(facts)):
        tokens.add_row(key, *(_number(_flat(facts).get(key)) for facts in statistics.values()))
    return tokens


def _examples(report: dict):
    from rich.table import Table
    from rich.text import Text

    shown = Table(title="Examples", title_justify="left", show_lines=True)
    shown.add_column("label" if report["kind"] == "labelled" else "split")
    for column in ("source", "target") if report["kind"] == "pairs" else ("text",):
        shown.add_column(column, overflow="fold")
    for name, rows in report["examples"].items():
        for row in rows:
            texts = row if isinstance(row, list) else [row]
            shown.add_row(Text(name), *map(Text, texts))  # Text: brackets in the data are no markup
    return shown


def _table(title: str, *columns):
    """An empty table, its first column flush left and the others right."""
    from rich.table import Table

    made = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        made.add_column(column, justify="left" if i == 0 else "right", overflow="fold")
    return made


def _sizes(report: dict):
    """Table of how much there is in every split."""
    columns = SIZES[report["kind"]]
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
