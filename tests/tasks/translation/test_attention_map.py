"""Heat maps of attention: every weight in its place, every token visible, nothing but markup of ours."""

import re

import numpy as np
import pytest

from nlp_suite.tasks.translation.attention_map import attention_map, attention_page, legend, token_html
from tests.evaluation.pages import SCRIPT, Reader, check_alone

SOURCE, TARGET = ["▁a", "▁d", "og", "</s>"], ["▁ein", "▁Hu", "nd"]
WEIGHTS = [[0.9, 0.1, 0.0, 0.0], [0.001, 0.5, 0.459, 0.04], [0.0, 0.2, 0.2, 0.6]]
BEST = {"translation": "ein Hund", "target_tokens": TARGET, "weights": WEIGHTS, "score": -0.5}
ROW = {"source": "a dog", "source_tokens": SOURCE, "hypotheses": [BEST]}


class Cells(Reader):
    """A table as rows of cells: the text of each, and its tooltip."""

    def __init__(self, text):
        self.rows = []
        super().__init__(text)

    def handle_starttag(self, tag, attributes):
        super().handle_starttag(tag, attributes)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append(["", dict(attributes).get("title")])

    def handle_data(self, data):
        super().handle_data(data)
        if self.rows and set(self.open) & {"td", "th"}:
            self.rows[-1][-1][0] += data


def test_a_row_a_target_token_and_a_column_a_source_token():
    rows = Cells(attention_map(SOURCE, TARGET, WEIGHTS)).rows
    assert [cell[0] for cell in rows[0]] == ["", "▁a", "▁d", "og", "end"]
    assert [[cell[0] for cell in row] for row in rows[1:]] == [
        ["▁ein", "90", "10", "", ""],
        ["▁Hu", "", "50", "46", ""],
        ["nd", "", "20", "20", "60"],
    ]
    assert rows[2][4][1] == "\u2068▁Hu\u2069 ← \u2068end\u2069 4.0%"  # too small to be written, not to be told
    assert rows[1][1][1] == "\u2068▁ein\u2069 ← \u2068▁a\u2069 90.0%"
    assert rows[2][1][1] is None  # 0.1 %


def test_the_colour_is_as_deep_as_the_weight():
    depths = [
        float(d) for d in re.findall(r"--w:(\d+)%", attention_map(["s"] * 5, ["t"], [[0.05, 0.2, 0.5, 0.8, 1.0]]))
    ]
    assert depths == sorted(depths) and depths[0] < 15 and depths[-1] == 100
    assert attention_map(["s"], ["t"], [[1.0]]).count("deep") == 1 and "deep" not in attention_map(
        ["s"], ["t"], [[0.3]]
    )
    assert legend().count("<i") == 7


def test_arrays_and_broken_weights():
    assert attention_map(SOURCE, TARGET, np.array(WEIGHTS)) == attention_map(SOURCE, TARGET, WEIGHTS)
    text = attention_map(["a", "b", "c"], ["d"], [[float("nan"), None, 1.0000001]])
    assert "nan" not in text and "None" not in text and "100" in Cells(text).rows[1][3][0]


@pytest.mark.parametrize(
    "weights, message",
    [
        (WEIGHTS[:2], "2 rows and 4 columns do not fit 3 target and 4 source"),
        (np.transpose(WEIGHTS), "4 rows and 3 columns"),
        ([[1.0], [0.5, 0.5], [1.0]], r"3 rows and rows of \[1, 2\] columns"),
    ],
)
def test_weights_that_do_not_fit_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        attention_map(SOURCE, TARGET, weights)


@pytest.mark.parametrize(
    "token, shown",
    [
        ("▁dog", '<span class="mark">▁</span>dog'),
        ("##ing", '<span class="mark">##</span>ing'),
        ("##", "##"),
        ("</s>", '<span class="raw">end</span>'),
        ("<unk>", '<span class="raw">&lt;unk&gt;</span>'),
        ("<0xC3>", '<span class="raw">&lt;0xC3&gt;</span>'),
        (" ", '<span class="mark">·</span>'),
        ("<B>", "&lt;B&gt;"),
    ],
)
def test_tokens_are_shown_as_they_are(token, shown):
    assert token_html(token) == shown


def test_the_page_stands_alone():
    nothing = {"translation": "", "target_tokens": [], "weights": [], "score": 0.0}
    empty = {"source": "", "source_tokens": [], "hypotheses": [nothing]}
    read = check_alone(attention_page([ROW, empty], title="Two"))
    for expected in ("Two", "2 translations", "a dog", "ein Hund", "(empty)", "no tokens to attend to", "How to read"):
        assert expected in read.text, expected
    assert read.tags.count("table") == 1 and "score" not in read.text
    assert ("tabindex", "0") in read.attributes and ("role", "region") in read.attributes  # scrolls by keyboard
    assert ("scope", "col") in read.attributes and ("scope", "row") in read.attributes


def test_every_hypothesis_has_its_map_the_best_first():
    other = {"translation": "der Hund", "target_tokens": ["▁der"], "weights": [[0.7, 0.1, 0.1, 0.1]], "score": -1.25}
    read = check_alone(attention_page([{**ROW, "hypotheses": [BEST, other]}]))
    shown = [
        read.text.index(part) for part in ("a dog", "1 · score -0.5000", "ein Hund", "2 · score -1.2500", "der Hund")
    ]
    assert shown == sorted(shown) and "2 translations" in read.text
    assert read.tags.count("table") == 2 and read.text.count("a dog") == 1 and read.text.count("▁der") == 1
    assert check_alone(attention_page([{**ROW, "hypotheses": [BEST, other]}], limit=15)).tags.count("table") == 1


def test_a_page_of_nothing():
    assert "0 translations" in check_alone(attention_page([])).text


def test_a_page_does_not_grow_without_end():
    read = check_alone(attention_page([ROW] * 5, limit=30))
    assert read.tags.count("table") == 2 and read.text.count("Not drawn") == 3 and read.text.count("ein Hund") == 5


def test_everything_from_outside_is_escaped():
    each = {
        "translation": SCRIPT,
        "target_tokens": ["' x='", "\x00", "\u202e"],
        "weights": [[0.4, 0.3, 0.3]] * 3,
        "score": 0.0,
    }
    row = {"source": SCRIPT, "source_tokens": [SCRIPT, '" onclick="x', "\ud800"], "hypotheses": [each]}
    read = check_alone(attention_page([row], title=SCRIPT))
    assert read.text.count(SCRIPT) == 4  # title twice, source, translation
    assert {name for name, _ in read.attributes} <= {
        *("lang", "charset", "name", "content", "http-equiv", "dir", "class", "style", "tabindex", "title", "role"),
        *("aria-label", "scope"),
    }
