"""What every data source is: splits of examples, read one at a time, and a fingerprint of the data behind them."""

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Annotated, ClassVar

from pydantic import BeforeValidator

from nlp_suite.config import ComponentSettings
from nlp_suite.registry import unknown

SPLITS = ("train", "validation", "test")

PathText = Annotated[str, BeforeValidator(lambda path: os.fspath(path) if isinstance(path, os.PathLike) else path)]


class DataError(ValueError):
    """Data that cannot be used; the message names the file, the line, what was given and what is allowed."""


class Source(ABC):
    """Labelled (or unlabelled) texts in splits.

    A subclass is one file: it names its settings model in `Settings` and gives `splits`, `examples` and `fingerprint`.
    Examples are yielded one at a time in an order that never changes, so that a corpus need not fit in memory.

    Args:
        on_error: what to do with invalid UTF-8: `"fail"` with a `DataError`, or `"replace"` it with U+FFFD.
        **settings: the fields of `Settings`.

    Raises:
        pydantic.ValidationError: (a `ValueError`) a setting that is unknown or not allowed.
        DataError: data that are not there.

    Example:
        >>> source = SOURCES.get("sample")(size=100)
        >>> next(source.examples("train"))
        {'text': 'I thought that the plot was not dull …', 'label': 'positive'}
    """

    Settings: ClassVar[type[ComponentSettings]]

    def __init__(self, *, on_error: str = "fail", **settings):
        if on_error not in ("fail", "replace"):
            raise ValueError(unknown("on_error", on_error, ("fail", "replace")))
        self.on_error = on_error
        self.settings = self.Settings(**settings)

    @abstractmethod
    def splits(self) -> list[str]:
        """The splits it has, among `"train"`, `"validation"`, `"test"`, in this order."""

    @abstractmethod
    def examples(self, split: str) -> Iterator[dict[str, str]]:
        """`{"text": …, "label": …}` of a split, one at a time; no `"label"` where the source has none.

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
        """Hash of JSON-able facts about the data, of the settings and of `on_error`."""
        facts = [self.settings.model_dump(mode="json"), self.on_error, data]
        return hashlib.blake2b(json.dumps(facts, sort_keys=True).encode(), digest_size=16).hexdigest()
