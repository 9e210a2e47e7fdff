"""HTML in texts: references become characters, real tags and comments go, comparison signs stay."""

import html

import pytest

from tests.text.tokenizer_checks import trained


def normalise(text, **settings):
    return trained("byte", lowercase=False, **settings).normalise([text])[0]


@pytest.mark.parametrize(
    "text",
    [
        *("x <y and z> w", "a <b and c> d", "if i <s or u> 3", "1 <2, 3> 2", "I <3 you", "a<c>d", "<unk> <pad>"),
        *("mail <ann@example.com> or <https://example.com/a?b=c>", "vector<int> and Map<K, V>", "<!-- never closed"),
    ],
)
def test_what_is_no_markup_stays(text):
    assert normalise(text) == text


@pytest.mark.parametrize(
    "text",
    [
        *(
            "<br>",
            "<BR />",
            "</P>",
            "<h1>",
            "<td nowrap>",
            "<input type=text disabled>",
            "<a\nhref='x'\n>",
            '<p class="a b" id=c>',
        ),
        *("<!-- a\nb -->", "<!DOCTYPE html>", '<?xml version="1.0"?>', "<font color=red size=+1>", "<br clear='all'/>"),
        *("&lt;br /&gt;", "&amp;lt;br&amp;gt;", "<img src=x alt='a < b'>"),
    ],
)
def test_tags_and_comments_become_a_space(text):
    assert normalise(f"a{text}b") == "a b"


@pytest.mark.parametrize(
    "text",
    [
        *(
            "R&amp;D",
            "&quot;fine&quot; &apos;film&apos;",
            "caf&eacute; &Eacute;cole",
            "&euro;5 &hellip; &trade; &Omega;",
        ),
        *(
            "&#39;q&#x27; &#0039; &#X41;",
            "&#128512; &#x1F600;",
            "&#146;tis &#128;",
            "&#0; &#xD800; &#x110000;",
            "&#1;x",
        ),
        *("&bogus; AT&T; & &; &#; &#x; &#a;", "a&nbsp;b", "x &lt; y"),
    ],
)
def test_references_are_what_python_reads(text):
    expected = " ".join(html.unescape(text).replace("\x01", "").split())
    assert normalise(text) == expected


def test_references_that_stay():
    """What HTML 5 adds, and names without a semicolon."""
    assert normalise("&NotEqualTilde; &copy 2020 &#12345678;") == "&NotEqualTilde; &copy 2020 &#12345678;"


def test_a_reference_to_what_is_invisible_goes_with_it():
    assert normalise("un&shy;be&#8203;lie&zwnj;vable") == "unbelievable"
    assert normalise("un&shy;it", invisible="keep") == "un\u00adit"


def test_escaped_twice_and_texts_without_a_reference_beside():
    layer = trained("byte", lowercase=False)
    texts = ["&amp;amp;quot;fine&amp;quot;", "plain", "", "&AUML; &Auml;", "x" * 3000 + "&amp;"]
    assert layer.normalise(texts) == ['"fine"', "plain", "", "ä Ä", "x" * 3000 + "&"]
    assert [layer.normalise([text])[0] for text in texts] == layer.normalise(texts)


def test_markup_stays_where_it_is_not_stripped():
    assert normalise("<br> &amp;", strip_html=False) == "<br> &amp;"
