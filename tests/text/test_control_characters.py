"""Characters that text libraries keep for themselves: no tokenizer lets one of them end its process or change a text."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nlp_suite.text.text_layer import TextLayer
from nlp_suite.text.tokenizers.wordpiece import WordPieceTokenizer
from tests.text.tokenizer_checks import VARIANTS, trained

SCRIPT = """
import sys
import tensorflow as tf
from nlp_suite.config import TextSettings
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.graph import TextGraph
from tests.text.tokenizer_checks import VARIANTS

POINTS = [*range(0x20), *range(0x7F, 0xA1), 0xAD, 0x200B, 0x200D, 0x2028, 0x202E, 0x2047, 0x2060, 0x2581, 0x2585, 0xE000,
          0xFDD0, 0xFEFF, 0xFFFC, 0xFFFD, 0xFFFE, 0xFFFF, 0x1FFFE, 0xE0001, 0xF0000, 0x10FFFF]
MARKS = [chr(point).encode() for point in POINTS] + [b"\\xed\\xa0\\x80", b"\\xed\\xbf\\xbf", b"\\xf4\\x90\\x80\\x80", b"\\x80", b"\\xff"]
name = sys.argv[1]
settings = TextSettings(tokenizer=VARIANTS.get(name, {"name": name}), unicode_form="none", invisible="keep", collapse_spaces=False, max_length=30_000)
new = lambda: TOKENIZERS.get(settings.tokenizer.name)(**settings.tokenizer.arguments())
graph = TextGraph(settings, new())

def check(marks):
    texts = [text for m in marks for text in (
        b"the film was " + m + b" good", b"fi" + m + b"lm " + m + m + b" the" + m, m + b"film ##" + m + b" bad", m, b"x" + m)]
    texts = graph.normalise(tf.constant(texts))
    tokenizer = new()
    tokenizer.train([text for text in texts.numpy().tolist() if text])
    again = new()
    again.restore(tokenizer.assets())
    assert list(again.tokens) == list(tokenizer.tokens)
    resources = again.resources()
    ids = again.tokenize(texts, resources)
    decoded = again.detokenize(ids, resources)
    assert again.tokenize(graph.normalise(decoded), resources).to_list() == ids.to_list()
    if again.lossless:
        assert decoded.numpy().tolist() == texts.numpy().tolist()

for start in range(0, len(MARKS), 4):
    print(name, MARKS[start : start + 4], flush=True)
    check(MARKS[start : start + 4])
print(name, "all together", flush=True)
check(MARKS)
print("done")
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", VARIANTS)
def test_every_control_character_in_a_process_of_its_own(name):
    """A few at a time, and all of them: learned from, saved, encoded, decoded. What ends the process is the last line."""
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, name],
        env={**os.environ, "PYTHONPATH": ".", "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, f"{run.stdout[-200:]} {run.stderr[-2000:]}"
    assert run.stdout.endswith("done\n")


def test_wordpiece_never_learns_the_mark_of_a_words_end():
    """With U+0011 in its vocabulary, TF Text's tokenizer ends the process."""
    texts = ["the fi\x11lm was good", "the \x11film was bad", "film\x11 the"]
    layer = TextLayer.train(trained("wordpiece", strip_html=False, invisible="keep").settings, texts)
    assert not any("\x11" in token for token in layer.tokenizer.tokens)
    assert layer.normalise(texts)[0] == "the fi\ufffdlm was good"
    assert layer.decode(layer.encode(texts)) == ["the fi � lm was good", "the � film was bad", "film � the"]


def test_what_is_reserved_reaches_no_tokenizer():
    assert WordPieceTokenizer.reserved
    for name in VARIANTS:
        layer = trained(name, strip_html=False, invisible="keep")
        for character in layer.tokenizer.reserved:
            assert character not in "".join(layer.normalise([character, f"a{character}b"]))
