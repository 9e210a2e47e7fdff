"""Each step of normalisation."""

import pytest

from nlp_suite.config import TextSettings
from nlp_suite.errors import TextError
from nlp_suite.text.stop_words import LISTS
from nlp_suite.text.text_layer import TextLayer
from tests.text.tokenizer_checks import trained


def normalise(text, **settings):
    return trained("byte", **settings).normalise([text])[0]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("A<br /><br />B", "a b"),
        ("A<BR>B<br/>C</p>D<a href='x'>E", "a b c d e"),
        ("1 < 2 > 1 <3 <- a", "1 < 2 > 1 <3 <- a"),
        ("never closed <br", "never closed <br"),
        (" \t a \n\n b\u00a0\u3000c\u2028 ", "a b c"),
        ("\ufeffa\x00b", "a b"),
        (b"a\xffb", "a\ufffdb"),
        ("Straße ÄÖÜ ΟΔΟΣ", "straße äöü οδος"),
        ("e\u0301", "é"),
        ("ﬁ", "ﬁ"),
    ],
)
def test_default(text, expected):
    assert normalise(text) == expected


def test_switches():
    assert normalise("A<br />B", lowercase=False) == "A B"
    assert normalise("A<br />B", strip_html=False) == "a<br />b"
    assert normalise("ﬁ ™ Ａ", unicode_form="NFKC") == "fi tm a"
    assert normalise("é", unicode_form="NFD") == "e\u0301"
    assert normalise("E\u0301", unicode_form="none") == "e\u0301"


@pytest.mark.parametrize(
    "text, expected",
    [
        (" A  b\t\r\n\u00a0C\u2028 ", " a  b\t\r\n\u00a0c\u2028 "),
        ("\ufeffa\x00\x00b", "a  b"),
        ("a <br />\n b", "a  \n b"),
        (b"a\xff  b ", "a\ufffd  b "),
        ("E\u0301 ", "é "),
        ("   ", "   "),
        ("", ""),
    ],
)
def test_white_space_is_kept_where_it_is_not_collapsed(text, expected):
    assert normalise(text, collapse_spaces=False) == expected


def test_what_was_there_before_stays_so():
    """`invisible: keep` and `strip_html: tags`, as runs of earlier versions have it: see `recorded_text`."""
    before = {"invisible": "keep", "strip_html": "tags"}
    assert normalise("\ufeffa\x00\x00b\u200bc\x01", collapse_spaces=False, **before) == "\ufeffa  b\u200bc\x01"
    assert normalise("x <y and z> w &amp; <!-- v -->", **before) == "x w &amp; <!-- v -->"
    assert normalise("a <K>b\u0338 <", **before) == "a b\u0338 <"


def test_stop_words_leave_their_spaces_where_they_are_not_collapsed():
    layer = train(stop_words=["the", " a "], collapse_spaces=False)
    assert layer.normalise(["  the film  and\nthe a plot "]) == ["   film  and\n  plot "]


def test_full_width_tags_are_tags_after_nfkc():
    assert normalise("a＜br＞b", unicode_form="NFKC") == "a b"


def test_cut_counts_characters_not_bytes():
    assert normalise("äöü€😀x", max_characters=5) == "äöü€😀"


def train(**settings):
    return TextLayer.train(TextSettings(tokenizer="byte", **settings), ["text"])


def test_english_stop_words_leave_negations():
    assert "not" not in LISTS["english"] and "nicht" not in LISTS["german"]
    layer = train(stop_words="english")
    texts = ["The plot of the film is not THAT good", "of the", "theatre, the-end; don't the", "it's the"]
    assert layer.normalise(texts) == ["plot film not good", "", "theatre, -end; don't", "it's"]


def test_german_stop_words_know_umlauts():
    assert train(stop_words="german").normalise(["Er sprach über die Brücke für überall"]) == ["sprach brücke überall"]


def test_own_stop_words_are_taken_literally_and_normalised():
    layer = train(stop_words=["Film", "don't", "e\u0301t\u00e9"])
    assert layer.normalise(["A FILM don't filmy Été"]) == ["a filmy"]
    assert train(stop_words=["Film"], lowercase=False).normalise(["a FILM film x"]) == ["a x"]
    assert train(stop_words=[]).normalise(["the"]) == ["the"]


@pytest.mark.parametrize("word", ["New York", "...", "", "."])
def test_a_stop_word_that_is_no_word(word):
    with pytest.raises(TextError, match="is not a single word"):
        train(stop_words=["the", word])
