"""Predictions for every row of a table: what is read, kept, added and refused."""

import io
import subprocess
import sys

import pytest

import nlp_suite
from nlp_suite.cli.predictions import predict_texts, thresholds_of
from nlp_suite.data.table_reading import open_table
from nlp_suite.data.table_writing import open_table_writer
from nlp_suite.errors import DataError, RequestError, UsageError
from nlp_suite.export import predict_table as module
from nlp_suite.predictor import AnswerOptions
from tests.export.conftest import LABELS

ROWS = [
    [1, "a fine film", "positive"],
    [2, "", None],
    [3, None, "negative"],
    [4, 'tabs\tand "quotes"\nand lines', "größe"],
    [5, "dull " * 40, "negative"],
]
ADDED = ["predicted_label", "predicted_probability", "predicted_negative", "predicted_positive"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "new.jsonl"
    with open_table_writer(path, ["id", "text", "label"]) as writer:
        for row in ROWS:
            writer.write(row)
    return path


def read(path):
    table = open_table(path)
    return table.columns, [values for _, values in table.rows()]


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz"])
def test_rows_keep_their_order_and_columns(predictor, table, tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(module, "CHUNK_ROWS", 2)
    done = nlp_suite.predict_table(predictor, table, tmp_path / f"out{suffix}")
    assert (done.rows, done.missing, done.truncated) == (5, 1, 1) and "5 rows; 1 without a text" in done.describe()
    columns, rows = read(done.path)
    assert columns == ["id", "text", "label", *ADDED]
    typed = suffix in (".jsonl", ".parquet")
    expected = [[value if typed else "" if value is None else str(value) for value in row] for row in ROWS]
    assert [row[:3] for row in rows] == expected
    for (_, text, _), row in zip(ROWS, rows):
        if text is None:
            assert row[3:] == [None if typed else ""] * 4
            continue
        answer = predictor.predict(text)
        assert row[3] == answer["label"] and isinstance(row[4], float if typed else str)
        assert [float(value) for value in row[5:]] == pytest.approx(list(answer["probabilities"].values()), abs=1e-6)


def test_the_options_of_the_answers(predictor, table, tmp_path):
    first = predictor.predict(ROWS[0][1])
    other = next(label for label in LABELS if label != first["label"])
    nlp_suite.predict_table(predictor, table, tmp_path / "out.jsonl", thresholds={first["label"]: 1.0}, top_k=1)
    columns, rows = read(tmp_path / "out.jsonl")
    assert columns[3:] == [*ADDED[:2], "predicted_label_1", "predicted_probability_1"]
    assert rows[0][3] == other and rows[0][5] == first["label"]
    nlp_suite.predict_table(predictor, table, tmp_path / "out.csv", abstain_below=1.0)
    assert [row[3] for row in read(tmp_path / "out.csv")[1]] == [""] * 5


def test_a_column_by_name(predictor, table, tmp_path):
    done = nlp_suite.predict_table(predictor, table, tmp_path / "out.csv", text_column="label")
    again = nlp_suite.predict_table(predictor, done.path, tmp_path / "again.csv", text_column=2)
    assert (done.missing, again.missing) == (1, 0), "CSV knows no missing text"
    columns, rows = read(again.path)
    assert columns[7:] == [f"{name}_2" for name in ADDED]
    assert [row[3:7] for row in rows if row[2]] == [row[7:] for row in rows if row[2]]


@pytest.mark.parametrize(
    "output, options, error, message",
    [
        ("out.xlsx", {}, DataError, "no table is written by the suffix '.xlsx'"),
        ("missing/out.csv", {}, DataError, "there is no folder"),
        ("new.jsonl", {}, UsageError, "would be read and written at once"),
        ("out.csv", {"text_column": "body"}, DataError, "unknown column 'body'"),
        ("out.csv", {"thresholds": {"pos": 0.5}}, RequestError, "unknown label 'pos': did you mean 'positive'"),
        ("out.csv", {"thresholds": {"positive": 2}}, RequestError, "from 0 to 1"),
    ],
)
def test_what_is_refused_leaves_no_file(predictor, table, tmp_path, output, options, error, message):
    before = table.read_bytes()
    with pytest.raises(error, match=message):
        nlp_suite.predict_table(predictor, table, tmp_path / output, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["new.jsonl"] and table.read_bytes() == before


def test_a_row_that_cannot_be_read_leaves_no_file(predictor, tmp_path):
    (tmp_path / "new.csv").write_text("text,label\nfine,1\ndull\n")
    with pytest.raises(DataError, match=r"new.csv, line 3: 1 columns"):
        nlp_suite.predict_table(predictor, tmp_path / "new.csv", tmp_path / "out.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["new.csv"]


# ---- the command line


def ask(predictor, monkeypatch, texts=None, input=None, output=None, column=None, format="jsonl", **options):
    monkeypatch.setattr("nlp_suite.cli.predictions.open_predictor", lambda path: predictor)
    asked = AnswerOptions(**options)
    predict_texts("run", texts, input, output, column=column, options=asked, format=format, max_characters=60)


def test_tables_lines_and_standard_input(predictor, table, tmp_path, monkeypatch, capsys):
    ask(predictor, monkeypatch, input=table, output=tmp_path / "out.csv")
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'out.csv'}: 5 rows")
    ask(predictor, monkeypatch, input=table, column="label")
    assert [line.split('"')[3] for line in capsys.readouterr().out.splitlines()][::3] == ["positive", "größe"]
    (tmp_path / "lines.txt").write_text("text,label\nfine,1\n")
    ask(predictor, monkeypatch, input=tmp_path / "lines.txt", output=tmp_path / "lines.tsv")
    assert [row[0] for row in read(tmp_path / "lines.tsv")[1]] == ["text,label", "fine,1"], "a text a line"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo\n")))
    ask(predictor, monkeypatch, ["-"], output=tmp_path / "in.parquet")
    assert [row[0] for row in read(tmp_path / "in.parquet")[1]] == ["one", "two"]


def test_abstention_is_shown(predictor, monkeypatch, capsys):
    for format, nothing in {"table": "(none)", "tsv": "fine\t\t", "jsonl": '"label": null'}.items():
        ask(predictor, monkeypatch, ["fine"], format=format, abstain_below=1.0)
        assert nothing in capsys.readouterr().out


def test_options_that_do_not_go_together(predictor, table, tmp_path, monkeypatch):
    with pytest.raises(UsageError, match="one of the three"):
        ask(predictor, monkeypatch, ["fine"], table)
    with pytest.raises(UsageError, match="--text 'body' is a column of a table"):
        ask(predictor, monkeypatch, ["fine"], column="body")
    with pytest.raises(DataError, match="gone.csv' does not exist"):
        ask(predictor, monkeypatch, input=tmp_path / "gone.csv")


def test_thresholds_of_the_command_line():
    assert thresholds_of(["pos=0.8", "a=b=1"]) == {"pos": 0.8, "a=b": 1.0}
    for given in ("pos", "=0.5", "pos=", "pos=half"):
        with pytest.raises(UsageError, match=f"--threshold {given!r}: a label and its probability"):
            thresholds_of([given])
    with pytest.raises(UsageError, match="has two thresholds"):
        thresholds_of(["pos=0.8", "pos=0.9"])


def test_a_task_that_has_no_labels_takes_no_options():
    from nlp_suite.task import Task

    class Tagger(Task):
        model_kind = "tagger"

    with pytest.raises(RequestError, match="a tagger answers without top_k, abstain_below"):
        Tagger.chosen([], AnswerOptions(top_k=1, abstain_below=0.5))


MEMORY = """
import resource, sys
from pathlib import Path
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.text_tables import TextTable
from nlp_suite.export.predict_table import write_answers
path, output = map(Path, sys.argv[1:])
rows, read, peaks = 400_000, 0, []
with open(path, "w") as file:
    file.write("id,text\\n")
    file.writelines(f"{number},a film of which much is to be said {number}\\n" for number in range(rows))
def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
def answers(texts):
    global read
    read += len(texts)
    if read > 100_000:
        peaks.append(peak())
    return [{"label": "x", "p": 0.5}] * len(texts)
columns = {"label": lambda answer: answer["label"], "p": lambda answer: answer["p"]}
assert write_answers(TextTable(path, corpus_kind("labelled")), output, answers, columns, "predicting").rows == rows
print(peak() - peaks[0])
"""


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_memory_stays_flat(tmp_path, suffix):
    """300,000 rows more than the first 100,000 would take 100 MB as Python's lists."""
    arguments = [sys.executable, "-c", MEMORY, str(tmp_path / "new.csv"), str(tmp_path / f"out{suffix}")]
    done = subprocess.run(arguments, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 15
