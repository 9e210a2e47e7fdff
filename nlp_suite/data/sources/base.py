"""What every data source is: splits of examples, read one at a time, and a fingerprint of the data behind them."""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from nlp_suite.config import ComponentSettings
from nlp_suite.errors import DataError
from nlp_suite.registry import unknown

SPLITS = ("train", "validation", "test")
KINDS = ("labelled", "text", "pairs")
WANTED = {  # kind → what a task wants of it, and sources that give it
    "labelled": ("labels", "files (TSV, CSV, JSONL), directory (one folder a class), tfds, sample"),
    "text": (
        "running text",
        "text (plain files), directory (one file a document), files (TSV, CSV, JSONL), tfds, sample",
    ),
    "pairs": ("pairs of sentences", "parallel (two files or a TSV), files (TSV, CSV, JSONL), tfds, sample"),
}

PathText = Annotated[str, BeforeValidator(lambda path: os.fspath(path) if isinstance(path, os.PathLike) else path)]


class Source(ABC):
    """Labelled texts, running text or pairs of sentences, in splits.

    A subclass is one file: it names its settings model in `Settings` and gives `splits`, `examples` and `fingerprint`.
    One that cannot give every kind of examples says in `kinds` which it gives, and in `gives` what that is in words.
    Examples are yielded one at a time in an order that never changes, so that a corpus need not fit in memory.

    What the task wants of the examples is their kind:

    * `"labelled"`: `{"text": …, "label": …}`, without `"label"` where the source has none;
    * `"text"`: `{"text": …}` and never a label. Where `"document"` is there too, an example is one line, and consecutive
      examples with the same value (a string) are the lines of one document. Without it every example is a document of
      its own, whose lines end at `"\\n"` (an end after the last line makes no further one);
    * `"pairs"`: `{"source": …, "target": …}`, a sentence and its translation; either may be empty.

    Args:
        on_error: what to do with invalid UTF-8: `"fail"` with a `DataError`, or `"replace"` it with U+FFFD.
        kind: `"labelled"`, `"text"` or `"pairs"`.
        **settings: the fields of `Settings`.

    Raises:
        pydantic.ValidationError: (a `ValueError`) a setting that is unknown or not allowed.
        DataError: data that are not there, or a kind that the source does not give.

    Example:
        >>> source = SOURCES.get("sample")(size=100)
        >>> next(source.examples("train"))
        {'text': 'I thought that the plot was not dull …', 'label': 'positive'}
    """

    Settings: ClassVar[type[ComponentSettings]]
    kinds: ClassVar[tuple[str, ...]] = KINDS
    gives: ClassVar[str] = "examples of every kind"

    def __init__(self, *, on_error: str = "fail", kind: str = "labelled", **settings):
        if on_error not in ("fail", "replace"):
            raise ValueError(unknown("on_error", on_error, ("fail", "replace")))
        if kind not in KINDS:
            raise ValueError(unknown("kind of examples", kind, KINDS))
        self.on_error = on_error
        self.kind = kind
        self.settings = self.Settings(**settings)
        if kind not in self.kinds:
            wanted, sources = WANTED[kind]
            raise DataError(
                f"the source {self.settings.name!r} reads {self.gives}, and this task needs {wanted}; sources that have "
                f"them: {sources}"
            )

    @abstractmethod
    def splits(self) -> list[str]:
        """The splits it has, among `"train"`, `"validation"`, `"test"`, in this order."""

    @abstractmethod
    def examples(self, split: str) -> Iterator[dict[str, str]]:
        """The examples of a split, of the source's kind, one at a time.

        Raises:
            DataError: a split that the source lacks, or data that cannot be read.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """A hash that changes when the examples may have changed."""

    def _check_split(self, split: str) -> None:
        if split not in self.splits():
            raise DataError(f"source {self.settings.name!r}: {unknown('split', split, self.splits())}")

    def _hash(self, *data) -> str:
        """Hash of JSON-able facts about the data, of the settings, of `on_error` and of the kind."""
        facts = [self.settings.model_dump(mode="json"), self.on_error, self.kind, data]
        return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()
