"""The source `files` on people's own tables: formats, parts, missing values, labels that are written in several ways."""

import datetime
import gzip
import json
import sys

import numpy as np
import openpyxl
import pyarrow
import pytest
from pyarrow import parquet

from nlp_suite.config import load_experiment
from nlp_suite.data.inspect import inspect_experiment
from nlp_suite.data.label_spelling import label_merger, spelling_key
from nlp_suite.data.prepare import open_source, prepare, splits
from nlp_suite.data.sources.files import FilesSource
from nlp_suite.data.sources.parallel import ParallelSource
from nlp_suite.errors import ConfigError, DataError


@pytest.fixture
def write(tmp_path):
    def make(name, content):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make


def read(path, **arguments):
    return list(FilesSource(train=path, **arguments).examples("train"))


def refused(path, **arguments):
    with pytest.raises(DataError) as caught:
        read(path, **arguments)
    return str(caught.value)


def experiment(tmp_path, path, **data):
    source = {"name": "files", "train": str(path), **data.pop("source", {})}
    text = {"tokenizer": {"name": "byte"}}
    return load_experiment(
        {"task": "sentiment", "text": text, "data": {"source": source, "cache": str(tmp_path / "cache"), **data}}
    )


def sheet(path, lines):
    book = openpyxl.Workbook()
    for line in lines:
        book.active.append(line)
    book.save(path)
    return path


def test_one_set_of_examples_in_every_format(write, tmp_path):
    lines = [('fine, "really"', 1), ("bad", 0)]
    parquet.write_table(pyarrow.table(dict(zip(("text", "label"), zip(*lines)))), tmp_path / "a.parquet")
    objects = [dict(zip(("text", "label"), line)) for line in lines]
    files = [
        tmp_path / "a.parquet",
        sheet(tmp_path / "a.xlsx", [("text", "label"), *lines]),
        write("a.json", json.dumps(objects)),
        write("a.csv", 'text;label\n"fine, ""really""";1.0\nbad;0.0\n'.encode("utf-16")),
        write("b.tsv.gz", gzip.compress(b'text\tlabel\n"fine, ""really"""\t1\nbad\t0')),
    ]
    for path in files:
        assert read(path) == [{"text": 'fine, "really"', "label": "1"}, {"text": "bad", "label": "0"}], path


def test_what_was_found_is_a_remark(write, tmp_path):
    path = write("a.csv", "text;label\n" + "good one;pos\nbad one;neg\n" * 20)
    said = []
    sentence = f"{path}: columns are delimited by semicolons (found in the file)"
    for _ in range(2):  # made, and used again
        prepare(experiment(tmp_path, path), progress=said.append)
        assert said.pop() == sentence or sentence in said
    assert sentence in inspect_experiment(experiment(tmp_path, path))["remarks"]


def test_parts(write, tmp_path):
    for n in range(3):
        write(f"parts/part-{n}.csv.gz", gzip.compress(f"text,label\nt{n},x\n".encode()))
    write("parts/_SUCCESS", "")
    write("parts/.part-0.crc", "x")
    folder = tmp_path / "parts"
    expected = [{"text": f"t{n}", "label": "x"} for n in range(3)]
    assert (
        read(folder) == read(folder / "*.csv.gz") == read([str(folder / "part-0*"), str(folder / "part-[12].csv.gz")])
    )
    assert read(folder) == expected
    assert "no file matches" in refused(folder / "*.tsv")
    write("parts/readme.md", "")
    write("parts/a.parquet", "")
    message = refused(folder)
    assert (
        "files of several formats" in message and "csv: 3, such as part-0.csv.gz" in message and "by a glob" in message
    )
    assert read(folder / "part*") == expected


