"""Text coloured by surprise, token by token: a block of a report, or a page (`nlp-suite score --html`).

The surprise of a token is its negative log-probability in bits: 1 bit is a coin's toss, 10 bits one chance in 1,024.
"""

import math
import re
import unicodedata
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

from nlp_suite.evaluation.number_format import perplexity, probability
from nlp_suite.evaluation.page import Html, Section, Tile, escape, page
from nlp_suite.files import write_file

END = "</s>"
LEVELS = (0.5, 1, 2, 3, 4, 6, 8, 11, 14)  # bits from which on a token is coloured more strongly
MAX_TOKEN_CHARACTERS = 80  # characters of a token that are drawn
SIGNS = {" ": "·", "\n": "↵", "\t": "⇥", END: "↵"}
JOINERS = "\u200c\u200d"  # they shape letters and emoji; invisible only when they stand alone
BYTE = re.compile("<0x([0-9A-F]{2})>")


def visible(token: str) -> list[tuple[str, str]]:
    """A token as parts that can all be seen: `("text" | "mark" | "raw", characters)`.

    White space and the sub-word mark ▁ become signs (`mark`); control, format and lone surrogate characters become
    their code points, such as `U+200B` (`raw`); bytes and special tokens stay as they are (`raw`), except bytes that
    are printable ASCII; a combining character at the beginning gets a dotted circle to stand on.

    Example:
        >>> visible("▁in")
        [('mark', '▁'), ('text', 'in')]
    """
    if token in SIGNS:
        return [("mark", SIGNS[token])]
    byte = BYTE.fullmatch(token)
    if byte and 0x20 <= int(byte[1], 16) < 0x7F:
        return visible(chr(int(byte[1], 16)))
    if not token or byte or re.fullmatch(r"<[a-z]+>|\[[A-Z]+\]", token):
        return [("raw", token or "empty")]
    parts: list[tuple[str, str]] = []
    for i, c in enumerate(token[:MAX_TOKEN_CHARACTERS]):
        kind = unicodedata.category(c)
        if c == "▁" or c in SIGNS:
            piece = "mark", SIGNS.get(c, c)
        elif kind in ("Cc", "Cf", "Cs", "Zs", "Zl", "Zp") and not (c in JOINERS and 0 < i < len(token) - 1):
            piece = "raw", f"U+{ord(c):04X}"
        else:
            piece = "text", f"◌{c}" if i == 0 and kind[0] == "M" else c
        if parts and parts[-1][0] == piece[0] == "text":
            parts[-1] = "text", parts[-1][1] + piece[1]
        else:
            parts.append(piece)
    return [*parts, ("mark", "…")] if len(token) > MAX_TOKEN_CHARACTERS else parts


def visible_text(token: str) -> str:
    """A token as plain text in which everything can be seen."""
    return "".join(text for _, text in visible(token))


def visible_html(token: str) -> Html:
    """A token as markup, with what is not text set apart."""
    return Html(
        "".join(
            escape(t) if kind == "text" else f'<span class="{kind}">{escape(t)}</span>' for kind, t in visible(token)
        )
    )


def bits(log_prob: float | None) -> float | None:
    """Surprise in bits of a log-probability in nats; infinite for a probability of 0, None if it is not known."""
    if log_prob is None or math.isnan(log_prob):
        return None
    return max(-log_prob / math.log(2), 0.0)


def coloured(tokens: Sequence[dict], spaced: bool | None = None) -> Html:
    """A text whose tokens stand on a colour as strong as their surprise, with the numbers on hover and on focus.

    Args:
        tokens: `{"token", "log_prob", "rank"}` in order, as in `language_model_report`; `rank` may be missing. The
            token `</s>` ends a line.
        spaced: set a space between tokens; by default where they are words (see `words_apart`).
    """
    spaced = words_apart(tokens) if spaced is None else spaced
    pieces = []
    for i, row in enumerate(tokens):
        token, surprise = row["token"], bits(row["log_prob"])
        level = bisect_right(LEVELS, surprise) if surprise is not None else 0
        chosen = f' class="h{level}"' if level else ""
        before = ""
        if i and spaced and token != END and not token.startswith("##"):
            before = " "
        elif i and token.startswith(("▁", " ")):
            before = "<wbr>"
        after = "<br>" if token in (END, "\n") else "<wbr>" if token == " " else ""
        tip = escape(_tip(token, row["log_prob"], row.get("rank")))
        pieces.append(f'{before}<i{chosen} tabindex="0" data-t="{tip}">{visible_html(token)}</i>{after}')
    return Html(f'<p class="surprise" dir="auto">{"".join(pieces)}</p>')


def words_apart(tokens: Iterable[dict]) -> bool:
    """Whether tokens are words, which had white space between them: none holds a space, a ▁ or a byte, some are long."""
    names = [row["token"] for row in tokens if row["token"] not in (END, "<unk>")]
    if any("▁" in name or " " in name or BYTE.fullmatch(name) for name in names):
        return False
    return any(len(name) > 1 for name in names)


def _tip(token: str, log_prob: float | None, rank: int | None) -> str:
    name = f"\u2068{visible_text(token)}\u2069"  # isolated: a right-to-left token does not turn the numbers round
    surprise = bits(log_prob)
    if log_prob is None or surprise is None:
        return f"{name} probability not known"
    place = "" if rank is None else f" · rank {rank:,}"
    chance = "0" if math.isinf(surprise) else probability(log_prob)
    return f"{name} {'end of line · ' if token == END else ''}probability {chance} · {_number(surprise)} bits{place}"


