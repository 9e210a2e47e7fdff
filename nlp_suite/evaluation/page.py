"""Building blocks of a self-contained HTML page: text is escaped, pictures are inline, nothing is loaded or run."""

import html
import re
from dataclasses import dataclass

from nlp_suite.evaluation.plots import COLORS


class Html(str):
    """Markup that is already safe; any other string is escaped before it is shown."""


@dataclass(frozen=True)
class Section:
    """One part of a report.

    Args:
        title: heading, plain text.
        html: content, made of this module's blocks.
        lead: one sentence under the heading, plain text.
    """

    title: str
    html: Html
    lead: str = ""


@dataclass(frozen=True)
class Tile:
    """One number at the head of a report: its name, its value and a remark that helps to read it."""

    name: str
    value: str
    remark: str = ""


def escape(text) -> Html:
    """Text as HTML; characters that HTML forbids (controls, lone surrogates) become U+FFFD."""
    if isinstance(text, Html):
        return text
    text = re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]", "\ufffd", str(text))
    return Html(html.escape(text))


def join(*parts) -> Html:
    """Blocks one after the other."""
    return Html("\n".join(escape(part) for part in parts if part))


def table(header: list, rows: list[list], total: bool = False) -> Html:
    """A table whose first column names the rows; the others hold numbers, aligned on the right.

    Args:
        header: column names; the first one is that of the rows.
        rows: cells as `str` (escaped) or `Html`.
        total: set the last row apart.
    """
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    lines = []
    for i, (first, *others) in enumerate(rows):
        kind = ' class="total"' if total and i == len(rows) - 1 else ""
        cells = "".join(f"<td>{escape(cell)}</td>" for cell in others)
        lines.append(f'<tr{kind}><th scope="row" dir="auto">{escape(first)}</th>{cells}</tr>')
    body = "\n".join(lines)
    return Html(f'<div class="scroll"><table><thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody></table></div>')


def bar(share: float, text: str) -> Html:
    """A table cell's number with a bar of that share (0 to 1) under it."""
    return Html(f'<span class="bar" style="--share:{min(max(share, 0), 1):.3f}">{escape(text)}</span>')


def details(summary: str, content) -> Html:
    """Content that is folded away until it is asked for."""
    return Html(f"<details><summary>{escape(summary)}</summary>\n{escape(content)}\n</details>")


def code(text: str) -> Html:
    """A block of code."""
    return Html(f"<pre><code>{escape(text)}</code></pre>")


def excerpt(text: str, start: int = 280, limit: int = 20_000) -> Html:
    """A text as it is if short; else its beginning, and the rest on demand (`limit` characters in all)."""
    if len(text) <= start:
        return Html(f'<p class="text" dir="auto">{escape(text)}</p>')
    cut = text.rfind(" ", start // 2, start)
    cut = start if cut < 0 else cut
    rest: str = escape(text[cut:limit])
    if len(text) > limit:
        rest += f' <span class="muted">… ({len(text) - limit:,} more characters)</span>'
    return Html(
        f'<details class="text" dir="auto"><summary>{escape(text[:cut])}'
        f'<span class="more">&nbsp;…&nbsp;more</span></summary>'
        f"{rest}</details>"
    )


def columns(*blocks) -> Html:
    """Blocks side by side where the screen is wide enough."""
    return Html('<div class="columns">' + "\n".join(f"<div>{escape(b)}</div>" for b in blocks if b) + "</div>")


def picture(svg: bytes, description: str, caption: str = "") -> Html:
    """An SVG of `plots`, inline, in the page's own colours so that it follows light and dark.

    Args:
        svg: drawn in `plots.COLORS`.
        description: what it shows, for those who do not see it.
        caption: a sentence under it, plain text.
    """
    text = svg.decode("utf-8")
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    used = set(re.findall(r'(?:url\(|href=")#([^")]+)', text))
    text = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", text)  # ids are unique in a page
    width = float(re.search(r'viewBox="0 0 ([\d.]+)', text)[1])  # type: ignore[index]  # `plots` always writes one
    text = re.sub(
        r"<svg[^>]*?viewBox=\"([^\"]+)\"[^>]*>",
        lambda m: f'<svg viewBox="{m[1]}" role="img" aria-label="{escape(description)}">',
        text,
        count=1,
    )
    text = re.sub(r"('[^']+',? ?)+sans-serif", "var(--font)", text)
    for name, color in COLORS.items():
        text = text.replace(color, f"var(--{name})")
    wide = f' class="wide" style="--width:{width:.0f}px"' if width > 400 else ""
    under = f"<figcaption>{escape(caption)}</figcaption>" if caption else ""
    return Html(f'<figure{wide}><div class="scroll">{text.strip()}</div>{under}</figure>')


def page(title: str, subtitle: str, tiles: list[Tile], sections: list[Section], style: str = "") -> str:
    """The whole page: heading, the main numbers, then the sections; `style` is CSS beyond that of this module."""
    cards = "\n".join(
        f'<div class="tile"><dt>{escape(t.name)}</dt><dd>{escape(t.value)}</dd>'
        f'<dd class="remark">{escape(t.remark)}</dd></div>'
        for t in tiles
    )
    parts = []
    for section in sections:
        lead = f'<p class="lead">{escape(section.lead)}</p>\n' if section.lead else ""
        parts.append(f"<section>\n<h2>{escape(section.title)}</h2>\n{lead}{escape(section.html)}\n</section>")
    body = "\n".join(parts)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<title>{escape(title)}</title>
<style>{_style()}{style}</style>
</head>
<body>
<header>
<h1 dir="auto">{escape(title)}</h1>
<p class="lead">{escape(subtitle)}</p>
<dl class="tiles">
{cards}
</dl>
</header>
<main>
{body}
</main>
</body>
</html>
"""


LIGHT = {**COLORS, "page": "#f5f6f8", "card": "#ffffff"}
DARK = {
    "ink": "#e4e9f0",
    "muted": "#9aa7b6",
    "line": "#2e3744",
    "accent": "#7fb0f5",
    "second": "#e59a5c",
    "paper": "#10151c",
    "page": "#10151c",
    "card": "#181f29",
}


def _style() -> str:
    def variables(colors):
        return " ".join(f"--{name}: {color};" for name, color in colors.items())

    return f"""
:root {{ --font: system-ui, "Segoe UI", Roboto, "Noto Sans", sans-serif; {variables(LIGHT)} }}
@media (prefers-color-scheme: dark) {{ :root {{ {variables(DARK)} }} }}
{STYLE}"""


STYLE = """* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 64rem; padding: 2rem 1.25rem 4rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 var(--font); font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0; letter-spacing: -0.01em; }
h2 { font-size: 1.15rem; margin: 0 0 0.25rem; }
.lead, .muted, figcaption { color: var(--muted); }
.lead { margin: 0 0 1rem; font-size: 0.95rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: 0.75rem; margin: 0; }
.tile, section { background: var(--card); border: 1px solid var(--line); border-radius: 0.6rem; }
.tile { padding: 0.75rem 1rem; }
.tile dt { color: var(--muted); font-size: 0.85rem; }
.tile dd { margin: 0; font-size: 1.65rem; font-weight: 650; line-height: 1.25; }
.tile:first-child dt + dd { color: var(--accent); }
.tile .remark { font-size: 0.8rem; font-weight: 400; line-height: 1.35; color: var(--muted); }
section { padding: 1.25rem; margin-top: 1rem; }
section > :last-child { margin-bottom: 0; }
h2 + :not(.lead) { margin-top: 0.75rem; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr));
  gap: 1.25rem 2rem; align-items: start; }
