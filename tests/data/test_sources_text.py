"""Plain text files: lines as they stand, documents in three ways, and files that cannot be used."""

import gzip
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_suite.config import load_experiment
from nlp_suite.data.sources.text import PlainTextSource
from nlp_suite.errors import ConfigError, DataError
from nlp_suite.registry import SOURCES

LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=20)


def read(path, split="train", **arguments):
    return list(PlainTextSource(kind="text", **{"train": path, split: path}, **arguments).examples(split))


def documents(examples):
    """Lists of lines, by document."""
    return [[e["text"] for e in group] for _, group in itertools.groupby(examples, lambda e: e.get("document"))]


@pytest.fixture
def write(tmp_path):
    def make(content, name="a.txt"):
        path = tmp_path / name
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    return make


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ({"documents": "line"}, [["= A ="], ["one"], [""], [" "], [" two "], ["= B ="], ["three"]]),
        ({"documents": "blank_line"}, [["= A =", "one"], [" two ", "= B =", "three"]]),
        ({}, [["= A =", "one", "", " ", " two ", "= B =", "three"]]),
        ({"heading": "= .* ="}, [["= A =", "one", "", " ", " two "], ["= B =", "three"]]),
        ({"heading": "= B ="}, [["= A =", "one", "", " ", " two "], ["= B =", "three"]]),
    ],
)
def test_documents(write, arguments, expected):
    examples = read(write("= A =\none\n\n \n two \n= B =\nthree\n"), **arguments)
    if arguments.get("documents") == "line":
        assert all(set(e) == {"text"} for e in examples)
        assert [[e["text"]] for e in examples] == expected
    else:
        assert documents(examples) == expected


def test_documents_of_several_files_differ(write):
    paths = [write("a\nb\n", "1.txt"), write("c", "2.txt.gz")]
    for how in ("file", "blank_line"):
        assert documents(read(paths, documents=how)) == [["a", "b"], ["c"]]


@settings(deadline=None, max_examples=50)
@given(lines=st.lists(LINE, min_size=1, max_size=8))
def test_lines_are_what_stands_between_line_feeds(lines, tmp_path_factory):
    path = tmp_path_factory.mktemp("lines") / "a.txt"
    lines[0] = lines[0].removeprefix("\ufeff")
    path.write_bytes("".join(f"{line}\n" for line in lines).encode())
    assert [e["text"] for e in read(path)] == lines


def test_line_ends(write):
    assert [e["text"] for e in read(write("a\r\n b \r\n\r\nc"))] == ["a", " b ", "", "c"]
    assert [e["text"] for e in read(write("a\nb\r\nc\x85d\u2028e\rf\n"))] == ["a", "b\r", "c\x85d\u2028e\rf"]
    assert [e["text"] for e in read(write(b"\xef\xbb\xbfa\n\n"))] == ["a", ""]


def test_reads_line_by_line(write):
    examples = PlainTextSource(kind="text", train=write(b"fine\n\xff\n")).examples("train")
    assert next(examples) == {"text": "fine", "document": "1:1"}
    with pytest.raises(DataError, match=r"a\.txt, line 2: invalid UTF-8, byte 0xff"):
        next(examples)
    assert [e["text"] for e in read(write(b"fine\n\xff\n"), on_error="replace")] == ["fine", "\ufffd"]


@pytest.mark.parametrize(
    "content, arguments, message",
    [
        ("", {}, r"a\.txt: the file is empty"),
        ("", {"documents": "blank_line"}, r"a\.txt: the file is empty"),
        ("\n \n", {"documents": "blank_line"}, r"a\.txt: the file has only blank lines; lines of text are expected"),
        ("\n = A = \nb\n", {"heading": "= A ="}, r"no line is a heading '= A ='.*spaces.*' = A = '"),
    ],
)
def test_bad_files(write, content, arguments, message):
    with pytest.raises(DataError, match=message):
        read(write(content), **arguments)


def test_missing_file_names_what_stands_beside(write):
    path = write("a")
    with pytest.raises(DataError, match=r"b\.txt.*does not exist; its folder has: a\.txt"):
        PlainTextSource(kind="text", train=path, test=path.with_name("b.txt"))


def test_wrong_settings(write):
    path = write("a")
    with pytest.raises(ValueError, match="'\\[a' is no regular expression: unterminated character set at position 0"):
        read(path, heading="[a")
    with pytest.raises(ValueError, match="documents: file only, got documents: line"):
        read(path, heading="a", documents="line")
    with pytest.raises(ValueError, match="train"):
        PlainTextSource(kind="text", test=path)
    with pytest.raises(ConfigError, match=r"data\.source.*documents.*'paragraph'"):
        load_experiment({"data": {"source": {"name": "text", "train": str(path), "documents": "paragraph"}}})
    with pytest.raises(DataError, match="unknown split 'test'"):
        next(PlainTextSource(kind="text", train=path).examples("test"))


def test_a_task_that_needs_labels_is_told_where_they_are(write):
    with pytest.raises(
        DataError, match="this task needs labels; sources that have them: directory .*, files .*, sample .*, tfds "
    ):
        PlainTextSource(train=write("a"))


def test_fingerprint(write):
    path = write("a\nb\n")
    before = PlainTextSource(kind="text", train=path).fingerprint()
    assert PlainTextSource(kind="text", train=path).fingerprint() == before
    assert PlainTextSource(kind="text", train=path, documents="line").fingerprint() != before
    assert PlainTextSource(kind="text", train=path, test=path).fingerprint() != before
    write("a\nc\n")
    assert PlainTextSource(kind="text", train=path).fingerprint() != before


def test_known_to_the_registry():
    assert SOURCES.get("text") is PlainTextSource
    assert SOURCES.help()["text"].startswith("Plain text files")


def test_wikitext2_has_its_published_counts(real_data):
    folder = real_data / "wikitext2"
    names = {"train": "train", "validation": "valid", "test": "test"}
    source = PlainTextSource(kind="text", **{split: folder / f"{name}.txt" for split, name in names.items()})
    words = {split: sum(len(e["text"].split()) + 1 for e in source.examples(split)) for split in source.splits()}
    assert words == {"train": 2_088_628, "validation": 217_646, "test": 245_569}
