"""TSV, CSV and JSONL files: what is read is what was written, and every bad file is named with its line."""

import csv
import gzip
import json
import re
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nlp_suite.data.sources.files import FilesSource
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES

IMDB = Path(__file__).parents[3] / "shared" / "data" / "imdb"

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\t\n"), max_size=40).map(
    lambda text: text.removesuffix("\r")  # which before a line feed is part of the line's end
)
NO_LABEL = re.compile(r"\s*|nan|NaN|-?\d+\.0+")  # is missing, or a number in another form
LABEL = LINE.filter(lambda text: not NO_LABEL.fullmatch(text))
ROWS = st.lists(st.tuples(TEXT, TEXT.filter(lambda text: not NO_LABEL.fullmatch(text))), min_size=1, max_size=8)


def read(path, split="train", **arguments):
    return list(FilesSource(**{split: str(path)}, **arguments).examples(split))


def write(folder, name, content):
    path = Path(folder, name)
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.fixture
def fails(tmp_path):
    """Reads a file that must be refused, and returns the message."""

    def check(name, content, **arguments):
        with pytest.raises(DataError) as caught:
            read(write(tmp_path, name, content), **arguments)
        assert name in str(caught.value)
        return str(caught.value)

    return check


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(LINE, LABEL), min_size=1, max_size=8), st.sampled_from(["a.tsv", "a.tsv.gz"]))
def test_tsv_round_trip_without_quoting(rows, name):
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, name, "".join(f"{label}\t{text}\n" for text, label in [("text", "label"), *rows]))
        assert read(path, quoting="none") == [{"text": text, "label": label} for text, label in rows]


