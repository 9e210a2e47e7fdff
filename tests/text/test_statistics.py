"""Figures of encoded text."""

import json

import numpy as np
import pytest

from nlp_suite.config import TextSettings
from nlp_suite.text.statistics import text_statistics, truncation_remark


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
