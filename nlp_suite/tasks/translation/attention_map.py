"""What a translation looked at: heat maps of attention, source × target, as a block of a report or as a page."""

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

from nlp_suite.evaluation.number_format import share
from nlp_suite.evaluation.page import Html, Section, escape, join, page
from nlp_suite.evaluation.plots import shorten
from nlp_suite.tasks.shared.surprise import visible_html, visible_text

END = "</s>"
SHADES = (0.0, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)  # weights of the legend
MIN_DRAWN = 0.005  # a smaller weight is not drawn
MIN_NUMBERED = 0.095  # from here on, the number stands in the cell
HOW_TO_READ = (
    "Each row is a token that was written; the depth of its cells says how much the decoder attended to the source "
    "tokens above them. Numbers are percent of the row; point at a cell for its exact weight."
)


def attention_map(source_tokens: Sequence[str], target_tokens: Sequence[str], weights) -> Html:
    """A table of attention weights: a column a source token, a row a target token, the colour as deep as the weight.

    It scrolls in its own box, the tokens of both sides staying in sight. A cell of 9.5 % or more holds its number, for
    screen readers as for people; smaller ones from 0.5 % on have a tooltip.

    Args:
        source_tokens: S surface forms; the marks of sub-words (▁ at the beginning of a word, ## inside one) are shown
            paler than the letters, the token `</s>` as "end".
        target_tokens: T surface forms.
        weights: `[T][S]`, each row summing to about 1; a weight that is not a number is taken as 0.

    Raises:
        ValueError: the weights do not fit the tokens.

    Example:
        >>> html = attention_map(["▁a", "▁dog"], ["▁ein", "▁Hund"], [[0.9, 0.1], [0.2, 0.8]])
    """
    if not len(source_tokens) or not len(target_tokens):
        return Html('<p class="muted">There are no tokens to attend to.</p>')
    weights = _checked(source_tokens, target_tokens, weights)  # [T, S]
    columns = "".join(f'<th scope="col" dir="auto"><span>{token_html(token)}</span></th>' for token in source_tokens)
    names = [_name(token) for token in source_tokens]
    lines = []
    for token, row in zip(target_tokens, weights):
        name = _name(token)
        cells = "".join(_cell(float(weight), name, source) for weight, source in zip(row, names))
        lines.append(f'<tr><th scope="row" dir="auto">{token_html(token)}</th>{cells}</tr>')
    body = "\n".join(lines)
    return Html(
        '<div class="scroll look" tabindex="0" role="region" aria-label="Attention of each target token to the source tokens">'
        f'<table class="map"><thead><tr><td></td>{columns}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>'
    )


def attention_page(rows: Sequence[Mapping], title: str = "Attention", limit: int = 200_000) -> str:
    """A whole page of heat maps; it needs no other file, no network and no JavaScript.

    Args:
        rows: `{"source": text, "source_tokens" [S], "hypotheses": list}` a text. A hypothesis, the best first, is
            `{"translation": text, "target_tokens" [T], "weights" [T][S], "score": float}`; the score stands above it
            where there are several.
        title: heading of the page.
        limit: how many cells to draw in all (a drawn cell takes about 80 bytes); of the translations beyond, only the
            texts are shown.

    Returns:
        HTML.

    Raises:
        ValueError: weights that do not fit their tokens.

    Example:
        >>> Path("attention.html").write_text(attention_page(rows), "utf-8")
    """
    sections, cells, count = [Section("How to read", legend(), HOW_TO_READ)], 0, 0
    for row in rows:
        blocks, tokens = [], row["source_tokens"]
        for rank, hypothesis in enumerate(row["hypotheses"], 1):
            cells, count = cells + len(tokens) * len(hypothesis["target_tokens"]), count + 1
            if len(row["hypotheses"]) > 1:
                blocks.append(Html(f'<p class="muted rank">{rank} · score {hypothesis["score"]:.4f}</p>'))
            blocks.append(_block(tokens, hypothesis, cells <= limit))
        sections.append(Section(shorten(str(row["source"]) or "(empty)", 200), join(*blocks)))
    counted = f"{count:,} translation{'' if count == 1 else 's'}"
    return page(title, f"{counted}, and what the decoder looked at", [], sections, STYLE)


def _block(source_tokens, hypothesis: Mapping, drawn: bool) -> Html:
    text = Html(f'<p class="translation" dir="auto">{escape(hypothesis["translation"])}</p>')
    if drawn:
        return join(text, attention_map(source_tokens, hypothesis["target_tokens"], hypothesis["weights"]))
    return join(text, Html('<p class="muted">Not drawn: the page would grow too large.</p>'))


