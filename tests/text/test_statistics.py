"""Figures of encoded text."""

import json

import numpy as np
import pytest

from nlp_suite.config import TextSettings
from nlp_suite.text.statistics import text_statistics, truncation_remark, unknown_remark, unknown_words
from tests.text.tokenizer_checks import trained


def test_known_figures():
    rows = [np.array([5, 1, 7]), np.array([1]), np.full(10, 9)]
    figures = text_statistics(rows, np.array([3, 1, 20]))
    assert figures["texts"] == 3 and figures["tokens"] == 14
    assert figures["unknown_rate"] == 2 / 14
    assert figures["truncated_share"] == 1 / 3
    assert figures["dropped_share"] == pytest.approx(10 / 24)
    assert figures["length"]["p50"] == 3 and figures["length"]["max"] == 10
    assert figures["full_length"]["max"] == 20 and figures["full_length"]["mean"] == 8
    json.dumps(figures)


def test_percentiles_of_many():
    lengths = np.arange(1, 101)
    figures = text_statistics([np.zeros(n) for n in lengths], lengths, unknown_id=3)["length"]
    assert [figures[f"p{p}"] for p in (5, 25, 50, 75, 95, 99)] == [6, 26, 51, 76, 96, 100]


def test_no_rows():
    figures = text_statistics([], [])
    assert figures["texts"] == 0 and figures["unknown_rate"] is None and figures["length"]["p50"] is None


def test_a_length_missing():
    with pytest.raises(ValueError, match="2 rows but"):
        text_statistics([[1], [2]], [1])


def test_a_layer_that_cuts_much_is_remarked_on_with_the_remedy():
    settings = TextSettings(max_length=64, truncation="tail")
    remark = truncation_remark({"truncated_share": 0.964, "dropped_share": 0.76}, settings)
    assert "96.4% of the texts" in remark and "76.0% of all tokens" in remark and "raise text.max_length" in remark
    assert "text.max_length=64" in remark and "text.truncation which part is kept (now the end)" in remark
    assert truncation_remark({"truncated_share": 0.01, "dropped_share": 0.5}, settings) is None
    assert truncation_remark(text_statistics([], []), settings) is None


def test_unknown_tokens_are_remarked_on_with_examples_and_the_remedies_that_the_tokenizer_has():
    facts = {"unknown_rate": 0.094, "unknown_words": ["thou", "x" * 30]}
    remark = unknown_remark(facts, TextSettings(tokenizer="word"), "target_text")
    assert remark.startswith(f"9.4% of the tokens are unknown ('thou', '{'x' * 20}…', …), and all look the same")
    assert "raise target_text.tokenizer.vocabulary_size or lower target_text.tokenizer.min_count, or take" in remark
    remark = unknown_remark({**facts, "vocabulary": 900}, TextSettings(tokenizer="word"))  # there are no more words
    assert "to the model: lower text.tokenizer.min_count, or take text.tokenizer: sentencepiece" in remark
    remark = unknown_remark({**facts, "vocabulary": 900}, TextSettings(tokenizer={"name": "word", "min_count": 1}))
    assert "to the model: take text.tokenizer: sentencepiece" in remark
    remark = unknown_remark({"unknown_rate": 0.05}, TextSettings(tokenizer="sentencepiece"))
    assert "are unknown, and" in remark and "raise text.tokenizer.character_coverage" in remark
    remark = unknown_remark({"unknown_rate": 0.05}, TextSettings(tokenizer="preset"))
    assert remark.endswith("look the same to the model: start from a pretrained model whose vocabulary has them")
    assert unknown_remark({"unknown_rate": 0.049}, TextSettings()) is None
    assert unknown_remark(text_statistics([], []), TextSettings()) is None


def test_unknown_words_are_the_most_frequent_first():
    texts = ["The film thou thou ☃ wast", "thou art ☃ good", ""]
    assert unknown_words(trained("word"), texts) == ["thou", "☃", "art", "wast"]
    assert unknown_words(trained("byte"), texts) == [] and unknown_words(trained("word"), []) == []
