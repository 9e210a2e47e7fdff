"""Every corpus kind by its being there; and kinds that a test brings along: nothing else has to know of them."""

import io
import json
from array import array
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest

from nlp_suite.config import DataSettings
from nlp_suite.data.corpus_stats import TextCounts, conflicting, duplicates, figures, text_hash
from nlp_suite.data.inspect import format_inspection, inspect_experiment
from nlp_suite.data.kinds.base import CorpusKind, corpus_kind
from nlp_suite.data.prepare import kind_of, prepare
from nlp_suite.data.selection import Selection, chunks
from nlp_suite.data.sources.files import FilesSource
from nlp_suite.data.store import StoreWriter
from nlp_suite.data.tables import examples_table, lengths_table, numbers_table, sizes_table, tokens_tables
from nlp_suite.errors import DataError
from nlp_suite.registry import CORPUS_KINDS, SOURCES
from nlp_suite.task import Assets

SAMPLE = {"name": "sample", "size": 120, "test": 30}
CUT_BY_TIME = ("series",)  # kinds whose splits have no rows of their own; tested in test_series.py


def rendered(*parts) -> str:
    from rich.console import Console

    file = io.StringIO()
    for part in parts:
        Console(file=file, width=150).print(part)
    return file.getvalue()


@pytest.mark.parametrize("name", [name for name in CORPUS_KINDS.names() if name not in CUT_BY_TIME])
class TestEveryKind:
    def test_it_says_what_it_is(self, name):
        kind = corpus_kind(name)
        assert kind.name == name and CORPUS_KINDS.help()[name]
        assert kind.fields and not set(kind.fields) & set(kind.optional_fields)
        assert kind.wanted and kind.unit
        assert any(SOURCES.get(source).gives(kind) for source in SOURCES.names())

    def test_splits_part_the_examples_and_limits_choose_some(self, name):
        kind, data = corpus_kind(name), DataSettings(validation=0.25, limit=20)
        train = Selection(SOURCES.get("sample")(kind=name, size=120), "train")
        rows = kind.split(data, train)
        assert sorted(np.concatenate(rows)) == list(range(120)) and 20 <= len(rows[1]) <= 40
        assert all(first < second for part in rows for first, second in pairwise(part))
        assert [again.tolist() for again in kind.split(data, train)] == [part.tolist() for part in rows]
        limited = train.take(rows[0]).take(kind.limit(data, train.take(rows[0])))
        examples, chosen = list(train.take(rows[0])), list(limited)
        assert len(chosen) == limited.count() == 20 and all(example in examples for example in chosen)
        assert kind.limit(DataSettings(limit=1000), train) is None

    def test_stores_statistics_and_reports(self, of_kind, name):
        experiment = of_kind(name, source=SAMPLE)
        kind, lines = kind_of(experiment), []
        before = inspect_experiment(experiment)
        prepared = prepare(experiment, progress=lines.append)
        assert list(prepared.stores) == list(prepared.statistics) == ["train", "validation", "test"]
        assert len(prepared.stores["test"]) == 30
        assert [line.split(":")[0] for line in lines[-3:]] == list(prepared.stores)
        assert all(kind.unit in line for line in lines[-3:])
        given = {"text": prepared.text, "target_text": prepared.target_text, "facts": prepared.assets.facts}
        again = prepare(experiment, **given, labels=prepared.labels)
        assert again.directory == prepared.directory and again.statistics == prepared.statistics
        assert again.labels == prepared.labels and isinstance(prepared.assets, Assets)
        texts = kind.input_texts(prepared.stores["train"], np.array([0, 5]))
        assert len(texts) == 2 * kind.has_text and all(isinstance(text, str) for text in texts)

        report = inspect_experiment(experiment)
        estimate, facts = before.pop("estimate")["text"], prepared.statistics["train"]  # exact, as the corpus is small
        assert report.pop("estimate") == {}
        sides = [facts, facts["target"]] if "target" in facts else [facts]
        for key in ("texts", "tokens"):
            assert estimate[key] == sum(side[key] for side in sides)
        assert len(sides) == 2 or estimate == {key: facts[key] for key in estimate}
        assert before == {**report, "tokens": None} and report["tokens"] == prepared.statistics
        assert report["kind"] == name and list(report["splits"]) == list(prepared.stores)
        assert json.loads(json.dumps(report)) == report
        shown = rendered(format_inspection(report), kind.preparation_table(prepared.statistics))
        assert all(split in shown for split in prepared.stores)


