"""A report of translations as a page and in the terminal."""

import io
import json

import pytest
from rich.console import Console

from nlp_suite.evaluation import plots
from nlp_suite.evaluation.report import write_report
from nlp_suite.tasks.translation.report import translation_report
from nlp_suite.tasks.translation.view import TranslationView
from tests.evaluation.pages import SCRIPT, check_alone
from tests.tasks.translation.test_report import GIVEN

SHOWN = {
    "source": "a dog",
    "reference": "der Hund",
    "translation": "ein Hund",
    "source_tokens": ["▁a", "▁dog", "</s>"],
    "target_tokens": ["▁ein", "▁Hund", "</s>"],
    "weights": [[0.83, 0.1, 0.07], [0.2, 0.77, 0.03], [0.0, 0.0, 1.0]],
}
HISTORY = [
    {
        "epoch": i,
        "step": 10 * (i + 1),
        "loss": 4 - i,
        "perplexity": 50.0 - i,
        "val_loss": 4 - i,
        "val_perplexity": 60 - i,
    }
    for i in range(3)
]


def write(directory, report, history=HISTORY, info=None):
    path = write_report(
        directory, report, TranslationView(), title="a title", history=history, experiment_yaml="", info=info or {}
    )
    return check_alone(path.read_text("utf-8"))


def test_the_whole_page(tmp_path):
    search = {"beam_size": 4, "length_penalty": 0.6}
    report = {"split": "test", **translation_report(**GIVEN, truncated=1, search=search, attention=[SHOWN])}
    history = [{**row, "val_bleu": 10.0 + i} for i, row in enumerate(HISTORY)]
    read = write(tmp_path, report, history, {"best": {"round": 3, "metric": "val_bleu", "value": 12.0}})
    assert read.tags.count("svg") == 4  # BLEU, perplexity and loss while it learned; BLEU by length
    bleu = report["bleu"]
    for expected in (
        "test split · 4 sentences · 8 tokens", f"{bleu['score']:.2f}", f"{report['ter']['score']:.2f}", "25.00%", "75.00%",
        bleu["signature"], report["bleu_lowercase"]["signature"], report["chrf"]["signature"], report["ter"]["signature"],
        f"{bleu['interval'][0]:.1f} – {bleu['interval'][1]:.1f}", "Best at checkpoint interval 3 of 3: validation BLEU 12.00", "BLEU",
        "11–15", "brevity penalty", "precision of 4-grams", "beam size", "0.6", "1 of 4", "ein Hund", "der Hund", "83",
        "1 of 4 translations equal their reference", "Zwei Hunde schlafen über der Wiese.", "sentence 3",
    ):  # fmt: skip
        assert expected in read.text, expected
    assert json.loads((tmp_path / "report.json").read_text("utf-8")) == report


def test_a_report_of_numbers_only(tmp_path):
    read = write(tmp_path, translation_report(**{**GIVEN, "hypotheses": GIVEN["references"]}), history=[])
    assert "looked at" not in read.text and "Worst" not in read.text and "no learning curve" in read.text
    assert "100.00" in read.text


def test_without_val_bleu_there_is_no_curve_of_it(tmp_path):
    assert write(tmp_path, translation_report(**GIVEN)).tags.count("svg") == 3


@pytest.mark.parametrize("nll", [1e9, 0.0])
def test_a_broken_or_perfect_model_is_shown(tmp_path, nll):
    report = translation_report(**{**GIVEN, "nll": nll, "hypotheses": [""] * 4})
    read = write(tmp_path, report)
    assert ("> 1,000,000" if nll else "1.000") in read.text
    assert not {"None", "nan", "inf"} & set(read.text.split())
    out = io.StringIO()
    Console(file=out, width=100).print(TranslationView().terminal(report))
    assert ("> 1,000,000" if nll else "1.000") in out.getvalue()


def test_everything_from_outside_is_escaped(tmp_path):
    shown = {**SHOWN, **dict.fromkeys(("source", "reference", "translation"), SCRIPT), "source_tokens": [SCRIPT] * 3}
    given = {**GIVEN, "sources": [SCRIPT] * 4, "references": [SCRIPT] * 4, "hypotheses": ["", SCRIPT, "", SCRIPT + "x"]}
    report = translation_report(**given, search={"how": SCRIPT}, attention=[shown])
    read = write(tmp_path, report)
    assert (
        read.text.count(SCRIPT) == 3 + 3 * 2 + 1 + 1
    )  # example; source and reference of 3 worst, a translation; search


def test_terminal_table():
    out = io.StringIO()
    report = translation_report(**GIVEN)
    Console(file=out, width=80).print(TranslationView().terminal(report))
    signatures = [report[key]["signature"] for key in ("bleu", "bleu_lowercase", "chrf", "ter")]
    for expected in ("BLEU", f"{report['bleu']['score']:.2f}", *signatures, "25.00%", "11–15"):
        assert expected in out.getvalue(), expected


def test_the_chart_names_groups_counts_and_scores():
    report = translation_report(**GIVEN)
    svg = plots.bleu_by_length(report).decode()
    for row in report["by_length"]:
        assert f">{row['group']}<" in svg and f">{row['bleu']:.1f}<" in svg and f">{row['sentences']}<" in svg
    assert f"all sentences: {report['bleu']['score']:.1f}" in svg
