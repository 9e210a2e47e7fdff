"""Text survives: decode(encode(x)) = normalise(x), or encode(decode(encode(x))) = encode(x)."""

import functools
import gzip
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_suite.config import TextSettings
from nlp_suite.text.text_layer import END, PAD, START, UNKNOWN, TextLayer
from nlp_suite.text.tokenizers.base import UNKNOWN_SURFACE
from tests.text.conftest import CORPUS, TOKENIZERS, trained
from tests.text.nasty import NASTY

SPACES = [" ", "   ", "\n", "\t\t", "▁ ▁", "a ", " a", "  a  b  ", "    if x:\n        return  1\r\n"]
EXACT = ("sentencepiece", "unigram", "byte")
ANY = st.one_of(st.text(max_size=60), st.binary(max_size=60))
MARKUP = st.lists(
    st.sampled_from(
        ["<", ">", "/", "<s>", "</s>", "br", "<br />", "▁", "▅", "##", "'", "’", " ", "\x00", "the", "Film", "é", "İ"]
    ),
    max_size=20,
).map("".join)


@functools.cache
def spaced(tokenizer: str) -> TextLayer:
    """A layer that keeps white space as it is, trained on a corpus with runs of it."""
    settings = TextSettings(tokenizer=TOKENIZERS[tokenizer], max_length=30_000, collapse_spaces=False)
    return TextLayer.train(settings, [*CORPUS, *SPACES * 3])


def check(layer, name, texts):
    rows, normal = layer.encode(texts), layer.normalise(texts)
    decoded = layer.decode(rows)
    for row in rows:
        assert row.dtype == np.int32 and len(row) >= 1
        assert not set(row.tolist()) & {PAD, START}
        assert row.tolist() == [END] or END not in row
    if name in EXACT:
        assert decoded == normal
        assert not any(UNKNOWN in row for row in rows)
    elif name == "character":
        known = set(layer.tokenizer.tokens[4:])
        assert decoded == ["".join(c if c in known else UNKNOWN_SURFACE for c in text) for text in normal]
    for row, again in zip(rows, layer.encode(decoded), strict=True):
        assert row.tolist() == again.tolist()


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_nasty_strings(layer, name, text):
    check(layer, name, [text])


def test_nasty_strings_with_white_space_kept(name):
    """Line breaks, tabs and runs of spaces come back as they were, from the start of a text to its end."""
    layer = spaced(name)
    texts = [*NASTY.values(), *SPACES]
    check(layer, name, texts)
    kept = layer.normalise(["\t a  \n"])
    assert kept == ["\t a  \n"]
    if name in EXACT or name == "character":
        assert layer.decode(layer.encode(kept)) == kept


def test_nasty_strings_with_tags_left_in(name):
    """So that a literal <s> reaches the tokenizers."""
    check(trained(name, max_length=30_000, strip_html=False), name, list(NASTY.values()))


def test_control_tokens_cannot_be_written(name):
    layer = trained(name, max_length=30_000, strip_html=False)
    for text in ("<s>", "</s>", "<pad>", "<s></s>", "a<s>b", "<0x41>", "<unk>"):
        row = layer.encode([text])[0]
        assert not {PAD, START, END} & set(row.tolist())
        assert layer.tokenizer.tokens.index("<s>") == START
        if name in EXACT:
            assert layer.decode([row]) == [text]


def test_a_batch_of_them_all_equals_one_by_one(layer):
    texts = list(NASTY.values())
    for row, text in zip(layer.encode(texts), texts, strict=True):
        assert row.tolist() == layer.encode([text])[0].tolist()


def test_batches_without_any_text(layer):
    assert [row.tolist() for row in layer.encode(["", " ", "<br />"])] == [[END]] * 3
    assert layer.decode([[END], [], [PAD, PAD]]) == ["", "", ""]
    assert layer.encode([]) == [] and layer.decode([]) == [] and layer.normalise([]) == []
    tokens, length = layer.graph().encode(np.array([], object))
    assert tokens.shape == (0, 0) and length.shape == (0,)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(texts=st.lists(st.one_of(ANY, MARKUP, st.text(" \t\n▁a", max_size=8)), min_size=1, max_size=4))
@pytest.mark.parametrize("tokenizer", ["word", "wordpiece", "sentencepiece", "unigram", "character", "byte"])
def test_random_text_with_white_space_kept(tokenizer, texts):
    check(spaced(tokenizer), tokenizer, texts)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(texts=st.lists(st.one_of(ANY, MARKUP), min_size=1, max_size=4))
@pytest.mark.parametrize("tokenizer", ["word", "wordpiece", "sentencepiece", "unigram", "character", "byte"])
def test_random_text(tokenizer, texts):
    check(trained(tokenizer, max_length=30_000), tokenizer, texts)
    check(trained(tokenizer, max_length=30_000, strip_html=False), tokenizer, texts)


@pytest.mark.parametrize("form", ["NFC", "NFKC", "NFD", "NFKD", "none"])
@pytest.mark.parametrize("lowercase", [True, False])
def test_every_character_in_every_form(form, lowercase):
    """Each code point alone and after a letter: normalising is idempotent, and the byte round trip exact."""
    layer = trained("byte", unicode_form=form, lowercase=lowercase)
    points = [chr(i) for i in range(0x110000) if not 0xD800 <= i < 0xE000 and (i < 0x30000 or i > 0xE0000)]
    text = [f"{point} a{point}" for point in points[: 0x30000 if form == "NFC" else 0x3000]]
    once = layer.normalise(text)
    assert layer.normalise(once) == once
    assert not any("\x00" in t or "  " in t or t != t.strip() for t in once)


def test_round_trip_in_every_form():
    texts = [text for text in NASTY.values() if len(text) < 10_000]
    for form, lowercase in (("NFKC", True), ("NFD", False), ("NFKD", True), ("none", False)):
        for tokenizer in ("word", "sentencepiece"):
            check(trained(tokenizer, unicode_form=form, lowercase=lowercase, max_length=30_000), tokenizer, texts)


@pytest.mark.slow
def test_real_reviews(real_data, name):
    """Trained on 2,000 reviews, checked on 2,000 others."""
    with gzip.open(real_data / "imdb" / "train.tsv.gz") as file:
        texts = [line.split(b"\t", 1)[1].rstrip(b"\n") for line in itertools.islice(file, 1, 4001)]
    settings = {**TOKENIZERS[name], **({"vocabulary_size": 2000} if name != "byte" else {})}
    layer = TextLayer.train(TextSettings(tokenizer=settings, max_length=30_000), texts[:2000])
    check(layer, name, texts[2000:])
