"""Parallel files: pairs as they stand line by line, three layouts, and files that do not belong together."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_suite.config import load_experiment
from nlp_suite.data.sources.directory import DirectorySource
from nlp_suite.data.sources.parallel import ParallelSource
from nlp_suite.data.sources.text import PlainTextSource
from nlp_suite.errors import ConfigError, DataError
from nlp_suite.registry import CORPUS_KINDS, SOURCES

LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=20)


@pytest.fixture
def write(tmp_path):
    def make(name, content):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        data = content if isinstance(content, bytes) else content.encode()
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return str(path)

    return make


def read(train, split="train", **arguments):
    """Pairs of a split as tuples."""
    return [(e["source"], e["target"]) for e in ParallelSource(kind="pairs", train=train, **arguments).examples(split)]


def two(source, target):
    return {"source": source, "target": target}


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(LINE, LINE), min_size=1, max_size=8), st.booleans(), st.booleans())
def test_lines_are_what_stands_between_line_feeds(tmp_path_factory, rows, zipped, ended):
    folder = tmp_path_factory.mktemp("pairs")
    rows[0] = tuple(line.removeprefix("\ufeff") for line in rows[0])
    paths = [folder / "a.en", folder / ("a.de.gz" if zipped else "a.de")]
    for path, lines in zip(paths, zip(*rows, strict=True), strict=True):
        data = ("\n".join(lines) + ("\n" if ended or not lines[-1] else "")).encode()
        path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    assert read(two(*paths)) == rows


def test_tabs_spaces_and_other_line_separators_stay(write):
    english, german = write("a.en", " a\tb  \nc\x85d\u2028e\rf\n\n"), write("a.de", "ä\n \nß \n")
    assert read(two(english, german)) == [(" a\tb  ", "ä"), ("c\x85d\u2028e\rf", " "), ("", "ß ")]
    windows = write("w.de", b"\xef\xbb\xbf\xc3\xa4\r\n \r\n\xc3\x9f\r\n")
    assert read(two(english, windows)) == [(" a\tb  ", "ä"), ("c\x85d\u2028e\rf", " "), ("", "ß")]


def test_lists_of_files_and_splits(write):
    paths = {
        name: write(name, text) for name, text in (("1.en", "a\nb\n"), ("1.de", "ä\nß"), ("2.en", "c"), ("2.de", "x"))
    }
    train = two([paths["1.en"], paths["2.en"]], [paths["1.de"], paths["2.de"]])
    source = ParallelSource(kind="pairs", train=train, test=two(paths["2.en"], paths["2.de"]))
    assert source.splits() == ["train", "test"]
    assert [e["target"] for e in source.examples("train")] == ["ä", "ß", "x"]
    assert list(source.examples("test")) == [{"source": "c", "target": "x"}]
    with pytest.raises(DataError, match="unknown split 'validation'"):
        next(source.examples("validation"))
    with pytest.raises(ValueError, match="source has 2 files and target 1"):
        read(two([paths["1.en"], paths["2.en"]], paths["1.de"]))


@pytest.mark.parametrize(
    "train, message",
    [
        ({"source": "a"}, "data.source: train: target: Field required, got {'source': 'a'}"),
        (
            {"source": ["a", "b"], "target": "c"},
            "data.source: train: source has 2 files and target 1; as many are needed",
        ),
        (5, "data.source: train: {source: PATH, target: PATH}, a path or a list of paths is needed, got 5"),
        ([], "is needed, got []"),
        (["a", 5], "is needed, got ['a', 5]"),
        ({"source": "a", "taget": "b"}, "unknown key 'taget': did you mean 'target'? (allowed: source, target)"),
    ],
)
def test_two_files_that_are_not_two(train, message):
    with pytest.raises(ConfigError) as caught:
        load_experiment({"task": "translation", "data": {"source": {"name": "parallel", "train": train}}})
    assert message in str(caught.value) and "string" not in str(caught.value)


def test_tables(write):
    plain, zipped = write("a.tsv", 'a "b\tä \tCC\n\n\tß\tCC\n'), write("b.tsv.gz", "c\tx\tCC")
    assert read(plain) == [('a "b', "ä "), ("", "ß")]
    assert read([plain, zipped], source_column=1, target_column=0) == [("ä ", 'a "b'), ("ß", ""), ("x", "c")]
    assert read(plain, validation=two(plain, plain), split="validation")[1] == ("", "")


@pytest.mark.parametrize(
    "english, german", [("a\nb\n", "ä\nß\n\n"), ("a\nb\n \n\n", "ä\nß"), ("a\r\nb\r\n\r\n", "ä\nß\n")]
)
def test_blank_lines_at_the_end_of_the_longer_file_are_no_pairs(write, english, german):
    assert read(two(write("a.en", english), write("a.de", german))) == [("a", "ä"), ("b", "ß")]


@pytest.mark.parametrize(
    "english, german, parts",
    [
        ("a\nb\nc\n", "ä\n\nß\nd\n", ["a.en has 3 lines and", "a.de 4;", "line 2, empty in a.de"]),
        ("a\n \n\nc\n", "ä\n\nß\n", ["4 lines", "3;", "line 3, empty in a.en"]),
        ("a\n", "ä\nß\n", ["1 lines", "2;", "no line is empty in one of them only"]),
        ("", "", ["are empty"]),
    ],
)
def test_files_that_do_not_belong_together(write, english, german, parts):
    paths = write("a.en", english), write("a.de", german)
    source = ParallelSource(kind="pairs", train=two(*paths))
    with pytest.raises(DataError) as caught:
        next(source.examples("train"))  # before the first pair is given
    assert all(part in str(caught.value) for part in (*paths, *parts)), caught.value


def test_bad_bytes_are_named_with_file_and_line(write):
    paths = two(write("a.en", "a\nb\n"), write("a.de", b"\xc3\xa4\n\xff\n"))
    with pytest.raises(DataError, match=r"a\.de, line 2: invalid UTF-8, byte 0xff"):
        read(paths)
    assert read(paths, on_error="replace")[1] == ("b", "\ufffd")
    cut = write("b.de.gz", "ä\n" * 5000)
    with open(cut, "r+b") as file:
        file.truncate(20)
    with pytest.raises(DataError, match=r"b\.de\.gz, after line \d+: broken gzip"):
        read(two(write("a.en", "a\n"), cut))


@pytest.mark.parametrize(
    "content, arguments, parts",
    [
        ("a\tä\nb\tß\tc\n", {}, ["a.tsv, line 2: 3 columns, but the first line has 2"]),
        ("a\n", {}, ["a.tsv, line 1: target_column is 1, but columns go from 0 to 0"]),
        ("a\tä\n", {"source_column": 2}, ["source_column is 2", "from 0 to 1"]),
        ("", {}, ["a.tsv: the file is empty; a row of source and target"]),
    ],
)
def test_bad_tables(write, content, arguments, parts):
    with pytest.raises(DataError) as caught:
        read(write("a.tsv", content), **arguments)
    assert all(part in str(caught.value) for part in parts), caught.value


def folder(write, *names):
    for name in names:
        write(f"data/{name}", f"{name} 1\n{name} 2\n")


def test_folder_as_translate_folder_reads_it(write, tmp_path):
    import tensorflow_datasets as tfds

    folder(write, "en.train.txt", "de.train.txt", "fr.train.txt", "en.val.txt", "de.val.txt", "fr.val.txt")
    languages = {"source_language": "en", "target_language": "de"}
    source = ParallelSource(kind="pairs", directory=tmp_path / "data", **languages)
    assert source.splits() == ["train", "validation"]
    for split, theirs in (("train", "train"), ("validation", "val")):
        rows = tfds.folder_dataset.TranslateFolder(str(tmp_path / "data")).as_dataset(theirs).as_numpy_iterator()
        expected = [(row["en"].decode(), row["de"].decode()) for row in rows]
        assert [(e["source"], e["target"]) for e in source.examples(split)] == expected
    turned = ParallelSource(kind="pairs", directory=tmp_path / "data", source_language="de", target_language="fr")
    assert next(turned.examples("train")) == {"source": "de.train.txt 1", "target": "fr.train.txt 1"}
    assert source.fingerprint() != turned.fingerprint()


@pytest.mark.parametrize(
    "names, languages, message",
    [
        (
            ["en.train.txt", "de.train.txt"],
            ("en", "ger"),
            r"target_language: unknown language 'ger'.*\(allowed: de, en\)",
        ),
        (["en.train.txt", "de.test.txt"], ("en", "de"), r"has no de\.train\.txt beside en\.train\.txt"),
        (["en.val.txt", "de.val.txt", "en.dev.txt"], ("en", "de"), "several validation splits: val, dev"),
        (["en.train.txt", "en.train.txt.gz"], ("en", "de"), r"en\.train\.txt and en\.train\.txt\.gz; keep one"),
        (["en.2016.txt", "de.2016.txt"], ("en", "de"), "has the splits 2016; one or more of train, validation"),
        (["train.en"], ("en", "de"), r"no file called LANGUAGE\.SPLIT\.txt"),
    ],
)
def test_bad_folders(write, tmp_path, names, languages, message):
    folder(write, *names)
    with pytest.raises(DataError, match=message):
        ParallelSource(
            kind="pairs", directory=tmp_path / "data", source_language=languages[0], target_language=languages[1]
        )


def test_gzipped_files_in_a_folder_and_a_missing_one(write, tmp_path):
    folder(write, "en.test.txt.gz", "de.test.txt")
    languages = {"source_language": "en", "target_language": "de"}
    source = ParallelSource(kind="pairs", directory=tmp_path / "data", **languages)
    assert next(source.examples("test"))["source"] == "en.test.txt.gz 1"
    with pytest.raises(DataError, match="'.*nowhere' does not exist"):
        ParallelSource(kind="pairs", directory=tmp_path / "nowhere", **languages)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "no file is given"),
        ({"directory": "a"}, "a directory needs source_language and target_language"),
        ({"directory": "a", "source_language": "en", "target_language": "en"}, "are the same: 'en'"),
        ({"directory": "a", "train": "a.tsv"}, "either a directory or files"),
        ({"train": "a.tsv", "source_language": "en"}, "belong to a directory"),
        ({"train": "a.tsv", "source_column": 1}, "source_column and target_column are the same: 1"),
        ({"train": two("a", "b"), "target_column": 2}, "belong to a TSV, and no split is one"),
        ({"train": {"source": "a", "traget": "b"}}, "did you mean 'target'"),
        ({"train": "a.tsv", "traget_column": 2}, "did you mean 'target_column'"),
    ],
)
def test_wrong_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        ParallelSource(kind="pairs", **arguments)


def test_in_a_config(write):
    paths = two(write("a.en", "a"), write("a.de", "ä"))
    source = load_experiment({"data": {"source": {"name": "parallel", "train": paths}}}).data.source
    assert next(ParallelSource(kind="pairs", **source.arguments()).examples("train")) == {"source": "a", "target": "ä"}
    with pytest.raises(ConfigError, match=r"data\.source.*no file is given"):
        load_experiment({"data": {"source": {"name": "parallel"}}})
    with pytest.raises(DataError, match=r"b\.de.*does not exist; its folder has: a\.de, a\.en"):
        read(two(paths["source"], paths["target"].replace("a.de", "b.de")))


def test_sources_refuse_kinds_that_they_do_not_give(write, tmp_path):
    path = write("data/a.txt", "a\tä\n")
    for kind in set(CORPUS_KINDS.names()) - {"pairs"}:
        with pytest.raises(
            DataError,
            match="'parallel' reads .* TSV, and this task needs (ordered labels|labels|running text|texts with|time series)",
        ):
            ParallelSource(kind=kind, train=path)
    for source, arguments in ((PlainTextSource, {"train": path}), (DirectorySource, {"root": tmp_path})):
        hint = "this task needs pairs of sentences; sources .*: files .*, parallel .*, sample .*, tfds "
        with pytest.raises(DataError, match=hint):
            source(kind="pairs", **arguments)


def test_fingerprint_and_registry(write):
    paths = two(write("a.en", "a\n"), write("a.de", "b\n"))
    before = ParallelSource(kind="pairs", train=paths).fingerprint()
    assert ParallelSource(kind="pairs", train=paths).fingerprint() == before
    assert ParallelSource(kind="pairs", train=two(paths["target"], paths["source"])).fingerprint() != before
    write("a.de", "c\n")
    assert ParallelSource(kind="pairs", train=paths).fingerprint() != before
    assert SOURCES.get("parallel") is ParallelSource
    assert SOURCES.help()["parallel"].startswith("Sentences and their translations")


def test_multi30k_has_its_published_counts_and_a_tab_inside_a_line(real_data):
    names = {"train": "train", "validation": "val", "test": "test_2016_flickr"}
    files = {
        s: two(*(real_data / "multi30k" / f"{n}.{language}" for language in ("en", "de"))) for s, n in names.items()
    }
    source = ParallelSource(kind="pairs", **files)
    assert [sum(1 for _ in source.examples(split)) for split in source.splits()] == [29_000, 1014, 1000]
    tabs = [number for number, e in enumerate(source.examples("train"), 1) if "\t" in e["target"]]
    assert tabs == [7366]
