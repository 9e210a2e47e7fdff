"""Characters and bytes: ids, vocabulary, code points above the known ones."""

import pytest

from nlp_suite.config import TextSettings
from nlp_suite.errors import TextError
from nlp_suite.text.text_layer import UNKNOWN, TextLayer
from nlp_suite.text.tokenizers.character import CharacterTokenizer


def train(texts, **settings):
    return TextLayer.train(TextSettings(tokenizer={"name": "character", **settings}), texts)


def test_character_ids_by_count():
    layer = train(["abba b", "é"])
    assert layer.tokenizer.tokens[4:] == ["b", "a", " ", "é"]
    assert layer.encode(["bé a"])[0].tolist() == [4, 7, 6, 5]


def test_unknown_characters():
    layer = train(["ab"])
    assert layer.encode(["a`c\U0010ffff\ufffd"])[0].tolist() == [4, UNKNOWN, UNKNOWN, UNKNOWN, UNKNOWN]
    assert layer.decode([[4, UNKNOWN, 5]]) == ["a�b"]


def test_line_breaks_can_be_in_the_vocabulary(tmp_path):
    layer = TextLayer.train(TextSettings(tokenizer="character", collapse_spaces=False), ["a\n\r\n\u2028 b"])
    assert layer.tokenizer.tokens[4] == "\n"
    layer.save(tmp_path)
    loaded = TextLayer.load(tmp_path)
    assert loaded.tokenizer.tokens == layer.tokenizer.tokens and loaded.fingerprint == layer.fingerprint
    assert loaded.decode(loaded.encode(["b\n\n\ra"])) == ["b\n\n\ra"]


def test_highest_code_point_can_be_in_the_vocabulary():
    layer = train(["a\U0010ffff"])
    assert layer.decode(layer.encode(["\U0010ffffa"])) == ["\U0010ffffa"]


def test_character_counts():
    assert train(["aab"], min_count=2).tokenizer.tokens[4:] == ["a"]
    assert train(["aab"], vocabulary_size=5).tokenizer.tokens[4:] == ["a"]
    with pytest.raises(TextError, match=r"min_count=3.*'a' with 2"):
        train(["aab"], min_count=3)


@pytest.mark.parametrize(
    "content, message",
    [
        (b"<pad>\n<unk>\n<s>\n</s>\nab\n", "'ab' is not one character"),
        (b"a\nb\n", "expected <pad> <unk>"),
        (b"\xff", "not valid UTF-8 at byte 0"),
        (b"<pad>\n<unk>\n<s>\n</s>\na\na\n", "distinct tokens"),
    ],
)
def test_damaged_characters(content, message):
    with pytest.raises(TextError, match=message):
        CharacterTokenizer().restore({"characters.txt": content})


def test_byte_ids():
    layer = TextLayer.train(TextSettings(tokenizer="byte"), ["x"])
    assert layer.vocabulary_size == 260
    assert layer.encode(["aé"])[0].tolist() == [4 + b for b in "aé".encode()]
    assert layer.id_to_token([4, 259]) == ["<0x00>", "<0xFF>"]


def test_half_a_character_decodes_to_valid_text():
    layer = TextLayer.train(TextSettings(tokenizer="byte", max_length=2), ["x"])
    assert layer.decode(layer.encode(["aé"])) == ["a�"]
