"""The contract of a corpus kind: every question that the suite asks about what its examples are.

A kind is one file or folder beside this one that registers a subclass of `CorpusKind`; a task names the kind it is trained
on (`corpus_kind`), and a source gives a kind if it has its fields. Nothing else knows the names of kinds.
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from nlp_suite.config import DataSettings, Experiment, TextSettings
from nlp_suite.data.corpus_stats import PERCENTILES, invisible_remarks
from nlp_suite.data.selection import WHOLE, Example, Part, Selection
from nlp_suite.data.store import TokenStore
from nlp_suite.data.tables import token_statistics_table
from nlp_suite.errors import DataError
from nlp_suite.progress import work
from nlp_suite.registry import CORPUS_KINDS
from nlp_suite.task import Assets
from nlp_suite.text.statistics import SHARE_TO_MENTION, text_remarks, text_statistics, unknown_words
from nlp_suite.text.text_layer import UNKNOWN, TextLayer

if TYPE_CHECKING:
    from rich.table import Table

Positions = NDArray[Any]  # of examples in a selection: counted from 0, ascending
Progress = Callable[[str], None]
READ_FOR_EXAMPLES = 200  # texts, of which unknown words are named
LabelForm = Literal["", "name", "several", "number"]


class CorpusKind(ABC):
    """What examples are, and all that follows until there are stores to train on.

    What most kinds share has a default here: a random validation split and limit, no labels, one text layer for the first
    field, one token store a split. A kind without texts sets `has_text` to False and overrides what speaks of tokens:
    `learn`, `statistics`, `summary`, `preparation_table` and `input_texts`.

    Args:
        name: what it is registered as.

    Attributes:
        fields: what every example has; a source gives the kind if it can give all of them.
        optional_fields: what an example may have, too.
        wanted: what a task of this kind needs, as the end of a sentence: "this task needs labels".
        unit: what the rows of a store are called in messages, in the plural.
        has_text: whether it has a text layer.
        in_parts: whether `write_split` takes a part, so that several processes can write a split; `joined_counts` is then
            needed, too.
        label_form: what the label of an example is: a `name`, `several` of them, a `number`; empty: it has none.
        has_copies: whether near copies across splits are looked for, by `compared_text`.
        label_separator: what stands between several labels in one cell; a source may set another one.

    Example:
        >>> # nlp_suite/data/kinds/tagged.py
        >>> @CORPUS_KINDS.register()
        ... class TaggedKind(CorpusKind):
        ...     fields = ("text", "tags")
        ...     wanted = "texts with a tag for every word"
        ...     unit = "sentences"
    """

    fields: ClassVar[tuple[str, ...]]
    optional_fields: ClassVar[tuple[str, ...]] = ()
    wanted: ClassVar[str]
    unit: ClassVar[str]
    has_text: ClassVar[bool] = True
    in_parts: ClassVar[bool] = False
    label_form: ClassVar[LabelForm] = ""
    has_copies: ClassVar[bool] = False
    label_separator: str = ","

    def __init__(self, name: str):
        self.name = name

    # ---- examples

    def field_value(self, field: str, value: Any, called: str) -> Any:
        """The value of a field as a file has it, checked and made what examples of this kind hold.

        Args:
            field: one of `fields` or `optional_fields`.
            value: the text of a cell, or a JSON value.
            called: how the file calls the field, for messages.

        Raises:
            DataError: a value that the field cannot have; the caller adds file and line.
        """
        if isinstance(value, str):
            return value
        raise DataError(f"{called!r} must be a string, got {json.dumps(value)[:60]}")

    def texts(self, examples: Iterable[Example]) -> Iterator[str]:
        """What the tokenizer is trained on."""
        return (example[self.fields[0]] for example in examples)

    def tokenized_texts(self, experiment: Experiment, examples: Iterable[Example]) -> dict[str, Iterator[str]]:
        """The same by the section of the config that says how: `text` and, with a vocabulary of its own, `target_text`."""
        return {"text": self.texts(examples)} if self.has_text else {}

    # ---- splits

    def with_held_out(self, data: DataSettings, selections: Mapping[str, Selection]) -> dict[str, Selection]:
        """The splits of a source, and those that are made of them: where there is no validation split, a part of train.

        Raises:
            DataError: nothing can be held out.
        """
        if "validation" in selections:
            return dict(selections)
        train = selections["train"]
        kept_rows, held_out_rows = self.split(data, train)
        return {**selections, "train": train.take(kept_rows), "validation": train.take(held_out_rows)}

    def split(self, data: DataSettings, train: Selection) -> tuple[Positions, Positions]:
        """Positions of the training examples that are kept, and of those that are held out for validation.

        A random part is held out; examples of one `group` stay together, so that nothing held out was seen in training.

        Raises:
            DataError: nothing can be held out.
        """
        group, sizes = self._groups(train)
        if len(sizes) < 2:
            raise DataError(
                f"nothing can be held out for validation: the training split has {len(group)} {self.unit} and "
                f"{len(sizes)} different {self.fields[0]}{'s' * (len(sizes) != 1)}; give a validation split"
            )
        missing = max(1, round(data.validation * len(group)))
        held_out = np.zeros(len(sizes), bool)
        for candidate in np.random.default_rng(data.seed).permutation(len(sizes)):
            if sizes[candidate] <= missing:
                held_out[candidate] = True
                missing -= sizes[candidate]
            if not missing:
                break
        if not held_out.any():  # every group is larger than what should be held out
            held_out[np.argmin(sizes)] = True
        elif held_out.all():
            held_out[np.argmax(sizes)] = False
        return np.flatnonzero(~held_out[group]), np.flatnonzero(held_out[group])

    def folds(self, data: DataSettings, train: Selection, folds: int) -> Positions:
        """The fold of every example, from 0; each fold is in turn what is tested, and a model is trained on the others.

        The default deals out the groups of `group` at random.

        Args:
            data: the data section.
            train: the training split.
            folds: how many, 2 or more.

        Raises:
            DataError: the examples do not suffice for so many.
        """
        group, sizes = self._groups(train)
        if len(sizes) < folds:
            raise DataError(
                f"{folds} folds need {folds} different examples or more, and the training split has {len(sizes):,}: "
                "give fewer folds"
            )
        return (np.random.default_rng(data.seed).permutation(len(sizes)) % folds)[group]

    def _groups(self, train: Selection) -> tuple[Positions, Positions]:
        """The group of every example, and the number of examples of every group."""
        hashes = np.fromiter((_hash(self.group(example)) for example in train), np.uint64)
        _, group, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
        return group, sizes

    def group(self, example: Example) -> str:
        """What examples that `split` must keep together have in common: their first field, however it is spaced."""
        return " ".join(str(example[self.fields[0]]).split())

    def compared_text(self, example: Example) -> str:
        """By what examples are near copies of others, see `nlp_suite.data.near_copies`: the first field."""
        return str(example[self.fields[0]])

    def limit(self, data: DataSettings, examples: Selection) -> Positions | None:
        """Positions of at most `data.limit` examples, or None for all; drawn at random, as corpora are often sorted."""
        count = examples.count()
        if data.limit is None or count <= data.limit:
            return None
        return np.sort(np.random.default_rng(data.seed).permutation(count)[: data.limit])

    def identity(self, experiment: Experiment) -> dict[str, Any]:
        """What of the task's settings decides the stores, JSON-able: part of the name of the prepared folder; mostly nothing."""
        return {}

    # ---- what is learned from the training split

    def label_names(self, experiment: Experiment, train: Selection) -> list[str]:
        """Names of the labels, in the order of their ids; empty for a kind without labels."""
        return []

    def learn(self, experiment: Experiment, train: Selection, known: Assets, progress: Progress) -> Assets:
        """What belongs to a network and is not in its weights: what is known already, and all else from the training split.

        Args:
            experiment: the resolved config.
            train: the training split.
            known: text layers, labels and facts of an earlier training; what is empty in it is learned.
            progress: called with a line of text for every step of the work.

        Raises:
            DataError: labels that cannot be used.
            TextError: texts that no tokenizer can be trained on.
        """
        labels = known.labels or self.label_names(experiment, train)
        text = known.text or train_text_layer(experiment.text, self.texts(train), progress)
        return Assets(text, text, labels, known.facts)

    # ---- stores

    @abstractmethod
    def write_split(
        self, directory: Path, examples: Iterable[Example], split: str, assets: Assets, part: Part = WHOLE
    ) -> dict[str, Any]:
        """Writes the store of a split, or of a part of it.

        Args:
            directory: to be made.
            examples: of the split, in order.
            split: its name, for messages.
            assets: what `learn` returned.
            part: given where the kind has `in_parts` only: whose chunks of what becomes a row each are written.

        Returns:
            The statistics that only this kind has, JSON-able; those of `statistics` are added to them.

        Raises:
            DataError: an example that cannot be used, or settings that do not suit the kind.
        """

    def joined_counts(self, parts: Sequence[Mapping[str, Any]], store: Any, assets: Assets) -> dict[str, Any]:
        """What `write_split` returns of a whole split, of which it has written parts.

        Args:
            parts: what it returned of each.
            store: of the split.
            assets: what `learn` returned.
        """
        raise NotImplementedError(f"{self.name}: in_parts needs joined_counts")

    def open_split(self, directory: Path) -> Any:
        """The store that `write_split` wrote; its length is its number of rows."""
        return TokenStore(directory)

    def statistics(self, store: Any) -> dict[str, Any]:
        """How well the text layer fits a split: see `text_statistics`."""
        return text_statistics(store, store.full_lengths, UNKNOWN)

    def with_unknown_words(self, statistics: dict[str, Any], store: Any, assets: Assets) -> dict[str, Any]:
        """The statistics of a split and, where much of it is unknown, see `add_unknown_words`."""
        if not self.has_text:
            return statistics
        return add_unknown_words(statistics, assets.text, len(store), lambda rows: self.input_texts(store, rows))

    def input_texts(self, store: Any, rows: Sequence[int]) -> list[str]:
        """The texts of some rows, as a user would give them to the model; a kind without texts may give JSON."""
        return [store.text(int(row)) for row in rows]

    # ---- what people read

    def remarks(
        self, statistics: Mapping[str, Mapping[str, Any]], experiment: Experiment, split: str = "train"
    ) -> list[str]:
        """Sentences on what a user may not expect of a split's tokens, with the remedy; empty where all is well."""
        return text_remarks(statistics[split], experiment.text) if self.has_text else []

    def remarks_on_texts(self, report: Mapping[str, Any], experiment: Experiment) -> list[str]:
        """The same of what `inspect` reported: characters that nobody sees."""
        return invisible_remarks(report, experiment) if self.has_text else []

    def remarks_on_words(self, report: Mapping[str, Any], experiment: Experiment) -> list[str]:
        """What `inspect` can tell of truncation before anything was tokenized: from the words of the training texts."""
        words, limit = report["splits"]["train"].get("words"), experiment.text.max_length
        longer = [p for p in PERCENTILES if isinstance(words, dict) and words.get(f"p{p}", 0) > limit]
        if not longer or longer[0] > 95:
            return []
        return [
            f"{100 - longer[0]}% of the training texts or more have more words than text.max_length={limit} tokens and will "
            "be cut; nlp-suite prepare counts how many, and of how many tokens"
        ]

    def summary(self, split: str, statistics: Mapping[str, Any]) -> str:
        """A line on a split that was just written."""
        return f"{split}: {statistics['texts']:,} {self.unit}, {statistics['tokens']:,} tokens"

    def preparation_table(self, statistics: Mapping[str, Mapping[str, Any]]) -> "Table":
        """The statistics of all splits, as `prepare` found them, as a table for a terminal."""
        return token_statistics_table(self.unit, statistics)

    @abstractmethod
    def inspect(
        self, examples: Mapping[str, Iterable[Example]], store_statistics: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """What a corpus looks like; reads every split once and holds no texts but the few that are shown.

        Args:
            examples: split → examples.
            store_statistics: token statistics by split, as `prepare` found them; passed through as `tokens`.

        Returns:
            A JSON-able report: `kind` (its name), `splits` (split → counts and lengths), `duplicates`, `examples` (a few)
            and `tokens`.
        """

    @abstractmethod
    def tables(self, report: Mapping[str, Any]) -> list["Table"]:
        """A report of `inspect` as tables for a terminal."""


def corpus_kind(name: str) -> CorpusKind:
    """The corpus kind called `name`.

    Raises:
        UnknownNameError: there is none.
    """
    kind: CorpusKind = CORPUS_KINDS.get(name)(name)
    return kind


def train_text_layer(settings: TextSettings, texts: Iterable[str], progress: Progress, of: str = "") -> TextLayer:
    """A text layer for the training split; `of`: whose texts these are, such as `" of the sources"`."""
    tokenizer = f"training the {settings.tokenizer.name} tokenizer{of}"
    progress(f"{tokenizer} on the training split")
    with work(tokenizer):
        return TextLayer.train(settings, texts)


def add_unknown_words(
    facts: dict[str, Any], text: Any, count: int, texts_of: Callable[[Sequence[int]], Sequence[str]]
) -> dict[str, Any]:
    """Statistics of `count` texts; where much of them is unknown, with examples as `unknown_words` and the size of the `vocabulary`.

    Args:
        facts: of `text_statistics`.
        text: the `TextLayer`.
        count: of the texts.
        texts_of: numbers of texts → the texts; asked for some, evenly spaced.
    """
    if (facts.get("unknown_rate") or 0) < SHARE_TO_MENTION:
        return facts
    words = unknown_words(text, texts_of(range(0, count, -(-count // READ_FOR_EXAMPLES))))
    return {**facts, "unknown_words": words, "vocabulary": text.vocabulary_size}


def _hash(text: str) -> int:
    """64-bit hash of a text."""
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
