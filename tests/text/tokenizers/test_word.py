"""The word tokenizer: pattern, counts, vocabulary."""

import pytest

from nlp_suite.config import TextSettings, load_experiment
from nlp_suite.errors import ConfigError, TextError
from nlp_suite.text.text_layer import UNKNOWN, TextLayer


def train(texts, **settings):
    return TextLayer.train(TextSettings(tokenizer={"name": "word", "min_count": 1, **settings}), texts)


def split(text, **settings):
    layer = train([text], **settings)
    return layer.id_to_token(layer.encode([text])[0])


@pytest.mark.parametrize(
    "text, words",
    [
        ("I don't like it!", ["i", "don't", "like", "it", "!"]),
        ("the actors’ rock’n’roll, 'tis", ["the", "actors", "’", "rock’n’roll", ",", "'", "tis"]),
        ("(10/10)... <3", ["(", "10", "/", "10", ")", ".", ".", ".", "<", "3"]),
        ("well-made snake_case", ["well", "-", "made", "snake", "_", "case"]),
        ("Über naïve Straße עולם", ["über", "naïve", "straße", "עולם"]),
        ("电影hao看", ["电", "影", "hao", "看"]),
        ("👍🏽 5€", ["👍", "🏽", "5", "€"]),
    ],
)
def test_default_pattern(text, words):
    assert split(text) == words


def test_own_pattern():
    assert split("a-b c.d", pattern=r"\S+") == ["a-b", "c.d"]
    assert split("ab1 é2", pattern=r"\p{L}") == ["a", "b", "é"]
    assert split("one two", pattern=r"(o)ne|(t)wo") == ["one", "two"]


def test_wikitext2_is_split_at_its_white_space_only(real_data):
    """The published counts of the validation file: words and one end a line."""
    with open(real_data / "wikitext2" / "valid.txt", encoding="utf-8", newline="\n") as file:
        lines = [line.removesuffix("\n") for line in file]
    tokenizer = {"name": "word", "min_count": 1, "vocabulary_size": 50_000, "pattern": r"\S+"}
    settings = TextSettings(tokenizer=tokenizer, lowercase=False, strip_html=False, unicode_form="none", add_end=True)
    layer = TextLayer.train(settings.model_copy(update={"max_length": 2000}), lines)
    rows = layer.encode(lines)
    assert sum(map(len, rows)) == 217_646
    for row, line in zip(rows[:500], lines[:500], strict=True):
        assert layer.id_to_token(row) == [*line.split(), "</s>"]


def test_what_the_pattern_leaves_out_is_dropped_and_an_empty_row_still_has_a_token():
    layer = train(["abc"], pattern=r"[a-z]+")
    assert layer.decode(layer.encode(["1 2 3", "abc 9"])) == ["", "abc"]


def test_order_is_by_count_then_code_point_and_not_by_order_of_texts():
    texts = ["b a c", "c z", "a"]
    assert train(texts).tokenizer.tokens[4:] == ["a", "c", "b", "z"]
    assert train(texts[::-1]).fingerprint == train(texts).fingerprint


def test_minimum_count_and_size():
    texts = ["a a a b b c"]
    assert train(texts, min_count=2).tokenizer.tokens[4:] == ["a", "b"]
    assert train(texts, vocabulary_size=5).tokenizer.tokens[4:] == ["a"]
    assert train(texts, vocabulary_size=5).encode(["a b"])[0].tolist() == [4, UNKNOWN]
    with pytest.raises(TextError, match=r"min_count=4.*the most frequent is 'a' with 3"):
        train(texts, min_count=4)


def test_counts_run_over_many_batches():
    layer = train(["x"] * 2500 + ["y"] * 1200, min_count=1201)
    assert layer.tokenizer.tokens[4:] == ["x"]


@pytest.mark.parametrize("pattern", ["[a", "(?=a)b", r"(a)\1", r"\p{Nonsense}"])
def test_bad_pattern(pattern):
    with pytest.raises(TextError, match=r"not a regular expression of RE2: .*\(allowed: RE2 syntax"):
        train(["text"], pattern=pattern)


@pytest.mark.parametrize("pattern", ["a*", r"\b", "x|"])
def test_pattern_of_empty_words(pattern):
    with pytest.raises(TextError, match="matches the empty text"):
        train(["text"], pattern=pattern)


def test_pattern_that_matches_nothing():
    with pytest.raises(TextError, match="the corpus has none at all"):
        train(["text"], pattern="[0-9]+")


def test_vocabulary_too_small():
    with pytest.raises(ConfigError, match=r"vocabulary_size.*greater than or equal to 5.*got 3"):
        load_experiment({"text": {"tokenizer": {"name": "word", "vocabulary_size": 3}}})
