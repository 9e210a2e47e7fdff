"""Tables of every format: what is found in a file is right or refused, and what is written is read back equal."""

import gzip
import itertools
import json
import os
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import openpyxl
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import feather, ipc, parquet

from nlp_suite.data import table_writing
from nlp_suite.data.table_formats import delimited, json_rows, text_input
from nlp_suite.data.table_reading import guess_encoding, open_table
from nlp_suite.data.table_writing import open_table_writer
from nlp_suite.errors import DataError

CELL = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.sampled_from(
    ['"', '"a"', '"a" b', "\r", "a\r\n", "\t,"]
)


def rows(path, **options):
    return [row for _, row in open_table(path, **options).rows()]


def refused(path, **options):
    with pytest.raises(DataError) as caught:
        rows(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


# ---- text


@pytest.mark.parametrize(
    "name, content, delimiter",
    [
        ("a.csv", "text;label\ngut, aber;pos\n3,5 Sterne;neg\n", ";"),
        ("a.csv", "text,label\na;b,x\n", ","),
        ("a.tsv", "text,label\na b,x\nc d,y\n", ","),
        ("a.csv", "text|label\na, b|x\n", "|"),
        ("a.tsv", "text\nhello, you\nbye\n", "\t"),
        ("a.csv", "text\nhello\n", ","),
        ("a.tsv", "a\tb, c\n", "\t"),
    ],
)
def test_delimiters_are_found_and_said(write, name, content, delimiter):
    table = open_table(write(name, content))
    assert table.format.delimiter == delimiter
    usual = "\t" if name == "a.tsv" else ","
    assert (table.found() == "") == (delimiter == usual)
    if delimiter == ";":
        assert table.found().endswith("a.csv: columns are delimited by semicolons (found in the file)")


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_first_line_may_name_the_delimiter(write, end):
    table = open_table(write("a.csv", end.join(["sep=;", "text;label", '"a;b";x', "c,d;y", ""])))
    assert table.columns == ["text", "label"] and list(table.rows()) == [(3, ["a;b", "x"]), (4, ["c,d", "y"])]


def test_delimiters_that_fit_alike_are_refused(write):
    message = refused(write("a.tsv", "a;b,c\nd;e,f\n"))
    assert "','" in message and "';'" in message and "set delimiter" in message
    assert rows(write("a.tsv", "a;b,c\nd;e,f\n"), delimiter=";", header=False) == [["a", "b,c"], ["d", "e,f"]]


@pytest.mark.parametrize(
    "content, quoting, expected",
    [
        ('text\tlabel\n"a ""b"""\tx\nplain\ty\n', "csv", ['a "b"', "plain"]),  # those that need it
        ('"text"\t"label"\n"a"\t"x"\n"b"\t"y"\n', "csv", ["a", "b"]),  # all
        ('text\tstars\n"a"\t1\n"b"\t2\n', "csv", ["a", "b"]),  # all texts
        ('text\tlabel\n"a, b"\tx\nc\ty\n', "csv", ["a, b", "c"]),  # as spreadsheets do
        ('text\tlabel\n"Great"\tx\nc\ty\n', "none", ['"Great"', "c"]),  # without need: the author's
        ('text\tlabel\n"a" b\tx\n"c"\ty\n', "none", ['"a" b', '"c"']),
        ('text\tlabel\nsay "a"\tx\n', "none", ['say "a"']),
    ],
)
def test_quoting_is_found(write, content, quoting, expected):
    table = open_table(write("a.tsv", content))
    assert table.format.quoting == quoting
    assert [row[0] for _, row in table.rows()] == expected
    assert ("fields are quoted" in table.found()) == (quoting == "csv")


def test_quoting_that_is_unclear_is_refused_with_the_remedy(write):
    lines = "".join(f'"a ""{n}"""\tx\n' for n in range(30))
    message = refused(write("a.tsv", f'text\tlabel\n{lines}"b" c\ty\n'))
    assert "line 32: 1 of 31 rows" in message and "quoting: none" in message
    message = refused(write("b.tsv", f'text\tlabel\n{lines}"b"\ty\nc\ty\n'))
    assert "quotes may be text or quoting" in message and "quoting: none" in message and "quoting: csv" in message
    assert len(rows(write("b.tsv", f'text\tlabel\n{lines}"b"\ty\nc\ty\n'), quoting="none")) == 32
    message = refused(write("c.csv", 'text,label\na,x\n"b" c,y\n'))
    assert "line 3: not valid CSV" in message and "quoting: none" in message


def test_a_row_behind_the_sample_that_contradicts_it_is_refused(write, monkeypatch):
    monkeypatch.setattr(text_input, "SAMPLE_BYTES", 400)
    path = write("a.tsv", 'text\tlabel\n"a ""b"""\tx\n' + "c\ty\n" * 200 + '"d" e\ty\n')
    assert "line 203: not valid CSV" in refused(path)


def test_the_first_quotes_decide_where_they_stand_behind_the_sample(write, monkeypatch):
    monkeypatch.setattr(text_input, "SAMPLE_BYTES", 400)
    monkeypatch.setattr(delimited, "SAMPLE_BYTES", 400)
    plain = "text\tlabel\n" + "c\ty\n" * 200
    assert rows(write("a.tsv", plain + '"d\n""e"""\ty\nf\ty\n'))[-2:] == [['d\n"e"', "y"], ["f", "y"]]
    assert rows(write("b.tsv", plain + '"d" e\ty\n' * 50))[-1] == ['"d" e', "y"]
    path = write("c.tsv", plain + '"d ""e"""\ty\n' * 30 + '"d" e\ty\n')
    assert "c.tsv, line 232: 1 of 31 rows" in refused(path)


def test_line_ends_may_be_mixed(write):
    assert rows(write("a.tsv", "text\tlabel\na\tneg\r\nb\tneg\nc\tneg\r\n")) == [
        ["a", "neg"],
        ["b", "neg"],
        ["c", "neg"],
    ]
    assert rows(write("a.csv", "text,label\ra,neg\rb,neg")) == [["a", "neg"], ["b", "neg"]]
    assert rows(write("b.csv", 'text,label\na\rb,neg\r\n"c\r\nd",neg\n')) == [["a\rb", "neg"], ["c\r\nd", "neg"]]
    assert rows(write("c.csv", 'text,label\r"a\nb",neg\r"c",neg\r')) == [["a\nb", "neg"], ["c", "neg"]]


@pytest.mark.parametrize(
    "encoding, text",
    [
        ("utf-8", "café"),
        ("utf-16-le", "café"),
        ("cp1252", "“Das schöne Mädchen” kostet 5 € – naïf"),
        ("cp1252", "nº 3 está aquí: ¿qué pasó señor? ¡Adiós! él dejó 3½ páginas más"),
        ("cp1250", "Zażółć gęślą jaźń – bardzo dobry film i świetna gra aktorów"),
        ("cp1254", "Bu film çok güzeldi oyuncular iyi – ışık ve müzik şahane ama ağır değil"),
        ("cp1251", "Это очень хороший фильм; я смотрел его два раза и буду смотреть ещё"),
        ("cp932", "これはとても良い映画でした。もう一度見たいと思います。"),
    ],
)
def test_the_likely_encoding_is_named(write, encoding, text):
    content = "text,label\n" + f"{text},pos\n" * 20
    path = write("a.csv", content.encode(encoding))
    guessed = guess_encoding(path)
    assert content.encode(encoding).decode(guessed) == content
    if encoding != "utf-8":
        assert f"set encoding: {guessed}" in refused(path)
    assert rows(path, encoding=guessed) == [[text, "pos"]] * 20


def test_encodings_that_cannot_be(write):
    path = write("a.csv", "text,label\né,pos\n".encode("utf-8-sig"))
    assert "byte order mark of UTF-8" in refused(path, encoding="cp1252")
    for unknown in ("utf-9", "rot13"):
        with pytest.raises(DataError, match=f"unknown encoding '{unknown}'"):
            open_table(path, encoding=unknown)


@pytest.mark.parametrize(
    "content, columns",
    [
        ("text\tlabel\na film\tpos\n", ["text", "label"]),
        ("\ttext\n0\ta film\n", ["", "text"]),
        ("pos\tgood\npos\tfine\n", None),
        ("A film about love.\tEin Film über Liebe.\nHi.\tHallo.\n", None),
        ("text\t1\na\t2\n", None),
        ("text\ttext\na\tb\n", None),
    ],
)
def test_headers_are_seen(write, content, columns):
    assert open_table(write("a.tsv", content)).columns == columns


def test_a_file_that_changes_is_refused(write):
    path = write("a.csv", "text,label\n" + "a,b\n" * 1000)
    table = open_table(path)
    read = table.rows()
    next(read)
    with open(path, "a") as file:
        file.write("a,b,c\n")
    with pytest.raises(DataError, match=r"a\.csv: the file has changed while it was read"):
        list(read)
    os.utime(path, (1, 1))
    with pytest.raises(DataError, match="has changed"):
        next(table.rows())


def test_memory_stays_flat(tmp_path, monkeypatch):
    monkeypatch.setattr(text_input, "SAMPLE_BYTES", 2**16)
    monkeypatch.setattr(text_input, "_PIECE_BYTES", 2**16)
    path = tmp_path / "a.csv"
    with open_table_writer(path, ["text", "n"]) as table:
        for n in range(8_000):
            table.write(["some words, and more " * 8, n])
    one_line = tmp_path / "a.json"
    one_line.write_text(json.dumps([{"text": "some words " * 9, "n": n} for n in range(8_000)]))
    for file in (path, one_line):
        opened = open_table(file)
        tracemalloc.start()
        assert sum(1 for _ in opened.rows()) == 8_000
        assert tracemalloc.get_traced_memory()[1] < 2**19 < file.stat().st_size
        tracemalloc.stop()


# ---- JSON


@pytest.mark.parametrize(
    "content, message",
    [
        ("", "a.json: the file is empty"),
        ('"text"', "no JSON table begins with"),
        ('[{"a": 1}, 2]', "element 2: a JSON object is expected, got 2"),
        ('[{"a": 1}\n, {"a": ]', "line 2: not valid JSON: Expecting value"),
        ('[{"a": 1}', "',' is missing at the end of the file"),
        ('[{"a": 1} {"a": 2}]', "',' is missing before '{'"),
        ('[{"a": 1}] 1', "something stands behind the array"),
        ('{"text": {"0": "a"}}', "orient='records'"),
        ('[{"a": "\\ud83d"}]', "half a surrogate pair"),
    ],
)
def test_bad_json(write, content, message):
    assert message in refused(write("a.json", content))


def test_arrays_are_read_whatever_their_pieces(write, monkeypatch):
    monkeypatch.setattr(text_input, "_PIECE_BYTES", 3)
    values = [{"a": 'ü]\\"', "b": [1, {"c": None}]}, {"a": 12345, "b": 1.5}, {"b": True}]
    for text in (json.dumps(values), json.dumps(values, indent=2, ensure_ascii=False)):
        assert rows(write("a.json", text)) == [[v.get("a"), v["b"]] for v in values]
    monkeypatch.setattr(json_rows, "MAX_ELEMENT_CHARACTERS", 20)
    assert "Unterminated string" in refused(write("a.json", '[{"a": "' + "b" * 90))


def test_keys_that_some_objects_lack(write):
    assert rows(write("a.jsonl", '{"a": 1}\n\n{"b": 2, "a": 3}\n')) == [[1, None], [3, 2]]


# ---- Excel, Parquet, Arrow


@pytest.fixture
def workbook(tmp_path):
    def make(*sheets, merge=None):
        book, path = openpyxl.Workbook(), tmp_path / "a.xlsx"
        book.remove(book.active)
        for title, lines in sheets:
            sheet = book.create_sheet(title)
            for line in lines:
                sheet.append(line)
        if merge:
            sheet.merge_cells(merge)
        book.save(path)
        return path

    return make


def test_sheets(workbook):
    lines = [["text", "label"], ["fine", 1], [], ["bad", 0.5], [None, True], ["#N/A", "x"], ["a_x000D_b"]]
    path = workbook(("Notes", []), ("Data", lines))
    table = open_table(path)
    assert table.format.sheet == "Data" and table.columns == ["text", "label"]
    assert list(table.rows()) == [
        (2, ["fine", 1]),
        (4, ["bad", 0.5]),
        (5, [None, True]),
        (6, [None, "x"]),
        (7, ["a\rb", None]),
    ]
    path = workbook(("One", lines), ("Two", lines))
    assert "several sheets have rows: One, Two; set sheet" in refused(path)
    assert "unknown sheet 'Tow': did you mean 'Two'?" in refused(path, sheet="Tow")
    assert len(rows(path, sheet="Two")) == 5
    assert "no sheet has rows" in refused(workbook(("One", [])))


def test_a_wrong_size_of_a_sheet_hides_nothing(workbook):
    path = workbook(("Data", [["text", "label"], ["fine", "pos"], ["good"]]))
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in parts.items():
            archive.writestr(name, part.replace(b'<dimension ref="A1:B3"', b'<dimension ref="A1"'))
    assert rows(path) == [["fine", "pos"], ["good", None]]


def test_merged_cells_are_refused(workbook):
    path = workbook(("Data", [["text", "label"], ["fine", "pos"], ["good", None]]), merge="B2:B3")
    message = refused(path)
    assert "the sheet 'Data' has merged cells (B2:B3)" in message and "unmerge" in message


def test_files_that_are_not_what_their_suffix_says(write):
    assert "not an Excel workbook" in refused(write("a.xlsx", "text,label\n"))
    assert "cannot be read as parquet" in refused(write("a.parquet", "text,label\n"))
    assert "cannot be read as arrow" in refused(write("a.arrow", "text,label\n"))
    assert "save it as .xlsx" in refused(write("a.xls", ""))
    assert "broken gzip" in refused(write("a.csv.gz", "text,label\n"))
    assert "parquet is compressed in itself" in refused(write("a.parquet.gz", gzip.compress(b"PAR1")))
    assert "jsonl has no delimiter" in refused(write("a.jsonl", "{}"), delimiter=",")
    assert "csv has no sheets" in refused(write("a.csv", "{}"), sheet="One")


def test_columns_of_arrow(tmp_path):
    table = pyarrow.table(
        {
            "text": pyarrow.array(["a", None, "c"], pyarrow.large_string()),
            "label": pyarrow.array(["x", "y", "x"]).dictionary_encode(),
            "tags": [["b"], [], None],
        }
    )
    expected = [["a", "x", ["b"]], [None, "y", []], ["c", "x", None]]
    parquet.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    feather.write_feather(table, tmp_path / "a.feather")
    with ipc.new_stream(tmp_path / "a.arrow", table.schema) as stream:
        stream.write_table(table)
    for name in ("a.parquet", "a.feather", "a.arrow"):
        assert rows(tmp_path / name) == expected


# ---- writing


@settings(deadline=None, max_examples=40)
@given(
    st.lists(st.lists(CELL, min_size=2, max_size=2), min_size=1, max_size=6),
    st.sampled_from([".csv", ".tsv", ".jsonl"]),
)
def test_what_is_written_is_read_back_equal(lines, suffix):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a" + suffix)
        with open_table_writer(path, ["first text", "second text"]) as table:
            for line in lines:
                table.write(line)
        assert rows(path, header=True) == lines


@pytest.mark.parametrize(
    "name",
    [".".join(n) for n in itertools.product("a", ["csv", "tsv", "jsonl"], ["gz", "bz2", "xz", "zst"])] + ["a.parquet"],
)
def test_every_suffix_is_written(tmp_path, name):
    lines = [['a\t"b", c\n', 1, None, 0.5], ["", 2, None, 1.5]] * 3000
    with open_table_writer(tmp_path / name, ["text", "n", "none", "p"]) as table:
        for line in lines:
            table.write(line)
    is_text = "csv" in name or "tsv" in name
    expected = [["" if v is None else str(v) for v in line] for line in lines] if is_text else lines
    assert rows(tmp_path / name) == expected


def test_values_that_text_has_no_type_for(tmp_path):
    with open_table_writer(tmp_path / "a.csv", ["a", "b", "c"]) as table:
        table.write([True, ["x", 1], {"y": None}])
    assert rows(tmp_path / "a.csv") == [["true", '["x", 1]', '{"y": null}']]


def test_types_of_parquet_are_widened(tmp_path, monkeypatch):
    monkeypatch.setattr(table_writing, "BATCH_ROWS", 2)
    lines = [[1, None, "a"], [2, None, "b"], [1.5, None, None], [None, 0.5, "d"], [3, 1, "e"]]
    with open_table_writer(tmp_path / "a.parquet", ["n", "later", "text"]) as table:
        for line in lines:
            table.write(line)
    assert rows(tmp_path / "a.parquet") == lines
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


def test_tables_that_cannot_be_written(tmp_path):
    for name, part in {"a.xlsx": "'.xlsx'", "a.parquet.gz": "'.parquet.gz'", "none/a.csv": "no folder"}.items():
        with pytest.raises(DataError, match=part), open_table_writer(tmp_path / name, ["a"]):
            pass
    with (
        pytest.raises(DataError, match="'a' has values of several types"),
        open_table_writer(tmp_path / "a.parquet", ["a"]) as table,
    ):
        for value in (1, "b"):
            table.write([value])
    with pytest.raises(KeyError), open_table_writer(tmp_path / "a.csv", ["a"]):
        raise KeyError
    assert list(tmp_path.iterdir()) == []