def test_rows_that_lack_a_value(write, tmp_path):
    content = "text,label\nfine,pos\n,neg\nodd,\nbad,nan\n  ,pos\nworse,neg\n"
    path = write("a.csv", content)
    assert "line 4: the label is empty" in refused(path) and "data.missing: drop" in refused(path)
    path = write("b.csv", content.replace("odd,\n", ""))
    assert "line 4: 'label' is 'nan', which stands for a missing value; data.missing: drop" in refused(path)
    source = FilesSource(train=path, missing="drop")
    assert [row["text"] for row in source.examples("train")] == ["fine", "worse"]
    assert source.remarks("train") == ["train: 3 rows were left out (2 without text, 1 without label)"]
    assert [row["text"] for row in source.examples("train")] == ["fine", "worse"]  # counted anew
    assert source.remarks("train") == ["train: 3 rows were left out (2 without text, 1 without label)"]
    path = write(
        "a.jsonl", '{"text": null, "label": 1}\n{"text": "a", "label": NaN}\n{"label": 1}\n{"text": "b", "label": 2}\n'
    )
    assert "line 1: 'text' must be a string, got null; data.missing: drop" in refused(path)
    assert read(path, missing="drop") == [{"text": "b", "label": "2"}]
    assert FilesSource(train=path, missing="drop").fingerprint() != FilesSource(train=path).fingerprint()
    settings = {"missing": "drop"}
    source = open_source(experiment(tmp_path, path, **settings))
    assert source.missing == "drop"
    with pytest.raises(DataError, match="is for tables"):
        open_source(load_experiment({"task": "sentiment", "data": {"source": "sample", **settings}}))
    with pytest.raises(ConfigError, match="missing"):
        experiment(tmp_path, path, missing="ignore")


def test_a_text_may_have_no_label_where_it_may_have_several(write):
    path = write("a.csv", "text,label\na,x\nb,\n,y\nc,nan\n")
    rows = read(path, kind="multi_labelled", missing="drop")
    assert rows == [{"text": "a", "label": ["x"]}, {"text": "b", "label": []}]
    path = write("a.jsonl", '{"text": "a", "label": ["x", "y"]}\n{"text": "b", "label": null}\n')
    assert [row["label"] for row in read(path, kind="multi_labelled", missing="drop")] == [["x", "y"], []]


def test_labels_that_are_written_in_several_ways(write, tmp_path):
    rows = ["a Pos", "b pos ", "c Pos", "d 1", "e 1.0", "f neg"] * 4
    lines = "".join(json.dumps({"text": row[0] * n, "label": row[2:]}) + "\n" for n, row in enumerate(rows, 1))
    path = write("a.jsonl", lines)
    with pytest.raises(DataError) as caught:
        prepare(experiment(tmp_path, path))
    message = str(caught.value)
    for part in ("'Pos' (", "'pos ' (", "'1' (", "'1.0' (", "data.labels_normalise: true", "data.labels"):
        assert part in message
    assert list(prepare(experiment(tmp_path, path, labels_normalise=True)).labels) == ["1", "Pos", "neg"]
    named = ["Pos", "pos ", "1", "1.0", "neg"]
    assert list(prepare(experiment(tmp_path, path, labels=named)).labels) == named
    test = write("test.jsonl", '{"text": "x", "label": "POS"}\n')
    both = {"source": {"test": str(test)}}
    with pytest.raises(DataError, match=r"label 'POS' does not occur .*data.labels_normalise: true makes it 'Pos'"):
        prepare(experiment(tmp_path, write("b.jsonl", lines.replace("pos ", "Pos").replace("1.0", "1")), **both))
    merged = prepare(experiment(tmp_path, path, labels_normalise=True, labels=["neg", "pos", "1"], **both))
    assert list(merged.labels) == ["neg", "pos", "1"] and list(merged.stores["test"].labels) == [1]


def test_spellings():
    assert len({spelling_key(label) for label in ("Straße", " STRASSE", "strasse ")}) == 1
    assert spelling_key("1.0") == spelling_key("1") != spelling_key("1.5") != spelling_key("1.50")
    merge = label_merger(["b", "B", "B"], None)
    assert [merge("b "), merge("c "), merge(["b", "x"]), merge(None)] == ["B", "c ", ["B", "x"], None]


