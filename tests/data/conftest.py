"""Examples given in the config itself, a task for any corpus kind, experiments on pairs, and files."""

import json

import pytest

from nlp_suite.config import ComponentSettings, load_experiment
from nlp_suite.data.sources.base import Source
from nlp_suite.registry import SOURCES, TASKS, missing_members
from nlp_suite.task import Task


class _GivenSettings(ComponentSettings):
    name: str = "given"
    train: list
    validation: list | None = None
    test: list | None = None


class _GivenSource(Source):
    """Rows of values, one for each field of the corpus kind."""

    Settings = _GivenSettings
    reads = "the config"

    @classmethod
    def gives(cls, kind):
        return True

    def splits(self):
        return [split for split in ("train", "validation", "test") if getattr(self.settings, split) is not None]

    def examples(self, split):
        return (dict(zip(self.kind.fields, row)) for row in getattr(self.settings, split))

    def fingerprint(self):
        return json.dumps(self.settings.model_dump())


@pytest.fixture
def of_kind(tmp_path):
    """A function that makes an experiment of a task that wants a corpus kind: its name, and sections of the config."""

    def make(kind, *overrides, source, data=None, **sections):
        members = {
            **dict.fromkeys(missing_members(Task)),  # nothing is trained
            "corpus_kind": kind,
            "defaults": {"text": {"tokenizer": {"name": "word", "min_count": 1}, "add_end": True}},
            "honours": frozenset({"target_text"}),
        }
        name = f"{kind}_task"
        if name not in TASKS.names():
            TASKS.register(ComponentSettings, name)(type("KindTask", (Task,), members))
        values = {"task": name, "data": {"source": source, "cache": str(tmp_path / "cache"), **(data or {})}}
        return load_experiment({**values, **sections}, list(overrides))

    with TASKS.temporary(), SOURCES.temporary():
        SOURCES.register(_GivenSettings, "given")(_GivenSource)
        yield make


@pytest.fixture
def pairs(of_kind):
    """A function that makes an experiment of a task on pairs: the pairs of each split, and sections of the config."""

    def make(train, *overrides, validation=None, test=None, **sections):
        source = {"name": "given", "train": train, "validation": validation, "test": test}
        return of_kind("pairs", *overrides, source=source, **sections)

    return make


@pytest.fixture
def write(tmp_path):
    """A function that writes a file, of bytes or UTF-8, and answers its path."""

    def make(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return make
