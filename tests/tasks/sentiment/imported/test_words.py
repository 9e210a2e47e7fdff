"""Ids of someone else's model: her vocabulary and her rule, against Keras's own pad_sequences and TextVectorization."""

import json

import pytest

from nlp_suite.errors import ExportError, UsageError
from nlp_suite.tasks.sentiment.imported.words import IdRule, Words, check_fits, read_vocabulary

TEXTS = ["a good, good film", "unheard-of", "", "bad film; a bad, bad, bad plot!", "Don't"]
WORDS = ["", "[UNK]", "a", "good", "film", "bad", "plot", "dont"]


def rows(words, texts=TEXTS):
    import tensorflow as tf

    ids, truncated = words.rows(tf.constant(texts), words.table())
    return ids.numpy().tolist(), truncated.numpy().tolist()


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "vocabulary.txt"
    path.write_text("\n".join(WORDS) + "\n", "utf-8")
    return path


def test_as_text_vectorization(lines):
    import keras

    layer = keras.layers.TextVectorization(vocabulary=WORDS[2:], output_sequence_length=4)
    words = Words(IdRule(lines, "right", "head", unknown=1, max_length=4), None)
    assert rows(words)[0] == layer(TEXTS).numpy().tolist()
    assert rows(words)[1] == [False, False, False, True, False]


@pytest.mark.parametrize("padding", ["left", "right"])
@pytest.mark.parametrize("truncation", ["head", "tail"])
def test_as_pad_sequences(lines, padding, truncation):
    from keras.utils import pad_sequences

    known = {word: i for i, word in enumerate(WORDS)}
    plain = ["a good good film", "unheardof", "", "bad film a bad bad bad plot", "dont"]
    ids = [[101, *(known[word] + 3 for word in text.split() if word in known)] for text in plain]
    expected = pad_sequences(
        ids,
        4,
        padding={"left": "pre", "right": "post"}[padding],
        truncating={"head": "post", "tail": "pre"}[truncation],
        value=9,
    )
    rule = IdRule(lines, padding, truncation, unknown="drop", max_length=4, pad_id=9, id_offset=3, start_id=101)
    assert rows(Words(rule, None))[0] == expected.tolist()


def test_a_tokenizers_json(tmp_path):
    path = tmp_path / "tokenizer.json"
    index = {"<OOV>": 1, "a": 2, "good": 3, "film": 4, "don't": 5, "bad": 6, "über": 7}
    config = {"num_words": 6, "oov_token": "<OOV>", "lower": True, "split": " ", "word_index": json.dumps(index)}
    path.write_text(json.dumps({"class_name": "Tokenizer", "config": config}), "utf-8")
    words = Words(IdRule(path, "left", "tail"), 4)
    assert rows(words, ["A good-film", "bad film", "DON'T"])[0] == [[0, 2, 3, 4], [0, 0, 1, 4], [0, 0, 0, 5]]
    every = Words(IdRule(path, "left", "tail", num_words=9), 4)
    assert rows(every, ["ÜBER"])[0] == [[0, 0, 0, 7]]


def test_what_is_needed_is_said(lines):
    with pytest.raises(UsageError, match="--unknown is needed"):
        Words(IdRule(lines, "left", "tail", max_length=4), None)
    with pytest.raises(UsageError, match="--max-length is needed"):
        Words(IdRule(lines, "left", "tail", unknown=1), None)
    with pytest.raises(UsageError, match="the model's rows have 8"):
        Words(IdRule(lines, "left", "tail", unknown=1, max_length=4), 8)


def test_a_vocabulary_that_does_not_fit(lines):
    words = Words(IdRule(lines, "left", "tail", unknown=1, max_length=4), None)
    called = ("theirs.h5", "vocabulary.txt")
    with pytest.raises(ExportError, match=r"ids to 7, and theirs\.h5 has rows for 0 to 5.*--num-words 6"):
        check_fits(words, 6, called)
    assert check_fits(words, 9, called) == []
    assert "highest id is 7" in check_fits(words, 11, called)[0]


@pytest.mark.parametrize(
    "content, message",
    [
        (b"good\nbad\ngood\n", "stands in lines 1 and 3"),
        (b"\xff\xfe", "is not UTF-8"),
        (b'{"good": "one"}', "the id of 'good' is 'one'"),
        (b'{"good": ', "is no JSON of a vocabulary"),
        (
            b'{"class_name": "Tokenizer", "config": {"char_level": true, "word_index": "{}"}}',
            "does not split texts into words",
        ),
        (
            b'{"class_name": "Tokenizer", "config": {"filters": "abc", "word_index": "{}"}}',
            "this Tokenizer filters 'abc'",
        ),
    ],
)
def test_bad_vocabularies(tmp_path, content, message):
    (tmp_path / "v").write_bytes(content)
    with pytest.raises(ExportError, match=message):
        read_vocabulary(tmp_path / "v")
