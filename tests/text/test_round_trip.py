"""Text survives every form of normalisation, and real reviews survive every tokenizer."""

import gzip
import itertools

import pytest

from nlp_suite.config import TextSettings
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.text_layer import TextLayer
from tests.text.nasty import NASTY
from tests.text.tokenizer_checks import VARIANTS, round_trip, trained, whole_rows


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
            round_trip(whole_rows(tokenizer, unicode_form=form, lowercase=lowercase), texts)


@pytest.mark.slow
@pytest.mark.parametrize("label", VARIANTS)
def test_real_reviews(real_data, label):
    """Trained on 2,000 reviews, checked on 2,000 others."""
    with gzip.open(real_data / "imdb" / "train.tsv.gz") as file:
        texts = [line.split(b"\t", 1)[1].rstrip(b"\n") for line in itertools.islice(file, 1, 4001)]
    settings = dict(VARIANTS[label])
    if "vocabulary_size" in TOKENIZERS.settings(settings["name"]).model_fields:
        settings["vocabulary_size"] = 2000
    layer = TextLayer.train(TextSettings(tokenizer=settings, max_length=30_000), texts[:2000])
    round_trip(layer, texts[2000:])
