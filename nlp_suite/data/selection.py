"""The examples of a split: rows of a source's split, read one at a time, as often as needed."""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nlp_suite.progress import track

if TYPE_CHECKING:
    from nlp_suite.data.sources.base import Source

Example = dict[str, Any]

CHUNK_EXAMPLES = 1024  # tokenised and written at once: enough to keep TF Text busy, little memory


@dataclass(frozen=True)
class Selection:
    """Some or all examples of a source's split; iterating reads them anew.

    Attributes:
        source: where they come from.
        origin: the source's name of the split.
        rows: numbers of the rows that belong to it, ascending; None: all.
        label: what writes the label of an example in one way; None: it stays as it is.

    Example:
        >>> first_two = Selection(source, "train", np.arange(2))
        >>> len(list(first_two))
        2
    """

    source: "Source"
    origin: str
    rows: NDArray[Any] | None = None
    label: Callable[[Any], Any] | None = None

    def __iter__(self) -> Iterator[Example]:
        examples, reading, unit = self._examples(), f"reading {self.origin}", self.source.kind.unit
        if self.rows is None:
            return track(examples, reading, unit=unit, share=self.source.share_read(self.origin))
        wanted = np.zeros(int(self.rows[-1]) + 1 if len(self.rows) else 0, bool)
        wanted[self.rows] = True
        return track(itertools.compress(examples, wanted), reading, len(self.rows), unit)

    def _examples(self) -> Iterator[Example]:
        for example in self.source.examples(self.origin):
            if self.label and "label" in example:
                example["label"] = self.label(example["label"])
            yield example

    def count(self) -> int:
        """How many examples there are; where all rows are selected, they are read for it."""
        return sum(1 for _ in self) if self.rows is None else len(self.rows)

    def take(self, positions: NDArray[Any] | None) -> "Selection":
        """Its examples at some positions, which are counted from 0 and ascend; None: all."""
        if positions is None:
            return self
        return replace(self, rows=positions if self.rows is None else self.rows[positions])


@dataclass(frozen=True)
class Part:
    """What one of several processes writes of a split: one of every `of` chunks, beginning with chunk `number`.

    Example:
        >>> [before for before, chunk in Part(1, 3).chunks(range(10_000))]
        [1024, 4096, 7168]
    """

    number: int = 0
    of: int = 1

    def chunks(self, items: Iterable[Any]) -> Iterator[tuple[int, list[Any]]]:
        """Its chunks of the items of the whole split, each with the number of items before it."""
        for i, chunk in enumerate(chunks(items)):
            if i % self.of == self.number:
                yield i * CHUNK_EXAMPLES, chunk


WHOLE = Part()


def chunks(items: Iterable[Any], size: int = CHUNK_EXAMPLES) -> Iterator[list[Any]]:
    """The items in order, as lists of `size`; the last may be shorter."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, size)):
        yield chunk