def legend() -> Html:
    """The colours and the bits they stand for."""
    names = [
        f"under {LEVELS[0]:g}",
        *(f"{low:g}–{high:g}" for low, high in pairwise(LEVELS)),
        f"{LEVELS[-1]:g} or more",
    ]
    swatches = "".join(f'<i class="h{level}">{name}</i>' for level, name in enumerate(names))
    return Html(f'<p class="legend"><span>surprise in bits</span>{swatches}</p>')


def surprise_page(path: str | Path, title: str, texts: Iterable[dict], limit: int = 50_000) -> Path:
    """Writes a page that shows several texts token by token; it needs no other file, no network and no JavaScript.

    Args:
        path: the HTML file; its folder must exist.
        title: heading of the page.
        texts: `{"tokens": [{"token", "log_prob", "rank"}, …], "name": …}`; `name` may be missing: texts are numbered.
            A token whose `log_prob` is None (only read, not predicted) is shown without colour and not counted.
        limit: how many tokens to draw in all (about 130 bytes each); of the texts beyond, only the numbers are shown.

    Returns:
        The path.
    """
    texts = [{**text, "tokens": list(text["tokens"])} for text in texts]
    spaced = words_apart(row for text in texts for row in text["tokens"])
    items, drawn, total, count = [], 0, 0.0, 0
    for i, text in enumerate(texts):
        tokens, shown = text["tokens"], text["tokens"][: max(limit - drawn, 0)]
        scored = [value for row in tokens if (value := bits(row["log_prob"])) is not None]
        drawn, total, count = drawn + len(shown), total + sum(scored), count + len(scored)
        left = len(tokens) - len(shown)
        rest = f'<p class="muted">… {left:,} more {"token" if left == 1 else "tokens"}, not drawn</p>' if left else ""
        items.append(
            f'<li><span class="verdict"><b dir="auto">{escape(text.get("name", f"text {i + 1:,}"))}</b> · '
            f"{escape(_numbers(scored))}</span>{coloured(shown, spaced) if shown else ''}{rest}</li>"
        )
    tiles = [Tile("Log-probability", _number(-total * math.log(2)), "nats, of all texts together")]
    if count:
        tiles = [Tile("Perplexity per token", _perplexity(total / count), "1 is certainty"), *tiles]
        tiles.append(Tile("Surprise", _number(total / count), "bits a token"))
    listed = Html(f'{legend()}\n<ol class="mistakes">\n' + "\n".join(items) + "\n</ol>")
    subtitle = f"{_counted(len(texts), 'text')} · {_counted(count, 'token')}"
    path = Path(path)
    write_file(path, page(title, subtitle, tiles, [Section("Token by token", listed, HOW_TO_READ)], STYLE))
    return path


def _numbers(scored: list[float]) -> str:
    """Numbers of one text from the bits of its tokens."""
    text = f"log-probability {_number(-sum(scored) * math.log(2))} · {_counted(len(scored), 'token')}"
    return f"{text} · perplexity {_perplexity(sum(scored) / len(scored))} per token" if scored else text


HOW_TO_READ = (
    "The stronger the colour, the less the model expected the token. Point at a token, or tap it, for its numbers."
)


def _counted(count: int, name: str) -> str:
    return f"{count:,} {name}" if count == 1 else f"{count:,} {name}s"


def _number(value: float) -> str:
    return f"{value:,.2f}".replace("-", "−").replace("inf", "∞")


def _perplexity(mean_bits: float) -> str:
    return perplexity(2.0**mean_bits if mean_bits < 1000 else None)


STYLE = """:root { --heat: 180 88 28; --most: 0.7; }
@media (prefers-color-scheme: dark) { :root { --heat: 229 154 92; --most: 0.5; } }
.surprise { position: relative; margin: 0.5rem 0 0; line-height: 1.8; }
.surprise i, .legend i { --h: 0; font-style: normal; padding: 0.15em 0; border-radius: 0.2em;
  background: rgb(var(--heat) / calc(var(--h) * var(--most))); box-shadow: inset 1px 0 var(--card);
  box-decoration-break: clone; -webkit-box-decoration-break: clone; print-color-adjust: exact; }
LEVELS
.surprise i:hover, .surprise i:focus { outline: 2px solid var(--accent); }
.surprise i:hover::after, .surprise i:focus::after { content: attr(data-t); display: block; position: absolute;
  z-index: 2; width: max-content; max-width: 100%; margin-top: 0.2rem; padding: 0.2rem 0.6rem; border-radius: 0.3rem;
  background: var(--ink); color: var(--card); font-size: 0.85rem; line-height: 1.4; direction: ltr;
  pointer-events: none; }
.surprise i:focus:not(:hover)::after { z-index: 1; }
.mark { opacity: 0.45; }
.raw { font: 0.75em ui-monospace, monospace; outline: 1px dotted var(--muted); outline-offset: -1px; padding: 0 0.15em; }
.legend { position: sticky; top: 0; z-index: 3; display: flex; flex-wrap: wrap; gap: 0.2rem 0; margin: 0;
  padding: 0.4rem 0; background: var(--card); font-size: 0.8rem; line-height: 1.4; }
.legend span { color: var(--muted); margin-inline-end: 0.6rem; }
.legend i { padding: 0.15em 0.5em; }
""".replace(
    "LEVELS", "\n".join(f"i.h{i} {{ --h: {(i / len(LEVELS)) ** 1.3:.2f}; }}" for i in range(1, len(LEVELS) + 1))
)
