"""Characters that nobody sees: default-ignorable and control characters, as regular expressions of RE2 and of Python.

They come from web pages, PDF files, phones and word processors, and make a known word an unknown one. Of Unicode's default
ignorable characters (DerivedCoreProperties.txt) and its control characters all are dropped but white space and, where a
script needs them, ZWJ, ZWNJ and Mongolian's separators: between two of its letters, or after a virama. (Between emoji they are
dropped: tokenizers would make tokens of them that stand alone.) Controls from U+0080 become a space: most of them were dashes
and quotes of Windows-1252 that somebody read as Latin-1.
"""

import re
from collections.abc import Sequence

Ranges = Sequence[tuple[int, int]]

_IGNORABLE: Ranges = (
    *((0x01, 0x08), (0x0E, 0x1B), (0x7F, 0x7F)),  # control characters that are not white space
    *((0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5), (0x200B, 0x200B)),
    *((0x200E, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF)),
    *((0xFFA0, 0xFFA0), (0xFFF0, 0xFFF8), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF)),
)
_LATIN_CONTROLS: Ranges = ((0x80, 0x84), (0x86, 0x9F))
_JOINERS: Ranges = ((0x180B, 0x180F), (0x200C, 0x200D))
_JOINED: Ranges = (  # blocks of the scripts whose letters a joiner shapes
    *((0x600, 0x7FF), (0x8A0, 0xDFF), (0xF00, 0x109F), (0x1780, 0x17B3), (0x17B6, 0x180A), (0x1810, 0x18AF)),
    *((0xFB50, 0xFDFF), (0xFE70, 0xFEFC)),
)
_VIRAMAS: Ranges = tuple(
    (point, point) for point in (0x94D, 0x9CD, 0xA4D, 0xACD, 0xB4D, 0xBCD, 0xC4D, 0xCCD, 0xD4D, 0xDCA, 0x1039, 0x17D2)
)


def _class(ranges: Ranges) -> str:
    """A character class that RE2 and Python read alike: none of the characters has a meaning within one."""
    return "[" + "".join(f"{chr(first)}-{chr(last)}" for first, last in ranges) + "]"


LATIN_CONTROLS = _class(_LATIN_CONTROLS)
"""What becomes a space."""
IGNORABLE = f"{_class(_IGNORABLE)}+"
"""What goes wherever it stands."""
JOINERS = f"((?:{_class(_JOINED)}{_class(_JOINERS)})+{_class(_JOINED)}|{_class(_VIRAMAS)}{_class(_JOINERS)})|{_class(_JOINERS)}"
r"""Joiners once all else has gone: with the rewrite `\1` those stay that a script needs."""
_ASCII = re.compile(_class(_IGNORABLE[:3]))
_IGNORABLE_PYTHON, _JOINERS_PYTHON = map(re.compile, (IGNORABLE, JOINERS))
_GONE = re.compile(_class([*_IGNORABLE, *_LATIN_CONTROLS]))
_ANY = re.compile(_class([*_IGNORABLE, *_LATIN_CONTROLS, *_JOINERS]))


def drop_invisible(text):
    """tf.string [B], valid UTF-8 → the same without what is invisible."""
    import tensorflow as tf

    for pattern, rewrite in ((LATIN_CONTROLS, " "), (IGNORABLE, ""), (JOINERS, "\\1")):
        text = tf.strings.regex_replace(text, pattern, rewrite)
    return text


def invisible_in(text: str) -> str:
    """The characters that `drop_invisible` takes from a text, each as often as it occurs."""
    if not (_ASCII if text.isascii() else _ANY).search(text):
        return ""
    joiners = (match[0] for match in _JOINERS_PYTHON.finditer(_IGNORABLE_PYTHON.sub("", text)) if match[1] is None)
    return "".join([*_GONE.findall(text), *joiners])
