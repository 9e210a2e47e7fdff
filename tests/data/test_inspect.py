"""Inspection: counts by hand on a small corpus, and the known duplicates of IMDB."""

import io
import json
from pathlib import Path

import pytest

from nlp_suite.config import Experiment, load_experiment
from nlp_suite.data.inspect import format_inspection, inspect, inspect_experiment
from nlp_suite.data.sources.files import FilesSource

IMDB = Path(__file__).parents[3] / "shared" / "data" / "imdb"


def rows(*pairs):
    return [{"text": text, "label": label} for text, label in pairs]


@pytest.fixture
def report():
    train = rows(
        ("a b", "pos"), ("a b", "pos"), ("", "neg"), ("x" * 300, "neg"), ("[bold]c[/bold]", "pos"), ("d", "neg")
    )
    validation = rows(("a b", "neg"))
    test = rows(("a b", "pos"), ("a b", "pos"), ("new one here", "other"))
    return inspect({"train": iter(train), "validation": validation, "test": test})


def rendered(report) -> str:
    from rich.console import Console

    file = io.StringIO()
    Console(file=file, width=100).print(format_inspection(report))
    return file.getvalue()


def test_counts(report):
    train = report["splits"]["train"]
    assert train["examples"] == 6 and train["labels"] == {"neg": 3, "pos": 3} and train["empty_texts"] == 1
    assert train["characters"]["min"] == 0 and train["characters"]["max"] == 300
    assert train["words"]["mean"] == pytest.approx(7 / 6, abs=0.01) and train["words"]["p50"] == 1
    assert report["duplicates"] == {
        "within": {"train": 1, "validation": 0, "test": 1},
        "across": [
            {"split": "validation", "also_in": "train", "rows": 1},
            {"split": "test", "also_in": "train", "rows": 2},
            {"split": "test", "also_in": "validation", "rows": 2},
        ],
        "conflicting": 1,
    }
    assert report["examples"]["neg"] == ["", "x" * 200 + "…"]
    assert json.loads(json.dumps(report)) == report


def test_rendering_shows_the_counts_and_takes_no_markup_from_the_data(report):
    report["examples"]["pos"].append("[bold]c[/bold]")
    report["tokens"] = {"train": {"unknown_rate": 0.0123, "labels": {"pos": 3}, "lengths": {"p50": 7}}}
    shown = rendered(report)
    for part in ("3 (50.0%)", "test rows also in train", "[bold]c[/bold]", "lengths.p50", "0.0123"):
        assert part in shown


def test_no_rows_and_no_labels():
    report = inspect({"train": [{"text": "a"}], "test": []})
    assert report["splits"]["train"]["labels"] == {} and report["splits"]["test"]["characters"] == {}
    assert "test" in rendered(report)


def test_of_an_experiment(tmp_path):
    experiment = load_experiment({"data": {"source": {"name": "sample", "size": 100, "test": 20}, "validation": 0.2}})
    assert isinstance(experiment, Experiment)
    found = inspect_experiment(experiment)["splits"]
    assert {split: facts["examples"] for split, facts in found.items()} == {"train": 80, "validation": 20, "test": 20}


@pytest.mark.skipif(not IMDB.is_dir(), reason="the IMDB files are not beside the repository, in ../shared/data/imdb")
def test_duplicates_of_imdb():
    source = FilesSource(train=IMDB / "train.tsv.gz", test=IMDB / "test.tsv.gz")
    report = inspect({split: source.examples(split) for split in source.splits()})
    assert report["duplicates"]["within"] == {"train": 96, "test": 199}
    assert report["duplicates"]["across"] == [{"split": "test", "also_in": "train", "rows": 123}]
    assert report["splits"]["test"]["labels"] == {"0": 12_500, "1": 12_500}
