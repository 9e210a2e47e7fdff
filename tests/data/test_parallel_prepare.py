"""What several processes prepare is read as what one prepares, every token, text and label of it."""

import json
import os
import pickle
import signal
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest

from nlp_suite.config import load_experiment
from nlp_suite.data.beam_prepare import BeamWriters
from nlp_suite.data.parallel_prepare import LocalWriters
from nlp_suite.data.prepare import kind_of, open_source, prepare, splits
from nlp_suite.data.selection import CHUNK_EXAMPLES, Part
from nlp_suite.data.store import gather_parts
from nlp_suite.data.store_parts import Pieces
from nlp_suite.errors import DamagedFileError, DataError, UsageError
from nlp_suite.evaluation.baseline import contents
from tests.data.store_content import content

WORDS = [f"word{i}" for i in range(40)]


def texts(count, seed=0):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(0, 8))) for _ in range(count)]


def files_of(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def rows_of(kind, count):
    draw = np.random.default_rng(1)
    fields = {
        "labelled": lambda: draw.choice(["a", "b", "c"]).item(),
        "multi_labelled": lambda: draw.choice(["a", "b", "c"], draw.integers(0, 3), replace=False).tolist(),
        "pairs": lambda: " ".join(draw.choice(WORDS, 3)),
    }
    return [[text, fields[kind]()] if kind in fields else [text] for text in texts(count)]


@pytest.mark.parametrize("kind, parts", [("labelled", 2), ("multi_labelled", 4), ("pairs", 2), ("text", 4)])
def test_parts_are_read_as_what_one_process_writes(of_kind, tmp_path, kind, parts):
    """Of three chunks, the last one short, by processes of which some have more than others, or nothing, to write."""
    split = {"train": rows_of(kind, 2 * CHUNK_EXAMPLES + 100), "validation": rows_of(kind, 10)}
    experiment = of_kind(kind, source={"name": "given", **split})
    prepared = prepare(experiment)
    examples, of = splits(experiment, open_source(experiment))["train"], kind_of(experiment)
    counts = []
    for number in range(parts):
        part = Part(number, parts)
        counts.append(of.write_split(tmp_path / f"part{number}", examples, "train", prepared.assets, part))
    gather_parts([tmp_path / f"part{number}" for number in range(parts)], tmp_path / "joined")
    assert [path.name for path in tmp_path.glob("part*")] == []
    store = of.open_split(tmp_path / "joined")
    assert content(store) == content(prepared.stores["train"])
    of_parts = contents(getattr(store, "source", store))
    assert {name.split("/")[0] for name in of_parts} == {
        str(number) for number in range(parts)
    }  # which identify the texts
    joined = of.joined_counts(counts, store, prepared.assets)
    facts = prepared.statistics["train"]
    assert joined == {name: facts[name] for name in joined} and list(joined) == list(facts)[: len(joined)]


def test_pieces_are_read_like_the_array_that_they_make():
    """Places from both ends, arrays of them, masks and slices; of pieces, some are empty."""
    arrays, draw = [np.arange(50), np.arange(100, 150)], np.random.default_rng(0)
    of, begins = np.array([0, 1, 0, 1, 0]), np.array([3, 0, 20, 40, 49])
    ends = np.array([10, 5, 20, 50, 50])
    pieces = Pieces(arrays, of, begins, ends)
    whole = np.concatenate([arrays[n][a:b] for n, a, b in zip(of, begins, ends)])
    assert len(pieces) == len(whole) and np.array_equal(np.asarray(pieces, "float32"), whole.astype("float32"))
    assert all(np.array_equal(pieces[a:b], whole[a:b]) for a in range(-25, 25) for b in range(-25, 25))
    index = draw.integers(-len(whole), len(whole), (3, 40))
    assert np.array_equal(pieces[index], whole[index]) and pieces[-1] == whole[-1] == 49
    assert np.array_equal(pieces[::3], whole[::3]) and np.array_equal(pieces[whole > 20], whole[whole > 20])
    with pytest.raises(IndexError):
        pieces[len(whole)]


def test_a_document_goes_on_in_another_part(of_kind, tmp_path):
    """Whether a line begins a document, the line before says, which another process has written."""
    lines = "\n".join(texts(CHUNK_EXAMPLES + 7))
    experiment = of_kind("text", source={"name": "given", "train": [[lines], ["x"]], "validation": [["y"]]})
    prepared = prepare(experiment)
    examples, of = splits(experiment, open_source(experiment))["train"], kind_of(experiment)
    for number in (0, 1):
        of.write_split(tmp_path / str(number), examples, "train", prepared.assets, Part(number, 2))
    assert of.open_split(tmp_path / "1").labels.tolist() == [0] * 7 + [1]


def test_a_number_of_processes_that_cannot_be_is_refused(small, tmp_path):
    with pytest.raises(UsageError, match="0 processes cannot prepare: allowed: 1 or more"):
        prepare(small(), processes=0)
    series = {"task": "forecasting", "data": {"source": {"name": "sample"}, "cache": str(tmp_path / "cache")}}
    with pytest.raises(UsageError, match="are prepared by one process: leave out --processes"):
        prepare(load_experiment(series), processes=2)
    assert not (tmp_path / "cache").exists()


def test_a_worker_that_is_tried_again_writes_its_part_once(of_kind, tmp_path):
    """As Apache Beam does with work whose worker is lost, or slow."""
    split = {"train": rows_of("labelled", 20), "validation": rows_of("labelled", 10)}
    experiment = of_kind("labelled", source={"name": "given", **split})
    prepared, kind = prepare(experiment), kind_of(experiment)
    machines = ListRunner(twice=True)
    writers = BeamWriters(experiment, kind, prepared.directory, 2, machines)
    examples = splits(experiment, open_source(experiment))["train"]
    counts, _ = writers.write_split(tmp_path / "parts" / "train", examples, "train", prepared.assets)
    assert content(kind.open_split(tmp_path / "parts" / "train")) == content(prepared.stores["train"])
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["train"] and machines.ran == 4
    assert counts == {name: prepared.statistics["train"][name] for name in counts}

    labels = ["a"]
    with pytest.raises(DataError, match="does not occur in the training split"):
        writers.write_split(tmp_path / "wrong" / "train", examples, "train", replace(prepared.assets, labels=labels))


class ListRunner:
    """What is used of Apache Beam, on a list."""

    def __init__(self, twice):
        self.beam, self.twice, self.ran = self, twice, 0

    @contextmanager
    def pipeline(self):
        yield self

    def __or__(self, step):
        return step(self)

    def Create(self, items):
        return lambda self: self.__setattr__("items", items) or self

    def Reshuffle(self):
        return lambda self: self

    def Map(self, function):
        return Map(function)


class Map:
    def __init__(self, function):
        self.function = function

    def __rrshift__(self, name):
        return self

    def __call__(self, runner):
        for item in [item for item in runner.items for _ in range(1 + runner.twice)]:
            self.function(pickle.loads(pickle.dumps(item)))
            runner.ran += 1


@pytest.mark.slow
def test_processes_write_what_one_writes_and_say_what_is_wrong(tmp_path):
    """With labels that are merged, a split that is drawn, rows left out, which is remarked, and a row that cannot be used."""
    rows = [f"{label}\t{text}" for label, text in zip(("pos", "Pos", "neg") * 1000, texts(3000, seed=2))]
    files = {"train": ["label\ttext", *rows, "\tunlabelled"], "test": ["label\ttext", *rows[:1500], "other\tx"]}
    for name, lines in files.items():
        (tmp_path / f"{name}.tsv").write_text("\n".join(lines) + "\n", "utf-8")

    def experiment(cache, *names):
        source = {"name": "files", **{name: str(tmp_path / f"{name}.tsv") for name in names}}
        data = {"source": source, "cache": str(tmp_path / cache), "labels_normalise": True, "missing": "drop"}
        return load_experiment({"task": "sentiment", "data": data})

    one, two = (prepare(experiment(cache, "train"), processes=n) for cache, n in (("one", 1), ("two", 2)))
    assert one.directory.name == two.directory.name
    facts, others = (json.loads((made.directory / "prepared.json").read_text()) for made in (one, two))
    of_files = {"files": {}, "digest": ""}
    assert facts | of_files == others | of_files
    assert all(content(one.stores[split]) == content(two.stores[split]) for split in ("train", "validation"))
    assert {"train/0/tokens", "train/1/tokens"} < set(files_of(two.directory)) and not (
        two.directory / "train/tokens"
    ).exists()
    (two.directory / "train" / "1" / "text").write_bytes(b"damaged")
    with pytest.raises(DamagedFileError, match="train/1/text is damaged"):
        prepare(experiment("two", "train")).stores["train"].text(CHUNK_EXAMPLES)
    assert len(two.stores["train"]) > CHUNK_EXAMPLES and two.labels == ["neg", "pos"]
    assert [path.name for path in (tmp_path / "two").iterdir()] == [two.directory.name]

    whole = experiment("two", "train", "test")
    examples = splits(whole, open_source(whole))
    with LocalWriters(whole, kind_of(whole), two.directory, 2) as writers:
        kept = sum(not row.endswith("\t") for row in rows[:1500])
        with pytest.raises(DataError, match=f"test split, example {kept + 1}: label 'other' does not occur"):
            writers.write_split(tmp_path / "test", examples["test"], "test", two.assets)
        os.kill(writers._processes[0].pid, signal.SIGKILL)
        with pytest.raises(
            DataError, match=r"process 0 of the 2 that prepare died \(exit code -9\).* give fewer processes"
        ):
            writers.write_split(tmp_path / "train", examples["train"], "train", two.assets)
