"""Numbers for people: nothing is rounded to what it is not."""

import math

import pytest

from nlp_suite.evaluation.number_format import perplexity, probability, share


def test_shares_are_never_rounded_to_all_or_nothing():
    assert [share(v) for v in (0, 1, 0.5, 0.99999, 0.00001)] == ["0.00%", "100.00%", "50.00%", ">99.99%", "<0.01%"]


@pytest.mark.parametrize(
    "value, text",
    [
        (1.0, "1.000"),
        (4.5678, "4.568"),
        (98.123, "98.12"),
        (134.567, "134.6"),
        (5848.9, "5,849"),
        (1e6, "1,000,000"),
        (1e9, "> 1,000,000"),
        (None, "> 1,000,000"),
        (math.inf, "> 1,000,000"),
    ],
)
def test_perplexity(value, text):
    assert perplexity(value) == text


@pytest.mark.parametrize(
    "value, text",
    [(1, "100.0%"), (0.5, "50.0%"), (0.0345, "3.45%"), (0.00012, "0.0120%"), (2e-6, "1 in 500,000")],
)
def test_probability(value, text):
    assert probability(math.log(value)) == text


def test_probability_of_almost_nothing():
    assert probability(-1e5) == probability(-math.inf) == "under 1 in 10¹²"
    assert probability(1e-9) == "100.0%"
