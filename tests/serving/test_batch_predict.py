import json

import pytest

from nlp_suite.export.errors import ExportError
from nlp_suite.serving.batch_predict import _same_run, batch_predict, cut, read_chunk, write_chunk


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
    assert json.loads((out / "a.txt-00000.done").read_text()) == {"lines": 2, "bad": 1}


def test_a_folder_of_other_answers_is_refused(tmp_path):
    file, out = tmp_path / "a.txt", tmp_path / "out"
    file.write_text("a\n")
    out.mkdir()
    _same_run(out, tmp_path / "model", "serving_default", cut(file))
    _same_run(out, tmp_path / "model", "serving_default", cut(file))
    with pytest.raises(ExportError, match="another model, signature or input"):
        _same_run(out, tmp_path / "other", "serving_default", cut(file))
    with pytest.raises(ExportError, match="two input files have the same name, 'a.txt'"):
        _same_run(out, tmp_path / "model", "serving_default", cut(file) * 2)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").write_text("")
    with pytest.raises(ExportError, match="holds no batch prediction"):
        _same_run(tmp_path / "full", tmp_path / "model", "serving_default", cut(file))


def test_a_runner_that_is_none(tmp_path):
    with pytest.raises(ExportError, match="runner 'drect'; allowed: direct, flink, spark, dataflow"):
        batch_predict(tmp_path, [], tmp_path, runner="drect")
