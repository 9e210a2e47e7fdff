"""Running text in the store: lines and documents, END after each line, what is held out, counts, and what is refused."""

import numpy as np
import pytest

from nlp_suite.config import load_experiment
from nlp_suite.data.prepare import prepare
from nlp_suite.errors import DataError, TextError
from nlp_suite.text.text_layer import END

TEXT = "the cat  sat\nthe dog ran\n\nthe end\n"


@pytest.fixture
def make(tmp_path):
    """A function that makes an experiment of a language model on text files; keyword arguments are sections."""

    def make(train=TEXT, *, documents="file", task="language_model", data=None, text=None, **files):
        paths = {}
        for split, content in {"train": train, **files}.items():
            (tmp_path / f"{split}.txt").write_text(content, "utf-8")
            paths[split] = str(tmp_path / f"{split}.txt")
        source = {"name": "text", "documents": documents, **paths}
        return load_experiment(
            {
                "task": task,
                "data": {"source": source, "cache": str(tmp_path / "cache"), **(data or {})},
                "text": {"tokenizer": {"name": "word", "min_count": 1}, **(text or {})},
            }
        )

    return make


def read(store, layer):
    """Lines of a store, and which begin a document."""
    rows = [store.tokens(i) for i in range(len(store))]
    assert all(row[-1] == END and END not in row[:-1] for row in rows), "END stands after each line and nowhere else"
    return layer.decode(rows), np.asarray(store.labels).tolist()


@pytest.mark.parametrize(
    "documents, lines, begins",
    [
        ("file", ["the cat sat", "the dog ran", "", "the end"], [1, 0, 0, 0]),
        ("line", ["the cat sat", "the dog ran", "", "the end"], [1, 1, 1, 1]),
        ("blank_line", ["the cat sat", "the dog ran", "the end"], [1, 0, 1]),
    ],
)
def test_lines_and_documents(make, documents, lines, begins):
    prepared = prepare(make(documents=documents, validation="the end\n", test=TEXT))
    store = prepared.stores["test"]
    assert read(store, prepared.text) == (lines, begins)
    assert read(prepared.stores["train"], prepared.text) == (lines, begins)
    starts = [0, *np.cumsum([len(store.tokens(i)) for i in range(len(store))]).tolist()]
    assert store.documents().tolist() == [s for s, b in zip(starts, begins) if b] + [starts[-1]]
    assert store.documents()[-1] == len(store.flat()) == store.meta["tokens"]
    facts = prepared.statistics["test"]
    assert facts["documents"] == sum(begins) and facts["texts"] == len(lines)
    assert facts["words"] == sum(len(line.split()) + 1 for line in lines)
    assert facts["characters"] == sum(len(line) + 1 for line in lines), "of the normalised text, and a line break each"
    assert prepared.labels == []


def test_words_and_characters_are_those_of_the_text_whatever_the_tokenizer(make):
    kept = {"collapse_spaces": False, "tokenizer": "byte"}
    facts = prepare(make("größe  und\nein ß\n", validation="x\n", text=kept)).statistics["train"]
    assert (facts["words"], facts["characters"]) == (2 + 1 + 2 + 1, 10 + 1 + 5 + 1)
    assert facts["tokens"] == len("größe  und\nein ß\n".encode()), "bytes and one END a line"


def test_an_example_of_several_lines_is_one_document(tmp_path):
    file = tmp_path / "train.jsonl"
    file.write_text('{"text": "one two\\nthree\\n"}\n{"text": "four"}\n{"text": "\\nfive"}\n', "utf-8")
    experiment = load_experiment(
        {
            "task": "language_model",
            "data": {
                "source": {"name": "files", "train": str(file), "validation": str(file)},
                "cache": str(tmp_path / "cache"),
            },
            "text": {"tokenizer": {"name": "word", "min_count": 1}},
        }
    )
    prepared = prepare(experiment)
    lines = ["one two", "three", "four", "", "five"]
    assert read(prepared.stores["train"], prepared.text) == (lines, [1, 0, 1, 1, 0])


def test_the_end_of_the_text_is_held_out(make):
    lines = [f"line {i} " + "word " * (i % 7) for i in range(200)]
    prepared = prepare(make("\n".join(lines) + "\n", data={"validation": 0.2}))
    train, held_out = (prepared.stores[split] for split in ("train", "validation"))
    stored = [store.text(i) for store in (train, held_out) for i in range(len(store))]
    assert stored == lines, "nothing is shuffled and nothing lost"
    total = sum(len(line) + 1 for line in lines)
    part = sum(len(held_out.text(i)) + 1 for i in range(len(held_out))) / total
    assert 0.2 <= part < 0.2 + 40 / total
    assert held_out.labels[0] == 1, "what is held out begins a document of its own"


def test_a_limit_keeps_the_first_lines(make):
    lines = [f"line {i}" for i in range(50)]
    text = "\n".join(lines) + "\n"
    stores = prepare(make(text, validation=text, data={"limit": 7})).stores
    assert [[store.text(i) for i in range(len(store))] for store in stores.values()] == [lines[:7]] * 2
    held_out = prepare(make(text, data={"limit": 7, "validation": 0.5})).stores["validation"]
    kept = [held_out.text(i) for i in range(len(held_out))]
    assert kept == lines[lines.index(kept[0]) :][:7] and len(kept) == 7
    assert len(prepare(make(text, validation=text, data={"limit": 1000})).stores["train"]) == 50


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"text": {"add_end": False}}, "needs text.add_end: true"),
        ({"text": {"add_start": True}}, "text.add_start: false"),
        (
            {"text": {"max_length": 3}, "validation": "x\n"},
            "train split, line 1: 4 tokens, more than text.max_length 3",
        ),
        (
            {"text": {"max_characters": 11}, "validation": "x\n"},
            "train split, line 1: 12 characters, more than text.max_characters 11",
        ),
        ({"train": ""}, "train.txt: the file is empty"),
        ({"train": "\n \n", "documents": "blank_line", "validation": "x\n"}, "only blank lines"),
        ({"train": "only one line\n"}, "the training split has 1 example; give a validation split"),
    ],
)
def test_what_cannot_be_used_is_named(make, tmp_path, changes, message):
    with pytest.raises((DataError, TextError), match=message):
        prepare(make(**changes))
    assert not list(tmp_path.glob("cache/*/prepared.json")), "nothing half made is left"


def test_the_same_file_as_labelled_text_is_another_corpus(tmp_path):
    file = tmp_path / "train.tsv"
    file.write_text("label\ttext\n" + "pos\ta good film\nneg\ta bad film\n" * 20, "utf-8")
    values = {"data": {"source": {"name": "files", "train": str(file)}, "cache": str(tmp_path / "cache")}}
    sections = {"text": {"add_end": True, "lowercase": False, "strip_html": False, "max_length": 50}}
    labelled = prepare(load_experiment({"task": "sentiment", **values, **sections}))
    running = prepare(load_experiment({"task": "language_model", **values, **sections}))
    assert labelled.directory != running.directory
    assert labelled.labels == ["neg", "pos"] and running.labels == []
    assert labelled.statistics["train"]["labels"] == {"neg": 18, "pos": 18}
    assert "documents" not in labelled.statistics["train"]
    assert running.statistics["train"]["documents"] == len(running.stores["train"]) > 30
    assert set(np.asarray(running.stores["train"].labels)) == {1}


def test_a_classifier_refuses_plain_text(make):
    with pytest.raises(DataError, match="this task needs labels"):
        prepare(make(task="sentiment"))
