"""Coloured tokens: the colour is the surprise, everything is visible, nothing is markup."""

import math
import re

import pytest

from nlp_suite.tasks.shared import surprise
from nlp_suite.tasks.shared.surprise import bits, coloured, surprise_page, visible, visible_text, words_apart
from tests.evaluation.pages import SCRIPT, check_alone

HOSTILE = [
    SCRIPT, "<img src=x onerror=alert(1)>", '" onclick="alert(1)', "' x='", "&lt;", "\x00", "\x1b[31m", "\ud800",
    "\u202e", "a\u202eb", "\u2066", "\ufeff", "", "x" * 100_000, "</p>", "<br>", "\r", "\v", "\u2028", "]]>",
]  # fmt: skip


def rows(*tokens, log_prob=-1.0):
    return [{"token": token, "log_prob": log_prob, "rank": i + 1} for i, token in enumerate(tokens)]


@pytest.mark.parametrize(
    "token, text",
    [
        ("the", "the"),
        ("▁the", "▁the"),
        ("▁", "▁"),
        (" ", "·"),
        ("\n", "↵"),
        ("</s>", "↵"),
        ("\t", "⇥"),
        ("<0xC3>", "<0xC3>"),
        ("<0x0A>", "<0x0A>"),
        ("<0x61>", "a"),
        ("<0x20>", "·"),
        ("<unk>", "<unk>"),
        ("\x00", "U+0000"),
        ("\u200b", "U+200B"),
        ("\u00a0", "U+00A0"),
        ("\u3000", "U+3000"),
        ("\u202e", "U+202E"),
        ("\ud800", "U+D800"),
        ("\u200d", "U+200D"),
        ("\u0301", "◌\u0301"),
        ("e\u0301", "e\u0301"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("👩\u200d👧", "👩\u200d👧"),
        ("", "empty"),
        ("x" * 81, "x" * 80 + "…"),
    ],
)
def test_every_token_can_be_seen(token, text):
    assert visible_text(token) == text


def test_what_is_not_text_is_set_apart():
    assert visible("▁a\x07b") == [("mark", "▁"), ("text", "a"), ("raw", "U+0007"), ("text", "b")]
    assert surprise.visible_html("▁<b>") == '<span class="mark">▁</span>&lt;b&gt;'


def test_bits():
    assert bits(math.log(1 / 8)) == pytest.approx(3)
    assert bits(0.0) == 0 and bits(1e-9) == 0
    assert bits(-math.inf) == math.inf
    assert bits(None) is None and bits(math.nan) is None


@pytest.mark.parametrize(
    "surprise_in_bits, level", [(0, 0), (0.49, 0), (0.51, 1), (1.5, 2), (5, 5), (13.9, 8), (14.1, 9), (math.inf, 9)]
)
def test_the_colour_grows_with_the_surprise(surprise_in_bits, level):
    html = coloured(rows("a", log_prob=-surprise_in_bits * math.log(2)))
    assert re.findall(r'<i(?: class="h(\d+)")?', html) == [str(level) if level else ""]


def test_the_numbers_of_a_token_are_on_it():
    html = coloured([{"token": "king", "log_prob": math.log(0.125), "rank": 1234}])
    assert 'data-t="\u2068king\u2069 probability 12.5% · 3.00 bits · rank 1,234"' in html
    assert "rank" not in coloured([{"token": "king", "log_prob": -1.0}])
    assert "not known" in coloured([{"token": "king", "log_prob": None}])
    assert "probability 0 · ∞ bits" in coloured([{"token": "king", "log_prob": -math.inf}])


def test_a_line_ends_at_its_end():
    html = coloured(rows("a", "</s>", "b", "</s>"))
    assert html.count("<br>") == 2 and html.index("↵") < html.index("<br>") < html.index(">b<")


def test_words_stand_apart_and_pieces_do_not():
    assert words_apart(rows("the", "king", "</s>"))
    assert words_apart(rows("play", "##ing"))
    assert not words_apart(rows("▁the", "re"))
    assert not words_apart(rows("a", " ", "b"))
    assert not words_apart(rows("<0x61>", "<0x62>"))
    assert not words_apart(rows("良", "い", "</s>", "<unk>"))
    assert coloured(rows("the", "king")).count("</i> <i") == 1
    assert "</i> <i" not in coloured(rows("play", "##ing"))
    assert "</i><wbr><i" in coloured(rows("▁the", "▁king"))


def test_hostile_tokens_are_text(tmp_path):
    path = surprise_page(tmp_path / "a.html", SCRIPT, [{"name": SCRIPT, "tokens": rows(*HOSTILE)}])
    text = path.read_text("utf-8")
    read = check_alone(text)
    assert set(read.tags) <= {
        *("html", "head", "meta", "title", "style", "body", "header", "main", "section", "h1", "h2", "p", "dl", "dt"),
        *("dd", "div", "ol", "li", "span", "b", "i", "br", "wbr"),
    }
    assert {name for name, _ in read.attributes} <= {
        *("lang", "charset", "name", "content", "http-equiv", "dir", "class", "tabindex", "data-t")
    }
    assert read.text.count(SCRIPT.replace(" ", "·")) == 1 and read.text.count(SCRIPT) == 3  # title, h1, name
    assert not re.search("[\x00\x0b\x1b\u202e\u2066\u2028\ud800-\udfff]", text)
    assert len(text) < 20_000


def test_the_page_has_the_numbers_of_each_text_and_of_all(tmp_path):
    half, quarter = rows("a", "b", log_prob=math.log(0.5)), rows("c", "</s>", log_prob=math.log(0.25))
    path = surprise_page(tmp_path / "a.html", "scores", [{"tokens": half}, {"name": "line 7", "tokens": iter(quarter)}])
    read = check_alone(path.read_text("utf-8"))
    for expected in (
        "2 texts · 4 tokens", "text 1 · log-probability −1.39 · 2 tokens · perplexity 2.000 per token",
        "line 7 · log-probability −2.77 · 2 tokens · perplexity 4.000 per token", "−4.16", "1.50", "2.828",
    ):  # fmt: skip
        assert expected in read.text, expected
    assert [p.name for p in tmp_path.iterdir()] == ["a.html"]


def test_no_text_no_token_and_a_probability_of_zero(tmp_path):
    for texts in ([], [{"tokens": []}], [{"tokens": rows("never", log_prob=-math.inf)}]):
        read = check_alone(surprise_page(tmp_path / "a.html", "scores", texts).read_text("utf-8"))
    assert "−∞" in read.text and "> 1,000,000" in read.text


def test_a_token_without_a_log_probability_counts_for_nothing(tmp_path):
    tokens = [*rows("a", log_prob=math.log(0.5)), {"token": "b", "log_prob": None}]
    read = check_alone(surprise_page(tmp_path / "a.html", "scores", [{"tokens": tokens}]).read_text("utf-8"))
    assert "1 token · perplexity 2.000" in read.text


def test_beyond_the_limit_only_numbers_are_shown(tmp_path):
    texts = [{"tokens": rows(*"abc")}, {"tokens": rows(*"def")}, {"tokens": rows("g")}]
    text = surprise_page(tmp_path / "a.html", "scores", texts, limit=4).read_text("utf-8")
    read = check_alone(text)
    assert read.text.count("perplexity 2.718 per token") == 3
    assert text.count("tabindex") == 4
    assert "2 more tokens, not drawn" in read.text and "1 more token, not drawn" in read.text
