"""What several processes prepare is what one prepares, byte for byte."""

import os
import signal

import numpy as np
import pytest

from nlp_suite.config import load_experiment
from nlp_suite.data.parallel_prepare import Writers
from nlp_suite.data.prepare import kind_of, open_source, prepare, splits
from nlp_suite.data.selection import CHUNK_EXAMPLES, Part
from nlp_suite.data.store_joining import join_split
from nlp_suite.errors import DataError, UsageError

WORDS = [f"word{i}" for i in range(40)]


def texts(count, seed=0):
    draw = np.random.default_rng(seed)
    return [" ".join(draw.choice(WORDS, draw.integers(0, 8))) for _ in range(count)]


def contents(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def rows_of(kind, count):
    draw = np.random.default_rng(1)
    fields = {
        "labelled": lambda: draw.choice(["a", "b", "c"]).item(),
        "multi_labelled": lambda: draw.choice(["a", "b", "c"], draw.integers(0, 3), replace=False).tolist(),
        "pairs": lambda: " ".join(draw.choice(WORDS, 3)),
    }
    return [[text, fields[kind]()] if kind in fields else [text] for text in texts(count)]


@pytest.mark.parametrize("kind, parts", [("labelled", 2), ("multi_labelled", 4), ("pairs", 2), ("text", 4)])
def test_parts_are_joined_to_what_one_process_writes(of_kind, tmp_path, kind, parts):
    """Of three chunks, the last one short, by processes of which some have more than others, or nothing, to write."""
    split = {"train": rows_of(kind, 2 * CHUNK_EXAMPLES + 100), "validation": rows_of(kind, 10)}
    experiment = of_kind(kind, source={"name": "given", **split})
    prepared = prepare(experiment)
    examples, of = splits(experiment, open_source(experiment))["train"], kind_of(experiment)
    counts = []
    for number in range(parts):
        part = Part(number, parts)
        counts.append(of.write_split(tmp_path / f"part{number}", examples, "train", prepared.assets, part))
    join_split([tmp_path / f"part{number}" for number in range(parts)], tmp_path / "joined")
    assert contents(tmp_path / "joined") == contents(prepared.directory / "train")
    joined = of.joined_counts(counts, of.open_split(tmp_path / "joined"), prepared.assets)
    facts = prepared.statistics["train"]
    assert joined == {name: facts[name] for name in joined} and list(joined) == list(facts)[: len(joined)]


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
    assert (one.directory / "prepared.json").read_text() == (two.directory / "prepared.json").read_text()
    assert contents(one.directory) == contents(two.directory)
    assert len(two.stores["train"]) > CHUNK_EXAMPLES and two.labels == ["neg", "pos"]
    assert [path.name for path in (tmp_path / "two").iterdir()] == [two.directory.name]

    whole = experiment("two", "train", "test")
    examples = splits(whole, open_source(whole))
    with Writers(whole, kind_of(whole), two.directory, 2) as writers:
        kept = sum(not row.endswith("\t") for row in rows[:1500])
        with pytest.raises(DataError, match=f"test split, example {kept + 1}: label 'other' does not occur"):
            writers.write_split(tmp_path / "test", examples["test"], "test", two.assets)
        os.kill(writers._processes[0].pid, signal.SIGKILL)
        with pytest.raises(
            DataError, match=r"process 0 of the 2 that prepare died \(exit code -9\).* give fewer processes"
        ):
            writers.write_split(tmp_path / "train", examples["train"], "train", two.assets)
