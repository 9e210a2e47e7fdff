"""WordPiece: learned pieces, unknown words, and KerasHub as the oracle."""

import pytest

from nlp_suite.config import TextSettings
from nlp_suite.errors import TextError
from nlp_suite.text.text_layer import UNKNOWN, TextLayer
from nlp_suite.text.tokenizers.wordpiece import search_threshold
from tests.text.tokenizer_checks import CORPUS, whole_rows

WORDS = [f"{a}{b}{c}{d}" for a in "bcdfg" for b in "aeiou" for c in "lmnpr" for d in ("ing", "ed", "s", "")]


def train(texts, **settings):
    return TextLayer.train(TextSettings(tokenizer={"name": "wordpiece", **settings}), texts)


def test_longest_piece_first_against_a_plain_loop():
    layer = train(WORDS, vocabulary_size=150)
    pieces = set(layer.tokenizer.tokens[4:])

    def cut(word):
        cuts, start = [], 0
        while start < len(word):
            ends = [end for end in range(start + 1, len(word) + 1) if "##" * (start > 0) + word[start:end] in pieces]
            if not ends:
                return ["<unk>"]
            cuts.append("##" * (start > 0) + word[start : max(ends)])
            start = max(ends)
        return cuts

    for word in [*WORDS, "balding", "bal", "gurus", "xyz", "bax"]:
        assert layer.id_to_token(layer.encode([word])[0]) == cut(word)


def test_apostrophes_and_punctuation_stand_alone():
    layer = train(["don't stop - 电影!"] * 9)
    assert layer.id_to_token(layer.encode(["don't stop-电影!"])[0]) == ["don", "'", "t", "stop", "-", "电", "影", "!"]
    assert layer.decode(layer.encode(["don't"])) == ["don ' t"]


@pytest.mark.parametrize("size", [60, 100, 150, 10_000])
def test_vocabulary_size(size):
    layer = train(WORDS, vocabulary_size=size)
    assert layer.vocabulary_size == size or (size > 700 and layer.vocabulary_size > 500)
    assert UNKNOWN not in [id for row in layer.encode(WORDS) for id in row]


def test_vocabulary_too_small_for_the_characters():
    with pytest.raises(TextError, match=r"vocabulary_size 20 is too small: the characters .* take 46"):
        train(["abcdefghijklmnopqrstu"], vocabulary_size=20)


def test_words_that_are_too_long():
    layer = train(["abc abcabc"], max_bytes_per_word=5)
    assert layer.encode(["abcabc abc"])[0][0] == UNKNOWN
    with pytest.raises(TextError, match="no word of at most max_bytes_per_word=2"):
        train(["abc"], max_bytes_per_word=2)


def test_search_finds_the_threshold_whatever_the_curve():
    """Any falling curve: at least `size` pieces if there are so many, from the highest threshold that gives them."""
    curves = [
        lambda t: 100_000 // t,
        lambda t: 5000 - t,
        lambda t: 9000 if t < 77 else 10,
        lambda t: 50,
        lambda t: 10**6,
    ]
    for curve in curves:
        for first in (1, 3, 1000):
            tries = []

            def learn(threshold, curve=curve, tries=tries):
                assert threshold >= 1
                tries.append(threshold)
                return [None] * max(curve(threshold), 0)

            size = len(search_threshold(learn, 1000, first))
            assert len(tries) <= 12
            assert size >= 1000 or size == curve(1)


@pytest.mark.slow
def test_same_ids_as_keras_hub():
    import keras_hub

    layer = whole_rows("wordpiece")
    oracle = keras_hub.tokenizers.WordPieceTokenizer(
        vocabulary=list(layer.tokenizer.tokens), oov_token="<unk>", lowercase=False, strip_accents=False
    )
    texts = [text for text in layer.normalise(CORPUS) if text.isascii() and text]
    assert len(texts) > 8
    assert [row.tolist() for row in layer.encode(texts)] == [list(row) for row in oracle(texts)]
