"""The numbers of a language model against values worked out by hand."""

import json
import math

import pytest

from nlp_suite.tasks.language_model.report import language_model_report

COUNTS = {"tokens": 8, "words": 4, "characters": 24, "unknown": 2, "context": "whole lines"}


def test_by_hand():
    """Eight tokens of probability 1/8 each: 24 bits."""
    report = language_model_report(nll=8 * math.log(8), **COUNTS)
    assert report["kind"] == "language_model" and report["context"] == "whole lines"
    assert report["cross_entropy"] == pytest.approx(math.log(8))
    assert report["perplexity_per_token"] == pytest.approx(8)
    assert report["perplexity_per_word"] == pytest.approx(64)  # two tokens a word
    assert report["bits_per_character"] == pytest.approx(1)
    assert report["unknown_rate"] == 0.25
    assert (report["tokens"], report["words"], report["characters"]) == (8, 4, 24)
    assert report["best_possible"] is None
    assert report["excerpt"] == report["next_tokens"] == report["samples"] == report["by_frequency"] == []


def test_a_uniform_model_of_the_sample_corpus_is_as_far_from_the_best_as_the_entropy_says():
    report = language_model_report(nll=8 * math.log(10.2), entropy=math.log(10), **COUNTS)
    assert report["best_possible"] == pytest.approx({"perplexity_per_token": 10, "excess": 0.02})
    exact = language_model_report(nll=8 * math.log(10), entropy=math.log(10), **COUNTS)
    assert exact["best_possible"]["excess"] == pytest.approx(0, abs=1e-12)


def test_groups_have_their_own_perplexity_and_share_of_the_loss():
    groups = [
        {"group": "0", "tokens": 0, "nll": 0.0},
        {"group": "1–10", "tokens": 2, "nll": 2 * math.log(32)},
        {"group": "over 10", "tokens": 6, "nll": 6 * math.log(2)},
    ]
    report = language_model_report(nll=16 * math.log(2), by_frequency=groups, **COUNTS)
    empty, rare, frequent = report["by_frequency"]
    assert empty == {"group": "0", "tokens": 0, "cross_entropy": None, "perplexity_per_token": None, "loss_share": 0}
    assert rare["perplexity_per_token"] == pytest.approx(32) and rare["loss_share"] == pytest.approx(10 / 16)
    assert frequent["perplexity_per_token"] == pytest.approx(2) and frequent["loss_share"] == pytest.approx(6 / 16)


@pytest.mark.parametrize("nll", [8 * 712.0, float("inf"), 1e308])
def test_what_does_not_fit_a_float_is_null(nll):
    report = language_model_report(nll=nll, entropy=1.0, **COUNTS)
    assert report["perplexity_per_token"] is None and report["perplexity_per_word"] is None
    assert report["best_possible"]["excess"] is None
    assert (report["cross_entropy"] is None) == math.isinf(nll)
    json.dumps(report, allow_nan=False)


def test_values_of_numpy_and_odd_entries_become_plain():
    import numpy as np

    excerpt = [
        {"token": "a", "log_prob": np.float32(-0.5), "rank": np.int64(3)},
        {"token": "b", "log_prob": float("-inf")},
        {"token": "c", "log_prob": float("nan"), "rank": None},
    ]
    following = [{"prompt": "", "next": [{"token": "a", "probability": np.float32(0.5)}]}]
    counts = {key: np.int64(value) if key != "context" else value for key, value in COUNTS.items()}
    report = language_model_report(nll=np.float64(3), excerpt=excerpt, next_tokens=following, **counts)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["excerpt"][0] == {"token": "a", "log_prob": -0.5, "rank": 3}
    assert [row["log_prob"] for row in report["excerpt"][1:]] == [None, None]
    assert report["next_tokens"] == [{"prompt": "", "next": [{"token": "a", "probability": 0.5}]}]


def test_rounding_below_zero_is_zero():
    assert language_model_report(nll=-1e-7, **COUNTS)["perplexity_per_token"] == 1


@pytest.mark.parametrize(
    "change, message",
    [
        ({"tokens": 0}, "0 tokens"),
        ({"words": 0}, "0 words"),
        ({"characters": 0}, "0 characters"),
        ({"nll": float("nan")}, "broken"),
        ({"nll": -1.0}, "at least 0"),
    ],
)
def test_what_cannot_be_evaluated_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        language_model_report(**{"nll": 1.0, **COUNTS, **change})