@settings(deadline=None, max_examples=60)
@given(ROWS)
@example([("", "\n,")])
def test_csv_round_trip_with_quotes_commas_and_line_ends(rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.csv")
        with open(path, "w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
        expected = [{"text": text, "label": label} for text, label in rows]
        assert read(path, quoting="csv") == expected
        try:
            assert read(path) == expected
        except DataError as error:  # every line has as many commas, whether its quotes are text or not
            assert "quoting" in str(error)


@settings(deadline=None, max_examples=60)
@given(ROWS, st.booleans())
def test_jsonl_round_trip(rows, ascii_only):
    expected = [{"text": text, "label": label} for text, label in rows]
    with tempfile.TemporaryDirectory() as folder:
        lines = "\n".join(json.dumps(row, ensure_ascii=ascii_only) for row in expected)
        assert read(write(folder, "a.jsonl", lines)) == expected


def test_line_separators_of_unicode_and_lone_returns_split_no_line(tmp_path):
    path = write(tmp_path, "a.tsv", 'label\ttext\npos\ta\x85b\u2028c\rd "e\x0c\n')
    assert read(path) == [{"text": 'a\x85b\u2028c\rd "e\x0c', "label": "pos"}]


def test_windows_line_ends_and_byte_order_mark(tmp_path):
    path = write(tmp_path, "a.tsv", b"\xef\xbb\xbftext\tlabel\r\nfine\tpos\r\n\r\nbad\tneg\r\n")
    assert read(path) == [{"text": "fine", "label": "pos"}, {"text": "bad", "label": "neg"}]


def test_columns_by_number_without_header(tmp_path):
    path = write(tmp_path, "a.csv", "pos,1,fine\nneg,2,\n")
    expected = [{"text": "fine", "label": "pos"}, {"text": "", "label": "neg"}]
    assert read(path, text_column=2, label_column=0) == expected
    assert read(path, text_column=2, label_column=0, header=True) == expected[1:]


def test_columns_by_name_other_delimiter_and_format(tmp_path):
    path = write(tmp_path, "reviews.txt", "stars|review\n5|good|\n".replace("|\n", "\n"))
    arguments = {"format": "tsv", "delimiter": "|", "text_column": "review", "label_column": "stars"}
    assert read(path, **arguments) == [{"text": "good", "label": "5"}]


def test_without_labels(tmp_path):
    path = write(tmp_path, "a.tsv", "one\n\ntwo\n")
    assert read(path, text_column=0, label_column=None) == [{"text": "one"}, {"text": "two"}]


def test_running_text_needs_no_label_column(tmp_path):
    path = write(tmp_path, "a.tsv", "text\tstars\none\t\ntwo\t5\n")
    assert read(path, kind="text") == [{"text": "one"}, {"text": "two"}]
    assert read(path, kind="text", text_column=0, header=False)[0] == {"text": "text"}
    assert read(path, kind="text", text_column="stars", label_column="stars")[1] == {"text": "5"}
    path = write(tmp_path, "a.jsonl", '{"text": "a\\nb", "label": null}\n')
    assert read(path, kind="text") == [{"text": "a\nb"}]
    assert FilesSource(train=path).fingerprint() != FilesSource(train=path, kind="text").fingerprint()


def test_pairs_by_name_number_and_key(tmp_path):
    expected = [{"source": "a b ", "target": "ä"}, {"source": "", "target": "ß"}]
    path = write(tmp_path, "a.tsv", "target\tid\tsource\nä\t1\ta b \nß\t2\t\n")
    assert read(path, kind="pairs") == expected
    path = write(tmp_path, "a.csv.gz", "en,de\na b ,ä\n,ß\n")
    assert read(path, kind="pairs", source_column="en", target_column="de") == expected
    assert read(path, kind="pairs", source_column=0, target_column=1, header=True) == expected
    path = write(tmp_path, "a.jsonl", '{"source": "a b ", "target": "\\u00e4"}\n{"source": "", "target": "ß"}\n')
    assert read(path, kind="pairs") == expected
    assert FilesSource(train=path).fingerprint() != FilesSource(train=path, kind="pairs").fingerprint()


@pytest.mark.parametrize(
    "name, content, arguments, parts",
    [
        (
            "a.tsv",
            "source\tde\na\tb\n",
            {},
            ["line 1", "target_column", "'target'", "source_column: 0, target_column: 1"],
        ),
        ("a.tsv", "", {}, ["empty", "a row of source and target"]),
        ("a.jsonl", '{"source": "a", "target": 7}\n', {}, ["line 1", "'target' must be a string, got 7"]),
        ("a.jsonl", '{"source": "a", "label": "b"}\n', {}, ["line 1", "target_column", "unknown key 'target'"]),
        ("a.csv", "a,b\n", {"source_column": 0, "target_column": 2}, ["target_column is 2", "from 0 to 1"]),
    ],
)
def test_bad_files_of_pairs(fails, name, content, arguments, parts):
    message = fails(name, content, kind="pairs", **arguments)
    assert all(part in message for part in parts), message


def test_one_column_is_no_pair(tmp_path):
    path = write(tmp_path, "a.tsv", "source\ttarget\na\tb\n")
    with pytest.raises(DataError, match="source_column and target_column are the same: 'source'"):
        read(path, kind="pairs", target_column="source")


def test_several_files_a_split_each_with_its_header(tmp_path):
    one, two = write(tmp_path, "1.tsv", "text\tlabel\na\tx\n"), write(tmp_path, "2.csv.gz", "label,text\ny,b\n")
    source = FilesSource(train=[str(one), str(two)], test=one)
    assert source.splits() == ["train", "test"]
    assert [e["text"] for e in source.examples("train")] == ["a", "b"]
    assert [e["label"] for e in source.examples("test")] == ["x"]


def test_json_labels_may_be_numbers_and_booleans(tmp_path):
    lines = "\n".join(json.dumps({"text": "t", "label": label}) for label in (1, True, "a", 0.5))
    assert [e["label"] for e in read(write(tmp_path, "a.jsonl", lines))] == ["1", "true", "a", "0.5"]


def test_a_field_of_a_megabyte_and_the_limit_of_the_csv_module_is_left_alone(tmp_path):
    before = csv.field_size_limit()
    text = "long, " * 200_000
    assert read(write(tmp_path, "a.csv", f'text,label\n"{text}",pos\n'))[0]["text"] == text
    assert csv.field_size_limit() == before


def test_reads_line_by_line(tmp_path):
    """The broken second line is met only after the first example was given out."""
    examples = FilesSource(train=write(tmp_path, "a.tsv", b"text\tlabel\nfine\tpos\n\xff\tneg\n")).examples("train")
    assert next(examples)["text"] == "fine"
    with pytest.raises(DataError, match="line 3"):
        next(examples)


def test_invalid_utf8(fails, tmp_path):
    content = b"text\tlabel\nfine\tpos\ncaf" + b"\xe9\tneg\n"
    message = fails("a.tsv", content)
    assert "line 3" in message and "0xe9" in message and "on_error=replace" in message
    assert read(tmp_path / "a.tsv", on_error="replace")[1] == {"text": "caf\ufffd", "label": "neg"}
    assert "invalid UTF-16" in fails("b.tsv", "text\tlabel\nfine\tpos\n".encode("utf-16")[:-1])


def test_half_a_surrogate_pair_in_json(fails, tmp_path):
    content = '{"text": "a\\ud83d", "label": "x"}\n{"text": "\\ud83d\\ude00", "label": "y"}\n'
    assert "line 1" in fails("a.jsonl", content)
    assert [e["text"] for e in read(tmp_path / "a.jsonl", on_error="replace")] == ["a\ufffd", "😀"]


@pytest.mark.parametrize(
    "name, content, parts",
    [
        ("a.tsv", "", ["empty"]),
        ("a.jsonl", "\n\n", ["empty"]),
        ("a.csv", "text,label\n", ["header", "no rows"]),
        ("a.tsv", "txt\tlabel\na\tb\n", ["'text'", "'txt'", "label", "without a header"]),
        ("a.jsonl", '{"txt": "a", "label": "b"}\n', ["line 1", "'text'", "did you mean 'txt'"]),
        ("a.tsv", "text\tlabel\na\tb\tc\n", ["line 2", "3 columns", "has 2"]),
        ("a.csv", 'text,label\n"a,b\nc,d\n', ["line 2", "CSV"]),
        ("a.csv", 'text,label\nx,y\n"a"b,c\n', ["line 3", "quotes in it are doubled"]),
        ("a.csv", "text,text,label\na,b,c\n", ["2 columns are called 'text'"]),
        ("a.tsv", "text\tlabel\nx\ty\na\t \n", ["line 3", "label is empty"]),
        ("a.jsonl", '{"text": "a", "label": "b"}\n{"text": \n', ["line 2", "JSON"]),
        ("a.jsonl", "[1]\n", ["line 1", "object"]),
        ("a.jsonl", '{"text": 7, "label": "b"}\n', ["line 1", "'text'", "7"]),
        ("a.jsonl", '{"text": "a", "label": null}\n', ["line 1", "'label'", "null"]),
        ("a.txt", "text\tlabel\na\tb\n", [".txt", ".tsv", "format"]),
    ],
)
def test_bad_files_name_file_line_and_what_is_allowed(fails, name, content, parts):
    message = fails(name, content)
    assert all(part in message for part in parts), message


def test_column_number_out_of_range(fails):
    assert "columns go from 0 to 1" in fails("a.tsv", "a\tb\n", text_column=2, label_column=0)


def test_broken_gzip(fails, tmp_path):
    whole = gzip.compress(b"text\tlabel\n" + b"fine\tpos\n" * 500)
    path = tmp_path / "cut.tsv.gz"
    path.write_bytes(whole[:-12])
    with pytest.raises(DataError, match=r"cut\.tsv\.gz.*gzip"):
        read(path)
    path.write_bytes(b"text\tlabel\nfine\tpos\n")
    with pytest.raises(DataError, match="gzip"):
        read(path)


def test_missing_file_names_what_is_there(tmp_path):
    write(tmp_path, "train.csv", "text,label\na,b\n")
    with pytest.raises(DataError, match=r"trian\.csv.*train\.csv"):
        FilesSource(train=tmp_path / "trian.csv")
    (tmp_path / "texts").mkdir()
    write(tmp_path / "texts", "1.txt", "a text")
    with pytest.raises(DataError, match="'directory'"):
        FilesSource(train=tmp_path / "texts")
    with pytest.raises(DataError, match="nor does its folder"):
        FilesSource(train=tmp_path / "none" / "train.csv")


def test_wrong_settings(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"text": "a", "label": "b"}\n')
    with pytest.raises(DataError, match="keys, not numbers"):
        FilesSource(train=path, text_column=0)
    with pytest.raises(DataError, match="no delimiter"):
        FilesSource(train=path, delimiter=",")
    with pytest.raises(ValueError, match="no file is given"):
        FilesSource()
    with pytest.raises(ValueError, match="columns are numbers"):
        FilesSource(train=path, header=False)
    with pytest.raises(ValueError, match="same"):
        FilesSource(train=path, label_column="text")
    with pytest.raises(ValueError, match="did you mean 'test'"):
        FilesSource(train=path, tets=path)
    with pytest.raises(ValueError, match="did you mean 'replace'"):
        FilesSource(train=path, on_error="replaced")
    with pytest.raises(DataError, match=r"'test'.*train"):
        next(FilesSource(train=path).examples("test"))


def test_fingerprint_changes_with_content_and_settings_only(tmp_path):
    path = write(tmp_path, "a.tsv", "text\tlabel\na\tb\n")
    before = FilesSource(train=path).fingerprint()
    write(tmp_path, "a.tsv", "text\tlabel\na\tb\n")
    assert FilesSource(train=path).fingerprint() == before
    assert FilesSource(train=path, on_error="replace").fingerprint() != before
    assert FilesSource(train=path, text_column="label", label_column="text").fingerprint() != before
    write(tmp_path, "a.tsv", "text\tlabel\na\tc\n")
    assert FilesSource(train=path).fingerprint() != before


def test_known_to_the_registry():
    assert SOURCES.get("files") is FilesSource
    assert SOURCES.help()["files"].startswith("Tables, one or more a split: TSV, CSV")


@pytest.mark.skipif(not IMDB.is_dir(), reason="the IMDB files are not beside the repository, in ../shared/data/imdb")
def test_imdb_files():
    source = FilesSource(train=IMDB / "train.tsv.gz", test=IMDB / "test.tsv.gz")
    for split in source.splits():
        labels = [example["label"] for example in source.examples(split)]
        assert len(labels) == 25_000 and labels.count("1") == 12_500


def test_json_labels_that_are_one_number_are_one_label(tmp_path):
    rows = [{"text": "a", "label": label} for label in (1, 1.0, -0.0, 0, 2.5, 1e300, "1.0")]
    path = write(tmp_path, "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    assert [row["label"] for row in read(path)] == ["1", "1", "0", "0", "2.5", "1e+300", "1.0"]


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 5000])
def test_numbers_of_thousands_of_digits_are_refused(fails, number):
    message = fails("a.jsonl", '{"text": "a", "label": 1}\n{"text": "b", "label": ' + number + "}\n")
    assert "a.jsonl, line 2: not valid JSON: Exceeds the limit" in message


@pytest.mark.parametrize("number", ["NaN", "Infinity"])
def test_json_labels_that_are_no_number_are_refused(fails, number):
    assert f"line 1: 'label' must be a string or number, got {number}" in fails(
        "a.jsonl", '{"text": "a", "label": ' + number + "}"
    )


@pytest.mark.parametrize("name", ["a.tsv.GZ", "A.TSV.Gz", "a.CSV"])
def test_the_case_of_a_suffix_does_not_matter(tmp_path, name):
    content = b"label,text\npos,fine\n" if "CSV" in name else b"label\ttext\npos\tfine\n"
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.lower().endswith(".gz") else content)
    assert read(path) == [{"text": "fine", "label": "pos"}]
