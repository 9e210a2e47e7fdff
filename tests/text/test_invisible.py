"""What nobody sees goes from texts, and is counted: the same characters in the graph and in Python."""

import re
import unicodedata

import pytest
import tensorflow as tf

from nlp_suite.text.invisible import drop_invisible, invisible_in
from tests.text.nasty import NASTY
from tests.text.tokenizer_checks import trained


def dropped(texts):
    return [text.decode() for text in drop_invisible(tf.constant([text.encode() for text in texts])).numpy()]


def spaces(text):
    """How many characters become one."""
    return len(re.findall("[\x80-\x84\x86-\x9f]", text))


@pytest.mark.parametrize(
    "text, expected",
    [
        ("un\u00adbe\u200blie\u2060v\u200eab\u202cle \ufeffx", "unbelievable x"),
        ("❤\ufe0f ☎\ufe0e 葛\U000e0100", "❤ ☎ 葛"),
        ("a\x01\x1b[0m\x7f\x9fb", "a[0m b"),
        ("don\x92t \x96 or\x97not", "don t   or not"),
        ("tab\there\r\nnext\x0bline\x1c\x85.", "tab\there\r\nnext\x0bline\x1c\x85."),
        # Persian, half forms of Devanagari, an old way to write a Malayalam letter, Mongolian: kept.
        *((text, text) for text in ("می\u200cخواهم", "क\u094d\u200dष", "ന\u0d4d\u200d", "ᠠ\u180eᠡ")),
        ("❤\ufe0f\u200d🔥 👩🏽\u200d💻", "❤🔥 👩🏽💻"),
        ("wi\u200dth\u200cout می\u200c \u200d\u180e", "without می "),
    ],
)
def test_what_goes_and_what_stays(text, expected):
    assert dropped([text]) == [expected] and dropped([expected]) == [expected]
    assert len(invisible_in(text)) == len(text) - len(expected) + spaces(text)


def test_graph_and_count_agree_on_every_character():
    """All code points but surrogates, alone and between letters of three scripts."""
    points = [chr(point) for point in range(1, 0xE2000) if not 0xD800 <= point < 0xE000]
    texts = ["".join(points[i : i + 1000]) for i in range(0, len(points), 1000)]
    texts += [f"{a}{chr(point)}{a}" for a in ("a", "ب", "क") for point in (*range(0x180B, 0x1810), 0x200C, 0x200D)]
    texts += [text for text in NASTY.values() if isinstance(text, str) and len(text) < 1000 and "\ud800" not in text]
    for text, visible in zip(texts, dropped(texts), strict=True):
        assert len(text) - len(visible) + spaces(text) == len(invisible_in(text))
    kept = {character for text in dropped(texts[: len(points) // 1000 + 1]) for character in text}
    gone = set(points) - kept
    control = {character for character in points if unicodedata.category(character) == "Cc" and not character.isspace()}
    assert control <= gone and {unicodedata.category(c) for c in gone} <= {"Cc", "Cf", "Mn", "Lo", "Cn"}


def test_settings_decide():
    assert trained("byte").normalise(["a\u200bb"]) == ["ab"]
    assert trained("byte", invisible="keep").normalise(["a\u200bb"]) == ["a\u200bb"]