def legend() -> Html:
    """The shades and the weights they stand for."""
    swatches = "".join(f"<i{_shade(weight)}>{weight:.0%}</i>" for weight in SHADES)
    return Html(f'<p class="shades"><span>attention</span>{swatches}</p>')


def token_html(token: str) -> Html:
    """A token as markup: the marks of sub-words pale, what is not text set apart."""
    if token == END:
        return Html('<span class="raw">end</span>')
    if token.startswith("##") and len(token) > 2:
        return Html(f'<span class="mark">##</span>{visible_html(token[2:])}')
    return visible_html(token)


def _name(token: str) -> str:
    """A token for a tooltip: isolated, so that a right-to-left one does not turn the rest round."""
    return f"\u2068{'end' if token == END else visible_text(token)}\u2069"


def _cell(weight: float, target: str, source: str) -> str:
    if weight < MIN_DRAWN:
        return "<td></td>"
    tip = html.escape(f"{target} ← {source} {share(weight, 1)}")
    return f'<td{_shade(weight)} title="{tip}">{round(100 * weight) if weight >= MIN_NUMBERED else ""}</td>'


def _shade(weight: float) -> str:
    """Depth of the colour, a little steeper at the beginning, and a class for cells dark enough for light text."""
    depth = min(weight, 1.0) ** 0.8
    return f' style="--w:{100 * depth:.0f}%"' + (' class="deep"' if depth > 0.68 else "")


def _checked(source_tokens, target_tokens, weights) -> np.ndarray:
    rows = [list(row) for row in weights]
    widths = {len(row) for row in rows}
    if len(rows) != len(target_tokens) or widths != {len(source_tokens)}:
        width = "×".join(map(str, sorted(widths))) if len(widths) == 1 else f"rows of {sorted(widths)}"
        raise ValueError(
            f"attention weights of {len(rows)} rows and {width} columns do not fit {len(target_tokens)} target and "
            f"{len(source_tokens)} source tokens"
        )
    numbers = [[0.0 if v is None or not math.isfinite(v) else float(v) for v in row] for row in rows]
    return np.clip(np.array(numbers), 0.0, None)  # [T, S]


STYLE = """.look { max-height: min(60rem, 90vh); overflow: auto; }
.map { width: auto; border-collapse: separate; border-spacing: 1px; font-size: 0.85rem; margin: 0; }
.map th, .map td { padding: 0; border: 0; white-space: nowrap; vertical-align: middle; }
.map tbody td { width: 1.9rem; min-width: 1.9rem; height: 1.6rem; text-align: center; font-size: 0.7rem;
  color: var(--ink); background: color-mix(in srgb, var(--accent) var(--w, 2%), var(--card));
  print-color-adjust: exact; }
.map td.deep, .shades .deep { color: var(--card); }
.map tbody td:hover { outline: 2px solid var(--second); outline-offset: -1px; }
.map tr:hover th { color: var(--accent); }
.map thead th { vertical-align: bottom; padding: 0 0 0.35rem; min-width: 0; color: var(--ink); }
.map thead span:not(.mark, .raw) { writing-mode: vertical-rl; display: inline-block; max-height: 12rem;
  overflow: hidden; text-align: end; }
.map thead th { text-align: center; position: sticky; top: 0; z-index: 1; background: var(--card); }
.map tbody th, .map thead td { position: sticky; left: 0; z-index: 1; background: var(--card); }
.map thead td { top: 0; z-index: 2; }
.map tbody th { text-align: right; padding: 0 0.5rem 0 0; min-width: 0; max-width: 10rem; overflow: hidden;
  text-overflow: ellipsis; }
.mark { opacity: 0.45; }
.raw { font: 0.8em ui-monospace, monospace; color: var(--muted); }
.translation { margin: 0 0 0.75rem; font-size: 1.05rem; }
.rank { margin: 1.25rem 0 0; font-size: 0.8rem; }
.shades { display: flex; flex-wrap: wrap; margin: 0; font-size: 0.8rem; line-height: 1.4; }
.shades span { color: var(--muted); margin-inline-end: 0.6rem; padding: 0.15em 0; }
.shades i { font-style: normal; padding: 0.15em 0.6em; print-color-adjust: exact;
  background: color-mix(in srgb, var(--accent) var(--w, 0%), var(--card)); }
@media (max-width: 30rem) {
  .map tbody td { width: 1.5rem; min-width: 1.5rem; height: 1.4rem; font-size: 0.65rem; }
  .map tbody th { max-width: 6.5rem; }
}
@media print { .look { max-height: none; overflow: visible; } }
"""
