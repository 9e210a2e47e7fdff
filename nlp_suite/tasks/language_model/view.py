"""How a report of a language model is shown: perplexities, surprise token by token, next tokens, samples."""

import math
from typing import Any

from nlp_suite.evaluation.number_format import perplexity, share
from nlp_suite.evaluation.page import Html, Section, Tile, bar, escape, join, table
from nlp_suite.evaluation.report import Figure, ReportView, summary_table
from nlp_suite.tasks.language_model.adaptation.report_rows import notes, rows
from nlp_suite.tasks.shared import surprise

CURVES = ("perplexity", "loss")
STYLE = (
    surprise.STYLE
    + """.next { display: grid; grid-template-columns: repeat(auto-fit, minmax(13rem, 1fr)); gap: 1.25rem 2rem; }
.next th, .next td { padding-top: 0.2rem; padding-bottom: 0.2rem; width: 50%; }
.prompt { margin: 0 0 0.25rem; font-size: 0.9rem; white-space: pre-line; }
.sample + .sample { margin-top: 0.75rem; padding-top: 0.75rem; border-top: 1px solid var(--line); }
.sample figcaption { margin: 0 0 0.25rem; }
.sample div { max-height: 20rem; overflow-y: auto; white-space: pre-line; }
.sample b { font-weight: 650; color: var(--accent); }
"""
)


def headline(report: dict) -> list[Tile]:
    """The numbers at the head of the page, each with its unit; how it was evaluated beside the perplexity."""
    if report["tokens"] == report["words"]:
        first = [Tile("Perplexity per word", perplexity(report["perplexity_per_word"]), _words(report))]
    else:
        first = [
            Tile("Perplexity per token", perplexity(report["perplexity_per_token"]), report["context"]),
            Tile(
                "Perplexity per word",
                perplexity(report["perplexity_per_word"]),
                "from the same total; compares vocabularies",
            ),
        ]
    tiles = [
        *first,
        Tile("Bits per character", _number(report["bits_per_character"], 3), "line breaks counted; 0 is perfect"),
        Tile("Cross-entropy", _number(report["cross_entropy"], 4), "nats a token; 0 is perfect"),
    ]
    if report["best_possible"]:
        best = report["best_possible"]
        tiles.append(Tile("Best possible", perplexity(best["perplexity_per_token"]), _excess(best["excess"])))
    remark = "of the tokens; easy to predict, so compare at equal shares"
    return [
        *tiles,
        Tile("Unknown", share(report["unknown_rate"]), remark if report["unknown_rate"] else "of the tokens"),
    ]


def _words(report: dict) -> str:
    return f"{report['context']}; a token is a word or a line's end"


def _excess(excess: float | None) -> str:
    if excess is None:
        return "perplexity per token; this model is far above"
    where = "above" if excess >= 0 else "below: the text is a finite sample"
    return f"perplexity per token; this model is {share(abs(excess))} {where}"


def sections(report: dict) -> list[Section]:
    """The coloured excerpt, next tokens, samples, groups of tokens and what was counted, as parts of the page."""
    parts = []
    if report.get("adapted"):
        parts.append(_adapted(report))
    if report["excerpt"]:
        text = join(surprise.legend(), surprise.coloured(report["excerpt"]))
        parts.append(Section("What surprises it", text, surprise.HOW_TO_READ))
    if report["next_tokens"]:
        tables = Html('<div class="next">\n' + "\n".join(map(_next, report["next_tokens"])) + "\n</div>")
        parts.append(Section("What it expects next", tables, "The most probable tokens after the text above them."))
    if report["samples"]:
        drawn = join(*(_sample(row) for row in report["samples"]))
        parts.append(Section("What it writes", drawn, "The prompt stands out; the rest is the model's."))
    if report["by_frequency"]:
        lead = "Tokens by how often they occur in the training text."
        parts.append(Section("Where the loss comes from", _groups(report["by_frequency"]), lead))
    return [*parts, _counts(report)]


def _adapted(report: dict) -> Section:
    shown = table(_adapted_columns(report), rows(report, compared(report)))
    items = "\n".join(f"<li>{escape(note)}</li>" for note in notes(report))
    return Section("Where it adapts to the text", join(shown, Html(f'<ul class="muted">\n{items}\n</ul>')))


def _adapted_columns(report: dict) -> list[str]:
    return ["", *compared(report), "change per word, 95% interval"]


