"""A language model's report as a page and in the terminal."""

import io
import json
import math

import pytest
from rich.console import Console

from nlp_suite.evaluation.report import write_report
from nlp_suite.tasks.language_model.report import language_model_report
from nlp_suite.tasks.language_model.view import LanguageModelView
from tests.evaluation.pages import SCRIPT, check_alone

CONTEXT = "sliding window of 256 tokens, at least 128 of context"
COUNTS = {"tokens": 2000, "words": 1000, "characters": 6000, "unknown": 20, "context": CONTEXT}
PARTS = {
    "excerpt": [{"token": t, "log_prob": -i / 2, "rank": i + 1} for i, t in enumerate(["▁my", "▁l", "ord", "</s>"])],
    "next_tokens": [
        {"prompt": "my good", "next": [{"token": "▁lord", "probability": 0.25}, {"token": "</s>", "probability": 0.1}]},
        {"prompt": "", "next": []},
    ],
    "samples": [{"prompt": "KING:", "text": "\nMy lord.", "how": "temperature 0.8, seed 3"}],
    "by_frequency": [{"group": "never", "tokens": 0, "nll": 0}, {"group": "1–10", "tokens": 2000, "nll": 9000.0}],
}
HISTORY = [
    {
        "epoch": i,
        "step": 10 * (i + 1),
        "loss": v,
        "val_loss": v,
        "perplexity": math.exp(v),
        "val_perplexity": math.exp(v),
    }
    for i, v in enumerate([7.0, 5.0, 4.5, 4.6])
]
STATISTICS = {"train": {"documents": 600, "words": 2051910, "characters": 10780437, "unknown_rate": 0.01}}


def write(directory, report, history=HISTORY, info=None):
    path = write_report(
        directory, report, LanguageModelView(), title="a title", history=history, experiment_yaml="", info=info or {}
    )
    text = path.read_text("utf-8")
    return text, check_alone(text)


def test_the_whole_page(tmp_path):
    report = {"split": "test", **language_model_report(nll=9000.0, entropy=4.48, **COUNTS, **PARTS)}
    info = {"statistics": STATISTICS, "best": {"round": 3, "metric": "val_perplexity", "value": 90.0}}
    text, read = write(tmp_path, report, info=info)
    assert read.tags.count("svg") == 2
    for expected in (
        "test split · 2,000 tokens · 1,000 words · 6,000 characters", CONTEXT, "Perplexity per token", "90.02",
        "Perplexity per word", "8,103", "Bits per character", "2.164", "4.5000", "Best possible", "88.23",
        "2.02% above", "1.00%", "Best at checkpoint interval 3 of 4: validation perplexity 90.02, validation loss 4.5000",
        "perplexity (log scale)", "my good", "25.0%", "at the beginning of a text", "KING:", "My lord.",
        "temperature 0.8, seed 3", "times seen", "never", "position", "600", "2,051,910", "10,780,437",
    ):  # fmt: skip
        assert expected in read.text, expected
    assert "probability 36.8% · 1.44 bits · rank 3" in text
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == report


def test_a_report_of_numbers_only(tmp_path):
    report = language_model_report(nll=9000.0, **COUNTS)
    _, read = write(tmp_path, report, history=[])
    assert "surprises" not in read.text and "Best possible" not in read.text and "no learning curve" in read.text
    assert "90.02" in read.text


def test_where_tokens_are_words_there_is_one_perplexity(tmp_path):
    report = language_model_report(nll=4500.0, **{**COUNTS, "tokens": 1000})
    _, read = write(tmp_path, report)
    assert "Perplexity per token" not in read.text and "Perplexity per word" in read.text
    assert f"{CONTEXT}; a token is a word or a line's end" in read.text


@pytest.mark.parametrize("nll", [math.inf, 1e7, 0.0])
def test_a_broken_or_perfect_model_is_shown(tmp_path, nll):
    report = language_model_report(nll=nll, entropy=1.0, **COUNTS, **PARTS)
    _, read = write(tmp_path, report)
    assert ("> 1,000,000" if nll else "1.000") in read.text
    assert not {"None", "nan", "inf"} & set(read.text.split())
    assert ("infinite" in read.text) == math.isinf(nll)
    out = io.StringIO()
    Console(file=out, width=100).print(LanguageModelView().terminal(report))
    assert ("> 1,000,000" if nll else "1.000") in out.getvalue()


def test_everything_from_outside_is_escaped(tmp_path):
    report = language_model_report(
        nll=9000.0,
        **{**COUNTS, "context": SCRIPT},
        excerpt=[{"token": SCRIPT, "log_prob": -1.0, "rank": None}],
        next_tokens=[{"prompt": SCRIPT, "next": [{"token": SCRIPT, "probability": 0.5}]}],
        samples=[{"prompt": SCRIPT, "text": SCRIPT, "how": SCRIPT}],
        by_frequency=[{"group": SCRIPT, "tokens": 1, "nll": 1.0}],
    )
    _, read = write(tmp_path, report)
    assert read.text.count(SCRIPT) == 7  # context twice, prompt twice, text, how, group
    assert read.text.count(SCRIPT.replace(" ", "·")) == 2


def test_terminal_table():
    report = language_model_report(nll=9000.0, **COUNTS, **PARTS)
    out = io.StringIO()
    Console(file=out, width=100).print(LanguageModelView().terminal(report))
    shown = out.getvalue()
    for expected in ("Perplexity per token", "90.02", CONTEXT, "Perplexity per word", "8,103", "times seen", "1–10"):
        assert expected in shown, expected
    assert "never" not in shown
