"""Inspection: counts by hand on a small corpus, and the known duplicates of IMDB."""

import io
import json
from pathlib import Path

import pytest

from nlp_suite.config import Experiment, load_experiment
from nlp_suite.data.inspect import format_inspection, inspect_experiment
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.prepare import prepare
from nlp_suite.data.sources.files import FilesSource

IMDB = Path(__file__).parents[3] / "shared" / "data" / "imdb"

inspect, inspect_text, inspect_pairs = (corpus_kind(name).inspect for name in ("labelled", "text", "pairs"))


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


def test_of_running_text():
    train = [{"text": "[one] two\n\nthree\n"}, {"text": "three"}, {"text": "", "document": "x"}]
    train += [{"text": f"line {i}", "document": "x"} for i in (1, 2)]
    report = inspect_text({"train": iter(train), "test": [{"text": "three"}, {"text": "three"}, {"text": " "}]})
    sizes = {key: value for key, value in report["splits"]["train"].items() if isinstance(value, int)}
    assert sizes == {"documents": 3, "lines": 7, "blank_lines": 2, "words": 8, "characters": 31}
    assert report["splits"]["train"]["document_lines"]["max"] == 3
    assert report["splits"]["train"]["line_words"]["mean"] == pytest.approx(8 / 7, abs=0.01)
    assert report["duplicates"] == {
        "within": {"train": 1, "test": 1},
        "across": [{"split": "test", "also_in": "train", "rows": 2}],
    }
    assert report["examples"] == {"train": ["[one] two", "three"], "test": ["three", "three"]}
    assert json.loads(json.dumps(report)) == report
    shown = rendered(report)
    for part in ("blank lines", "words a line", "lines a document", "test lines also in train", "[one] two"):
        assert part in shown


def test_of_an_experiment_of_running_text(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"line {i}\n\n" for i in range(50)))
    source = {"name": "text", "train": str(tmp_path / "a.txt"), "documents": "blank_line"}
    values = {"task": "language_model", "data": {"source": source, "validation": 0.2, "cache": str(tmp_path / "cache")}}
    found = inspect_experiment(load_experiment(values))
    assert found["kind"] == "text" and found["tokens"] is None
    assert found["splits"]["train"]["lines"] + found["splits"]["validation"]["lines"] == 50


def test_what_is_invisible_is_counted_and_said(tmp_path):
    lines = [
        f"{'pos' if i % 2 else 'neg'}\tun\u00adsee\u200bn number {i}\u200b" if i < 4 else f"pos\tseen {i}"
        for i in range(20)
    ]
    (tmp_path / "train.tsv").write_text("label\ttext\n" + "\n".join(lines) + "\n", "utf-8")
    source = {"name": "files", "train": str(tmp_path / "train.tsv"), "validation": str(tmp_path / "train.tsv")}
    values = {"data": {"source": source, "cache": str(tmp_path / "cache")}, "text": {"tokenizer": "byte"}}
    report = inspect_experiment(load_experiment(values))
    assert report["splits"]["train"]["invisible"] == {"texts": 4, "characters": 12, "names": ["U+200B", "U+00AD"]}
    said = "4 training texts have invisible characters (12 in all, such as U+200B, U+00AD), which"
    copied = "100.0% of validation have a near copy in training"  # the same file
    assert report["remarks"] == [
        f"{said} are dropped (text.invisible: keep leaves them)",
        f"{copied}, which flatters what is measured there: all 20 training texts are such copies",
    ]
    kept = inspect_experiment(load_experiment(values, ["text.invisible=keep"]))["remarks"]
    assert kept[0] == f"{said} make known words unknown: text.invisible: drop removes them" and len(kept) == 2


def test_a_single_class_is_said(tmp_path):
    (tmp_path / "train.tsv").write_text("label\ttext\n" + "pos\tfine\n" * 20)
    source = {"name": "files", "train": str(tmp_path / "train.tsv"), "validation": str(tmp_path / "train.tsv")}
    values = {"data": {"source": source, "cache": str(tmp_path / "cache")}, "text": {"tokenizer": "byte"}}
    remark, copied = inspect_experiment(load_experiment(values))["remarks"]
    assert copied.startswith("100.0% of validation have a near copy in training")  # the same file
    assert "needs two labels or more" in remark and "all of its texts have the label 'pos'" in remark