class TaggedKind(CorpusKind):
    """Words with a tag each."""

    fields = ("text", "tags")
    wanted = "texts with a tag for every word"
    unit = "sentences"

    def field_value(self, field, value, called):
        if field == "tags" and isinstance(value, list):
            return " ".join(value)
        return super().field_value(field, value, called)

    def write_split(self, directory, examples, split, assets):
        writer, tags = StoreWriter(directory, assets.text.vocabulary_size), Counter()
        for chunk in chunks(examples):
            texts = [example["text"] for example in chunk]
            writer.append(*assets.text.encode_with_lengths(texts), [0] * len(chunk), texts)
            tags.update(tag for example in chunk for tag in example["tags"].split())
        writer.close(split=split)
        return {"tags": len(tags)}

    def inspect(self, examples, store_statistics=None):
        report = {"kind": self.name, "splits": {}, "duplicates": {}, "examples": {}, "tokens": store_statistics}
        hashes = {}
        for split, rows in examples.items():
            counts, rows = TextCounts(), list(rows)
            for example in rows:
                counts.add(example["text"])
            hashes[split] = [text_hash(example["text"]) for example in rows]
            report["splits"][split] = {"sentences": len(rows), "words": figures(counts.words)}
            report["examples"][split] = [[example["text"], example["tags"]] for example in rows[:1]]
        return {**report, "duplicates": duplicates(hashes)}

    def tables(self, report):
        lengths = lengths_table(report, {"words": "words"})
        examples = examples_table(report, "split", *self.fields)
        return [sizes_table(report, "sentences"), lengths, *tokens_tables(report), examples]


class SeriesKind(CorpusKind):
    """Numbers in their order; no text layer."""

    fields = ("values",)
    wanted = "series of numbers"
    unit = "series"
    has_text = False

    def field_value(self, field, value, called):
        try:
            return [float(number) for number in (value.split() if isinstance(value, str) else value)]
        except (TypeError, ValueError):
            raise DataError(f"{called!r} must be numbers, got {value!r}") from None

    def learn(self, experiment, train, given, progress):
        numbers = [number for example in train for number in example["values"]]
        return Assets(facts=given.facts or {"mean": float(np.mean(numbers))})

    def write_split(self, directory, examples, split, assets):
        directory.mkdir()
        rows = [np.asarray(example["values"]) - assets.facts["mean"] for example in examples]
        np.save(directory / "values.npy", np.stack(rows))
        return {}

    def open_split(self, directory):
        return np.load(directory / "values.npy")

    def statistics(self, store):
        return {"series": len(store), "length": int(store.shape[1])}

    def input_texts(self, store, rows):
        return []

    def summary(self, split, statistics):
        return f"{split}: {statistics['series']} series"

    def preparation_table(self, statistics):
        table = numbers_table("", "split", "series")
        for split, facts in statistics.items():
            table.add_row(split, str(facts["series"]))
        return table

    def inspect(self, examples, store_statistics=None):
        splits = {split: {"series": sum(1 for _ in rows)} for split, rows in examples.items()}
        return {"kind": self.name, "splits": splits, "duplicates": {}, "examples": {}, "tokens": store_statistics}

    def tables(self, report):
        return [sizes_table(report, "series"), *tokens_tables(report)]


@pytest.fixture
def new_kinds():
    with CORPUS_KINDS.temporary():
        CORPUS_KINDS.register(name="tagged")(TaggedKind)
        CORPUS_KINDS.register(name="numbers")(SeriesKind)
        yield


SENTENCES = [(f"dog {i} sleeps", "NOUN NUM VERB") for i in range(12)]


def tagged_file(path, names=("text", "tags")):
    """The sentences as a file of the path's format."""
    if path.suffix == ".jsonl":
        rows = [{names[0]: text, names[1]: tags.split()} for text, tags in SENTENCES]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        rows = [names, *SENTENCES]
        path.write_text("".join(("\t" if path.suffix == ".tsv" else ",").join(row) + "\n" for row in rows))
    return str(path)


@pytest.mark.parametrize("suffix", ["tsv", "csv", "jsonl"])
def test_a_new_kind_is_read_from_files_by_the_names_of_its_fields(new_kinds, tmp_path, suffix):
    expected = [dict(zip(TaggedKind.fields, row)) for row in SENTENCES]
    path = tagged_file(tmp_path / f"a.{suffix}")
    assert list(FilesSource(kind="tagged", train=path).examples("train")) == expected
    path = tagged_file(tmp_path / f"b.{suffix}", ("words", "pos"))
    columns = {"columns": {"text": "words", "tags": "pos"}}
    assert list(FilesSource(kind="tagged", train=path, **columns).examples("train")) == expected
    columns = {"columns": {"tags": "pos"}, "text_column": "words"}
    assert list(FilesSource(kind="tagged", train=path, **columns).examples("train")) == expected


