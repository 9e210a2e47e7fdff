"""Sentence pairs given in the config itself, and a task that reads them."""

import json
from typing import ClassVar

import pytest

from nlp_suite.config import ComponentSettings, load_experiment
from nlp_suite.registry import SOURCES, TASKS


class _PairTask(ComponentSettings):
    examples: ClassVar[str] = "pairs"
    defaults: ClassVar[dict] = {"text": {"tokenizer": {"name": "word", "min_count": 1}, "add_end": True}}


class _GivenPairs(ComponentSettings):
    train: list[tuple[str, str]]
    validation: list[tuple[str, str]] | None = None
    test: list[tuple[str, str]] | None = None


class _GivenSource:
    def __init__(self, *, kind, on_error, **splits):
        assert kind == "pairs"
        self._splits = {split: pairs for split, pairs in splits.items() if pairs is not None}

    def splits(self):
        return list(self._splits)

    def examples(self, split):
        return ({"source": source, "target": target} for source, target in self._splits[split])

    def fingerprint(self):
        return json.dumps(self._splits)


@pytest.fixture
def pairs(tmp_path):
    """A function that makes an experiment of a task on pairs: the pairs of each split, and sections of the config."""

    def make(train, *overrides, validation=None, test=None, data=None, **sections):
        source = {"name": "given", "train": train, "validation": validation, "test": test}
        values = {"task": "pair_task", "data": {"source": source, "cache": str(tmp_path / "cache"), **(data or {})}}
        return load_experiment({**values, **sections}, list(overrides))

    with TASKS.temporary(), SOURCES.temporary():
        TASKS.register(_PairTask, "pair_task")(type("PairTask", (), {}))
        SOURCES.register(_GivenPairs, "given")(_GivenSource)
        yield make
