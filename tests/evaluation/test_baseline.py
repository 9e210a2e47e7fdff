"""A model beside its baselines: the paired interval, the sentence on it, the cache, the page and the terminal."""

import io

import numpy as np
import pytest
from rich.console import Console

from nlp_suite.evaluation import baseline
from nlp_suite.evaluation.baseline import blocks, cached, lead, remark
from nlp_suite.evaluation.page import page
from tests.evaluation.pages import SCRIPT, check_alone

COMPARED = {"accuracy": lambda figures: f"{figures['accuracy']:.1%}", "F1": lambda figures: f"{figures['f1']:.2f}"}


def report(*leads, title="TF-IDF", **keys):
    figures = {"title": title, "accuracy": 0.8, "f1": 0.7, "lead": {}, **keys}
    for name, interval in zip(COMPARED, leads):
        figures["lead"][name] = {"value": 0.1, "interval": interval}
    return {"accuracy": 0.9, "f1": 0.6, "baseline": {"tfidf": figures}}


def test_the_interval_of_a_share_is_that_of_the_normal_distribution():
    """Of 1,000 rows the model alone is right on 100, the baseline alone on 60: z of McNemar's test is 3.2."""
    counts, better = np.array([100, 60, 840]), np.array([1, -1, 0])
    found = lead(0.04, counts, lambda drawn: drawn @ better / 1000)
    deviation = np.sqrt(0.16 - 0.04**2) / np.sqrt(1000)
    assert found["value"] == 0.04
    assert found["interval"] == pytest.approx([0.04 - 1.96 * deviation, 0.04 + 1.96 * deviation], abs=0.003)
    assert found == lead(0.04, counts, lambda drawn: drawn @ better / 1000), "the seed is fixed"
    assert lead(1, np.array([1]), lambda drawn: 1)["interval"] is None


def test_neighbouring_rows_are_summed_where_there_are_many(monkeypatch):
    rows = np.arange(22).reshape(11, 2)
    assert blocks(rows) is rows
    monkeypatch.setattr(baseline, "MAX_BLOCKS", 4)
    assert blocks(rows).tolist() == [rows[a:b].sum(axis=0).tolist() for a, b in ((0, 2), (2, 5), (5, 8), (8, 11))]


def test_the_remark_says_what_the_model_is_not_better_in():
    assert remark(report([0.01, 0.2], [0.001, 0.1]), COMPARED, "classifier") is None
    worse = remark(report([0.01, 0.2], [-0.2, -0.1]), COMPARED, "classifier")
    assert worse == "The classifier is worse than TF-IDF: F1 0.60 against 0.70."
    both = remark(report([-0.1, 0.2], [-0.2, -0.1]), COMPARED, "classifier")
    assert both.startswith(
        "The classifier is not better, outside the 95% interval, than TF-IDF: accuracy 90.0% against 80"
    )
    assert "is worse than TF-IDF: F1" in both
    assert "not better" in remark(report(None), COMPARED, "classifier"), "a single row shows nothing"


def test_it_is_fitted_once_and_again_where_what_was_kept_is_damaged(tmp_path):
    calls = []

    def fit():
        calls.append(1)
        return {"rows": np.arange(1000), "notes": np.array(["a sentence"])}

    for key in ("one", "one", "two", "one"):
        assert cached(tmp_path, key, fit)["rows"].tolist() == list(range(1000))
    assert len(calls) == 2 and cached(tmp_path, "one", fit)["notes"].tolist() == ["a sentence"]
    files = sorted((tmp_path / "baselines").iterdir())
    assert len(files) == 2 and all(file.suffix == ".npz" for file in files)
    for damage in (lambda raw: b"", lambda raw: raw[:-30], lambda raw: raw[:500] + b"?" + raw[501:]):
        for file in files:
            file.write_bytes(damage(file.read_bytes()))
        before = len(calls)
        assert cached(tmp_path, "one", fit)["rows"].sum() == 499_500 and len(calls) == before + 1
    (tmp_path / "file").write_text("")
    assert len(cached(tmp_path / "file", "one", fit)) == 2, "where nothing can be written, nothing is kept"


def test_the_page_and_the_terminal_show_both(tmp_path):
    beside = report([-0.1, 0.2], [0.1, 0.2], title=SCRIPT, notes=[f"left out {SCRIPT}"])
    beside["baseline_remark"] = f"not better than {SCRIPT}"
    read = check_alone(page("title", "", [], [baseline.section(beside, COMPARED)]))
    for expected in ("this model", "90.0%", "80.0%", "0.70", f"not better than {SCRIPT}", f"left out {SCRIPT}"):
        assert expected in read.text
    shown = Console(file=io.StringIO(), width=200)
    shown.print(baseline.terminal(beside, COMPARED))
    assert all(word in shown.file.getvalue() for word in ("this model", "80.0%", "not better than", "left out"))
    beside["baseline_remark"] = None
    assert "It is better than each" in check_alone(page("title", "", [], [baseline.section(beside, COMPARED)])).text
