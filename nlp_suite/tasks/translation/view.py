"""How a report of translations is shown: scores, quality by length, attention, the worst sentences."""

from typing import Any

from nlp_suite.evaluation import plots
from nlp_suite.evaluation.number_format import perplexity, share
from nlp_suite.evaluation.page import Html, Section, Tile, columns, details, escape, join, picture, table
from nlp_suite.evaluation.report import Figure, ReportView, summary_table
from nlp_suite.tasks.translation import attention_map

CURVES = ("bleu", "perplexity", "loss")
STYLE = (
    attention_map.STYLE
    + """.pair { margin: 0; display: grid; grid-template-columns: minmax(5rem, max-content) 1fr; gap: 0.15rem 1rem; }
.pair dt { color: var(--muted); font-size: 0.85rem; }
.pair dd { margin: 0; }
.pair .said { font-weight: 600; }
.looked + .looked { margin-top: 1.75rem; padding-top: 1.25rem; border-top: 1px solid var(--line); }
.looked .scroll { margin-top: 1rem; }
.shades + .looked { margin-top: 1.25rem; }
@media (max-width: 30rem) { .pair { grid-template-columns: 1fr; gap: 0; } .pair dd { margin-bottom: 0.3rem; } }
"""
)


def headline(report: dict) -> list[Tile]:
    """The numbers at the head of the page; under those of sacreBLEU the signature that makes them comparable."""
    tiles = []
    for name, value, remark, signature in _numbers(report):
        marks = "|<wbr>".join(escape(part) for part in signature.split("|"))
        tiles.append(Tile(name, value, Html("<br>".join(filter(None, (escape(remark), marks))))))
    return tiles


def figures(report: dict) -> list[Figure]:
    """The numbers in which runs are compared."""
    return [
        Figure("BLEU", report["bleu"]["score"], "{:.2f}".format, report["bleu"]["interval"]),
        Figure("chrF++", report["chrf"]["score"], "{:.2f}".format),
        Figure("exact match", report["exact_match"], share, highest=1),
        Figure("perplexity per token", report["perplexity_per_token"], perplexity),
    ]


def _numbers(report: dict) -> list[tuple[str, str, str, str]]:
    """Name, value, remark and signature of each number."""
    bleu, lower, chrf, ter = (report[key] for key in ("bleu", "bleu_lowercase", "chrf", "ter"))
    interval = "cased"
    if bleu["interval"]:
        interval += ", 95% interval {:.1f} – {:.1f}".format(*bleu["interval"])
    correct = "next token of the reference is the most probable"
    return [
        ("BLEU", f"{bleu['score']:.2f}", interval, bleu["signature"]),
        ("BLEU, lower-cased", f"{lower['score']:.2f}", "", lower["signature"]),
        ("chrF++", f"{chrf['score']:.2f}", "", chrf["signature"]),
        ("TER", f"{ter['score']:.2f}", "less is better", ter["signature"]),
        ("Exact match", share(report["exact_match"]), "translations that equal their reference", ""),
        ("Perplexity per token", perplexity(report["perplexity_per_token"]), "of the references; 1 is perfect", ""),
        ("Token accuracy", share(report["token_accuracy"]), correct, ""),
    ]


def sections(report: dict) -> list[Section]:
    """BLEU in detail and by length, attention, and the worst sentences, as parts of the page."""
    parts = [_by_length(report)]
    if report["attention"]:
        parts.append(_attention(report["attention"]))
    if report["worst"]:
        parts.append(_worst(report))
    return [*parts, _search(report)]


def _by_length(report: dict) -> Section:
    rows = [
        [row["group"], f"{row['sentences']:,}", f"{row['reference_words']:,}", f"{row['bleu']:.2f}"]
        for row in report["by_length"]
    ]
    overall = report["bleu"]
    rows.append(["all", f"{report['sentences']:,}", f"{overall['reference_words']:,}", f"{overall['score']:.2f}"])
    numbers = table(["source words", "sentences", "reference words", "BLEU"], rows, total=True)
    drawing = picture(
        plots.bleu_by_length(report),
        "BLEU by the number of words in the source, and number of sentences",
        f"Each bar is sacreBLEU of its own sentences. Hollow bars: fewer than {plots.FEW} sentences.",
    )
    return Section("Short and long sentences", columns(drawing, join(numbers, _parts(overall))))


