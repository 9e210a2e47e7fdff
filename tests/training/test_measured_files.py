"""Runs measured on files that are no split of their data."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nlp_suite import cli
from nlp_suite.data.table_writing import open_table_writer
from nlp_suite.errors import DataError, UsageError
from nlp_suite.training.evaluate import evaluate
from nlp_suite.training.measured_files import checked_files, report_folder, with_files
from nlp_suite.training.run import Run
from tests import language_models, translation_models
from tests.export.conftest import SMALL, make_run

ROWS = [["7", "a fine film", "positive"], ["8", "dull, dull", "negative"], ["9", "a good plot", "positive"]]


def table(path, columns=("id", "text", "label"), rows=ROWS):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open_table_writer(path, columns) as writer:
        for row in rows:
            writer.write(row)
    return path


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    folder = make_run(tmp_path_factory.mktemp("classifier"), SMALL["bag"])
    info = json.loads((folder / "run.json").read_text())
    del info["fitted"]  # without the figures of its calibration, which a report shows
    (folder / "run.json").write_text(json.dumps(info))
    return Run(folder)


def test_a_table_has_a_report_of_its_own_beside_the_others(classifier, tmp_path):
    own = (classifier.directory / "report.json").read_bytes()
    report = evaluate(classifier, data=table(tmp_path / "test.csv"))
    page = Path(report["page"])
    assert page == classifier.directory / "data" / "test.csv" / "report.html" and "test.csv split" in page.read_text()
    assert report["split"] == "test.csv" and report["data"] == [str(tmp_path / "test.csv")] and report["examples"] == 3
    saved = json.loads(page.with_suffix(".json").read_text())
    hits = sum(row[number] for number, row in enumerate(report["confusion_matrix"]))
    assert saved["accuracy"] == report["accuracy"] == pytest.approx(hits / 3)
    assert (classifier.directory / "report.json").read_bytes() == own
    assert "test.csv" not in Run(classifier.directory).info["statistics"]
    asked = ["evaluate", str(classifier.directory), "--data", str(tmp_path / "test.csv"), "--no-baseline", "--json"]
    again = json.loads(CliRunner().invoke(cli.app, asked).stdout)
    other = evaluate(classifier, data=table(tmp_path / "other" / "test.csv", rows=ROWS[:2]))
    assert again["page"] == report["page"] and Path(other["page"]).parent.name == "test.csv-2"
    assert evaluate(classifier, data=tmp_path / "test.csv", output=tmp_path / "out")["page"] == str(
        tmp_path / "out" / "report.html"
    )


def test_the_measure_is_that_of_a_split(classifier, tmp_path):
    """The same rows as a table and as the run's own test split."""
    own = evaluate(classifier, output=tmp_path / "own")
    store = classifier.stores()["test"]
    rows = [["", store.text(row), classifier.labels[store.labels[row]]] for row in range(len(store))]
    report = evaluate(classifier, data=table(tmp_path / "rows.parquet", rows=rows), output=tmp_path / "file")
    for key in ("examples", "accuracy", "cross_entropy", "confusion_matrix"):
        assert report[key] == own[key], key


@pytest.mark.parametrize(
    "columns, rows, message",
    [
        (("text", "label"), [["fine", "good"]], r"label 'good' does not occur in the training split"),
        (("body", "label"), [["fine", "positive"]], r"rows.csv, line 1: text_column: unknown column 'text'"),
        (("text", "label"), [], "rows.csv: .* no rows"),
    ],
)
def test_what_the_run_does_not_know_is_refused(classifier, tmp_path, columns, rows, message):
    with pytest.raises(DataError, match=message):
        evaluate(classifier, data=table(tmp_path / "rows.csv", columns, rows))
    assert not (classifier.directory / "data" / "rows.csv").exists()


def test_options_that_do_not_go_together(classifier, tmp_path):
    path = table(tmp_path / "rows.csv")
    with pytest.raises(UsageError, match=r"either a split \(test\) is measured, or data are"):
        evaluate(classifier, "test", data=path)
    with pytest.raises(DataError, match="gone.csv' does not exist"):
        evaluate(classifier, data=tmp_path / "gone.csv")
    with pytest.raises(DataError, match="2 files are given; the run .* is measured on one file$"):
        evaluate(classifier, data=[path, path])
    (tmp_path / "rows.txt").write_text("fine\n")
    with pytest.raises(DataError, match=r"rows.txt: labels are read from a table"):
        evaluate(classifier, data=tmp_path / "rows.txt")


def stored(run, *files):
    with with_files(run, checked_files(files), lambda line: None) as (measured, name, stores):
        statistics, store = measured.info["statistics"][name], stores[name]
        return sorted(stores), name, len(store), statistics


def test_a_language_model_on_a_text_and_on_a_table(tmp_path):
    run = Run(language_models.make_run(tmp_path / "run", "gru", source={"documents": "line"}))
    lines = ["the bird sees a dog", "the cat sings"]
    (tmp_path / "new.txt").write_text("".join(f"{line}\n" for line in lines))
    table(tmp_path / "new.csv", ["text"], [[line] for line in lines])
    splits, name, rows, statistics = stored(run, tmp_path / "new.txt")
    assert splits == sorted(["train", "validation", "test", name]) and rows == 2
    assert (statistics["documents"], statistics["words"], statistics["tokens"]) == (2, 10, 10), "lines, as in training"
    assert stored(run, tmp_path / "new.csv")[2:] == (rows, statistics)
    (tmp_path / "run" / "text.txt").unlink()
    report = evaluate(run, data=tmp_path / "new.txt")
    assert report["tokens"] == 10 and report["by_frequency"] == []
    assert any("the run's own data cannot be read" in remark for remark in report["remarks"])


def test_a_translation_model_on_two_files_and_on_a_table(tmp_path):
    run = Run(translation_models.make_run(tmp_path / "run", "gru"))
    pairs = translation_models.PAIRS[1:3]
    for side, name in enumerate(("new.en", "new.de")):
        (tmp_path / name).write_text("".join(pair[side] + "\n" for pair in pairs))
    _, name, rows, statistics = stored(run, tmp_path / "new.en", tmp_path / "new.de")
    assert name == "new.en and new.de" and rows == 2
    assert report_folder(run.directory, [Path("new.en"), Path("new.de")]) == run.directory / "data" / "new.en+new.de"
    assert stored(run, table(tmp_path / "new.tsv", ["source", "target"], pairs))[2:] == (rows, statistics)
    with pytest.raises(DataError, match="one file, or two files, of the sources and of the targets"):
        stored(run, *[tmp_path / "new.en"] * 3)
