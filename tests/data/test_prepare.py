"""Preparation: the store gives back what went in, is used again, and bad data are named."""

import json

import numpy as np
import pytest

from nlp_suite.data.prepare import prepare
from nlp_suite.data.store import StoreWriter, TokenStore
from nlp_suite.errors import DataError


def tsv(path, rows):
    path.write_text("label\ttext\n" + "".join(f"{label}\t{text}\n" for label, text in rows), "utf-8")
    return str(path)


def files(tmp_path, train, **others):
    given = {"train": train, **others}
    return {"source": {"name": "files", **{k: tsv(tmp_path / f"{k}.tsv", rows) for k, rows in given.items()}}}


ROWS = [("pos", "a good film"), ("neg", "a bad film")] * 10


def test_store_gives_back_what_went_in(tmp_path):
    rows, texts = [np.array([5, 6, 7]), np.array([8])], ["drei Wörter hier", "\x00"]
    writer = StoreWriter(tmp_path / "s", vocabulary_size=10)
    writer.append(rows, [9, 1], [1, 0], texts)
    writer.append([np.array([9, 9])], [2], [1], [b"\xff"])
    writer.close(split="x")
    store = TokenStore(tmp_path / "s")
    assert [row.tolist() for row in store] == [[5, 6, 7], [8], [9, 9]]
    assert store.labels.tolist() == [1, 0, 1] and store.full_lengths.tolist() == [9, 1, 2]
    assert [store.text(i) for i in range(3)] == [*texts, "\ufffd"]
    assert store.padded([2, 0], 4).tolist() == [[9, 9, 0, 0], [5, 6, 7, 0]]
    assert store.meta["token_dtype"] == "uint16"


def test_prepare_is_used_again_and_follows_what_it_depends_on(small, tmp_path):
    said = []
    first = prepare(small(), progress=said.append)
    again = prepare(small(), progress=said.append)
    assert first.directory == again.directory and "used again" in said[-1]
    assert prepare(small("data.seed=1")).directory != first.directory
    assert prepare(small("text.max_length=20")).directory != first.directory
    assert prepare(small("training.epochs=9")).directory == first.directory
    assert prepare(small(), text=first.text, labels=first.labels).directory == first.directory
    assert set(first.stores) == {"train", "validation", "test"}
    assert len(first.stores["train"]) + len(first.stores["validation"]) == 300


def test_the_text_layer_knows_the_training_split_only(small, tmp_path):
    train = [("pos", f"good w{i}") for i in range(50)] + [("neg", f"bad w{i}") for i in range(50)]
    experiment = small(
        "text.tokenizer.min_count=1",
        data=files(tmp_path, train, validation=[("pos", "held out")], test=[("neg", "seen")]),
    )
    prepared = prepare(experiment)
    words = prepared.text.id_to_token(range(prepared.text.vocabulary_size))
    assert "w7" in words and "held" not in words and "seen" not in words
    assert prepared.statistics["validation"]["unknown_rate"] == 1.0


def test_limit_keeps_the_balance(small):
    prepared = prepare(small("data.limit=40"))
    counts = np.bincount(prepared.stores["train"].labels)
    assert counts.sum() == 40 and abs(int(counts[0]) - int(counts[1])) <= 4


@pytest.mark.parametrize(
    "train, others, message",
    [
        ([("pos", "x")] * 4, {}, "two labels or more; the training split has \\['pos'\\]"),
        (ROWS, {"test": [("neutral", "x")]}, "test split, example 1: label 'neutral' does not occur .*neg, pos"),
    ],
)
def test_bad_labels_are_named(small, tmp_path, train, others, message):
    with pytest.raises(DataError, match=message):
        prepare(small(data=files(tmp_path, train, **others)))
    assert not list((tmp_path / "cache").glob("*")), "nothing half-written is left"


def test_label_order_can_be_given(small, tmp_path):
    assert prepare(small(data={**files(tmp_path, ROWS), "labels": ["pos", "neg"]})).labels == ["pos", "neg"]
    with pytest.raises(DataError, match=r"labels \['neg'\] that data.labels"):
        prepare(small(data={**files(tmp_path, ROWS), "labels": ["pos", "other"]}))


def test_a_process_that_dies_while_writing_leaves_nothing_to_use(small, tmp_path, monkeypatch):
    def full(*arguments, **keywords):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(StoreWriter, "append", full)
        with pytest.raises(OSError, match="No space left"):
            prepare(small())
    assert not list((tmp_path / "cache").glob("*"))
    prepared = prepare(small())
    assert json.loads((prepared.directory / "prepared.json").read_text())["labels"] == ["negative", "positive"]
