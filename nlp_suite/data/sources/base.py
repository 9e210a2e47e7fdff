"""What every data source is: splits of examples, read one at a time, and a fingerprint of the data behind them."""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field

from nlp_suite.config import ComponentSettings
from nlp_suite.data.kinds.base import CorpusKind, corpus_kind
from nlp_suite.data.selection import Example
from nlp_suite.data.sources.reading import share_read
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES, unknown

SPLITS = ("train", "validation", "test")

PathText = Annotated[str, BeforeValidator(lambda path: os.fspath(path) if isinstance(path, os.PathLike) else path)]

Paths = PathText | Annotated[list[PathText], Field(min_length=1)]


def listed(paths: str | list[str] | None) -> list[str]:
    """The paths of a setting as a list; empty for None."""
    return [paths] if isinstance(paths, str) else paths or []


def without_defaults(settings: ComponentSettings, values: dict[str, Any], names: Iterable[str]) -> dict[str, Any]:
    """Serialised settings without some of them where they have their defaults: hashes stay those from before they were there."""
    fields = type(settings).model_fields
    unset = {name for name in names if values.get(name) == fields[name].default}
    return {name: value for name, value in values.items() if name not in unset}


class Source(ABC):
    """Examples of one corpus kind, in splits.

    A subclass is one file: it names its settings model in `Settings`, says what it reads, and gives `splits`, `examples`
    and `fingerprint`. Which kinds of examples it gives follows from the fields that it can fill; what the fields hold, the
    kind says (`nlp_suite.data.kinds`). Examples are yielded one at a time in an order that never changes, so that a corpus
    need not fit in memory.

    Args:
        on_error: what to do with invalid UTF-8: `"fail"` with a `DataError`, or `"replace"` it with U+FFFD.
        missing: what to do with rows that lack a field: `"fail"` with a `DataError`, or `"drop"` them.
        kind: name of the corpus kind.
        **settings: the fields of `Settings`.

    Attributes:
        reads: what it reads, in a few words.
        field_sets: fields that an example can have together; one set for each form of example.
        may_lack_values: whether its rows may lack a field.
        kind: the corpus kind of its examples.
        optimum: figure → the best that any model can reach on it, where that is known.

    Raises:
        pydantic.ValidationError: (a `ValueError`) a setting that is unknown or not allowed.
        DataError: data that are not there, or a kind that the source does not give.

    Example:
        >>> source = SOURCES.get("sample")(size=100)
        >>> next(source.examples("train"))
        {'text': 'I thought that the plot was not dull …', 'label': 'positive'}
    """

    Settings: ClassVar[type[ComponentSettings]]
    reads: ClassVar[str]
    field_sets: ClassVar[tuple[tuple[str, ...], ...]] = ()
    may_lack_values: ClassVar[bool] = False
    settings: Any

    def __init__(self, *, on_error: str = "fail", missing: str = "fail", kind: str = "labelled", **settings: Any):
        if on_error not in ("fail", "replace"):
            raise ValueError(unknown("on_error", on_error, ("fail", "replace")))
        if missing not in ("fail", "drop"):
            raise ValueError(unknown("missing", missing, ("fail", "drop")))
        self.on_error, self.missing = on_error, missing
        self.kind = corpus_kind(kind)
        self.settings = self.Settings(**settings)
        self.optimum: Mapping[str, float] = {}
        if not self.gives(self.kind):
            others = ", ".join(_sources_of(self.kind)) or "none"
            raise DataError(
                f"the source {self.settings.name!r} reads {self.reads}, and this task needs {self.kind.wanted}; "
                f"sources that have them: {others}"
            )
        if missing == "drop" and not self.may_lack_values:
            raise DataError(f"data.missing: drop is for tables; rows of the source {self.settings.name!r} lack nothing")

    @classmethod
    def gives(cls, kind: CorpusKind) -> bool:
        """Whether its examples can have the fields of a kind."""
        return any(set(kind.fields) <= set(fields) for fields in cls.field_sets)

    @abstractmethod
    def splits(self) -> list[str]:
        """The splits it has, among `"train"`, `"validation"`, `"test"`, in this order."""

    @abstractmethod
    def examples(self, split: str) -> Iterator[Example]:
        """The examples of a split, of the source's kind, one at a time.

        Raises:
            DataError: a split that the source lacks, or data that cannot be read.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that changes when the examples may have changed."""

    def left_out(self, split: str) -> Mapping[str, int]:
        """Field → rows that lacked it and were left out when the split's examples were last read to the end."""
        return {}

    def remarks(self, split: str) -> list[str]:
        """Sentences on what was found in the data of a split when its examples were last read to the end."""
        return []

    def files(self, split: str) -> Iterable[Path]:
        """The files that `examples` reads line by line, if it does."""
        return ()

    def share_read(self, split: str) -> Callable[[int], float] | None:
        """For progress: from the number of examples read, from now on, to their share of the split; None: not known."""
        return share_read(self.files(split))

    def _check_split(self, split: str) -> None:
        if split not in self.splits():
            raise DataError(f"source {self.settings.name!r}: {unknown('split', split, self.splits())}")

    def _settings_facts(self) -> dict[str, Any]:
        """What of the settings is part of the hash: all of them."""
        return dict(self.settings.model_dump(mode="json"))

    def _hash(self, *data: Any) -> str:
        """Hash of JSON-able facts about the data, of the settings, of `on_error` and `missing`, and of the kind."""
        facts = [self._settings_facts(), self.on_error, self.kind.name, data]
        if self.missing != "fail":
            facts.append(self.missing)
        return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()


def _sources_of(kind: CorpusKind) -> list[str]:
    """Every registered source that gives a kind, with what it reads."""
    sources = {name: SOURCES.get(name) for name in SOURCES.names()}
    return [f"{name} ({source.reads})" for name, source in sources.items() if source.gives(kind)]
