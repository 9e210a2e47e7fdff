"""What a file or folder holds, by its names and first lines."""

import gzip

import pytest

from nlp_suite.data.init.layout import look
from nlp_suite.errors import DataError, NlpSuiteError, UsageError

TEXT = "It was a dark night.\n\nNobody came.\n"


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Writes files, name → text, into the current folder."""
    monkeypatch.chdir(tmp_path)

    def make(files):
        for name, text in files.items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())

    return make


def source_of(given, *sides):
    layout = look(given if isinstance(given, dict) else {"train": given}, *sides)
    return {key: choice.value for key, choice in layout.source.items()}, layout


@pytest.mark.parametrize("name", ["a.csv", "b.tsv.gz", "c.JSONL", "d.parquet", "e.xlsx", "f.json"])
def test_a_table_is_known_by_its_name(make, name):
    make({name: "x"})
    source, layout = source_of(name)
    assert source == {"name": "files", "train": name} and [str(p) for p in layout.tables["train"]] == [name]


def test_a_text_file_with_equally_many_tabs_is_a_table(make):
    make({"deu.txt": "Go.\tGeh.\nHi.\tHallo.\n\n", "code.txt": "if x:\n\treturn\n", "novel.txt": TEXT})
    assert source_of("deu.txt")[0] == {"name": "files", "train": "deu.txt", "format": "tsv"}
    assert source_of("code.txt")[0]["name"] == source_of("novel.txt")[0]["name"] == "text"


@pytest.mark.parametrize("delimiter", "|;")
def test_a_text_file_with_equally_many_bars_or_semicolons_is_a_table(make, delimiter):
    lines = ["good; fine, film", "1|bad"] if delimiter == "|" else ["good, fine film|", "1;bad"]
    make({"a.txt": f"label{delimiter}text\n1{delimiter}well, well\n", "b.txt": "\n".join(lines)})
    assert source_of("a.txt")[0] == {"name": "files", "train": "a.txt", "format": "csv"}
    assert source_of("b.txt")[0]["name"] == "text"
    make({"a.txt": f"one line {delimiter} no more\n"})
    assert source_of("a.txt")[0]["name"] == "text"


def test_parts_of_a_running_text_are_one(make):
    make({"book/1.txt": TEXT, "book/2.txt": TEXT, "book/notes.md": "x"})
    source, layout = source_of("book/*.txt")
    assert source == {"name": "text", "train": "book/*.txt", "documents": "file"} and layout.name == "book"
    with pytest.raises(DataError, match=r"book/\* has files of several formats \(.txt: 2, such as 1.txt; .md: 1"):
        look({"train": "book/*"})


def test_running_text_of_long_lines_is_a_document_a_line(make):
    make({"novel.txt": TEXT, "posts.txt": f"{'word ' * 60}\n" * 3})
    assert source_of("novel.txt")[0] == {"name": "text", "train": "novel.txt", "documents": "file"}
    assert source_of("posts.txt")[0]["documents"] == "line"


def test_a_file_is_paired_with_the_only_translation_of_its_name(make):
    make({"train.en": "a\nb\n", "train.de": "x\ny\n", "val.en": "a\n", "val.de": "x\n", "train.fr": "one line\n"})
    source, layout = source_of({"train": "train.en", "validation": "val.en"})
    assert source["name"] == "parallel" and layout.kinds == ("pairs",)
    assert source["train"] == {"source": "train.en", "target": "train.de"}
    assert source["validation"] == {"source": "val.en", "target": "val.de"}
    assert source_of("train.en", None, "train.de")[0]["train"]["target"] == "train.de"
    with pytest.raises(UsageError, match="val.fr"):
        source_of({"train": "train.en", "validation": "val.en"}, None, "train.fr")
    make({"train.fr": "two\nlines\n"})
    with pytest.raises(UsageError, match="train.de, train.fr; choose one with --target"):
        source_of("train.en")


def test_folders_of_two_languages(make):
    make(
        {f"d/{split}.{language}": "a\n" for split in ("train", "val") for language in ("de", "en")}
        | {"d/_about.txt": "x"}
    )
    source, _ = source_of("d")
    assert source["train"] == {"source": "d/train.en", "target": "d/train.de"} and "test" not in source
    assert source_of("d", "de", "en")[0]["validation"] == {"source": "d/val.de", "target": "d/val.en"}
    make({f"t/{language}.train.txt": "a\n" for language in ("de", "en", "fr")})
    with pytest.raises(UsageError, match="languages de, en, fr: choose two with --source and --target"):
        source_of("t")
    assert source_of("t", "fr", "en")[0] == {
        "name": "parallel",
        "directory": "t",
        "source_language": "fr",
        "target_language": "en",
    }
    with pytest.raises(UsageError, match="--target: unknown language 'nl'"):
        source_of("t", "fr", "nl")


def test_folders_of_texts_and_of_classes(make):
    make(
        {f"classes/{label}/{i}.txt": "good" for label in ("neg", "pos") for i in range(2)} | {"classes/README.md": "x"}
    )
    assert source_of("classes")[0] == {"name": "directory", "root": "classes"}
    assert source_of("classes")[1].kinds == ("labelled", "text")
    make({f"splits/{split}/{label}/1.md": "good" for split in ("train", "test") for label in ("a", "b")})
    assert source_of("splits")[0] == {"name": "directory", "root": "splits", "suffix": ".md"}
    make({f"books/{i}.txt": TEXT for i in range(3)})
    assert source_of("books")[0] == {"name": "directory", "root": "books"} and source_of("books")[1].kinds == ("text",)
    make({"lm/train.txt": TEXT, "lm/valid.txt": TEXT})
    assert source_of("lm")[0] == {
        "name": "text",
        "train": "lm/train.txt",
        "validation": "lm/valid.txt",
        "documents": "file",
    }


def test_folders_of_tables(make):
    make({f"parts/part-{i}.csv": "x" for i in range(3)} | {"parts/.hidden": "x", "parts/_SUCCESS": ""})
    assert source_of("parts")[0] == {"name": "files", "train": "parts"}
    make({"named/train-0.csv": "x", "named/train-1.csv": "x", "named/dev.csv": "x"})
    source, _ = source_of("named")
    assert source == {
        "name": "files",
        "train": ["named/train-0.csv", "named/train-1.csv"],
        "validation": "named/dev.csv",
    }
    make({f"inner/{split}/{i}.jsonl": "{}" for split in ("train", "test") for i in range(2)})
    assert source_of("inner")[0] == {"name": "files", "train": "inner/train", "test": "inner/test"}


@pytest.mark.parametrize(
    "files, error, words",
    [
        ({"d/a.csv": "", "d/b.txt": "", "d/c.jsonl": ""}, DataError, "several formats: 1 .csv, 1 .txt, 1 .jsonl"),
        ({"d/x/a.csv": "", "d/y/b.txt": ""}, DataError, "several formats"),
        ({"d/a.pdf": ""}, DataError, "no format is known by the suffix '.pdf'"),
        ({"d/x/a.pdf": ""}, DataError, "end in '.pdf'"),
        ({"d/a.txt": "", "d/x/b.txt": ""}, DataError, r"files \(a.txt\) beside folders \(x\)"),
        ({"d/test/x/b.txt": ""}, DataError, "no train"),
        ({"d/test.csv": ""}, DataError, "but none of train"),
        ({"d/train.csv": "", "d/unsup.csv": ""}, UsageError, "to which split do unsup.csv belong"),
        ({"d/.keep": ""}, DataError, "is empty"),
        ({"e/a.csv": ""}, DataError, "'d' does not exist"),
    ],
)
def test_folders_that_are_refused(make, files, error, words):
    make(files)
    with pytest.raises(NlpSuiteError, match=words) as raised:
        source_of("d")
    assert isinstance(raised.value, error)


def test_a_folder_has_its_splits_in_it(make):
    make({"d/train.csv": "", "v.csv": ""})
    with pytest.raises(UsageError, match="give no --validation and --test"):
        source_of({"train": "d", "validation": "v.csv"})