def _parts(bleu: dict) -> Html:
    """What BLEU is made of."""
    ratio = "–" if bleu["length_ratio"] is None else f"{bleu['length_ratio']:.3f}"
    rows = [[f"precision of {n}-grams", f"{value:.1f}%"] for n, value in enumerate(bleu["precisions"], 1)]
    rows.append(["length ratio", f"{ratio} ({bleu['hypothesis_words']:,} of {bleu['reference_words']:,} words)"])
    rows.append(["brevity penalty", f"{bleu['brevity_penalty']:.3f}"])
    return details("What BLEU is made of", table(["part", "value"], rows))


def _attention(rows: list[dict]) -> Section:
    maps = []
    for row in rows:
        drawing = attention_map.attention_map(row["source_tokens"], row["target_tokens"], row["weights"])
        maps.append(f'<div class="looked">\n{_texts(row, row["translation"])}\n{drawing}\n</div>')
    blocks = Html("\n".join(maps))
    return Section("What it looked at", join(attention_map.legend(), blocks), attention_map.HOW_TO_READ)


def _texts(row: dict, translation: str) -> Html:
    lines = [("source", "", row["source"]), ("translation", ' class="said"', translation)]
    if "reference" in row:
        lines.append(("reference", "", row["reference"]))
    return Html(
        '<dl class="pair">'
        + "".join(f'<dt>{name}</dt><dd{kind} dir="auto">{escape(text) or "–"}</dd>' for name, kind, text in lines)
        + "</dl>"
    )


def _search(report: dict) -> Section:
    """How the translations were found, and what of the sources was not read."""
    rows = [[key.replace("_", " "), str(value)] for key, value in report["search"].items()]
    rows.append(["sources cut at the maximum length", f"{report['truncated']:,} of {report['sentences']:,}"])
    return Section("How it was translated", table(["setting", "value"], rows))


def _worst(report: dict) -> Section:
    items = []
    for row in report["worst"]:
        verdict = f'<span class="verdict">chrF++ <b>{row["chrf"]:.1f}</b> · sentence {row["index"] + 1:,}</span>'
        items.append(f"<li>{verdict}{_texts(row, row['hypothesis'])}</li>")
    exact = round(report["exact_match"] * report["sentences"])
    lead = f"{exact:,} of {report['sentences']:,} translations equal their reference; these are the farthest from it."
    return Section("Worst sentences", Html('<ol class="mistakes">\n' + "\n".join(items) + "\n</ol>"), lead)


def terminal(report: dict) -> Any:
    """Tables for the terminal, as a rich renderable."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    numbers = _numbers(report)
    summary = summary_table([(name, value, remark) for name, value, remark, _ in numbers])
    # Signatures stand below, where a terminal of 80 columns holds them whole, as sacreBLEU prints them.
    signatures = "\n".join(f"{name.split(',')[0]}|{signature}" for name, _, _, signature in numbers if signature)
    groups = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    groups.add_column("source words")
    for column in ("sentences", "reference words", "BLEU"):
        groups.add_column(column, justify="right")
    for row in report["by_length"]:
        groups.add_row(row["group"], f"{row['sentences']:,}", f"{row['reference_words']:,}", f"{row['bleu']:.2f}")
    return Group(summary, "", Text(signatures, style="dim", overflow="fold"), groups)


class TranslationView(ReportView):
    """How the report is shown on the page and on the terminal."""

    curves = CURVES
    style = STYLE
    headline = staticmethod(headline)
    figures = staticmethod(figures)
    sections = staticmethod(sections)
    terminal = staticmethod(terminal)

    def compared(self, report: dict) -> dict:
        return {
            "BLEU": lambda figures: f"{figures['bleu']['score']:.2f}",
            "chrF++": lambda figures: f"{figures['chrf']['score']:.2f}",
            "exact match": lambda figures: share(figures["exact_match"]),
        }
