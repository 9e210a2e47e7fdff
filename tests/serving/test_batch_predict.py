import json
import time

import pytest
from typer.testing import CliRunner

from nlp_suite.cli import app
from nlp_suite.errors import ExportError, UsageError
from nlp_suite.serving.batch_predict import batch_predict, check_plan, cut, read_chunk, write_chunk


def test_chunks_are_whole_lines_and_cover_the_file(tmp_path):
    file = tmp_path / "a b.txt"
    file.write_bytes(b"".join(b"line %d\n" % i for i in range(100)) + b"\n\r\nlast")
    chunks = cut(file, 64)
    assert len(chunks) > 5 and chunks[0].name == "a_b.txt-00000"
    assert [c.start for c in chunks] == [0, *(c.end for c in chunks[:-1])] and chunks[-1].end == file.stat().st_size
    rows = [row for chunk in chunks for row in read_chunk(chunk, 1000)[1]]
    assert [number for number, _, _ in rows] == list(range(1, 104))
    assert [text for _, text, _ in rows[99:]] == ["line 99", "", "", "last"]
    assert all(reason is None for _, _, reason in rows)


def test_an_empty_file_has_no_chunks(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert cut(tmp_path / "empty") == []
    with pytest.raises(ExportError, match="is no file"):
        cut(tmp_path)


def test_lines_that_cannot_be_read_say_why(tmp_path):
    file = tmp_path / "a.txt"
    file.write_bytes("gut\nschön\x85 so\n".encode() + b"\xff\xfe\n" + b"x" * 50 + b"\n")
    (chunk,) = cut(file)
    rows = read_chunk(chunk, 20)[1]
    assert rows[:2] == [(1, "gut", None), (2, "schön\x85 so", None)]
    assert rows[2] == (3, None, "no UTF-8 at byte 0") and rows[3] == (4, None, "50 bytes; at most 20 are read")


def test_answers_and_bad_lines_stand_apart_and_the_mark_comes_last(tmp_path):
    file, out = tmp_path / "a.txt", tmp_path / "out"
    file.write_text("a\nb\n")
    out.mkdir()
    (chunk,) = cut(file)
    write_chunk((chunk, [(1, "a", {"label": "x"}, None), (2, "b", None, "it fails")]), str(out))
    good = json.loads((out / "a.txt-00000.jsonl").read_text())
    assert good == {"file": str(file), "line": 1, "text": "a", "label": "x"}
    assert json.loads((out / "a.txt-00000.bad.jsonl").read_text())["reason"] == "it fails"
    done = json.loads((out / "a.txt-00000.done").read_text())
    assert (done["lines"], done["bad"]) == (2, 1) and len(done["files"]) == 2


@pytest.fixture
def plan(tmp_path):
    """A function that plans to answer files of a folder with a model into `out`; it has done so for `a.txt` once."""
    for name in ("model", "other"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_bytes(b"graph")
    (tmp_path / "out").mkdir()
    (tmp_path / "a.txt").write_text("good\n")

    def same_run(*files, model="model", signature="serving_default", output="out"):
        chunks = [chunk for file in files or ("a.txt",) for chunk in cut(tmp_path / file)]
        check_plan(tmp_path / output, tmp_path / model, signature, chunks)

    same_run()
    return same_run


def test_the_same_plan_goes_on(plan):
    plan()


def test_a_folder_of_other_answers_is_refused(plan, tmp_path):
    (tmp_path / "b.txt").write_text("b\n")
    for given, difference in [
        ({"model": "other"}, "its model was '.*/model', now '.*/other' is given; choose another folder"),
        ({"signature": "other"}, "its signature was 'serving_default', now 'other' is given"),
    ]:
        with pytest.raises(ExportError, match=difference):
            plan(**given)
    with pytest.raises(ExportError, match="it did not read '.*/b.txt'"):
        plan("a.txt", "b.txt")
    with pytest.raises(ExportError, match="it read '.*/a.txt' too, which is not given now"):
        plan("b.txt")
    with pytest.raises(ExportError, match="two input files have the same name, 'a.txt'"):
        plan("a.txt", "a.txt")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("")
    with pytest.raises(ExportError, match="holds no batch prediction"):
        plan(output="full")


def test_answers_to_what_a_file_or_a_model_was_before_are_refused(plan, tmp_path):
    """Also where sizes are the same: it is the content that counts."""
    (tmp_path / "a.txt").write_text("evil\n")
    with pytest.raises(ExportError, match="the file '.*/a.txt' has changed since"):
        plan()
    (tmp_path / "a.txt").write_text("good\n")
    plan()
    (tmp_path / "model" / "saved_model.pb").write_bytes(b"grape")
    with pytest.raises(ExportError, match="the model '.*/model' has changed since"):
        plan()


def test_a_file_that_changes_meanwhile_is_refused(tmp_path):
    (tmp_path / "a.txt").write_text("good\n")
    (chunk,) = cut(tmp_path / "a.txt")
    (tmp_path / "a.txt").write_text("evil\n")
    with pytest.raises(ExportError, match="'.*/a.txt' has changed while it was read"):
        read_chunk(chunk, 100)


def test_a_million_lines_are_cut_fast(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"a text of about fifty bytes, as reviews have them.\n" * 10**6)
    start = time.process_time()
    assert len(cut(tmp_path / "a.txt")) == 13
    assert time.process_time() - start < 5


def test_a_runner_that_is_none(tmp_path):
    with pytest.raises(UsageError, match="runner 'drect'; allowed: direct, flink, spark, dataflow"):
        batch_predict(tmp_path, [], tmp_path, runner="drect")


@pytest.fixture
def asked(monkeypatch):
    """What the command line asks `batch_predict` for."""
    found = []

    def pretended(model, inputs, output, **settings):
        found.append(([str(each) for each in inputs], str(output), settings["runner"]))
        return {"lines": 2, "bad": 0, "chunks": 2, "skipped": 0}

    monkeypatch.setattr("nlp_suite.serving.batch_predict.batch_predict", pretended)
    return found


@pytest.mark.parametrize(
    "files", [["--input", "a.txt", "b.txt"], ["--input", "a.txt", "--input", "b.txt"], ["a.txt", "b.txt"]]
)
def test_all_files_on_the_command_line_are_read(asked, files):
    told = CliRunner().invoke(app, ["predict", "M", *files, "--output", "out", "--runner", "direct"])
    assert told.exit_code == 0, told.output
    assert asked == [(["a.txt", "b.txt"], "out", "direct")]


BEAM = ["--input", "a.txt", "--output", "out", "--runner", "direct"]


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([*BEAM, "--format", "tsv"], "with --runner --format does nothing"),
        ([*BEAM, "--format=table", "--max-length", "9"], "with --runner --format, --max-length does nothing"),
        ([*BEAM, "-"], "with --runner standard input (-) is not read"),
        (["--output", "out", "--runner", "direct"], "--runner needs --input FILE … and --output FOLDER"),
        (["a text", "--signature", "classify"], "--signature needs --runner (direct, flink, spark or dataflow)"),
        (["a text", "--runner-option=--x=1", "--output=o"], "--runner-option needs --runner"),
        (["--input", "a.txt", "--input", "b.txt"], "several --input files need --runner"),
        (["--input", "a.txt", "b.txt"], "give texts, or --input FILE, or - for standard input (one of the three)"),
    ],
)
def test_options_that_would_do_nothing_are_named(asked, arguments, message):
    told = CliRunner().invoke(app, ["predict", "M", *arguments])
    assert told.exit_code == 1 and message in str(told.exception) and not asked