def test_a_new_kind_is_prepared_and_inspected(new_kinds, of_kind, tmp_path):
    experiment = of_kind("tagged", source={"name": "files", "train": tagged_file(tmp_path / "a.tsv")})
    lines = []
    prepared = prepare(experiment, progress=lines.append)
    assert prepared.statistics["train"]["tags"] == 3 and len(prepared.stores["validation"]) == 1
    assert lines[-2] == "train: 11 sentences, 44 tokens"
    assert prepared.text.decode([prepared.stores["train"].tokens(0)]) == [SENTENCES[0][0]]
    report = inspect_experiment(experiment)
    assert report["kind"] == "tagged" and report["splits"]["train"]["sentences"] == 11
    assert "NOUN NUM VERB" in rendered(format_inspection(report))


def test_a_kind_of_numbers_has_no_text_layer(new_kinds, of_kind, tmp_path):
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"values": [i, i + 2]}) + "\n" for i in range(10)))
    files = {split: str(tmp_path / "a.jsonl") for split in ("train", "validation")}
    experiment = of_kind("numbers", source={"name": "files", **files})
    prepared = prepare(experiment)
    assert prepared.text is prepared.target_text is None and prepared.assets.facts == {"mean": 5.5}
    assert prepared.stores["train"][0].tolist() == [-5.5, -3.5]
    assert sorted(path.name for path in prepared.directory.iterdir()) == ["prepared.json", "train", "validation"]
    assert prepare(experiment, labels=[], facts={"mean": 5.5}).directory == prepared.directory
    other = prepare(experiment, labels=[], facts={"mean": 0.0})
    assert other.directory != prepared.directory and other.stores["train"][0].tolist() == [0, 2]
    assert "10" in rendered(format_inspection(inspect_experiment(experiment)))
    assert "series" in rendered(kind_of(experiment).preparation_table(prepared.statistics))


def test_values_that_a_kind_refuses_are_named_with_file_and_line(new_kinds, tmp_path):
    (tmp_path / "a.tsv").write_text("values\n1 2\n3 x\n")
    with pytest.raises(DataError, match=r"a\.tsv, line 3: 'values' must be numbers, got '3 x'"):
        list(FilesSource(kind="numbers", train=tmp_path / "a.tsv").examples("train"))


def test_sources_that_give_a_kind_are_looked_up(new_kinds, tmp_path):
    with pytest.raises(DataError) as caught:
        SOURCES.get("sample")(kind="tagged")
    assert str(caught.value) == (
        "the source 'sample' reads built-in grammars, and this task needs texts with a tag for every word; "
        "sources that have them: files (TSV, CSV, JSON, Excel, Parquet or Arrow)"
    )


@pytest.mark.parametrize(
    "columns, message",
    [
        ({"tag": 1}, r"columns: unknown field 'tag': did you mean 'tags'\? \(allowed: text, tags\)"),
        ({"tags": "text"}, r"text_column and columns\.tags are the same: 'text'"),
        ({"tags": "label"}, r"columns\.tags: unknown column 'label'"),
    ],
)
def test_columns_that_cannot_be_used(new_kinds, tmp_path, columns, message):
    with pytest.raises(DataError, match=message):
        list(FilesSource(kind="tagged", train=tagged_file(tmp_path / "a.tsv"), columns=columns).examples("train"))


def test_an_optional_field_is_read_where_a_column_is_named_for_it(tmp_path):
    (tmp_path / "a.tsv").write_text("page\ttext\n1\tone\n1\ttwo\n2\tthree\n")
    source = FilesSource(kind="text", train=tmp_path / "a.tsv", columns={"document": "page"})
    assert next(source.examples("train")) == {"text": "one", "document": "1"}
    assert corpus_kind("text").inspect({"train": source.examples("train")})["splits"]["train"]["documents"] == 2


def test_without_columns_settings_are_written_as_ever(tmp_path):
    path = tagged_file(tmp_path / "a.tsv")
    assert "columns" not in FilesSource(train=path, label_column="tags").settings.model_dump()
    assert FilesSource(train=path, columns={"label": "tags"}).settings.model_dump()["columns"] == {"label": "tags"}


def test_half_a_kind_is_refused():
    with (
        CORPUS_KINDS.temporary(),
        pytest.raises(TypeError, match=r"'half' .* not define: fields, inspect, tables, unit"),
    ):
        members = {"wanted": "nothing", "write_split": lambda *_: {}}
        CORPUS_KINDS.register(name="half")(type("HalfKind", (CorpusKind,), members))


def test_texts_with_several_labels_are_counted_once_each():
    def count(*pairs):
        return conflicting(*(array("Q", side) for side in zip(*pairs, strict=True))) if pairs else 0

    assert conflicting(array("Q"), array("Q")) == 0
    assert count((7, 1), (2**64 - 1, 1), (7, 1)) == 0
    assert count((7, 1), (8, 1), (7, 2), (8, 1), (7, 3), (9, 4), (2**64 - 1, 5), (2**64 - 1, 6)) == 2
