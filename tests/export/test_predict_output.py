"""Texts in from anywhere, predictions out as table, JSON lines or TSV."""

import gzip
import io
import json
import os
import sys
import threading

import pytest

from nlp_suite.cli.predictions import predict_texts, write_predictions
from nlp_suite.data.table_reading import open_table
from nlp_suite.errors import UnknownNameError, UsageError
from nlp_suite.export.load import load
from nlp_suite.predictor import AnswerOptions
from nlp_suite.tasks.shared.lines import read_texts
from tests.export.conftest import LABELS

TEXTS = ['a "fine"\tfilm', "", "[bold]dull[/bold] größe"]


def test_json_lines_hold_text_and_answer(predictor, capsys):
    write_predictions(predictor, TEXTS, "jsonl")
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["text"] for row in rows] == TEXTS
    assert all(row["label"] in LABELS and list(row["probabilities"]) == LABELS for row in rows)


def test_tsv_reads_back(predictor, capsys, tmp_path):
    texts = [*TEXTS, '"quoted"', "lone\rreturn", "two\nlines\r"]
    write_predictions(predictor, texts, "tsv")
    (tmp_path / "answers.tsv").write_bytes(capsys.readouterr().out.encode())
    table = open_table(tmp_path / "answers.tsv")
    assert table.columns == ["text", "label", "probability", *LABELS]
    rows = [row for _, row in table.rows()]
    assert [row[0] for row in rows] == texts
    assert all(float(row[3]) + float(row[4]) == pytest.approx(1) for row in rows)


@pytest.mark.parametrize("format", ["table", "jsonl", "tsv"])
def test_texts_that_are_not_read_whole_are_named(predictor, capsys, format):
    write_predictions(predictor, ["fine", "great " * 25, "dull", "slow " * 30], format)
    printed = capsys.readouterr()
    assert "2 of 4 texts were longer than text.max_length or text.max_characters" in printed.err
    assert "number 2, 4" in printed.err
    if format == "jsonl":
        assert [json.loads(line)["truncated"] for line in printed.out.splitlines()] == [False, True, False, True]
    write_predictions(predictor, ["fine"], format)
    assert capsys.readouterr().err == ""


def test_the_table_shows_markup_as_it_is_and_cuts_long_texts(predictor, capsys):
    write_predictions(predictor, ["[bold]dull", "x" * 100], "table", max_characters=12)
    out = capsys.readouterr().out
    assert "[bold]dull" in out and "x" * 11 + "…" in out and "x" * 12 not in out


def test_an_unknown_format_is_refused(predictor):
    with pytest.raises(UnknownNameError, match="did you mean 'jsonl'"):
        write_predictions(predictor, [], "json")


def test_texts_from_a_file_and_from_standard_input(tmp_path, monkeypatch):
    (tmp_path / "texts").write_bytes(b"one\r\n\nbad \xff\nlast")
    expected = ["one", "", "bad �", "last"]
    assert list(read_texts(None, tmp_path / "texts")) == expected
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO((tmp_path / "texts").read_bytes())))
    assert list(read_texts(["-"], None)) == expected
    assert list(read_texts(["a", "b"], None)) == ["a", "b"]


def test_exactly_one_origin(tmp_path):
    for texts, file in ((None, None), ([], None), (["a"], tmp_path)):
        with pytest.raises(UsageError, match="one of the three"):
            read_texts(texts, file)
    with pytest.raises(UsageError, match="no such file"):
        read_texts(None, tmp_path / "missing")
    with pytest.raises(UsageError, match="a folder, not a file"):
        read_texts(None, tmp_path)


def test_a_gzipped_file_and_a_pipe(tmp_path):
    (tmp_path / "texts.gz").write_bytes(gzip.compress(b"\xef\xbb\xbfone\ntwo"))
    assert list(read_texts(None, tmp_path / "texts.gz")) == ["one", "two"]
    os.mkfifo(tmp_path / "pipe")
    writer = threading.Thread(target=(tmp_path / "pipe").write_bytes, args=(b"one\ntwo\n",))
    writer.start()
    assert list(read_texts(None, tmp_path / "pipe")) == ["one", "two"]
    writer.join()


def test_unknown_words_are_said_with_the_remedy(run_dir, capsys):
    """Of a run, whose text layer is there; the same in Python by `remarks`, on what was read since it was last asked."""
    texts = ["a qwertz film", "qwertz", "the zxcv film"]
    predict_texts(run_dir, texts, None, None, column=None, options=AnswerOptions(), format="jsonl", max_characters=60)
    said = capsys.readouterr().err
    assert (
        "of the tokens are unknown ('qwertz', 'zxcv', …), and all look the same to the model: lower text.tokenizer.min_count, or take"
        in said
    )
    predictor = load(run_dir)
    predictor.predict(["the film"])
    assert predictor.remarks() == []
    predictor.predict(["the qwertz film"])
    assert predictor.remarks()[0].startswith("33.3% of the tokens are unknown ('qwertz', …)")
    assert predictor.remarks() == []