def test_unknown_words_of_running_text_are_said_before_it_is_prepared(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"the cat saw thee{i} !\n" for i in range(60)))
    source = {"name": "text", "train": str(tmp_path / "a.txt"), "validation": str(tmp_path / "a.txt")}
    values = {"task": "language_model", "data": {"source": source, "cache": str(tmp_path / "cache")}}
    report = inspect_experiment(load_experiment(values))
    facts = report["estimate"]["text"]
    assert facts["unknown_rate"] == pytest.approx(1 / 6) and facts["texts"] == 60  # an END after every line
    (remark,) = report["remarks"]
    assert remark.startswith("of the first 60 training texts: 16.7% of the tokens are unknown ('thee0', 'thee1', ")
    assert "lower text.tokenizer.min_count, or take text.tokenizer: sentencepiece" in remark
    assert "16.67%" in rendered(report) and "first training" in rendered(report)
    rare = inspect_experiment(load_experiment(values, ["text.tokenizer.min_count=100"]))
    assert "text.tokenizer cannot be trained on the first training texts: no token occurs" in rare["remarks"][0]
    assert inspect_experiment(load_experiment(values, ["text.tokenizer=preset"]))["estimate"] == {}  # learns nothing


def sentences(*rows):
    return [{"source": source, "target": target} for source, target in rows]


def test_of_pairs():
    train = sentences(("a b", "x y z"), ("a b", "x y z"), ("a b", "u"), ("", "x"), ("OK", "OK"), ("[b]d[/b]", " "))
    test = sentences(("a b", "new"), ("new", "u"), ("a b", "u"))
    report = inspect_pairs({"train": iter(train), "test": test, "empty": []})
    sizes = {key: value for key, value in report["splits"]["train"].items() if isinstance(value, int)}
    assert sizes == {"pairs": 6, "empty_sources": 1, "empty_targets": 1, "equal_sides": 1}
    ratio = report["splits"]["train"]["length_ratio"]
    assert (ratio["min"], ratio["mean"], ratio["max"]) == (0.5, 1.12, 1.5)
    assert report["splits"]["train"]["source_words"]["max"] == 2
    assert report["splits"]["train"]["target_characters"]["max"] == 5
    within = {what: found["within"] for what, found in report["duplicates"].items()}
    assert within == {
        "pairs": {"train": 1, "test": 0, "empty": 0},
        "sources": {"train": 2, "test": 1, "empty": 0},
        "targets": {"train": 1, "test": 1, "empty": 0},
    }
    across = {what: found["across"][0] for what, found in report["duplicates"].items()}
    assert {what: found["rows"] for what, found in across.items()} == {"pairs": 1, "sources": 2, "targets": 2}
    assert report["examples"]["train"] == [["a b", "x y z"]] * 2
    assert json.loads(json.dumps(report)) == report
    report["tokens"] = {"train": {"tokens": 9, "target": {"tokens": 7}}}
    report["examples"]["train"].append(["[b]d[/b]", "x"])
    shown = rendered(report)
    for part in (
        "equal sides",
        "target words a source word",
        "1.50",
        "test also in train",
        "target.tokens",
        "[b]d[/b]",
    ):
        assert part in shown


def test_of_an_experiment_of_pairs(pairs):
    experiment = pairs([(f"s {i}", f"t {i} {i}") for i in range(40)], data={"validation": 0.25})
    assert inspect_experiment(experiment)["tokens"] is None
    prepare(experiment)
    found = inspect_experiment(experiment)
    assert {split: facts["pairs"] for split, facts in found["splits"].items()} == {"train": 30, "validation": 10}
    assert found["tokens"]["train"]["tokens"] == 90 and found["tokens"]["train"]["target"]["tokens"] == 120


def test_texts_that_run_into_each_other_are_different():
    report = inspect_pairs({"train": sentences(("ab", "c"), ("a", "bc"))})
    assert report["duplicates"]["pairs"]["within"] == {"train": 0}


@pytest.mark.skipif(not IMDB.is_dir(), reason="the IMDB files are not beside the repository, in ../shared/data/imdb")
def test_duplicates_of_imdb():
    source = FilesSource(train=IMDB / "train.tsv.gz", test=IMDB / "test.tsv.gz")
    report = inspect({split: source.examples(split) for split in source.splits()})
    assert report["duplicates"]["within"] == {"train": 96, "test": 199}
    assert report["duplicates"]["across"] == [{"split": "test", "also_in": "train", "rows": 123}]
    assert report["splits"]["test"]["labels"] == {"0": 12_500, "1": 12_500}