def test_limits_and_held_out_rows_are_of_merged_labels(write, tmp_path):
    path = write("a.csv", "text,label\n" + "".join(f"t{n},{'Xx'[n % 2]}\nu{n},y\n" for n in range(40)))
    selections = splits(
        experiment(tmp_path, path, labels_normalise=True, limit=20), None or open_source(experiment(tmp_path, path))
    )
    labels = [example["label"] for example in selections["train"]]
    assert sorted(set(labels)) == ["X", "y"] and len(labels) == 20 and labels.count("X") == 10
    assert isinstance(selections["train"].rows, np.ndarray)


def test_values_that_are_no_text(tmp_path):
    day = datetime.date(2020, 1, 2)
    table = pyarrow.table({"text": ["a"], "label": [day], "tags": [["x", "y"]], "raw": [b"a"], "stars": [5]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet") == [{"text": "a", "label": "2020-01-02"}]
    message = refused(tmp_path / "a.parquet", text_column="tags")
    assert 'a.parquet, row 1: \'tags\' must be a string, got ["x", "y"]' in message
    assert "'tags' must be a string or number" in refused(tmp_path / "a.parquet", label_column="tags")
    assert "'raw' holds bytes" in refused(tmp_path / "a.parquet", text_column="raw")
    assert "'stars' must be a string, got 5" in refused(tmp_path / "a.parquet", text_column="stars")
    assert read(tmp_path / "a.parquet", text_column=0, label_column=4) == [{"text": "a", "label": "5"}]
    path = sheet(tmp_path / "a.xlsx", [("text", "label"), (10, "x"), ("b", "y")])
    assert [row["text"] for row in read(path)] == ["10", "b"]  # a workbook makes numbers of texts


def test_a_file_of_one_row(write, tmp_path):
    with pytest.raises(DataError, match="header line and no rows"):
        prepare(experiment(tmp_path, write("a.csv", "text,label\n")))
    with pytest.raises(DataError, match="nothing can be held out|two labels or more|held out for validation"):
        prepare(experiment(tmp_path, write("b.csv", "text,label\na,b\n")))


def test_settings_that_are_not_allowed(tmp_path, write):
    path = write("a.csv", "text,label\na,b\n")
    with pytest.raises(ValueError, match="unknown encoding 'utf9'"):
        FilesSource(train=path, encoding="utf9")
    with pytest.raises(ValueError, match="quoting"):
        FilesSource(train=path, quoting="yes")
    assert read(path, encoding="cp1252", quoting="csv", format="csv") == [{"text": "a", "label": "b"}]


def test_hashes_are_those_from_before_there_were_these_settings(write):
    settings = FilesSource(train=write("a.csv", "text,label\na,b\n")).settings.model_dump()
    assert not {"columns", "quoting", "encoding", "sheet"} & settings.keys()
    assert FilesSource.Settings(train="a", encoding="cp1252").model_dump()["encoding"] == "cp1252"


def test_a_tsv_of_pairs_may_be_quoted(write):
    quoted = ParallelSource(kind="pairs", train=write("a.tsv", '"a ""b"""\tä\nc\t"d\te"\n'))
    assert [tuple(pair.values()) for pair in quoted.examples("train")] == [('a "b"', "ä"), ("c", "d\te")]
    assert "fields are quoted" in quoted.remarks("train")[0]
    path = write("b.tsv", '"Hi."\t"Hallo."\nhe\ter\n')
    plain = ParallelSource(kind="pairs", train=path)
    assert next(plain.examples("train")) == {"source": '"Hi."', "target": '"Hallo."'}
    assert next(ParallelSource(kind="pairs", train=path, quoting="csv").examples("train"))["source"] == "Hi."


@pytest.mark.parametrize(
    "name, package, extra",
    [("a.xlsx", "openpyxl", "excel"), ("a.parquet", "pyarrow", "parquet"), ("a.csv.zst", "zstandard", "zstd")],
)
def test_a_package_that_is_not_installed_is_named_with_its_extra(write, monkeypatch, name, package, extra):
    monkeypatch.setitem(sys.modules, package, None)
    message = refused(write(name, b"x"))
    assert name in message and package in message and f"pip install 'nlp-suite[{extra}]'" in message
