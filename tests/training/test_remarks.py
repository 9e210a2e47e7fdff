"""What a user may not expect is in the report of every task, once, and the page and the terminal show it first."""

import html
import io
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.text import Text

from nlp_suite.config import load_experiment
from nlp_suite.evaluation.report import ReportView, measured_on, terminal_report, write_report
from nlp_suite.training.evaluate import text_facts
from nlp_suite.training.run import make_task

FEW = {"truncated_share": 0.01, "dropped_share": 0.001, "unknown_rate": 0.0}
MANY = {"truncated_share": 0.5, "dropped_share": 0.25, "unknown_rate": 0.2, "unknown_words": ["thou"]}
CUT = "50.0% of the texts are cut ("
UNKNOWN = "20.0% of the tokens are unknown ('thou', …)"


def run_of(task, **statistics):
    experiment = load_experiment({"task": task})
    info = {"statistics": statistics, "remarks": ["training.save_every is odd"]}
    return SimpleNamespace(experiment=experiment, info=info, task=make_task(experiment), labels=["a", "b"], assets=None)


@pytest.mark.parametrize("task", ["sentiment", "language_model"])
def test_of_the_split_that_is_measured(task):
    run = run_of(task, train={**FEW}, test={**MANY})
    facts = text_facts(run, "test", None, {"remarks": ["of the answers"]})
    assert {key: facts[key] for key in FEW} == {key: MANY[key] for key in FEW}
    cut, unknown, *others = facts["remarks"]
    assert cut.startswith(CUT) and unknown.startswith(UNKNOWN)
    assert others == ["of the answers", "training.save_every is odd"]
    assert text_facts(run, "train", None, {})["remarks"] == ["training.save_every is odd"]


def test_of_both_sides_of_a_translation():
    run = run_of("translation", test={**FEW, "target": MANY})
    cut, unknown, _ = text_facts(run, "test", None, {})["remarks"]
    assert cut.startswith(f"targets: {CUT}") and unknown.startswith(f"targets: {UNKNOWN}")
    run = run_of("translation", test={**MANY, "target": FEW})
    assert [line.split(":")[0] for line in text_facts(run, "test", None, {})["remarks"]][:2] == ["sources"] * 2


def test_what_a_report_says_itself_is_not_said_again():
    facts = text_facts(run_of("language_model", test=dict(MANY)), "test", None, {"unknown_rate": 0.2})
    assert "unknown_rate" not in facts and facts["truncated_share"] == 0.5


class View(ReportView):
    def headline(self, report):
        return []

    def sections(self, report):
        return []

    def terminal(self, report):
        return Text("a table")


def test_the_first_screen(tmp_path):
    """Whatever the view: what was measured, how much of it is not seen, and the remarks before all else."""
    report = {
        "split": "validation",
        "sentences": 1,
        **FEW,
        "remarks": ["a <remark> & its remedy", "[bold]another[/bold]"],
    }
    said = "validation split · 1 sentence · 1.0% of the texts and 0.1% of their tokens cut off · 0.0% of the tokens unknown"
    assert measured_on(report) == said and measured_on({}) == ""
    write_report(tmp_path, report, View(), title="t", history=[], experiment_yaml="", info={"remarks": ["kept"]})
    page = html.unescape((tmp_path / "report.html").read_text("utf-8"))
    assert page.index(said) < page.index("a <remark> & its remedy") < page.index("How it learned")
    assert "kept" not in page, "what a run recorded for its reports is not a fact of the run"
    file = io.StringIO()
    Console(width=200, file=file).print(terminal_report(report, View()))
    lines = [line.strip() for line in file.getvalue().splitlines() if line.strip()]
    assert lines == [said, "a table", *report["remarks"]]