.columns > div { min-width: 0; }
figure { margin: 0; }
figure svg { display: block; width: 100%; max-width: 30rem; height: auto; margin: 0 auto; }
figure.wide svg { min-width: var(--width); max-width: calc(1.25 * var(--width)); }
figcaption { font-size: 0.85rem; margin-top: 0.5rem; }
.wide + .scroll { margin-top: 1.25rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
th, td { padding: 0.4rem 0 0.4rem 0.75rem; border-bottom: 1px solid var(--line); text-align: right;
  vertical-align: top; overflow-wrap: normal; }
th:first-child { text-align: left; padding-left: 0; overflow-wrap: anywhere; min-width: 5rem; }
tbody th { font-weight: 500; }
thead th { color: var(--muted); font-weight: 500; font-size: 0.85rem; }
tbody tr:last-child > * { border-bottom: 0; }
tr.total > * { border-top: 2px solid var(--line); font-weight: 600; }
.bar { display: block; padding-bottom: 4px;
  background: linear-gradient(var(--accent) 0 0) 0 100% / calc(var(--share) * 100%) 3px no-repeat,
    linear-gradient(var(--line) 0 0) 0 100% / 100% 3px no-repeat; }
details { margin-top: 0.75rem; }
summary { cursor: pointer; color: var(--accent); }
p.text, details.text { margin: 0.25rem 0 0; white-space: pre-line; }
details.text summary { color: inherit; list-style: none; display: inline; }
details.text summary::-webkit-details-marker { display: none; }
details[open] > summary > .more { display: none; }
.more { color: var(--accent); white-space: nowrap; }
.mistakes { list-style: none; margin: 0; padding: 0; }
.mistakes > li { padding: 0.75rem 0; border-top: 1px solid var(--line); }
.mistakes > li:last-child { padding-bottom: 0; }
.verdict { color: var(--muted); font-size: 0.85rem; }
.verdict b { color: var(--ink); font-weight: 600; }
.verdict .said { color: var(--second); }
pre { overflow-x: auto; background: var(--page); padding: 1rem; border-radius: 0.4rem; font-size: 0.8rem;
  line-height: 1.45; overflow-wrap: normal; }
.facts { display: grid; grid-template-columns: minmax(5.5rem, max-content) 1fr; gap: 0.3rem 1.25rem; margin: 0;
  font-size: 0.9rem; }
.facts dt { color: var(--muted); }
.facts dd { margin: 0; }
@media (max-width: 30rem) {
  body { padding: 1rem 0.6rem 2rem; }
  section { padding: 1rem 0.85rem; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 0.5rem; }
  .tile:first-child:nth-last-child(odd) { grid-column: span 2; }
  .tile { padding: 0.6rem 0.75rem; }
  .tile dd { font-size: 1.4rem; }
  th, td { padding-left: 0.5rem; }
}
@media print { body { max-width: none; background: none; } section { break-inside: avoid; } }
"""