def _counts(report: dict) -> Section:
    """The same total over each unit."""
    units = {
        "tokens": "token, with the end of each line",
        "words": "word, with the end of each line",
        "characters": "character, with line breaks",
    }
    if report["tokens"] == report["words"]:
        del units["tokens"]
    rows = []
    for key, name in units.items():
        mean = None if report["nll"] is None else report["nll"] / report[key]
        value = None if mean is None or mean > 700 else math.exp(mean)
        bits = None if mean is None else mean / math.log(2)
        rows.append([name, f"{report[key]:,}", _number(mean, 4), _number(bits, 4), perplexity(value)])
    total = "infinite" if report["nll"] is None else f"{report['nll']:,.0f} nats"
    return Section(
        "The same loss, unit by unit",
        table(["unit", "count", "nats each", "bits each", "perplexity"], rows),
        f"The total is {total}. How it was evaluated: {report['context']}.",
    )


def _next(row: dict) -> Html:
    prompt = row["prompt"]
    if prompt:
        shown = f"… {prompt[-120:]}" if len(prompt) > 120 else prompt
        heading = f'<p class="prompt" dir="auto"><b>{escape(shown)}</b> …</p>'
    else:
        heading = '<p class="prompt muted">at the beginning of a text</p>'
    rows = [[surprise.visible_html(n["token"]), bar(n["probability"], share(n["probability"], 1))] for n in row["next"]]
    return Html("<div>" + heading + table(["token", "probability"], rows) + "</div>")


def _sample(row: dict) -> Html:
    prompt = f"<b>{escape(row['prompt'])}</b>" if row["prompt"] else ""
    how = f"<figcaption>{escape(row['how'])}</figcaption>"
    return Html(f'<figure class="sample">{how}<div dir="auto">{prompt}{escape(row["text"])}</div></figure>')


def _groups(rows: list[dict]) -> Html:
    total = sum(row["tokens"] for row in rows)
    lines = []
    for row in rows:
        if not row["tokens"]:
            lines.append([row["group"], "0", "–", "–", "–"])
            continue
        loss_share = row["loss_share"]
        loss = "–" if loss_share is None else bar(loss_share, share(loss_share, 1))
        tokens = bar(row["tokens"] / total, share(row["tokens"] / total, 1))
        lines.append([row["group"], f"{row['tokens']:,}", tokens, perplexity(row["perplexity_per_token"]), loss])
    return table(["times seen", "tokens", "share of tokens", "perplexity per token", "share of the loss"], lines)


def _number(value: float | None, digits: int) -> str:
    return "infinite" if value is None else f"{value:,.{digits}f}"


def terminal(report: dict) -> Any:
    """Tables for the terminal, as a rich renderable."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    parts = [summary_table([(tile.name, tile.value, tile.remark) for tile in headline(report)])]
    if report["by_frequency"]:
        groups = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        groups.add_column("times seen")
        for column in ("tokens", "perplexity per token", "share of the loss"):
            groups.add_column(column, justify="right")
        for row in report["by_frequency"]:
            if row["tokens"]:
                loss = "–" if row["loss_share"] is None else share(row["loss_share"], 1)
                value = perplexity(row["perplexity_per_token"])
                groups.add_row(Text(row["group"]), f"{row['tokens']:,}", value, loss)
        parts += ["", groups]
    if report.get("adapted"):
        first, *others = _adapted_columns(report)
        adapted = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        adapted.add_column(first or "where it adapts to the text")
        for column in others:
            adapted.add_column(column, justify="right")
        for cells in rows(report, compared(report)):
            adapted.add_row(*map(Text, cells))
        parts += ["", adapted, *(Text(note, style="dim") for note in notes(report))]
    return Group(*parts)


def figures(report: dict) -> list[Figure]:
    """The numbers in which runs are compared; those per word and character do not depend on the tokenizer."""
    return [
        Figure("perplexity per word", report["perplexity_per_word"], perplexity),
        Figure("perplexity per token", report["perplexity_per_token"], perplexity),
        Figure("cross-entropy per character", report["bits_per_character"], "{:.3f} bits".format),
    ]


def compared(report: dict) -> dict:
    """The figures in which baselines, and the model where it adapts, are shown beside it."""
    per_token = {"perplexity per token": lambda figures: perplexity(figures["perplexity_per_token"])}
    return {
        **({} if report["tokens"] == report["words"] else per_token),
        "perplexity per word": lambda figures: perplexity(figures["perplexity_per_word"]),
        "bits per character": lambda figures: _number(figures["bits_per_character"], 3),
    }


class LanguageModelView(ReportView):
    """How the report is shown on the page and on the terminal."""

    curves = CURVES
    style = STYLE
    headline = staticmethod(headline)
    figures = staticmethod(figures)
    sections = staticmethod(sections)
    terminal = staticmethod(terminal)

    compared = staticmethod(compared)
