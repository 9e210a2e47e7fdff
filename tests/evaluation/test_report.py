"""The report: strict JSON, a page that is whole, safe and self-contained, a table for the terminal."""

import io
import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from rich.console import Console

from nlp_suite.evaluation import page
from nlp_suite.evaluation.number_format import share
from nlp_suite.evaluation.report import duration, write_report
from nlp_suite.tasks.sentiment.report import classification_report
from nlp_suite.tasks.sentiment.view import ClassificationView
from tests.evaluation.pages import SCRIPT, Reader, check_alone


def report_of(labels, count, texts=None, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, len(labels), count)
    probabilities = rng.dirichlet(np.ones(len(labels)), count)
    return classification_report(labels, truth, probabilities, texts)


def write(directory, report, history=(), info=None, title="a title", experiment_yaml="task: sentiment\n"):
    path = write_report(
        directory,
        report,
        ClassificationView(),
        title=title,
        history=list(history),
        experiment_yaml=experiment_yaml,
        info=info or {},
    )
    text = path.read_text("utf-8")
    return text, Reader(text)


HISTORY = [
    {"epoch": 0.0, "step": 10.0, "loss": 0.7, "accuracy": 0.5, "val_loss": 0.6, "val_accuracy": 0.6},
    {"epoch": 1.0, "step": 20.0, "loss": None, "accuracy": float("nan"), "val_loss": 0.5, "val_accuracy": 0.7654},
    {"epoch": 2.0, "step": 30.0, "loss": 0.5, "accuracy": 0.7, "val_loss": 0.55, "val_accuracy": 0.7},
]
INFO = {
    "schema": 1,
    "versions": {"keras": "3.15.1", "nlp_suite": "0.1"},
    "hardware": "x86_64, 2 CPU cores",
    "parameters": 1234567,
    "seconds": 723.4,
    "best": {"round": 2, "metric": "val_accuracy", "value": 0.7654},
    "statistics": {
        "train": {"texts": 40, "unknown_rate": 0.0125, "length": {"p50": 17, "max": 99}, "dropped_share": None},
        "test": {"texts": 20, "unknown_rate": 0.5, "length": {"p50": 18, "max": 98}},
    },
}


def test_the_whole_report(tmp_path):
    report = {**report_of(["bad", "good"], 60, [f"review {i}" for i in range(60)]), "split": "test"}
    _, read = write(tmp_path / "new" / "run", report, HISTORY, INFO)
    assert read.tags.count("svg") == 5  # loss, accuracy, confusion, reliability, ROC
    for expected in (
        "a title", "test split · 60 examples", "Best at checkpoint interval 2 of 3", "validation accuracy 0.7654", "1.25%", "99",
        "keras 3.15.1 · nlp_suite 0.1", "1,234,567", "12 min 3 s", "task: sentiment", "macro average",
        share(report["accuracy"]), report["mistakes"][0]["text"],
    ):  # fmt: skip
        assert expected in read.text, expected
    assert sorted(p.name for p in (tmp_path / "new" / "run").iterdir()) == ["report.html", "report.json"]
    assert json.loads((tmp_path / "new" / "run" / "report.json").read_text("utf-8")) == report


def test_the_page_needs_nothing_from_elsewhere(tmp_path):
    text, _ = write(tmp_path, report_of(["bad", "good"], 60), HISTORY, INFO)
    check_alone(text)


def test_everything_from_outside_is_escaped(tmp_path):
    labels = [SCRIPT, "<img src=x onerror=alert(1)>", "良い \u202e\ud800\x00"]
    report = report_of(labels, 30, [SCRIPT + " \x00\ud800"] * 30)
    info = {SCRIPT: SCRIPT, "nested": {SCRIPT: [SCRIPT]}, "statistics": {SCRIPT: {SCRIPT: SCRIPT}}}
    text, read = write(tmp_path, report, HISTORY, info, title=SCRIPT, experiment_yaml=SCRIPT)
    assert not {"script", "img"} & set(read.tags)
    assert not any(name.startswith("on") for name, _ in read.attributes)
    assert SCRIPT in read.text
    assert not re.search("[\x00\ud800-\udfff]", text)


def test_long_texts_are_folded_and_huge_ones_cut(tmp_path):
    long, huge = "word " * 300, "x" * 1_000_000
    report = classification_report(["a", "b"], np.array([1, 1]), [[0.9, 0.1], [0.8, 0.2]], [long, huge])
    text, read = write(tmp_path, report)
    assert long.strip() in read.text.replace("\N{NO-BREAK SPACE}…\N{NO-BREAK SPACE}more", "")
    assert "980,000 more characters" in read.text
    assert len(text) < 200_000


@pytest.mark.parametrize("classes", [2, 3, 8, 20])
def test_any_number_of_classes_without_history(tmp_path, classes):
    labels = [f"class {i}" for i in range(classes)]
    _, read = write(tmp_path, report_of(labels, 300))
    assert all(label in read.text for label in labels)
    assert "no learning curve" in read.text


def test_one_row_of_one_class_and_no_mistake(tmp_path):
    report = classification_report(["a", "b"], np.array([1]), [[0.3, 0.7]], ["x"])
    _, read = write(tmp_path, report, HISTORY[:1])
    assert "100.00%" in read.text and "Most confident mistakes" not in read.text
    assert "ROC" not in read.text
    assert "1 example" in read.text and "1 examples" not in read.text


def test_json_is_strict_whatever_the_report_holds(tmp_path):
    report = {**report_of(["a", "b"], 5), "extra": [float("nan"), np.float32(0.5), np.arange(2), float("inf")]}
    write(tmp_path, report)

    def refuse(constant):
        raise AssertionError(constant)

    read = json.loads((tmp_path / "report.json").read_text("utf-8"), parse_constant=refuse)
    assert read["extra"] == [None, 0.5, [0, 1], None]


def test_a_failed_write_leaves_the_report_before_as_it_was(tmp_path, monkeypatch):
    report = report_of(["a", "b"], 9)
    write(tmp_path, report)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write(tmp_path, report_of(["c", "d"], 8))
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_terminal_table():
    out = io.StringIO()
    report = report_of(["[red]bad[/red]", "good"], 50)
    Console(file=out, width=100).print(ClassificationView().terminal(report))
    assert "[red]bad[/red]" in out.getvalue()
    assert share(report["accuracy"]) in out.getvalue()
    assert f"{report['per_class']['good']['recall']:.4f}" in out.getvalue()


def test_durations():
    assert [duration(s) for s in (8.46, 59.99, 60, 723.4, 3900)] == [
        "8.46 s",
        "60 s",
        "1 min 0 s",
        "12 min 3 s",
        "1 h 5 min",
    ]


def test_dark_colours_are_given_for_all_light_ones():
    assert page.DARK.keys() == page.LIGHT.keys()


def test_importing_the_room_loads_nothing_heavy():
    heavy = "('matplotlib', 'sklearn', 'numpy', 'keras', 'tensorflow')"
    code = f"import nlp_suite.evaluation, sys; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
