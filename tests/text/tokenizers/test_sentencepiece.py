"""SentencePiece: small corpora, sizes, byte fallback, and what its trainer cannot take."""

import pytest

from nlp_suite.config import TextSettings
from nlp_suite.errors import TextError
from nlp_suite.text.text_layer import UNKNOWN, TextLayer
from nlp_suite.text.tokenizers.base import evenly_chosen
from nlp_suite.text.tokenizers.sentencepiece import SentencePieceTokenizer


def train(texts, **settings):
    return TextLayer.train(TextSettings(tokenizer={"name": "sentencepiece", **settings}), texts)


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_a_corpus_too_small_for_the_vocabulary(model):
    layer = train(["the cat sat", "a"], model=model, vocabulary_size=8000)
    assert 260 < layer.vocabulary_size < 320
    assert layer.decode(layer.encode(["the dog ☃"])) == ["the dog ☃"]
    assert train(["a"], model=model).vocabulary_size < 270


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_vocabulary_size_is_met_where_the_corpus_allows(model):
    words = [f"{a}{b}{c}ing the" for a in "bcdfg" for b in "aeiou" for c in "lmnpr"]
    size = train(words, model=model, vocabulary_size=320).vocabulary_size
    assert size == 320 if model == "bpe" else 290 < size <= 320  # unigram keeps only pieces that it uses


def test_pieces_differ_between_models_and_words_begin_with_the_mark():
    layer = train(["the film the film the film"])
    assert layer.id_to_token(layer.encode(["the film"])[0]) == ["▁the", "▁film"]


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_without_byte_fallback(model):
    layer = train(["the cat sat on the mat"] * 5, model=model, byte_fallback=False, vocabulary_size=30)
    assert layer.vocabulary_size <= 30
    row = layer.encode(["the ☃☃ cat"])[0]
    assert row.tolist().count(UNKNOWN) == 1
    assert layer.decode([row]) == ["the � cat"]
    assert layer.encode(["the � cat"])[0].tolist() == row.tolist()


@pytest.mark.parametrize("model", ["bpe", "unigram"])
def test_runs_of_spaces_have_pieces_where_they_are_kept(model):
    tokenizer = {"name": "sentencepiece", "vocabulary_size": 300, "model": model}
    texts = ["    if this:", "        return that", "a  b "] * 9
    layer = TextLayer.train(TextSettings(tokenizer=tokenizer, collapse_spaces=False), texts)
    runs = [token for token in layer.tokenizer.tokens if token and not token.strip("▁")]
    assert max(map(len, runs)) >= 4
    assert layer.decode(layer.encode(texts[:3])) == texts[:3]
    collapsed = TextLayer.train(TextSettings(tokenizer=tokenizer), texts)
    assert not any(token.startswith("▁▁") for token in collapsed.tokenizer.tokens)


def test_rows_that_begin_within_a_text_lose_at_most_one_space():
    layer = train(["the film the film"])
    pieces = {token: place for place, token in enumerate(layer.tokenizer.tokens)}
    assert layer.decode([[pieces["▁film"]], [pieces["▁"], pieces["▁film"]], []]) == ["film", " film", ""]


def test_split_digits():
    layer = train(["1984 1984 1984 1984"], split_digits=True)
    assert len(layer.encode(["1984"])[0]) == 5


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"vocabulary_size": 200}, "vocabulary_size 200 is too small: special tokens and bytes alone take 260"),
        ({"vocabulary_size": 262}, "vocabulary_size 262 is too small for the characters .* at least 27[0-9]"),
        ({"vocabulary_size": 5, "byte_fallback": False}, "vocabulary_size 5 is too small for the characters"),
    ],
)
def test_vocabulary_too_small(settings, message):
    with pytest.raises(TextError, match=message):
        train(["abcdefghijk"] * 3, **settings)


def test_texts_longer_than_its_limits_are_learned_from():
    """Its trainer leaves out sentences of more than 4,192 bytes and aborts on words of 65,536 characters."""
    long = "wonderful unforgettable " * 500 + "x" * 70_000
    layer = TextLayer.train(
        TextSettings(tokenizer={"name": "sentencepiece", "vocabulary_size": 400}, max_characters=100_000), [long]
    )
    assert layer.id_to_token(layer.encode(["unforgettable"])[0]) == ["▁unforgettable"]


def test_texts_with_its_own_marks_are_learned_from_but_not_the_marks():
    layer = train(["▅ wonderful \ufffd <s> <0x41>"] * 9, vocabulary_size=330)
    assert layer.id_to_token(layer.encode(["wonderful"])[0]) == ["▁wonderful"]
    assert not {"▅", "\ufffd"} & set("".join(layer.tokenizer.tokens))


@pytest.mark.parametrize("texts", [["\ufffd"], ["▅ ▅"], ["x" * 2000]])
def test_nothing_learnable(texts):
    with pytest.raises(TextError, match="no training text has anything to learn sub-words from"):
        train(texts)


@pytest.mark.parametrize("content", [b"", b"garbage", b"\x00" * 100])
def test_damaged_model(content):
    with pytest.raises(TextError, match=r"sentencepiece\.model is damaged"):
        SentencePieceTokenizer().restore({"sentencepiece.model": content})


@pytest.mark.slow
def test_same_ids_as_keras_hub_for_bpe():
    """KerasHub's tokenizer is another implementation around the same op; BPE agrees."""
    import keras_hub

    layer = train(["the film was unforgettable", "a film to forget"] * 20, vocabulary_size=330)
    oracle = keras_hub.tokenizers.SentencePieceTokenizer(proto=layer.tokenizer.assets()["sentencepiece.model"])
    texts = ["the forgettable film ☃", "a wasteland"]
    assert [row.tolist() for row in layer.encode(texts)] == [list(row) for row in oracle(texts)]


def test_of_more_text_than_its_trainer_may_hold_every_nth_is_learned_from(monkeypatch):
    texts = [b"alpha beta", b"gamma delta"] * 50
    assert evenly_chosen(iter(texts), 10_000) == texts
    assert evenly_chosen(iter(texts), 300) == [b"alpha beta"] * 25, "every fourth: every second has 500 bytes"
    assert evenly_chosen([b"longer than all that is allowed"], 3) == [b"longer than all that is allowed"]
    monkeypatch.setattr(SentencePieceTokenizer, "max_training_bytes", 300)
    layer = train(texts, vocabulary_size=300)
    pieces = "".join(layer.tokenizer.tokens)
    assert "lph" in pieces and "gam" not in pieces and "mm" not in pieces
