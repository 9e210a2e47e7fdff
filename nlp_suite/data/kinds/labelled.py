"""Texts with a label each: splits keep every class its share, labels become ids."""

import itertools
import json
import math
import sys
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nlp_suite.config import DataSettings, Experiment
from nlp_suite.data.corpus_stats import (
    SHOWN_EXAMPLES,
    TextCounts,
    conflicting,
    duplicates,
    figures,
    shortened,
    text_hash,
)
from nlp_suite.data.kinds.base import CorpusKind, LabelForm, Positions, Progress
from nlp_suite.data.label_spelling import check_spellings, similar_label
from nlp_suite.data.selection import WHOLE, Example, Part, Selection
from nlp_suite.data.splits import stratified_folds, stratified_split
from nlp_suite.data.store import StoreWriter
from nlp_suite.data.tables import (
    Report,
    duplicates_table,
    examples_table,
    lengths_table,
    numbers_table,
    token_statistics_table,
    tokens_tables,
)
from nlp_suite.errors import DataError
from nlp_suite.registry import CORPUS_KINDS
from nlp_suite.task import Assets
from nlp_suite.text.pairs import join_pair, shown_pair

if TYPE_CHECKING:
    from rich.table import Table


MIN_PAIR_LENGTH = 8  # tokens: some of both texts, and what parts them
MAX_DIGITS = 1000  # of labels that are sorted as numbers; Python refuses to read more than 4,300


@CORPUS_KINDS.register()
class LabelledKind(CorpusKind):
    """Examples `{"text": …, "label": …}`; a source that was told to read no labels leaves `"label"` out.

    With `"text_b"` an example is a pair of texts, which a network reads in one row (`TextLayer.encode_pairs`): the fact
    `text_pairs` of the training split says so.

    The store's column `labels` has the id of each row's label.

    Attributes:
        shown_labels: of how many labels `inspect` shows texts.
    """

    fields = ("text", "label")
    optional_fields = ("text_b",)
    wanted = "labels"
    unit = "examples"
    in_parts = True
    has_copies = True
    label_form: ClassVar[LabelForm] = "name"
    shown_labels: ClassVar[int] = 1000

    def field_value(self, field: str, value: Any, called: str) -> Any:
        if field != "label":
            return super().field_value(field, value, called)
        if isinstance(value, float) and not math.isfinite(value):
            raise DataError(f"{called!r} must be a string or number, got {json.dumps(value)}")
        if isinstance(value, int | float):
            whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
            return json.dumps(int(value) if whole else value)  # 1 and 1.0 are one label
        if not isinstance(value, str):
            raise DataError(f"{called!r} must be a string or number, got {json.dumps(value)[:60]}")
        if not value.strip():
            raise DataError("the label is empty (texts without labels are read with label_column: null)")
        return value

    def texts(self, examples: Iterable[Example]) -> Iterator[str]:
        """See `CorpusKind.texts`; of a pair both."""
        return (example[side] for example in examples for side in ("text", "text_b") if side in example)

    def group(self, example: Example) -> str:
        """See `CorpusKind.group`; of a pair both texts."""
        return " ".join(full_text(example).split())

    def compared_text(self, example: Example) -> str:
        """See `CorpusKind.compared_text`; of a pair both texts."""
        return full_text(example)

    def learn(self, experiment: Experiment, train: Selection, known: Assets, progress: Progress) -> Assets:
        """See `CorpusKind.learn`; with the fact `text_pairs` where examples are pairs."""
        is_pair = not known.facts and "text_b" in next(iter(train), {})
        if is_pair and experiment.text.max_length < MIN_PAIR_LENGTH:
            raise DataError(
                f"text.max_length is {experiment.text.max_length}; pairs of texts need {MIN_PAIR_LENGTH} or more"
            )
        facts = {"text_pairs": True} if is_pair else known.facts
        return replace(super().learn(experiment, train, known, progress), facts=facts)

    def split(self, data: DataSettings, train: Selection) -> tuple[Positions, Positions]:
        """See `CorpusKind.split`; every class keeps its share."""
        return stratified_split(labels_of(train), data.validation, data.seed)

    def limit(self, data: DataSettings, examples: Selection) -> Positions | None:
        """See `CorpusKind.limit`; every class keeps its share."""
        labels = labels_of(examples)
        if data.limit is None or len(labels) <= data.limit:
            return None
        return stratified_split(labels, data.limit / len(labels), data.seed)[1]

    def folds(self, data: DataSettings, train: Selection, folds: int) -> Positions:
        """See `CorpusKind.folds`; every class keeps its share."""
        return stratified_folds(labels_of(train), folds, data.seed)

    def label_names(self, experiment: Experiment, train: Selection) -> list[str]:
        """See `CorpusKind.label_names`; sorted, by value if all are whole numbers, unless `data.labels` gives an order."""
        counts = Counter(name for label in labels_of(train) for name in self.label_parts(label))
        check_spellings(counts, experiment.data.labels)
        labels = set(counts)
        in_order = sorted(labels)
        if all(label.isdecimal() and len(label) < MAX_DIGITS for label in labels):
            in_order.sort(key=int)
        names = experiment.data.labels or in_order
        extra = sorted(labels - set(names))
        if extra:
            raise DataError(f"the training split has labels {extra} that data.labels {names} does not name")
        if len(labels) < 2:
            raise DataError(f"a classifier needs two labels or more; the training split has {sorted(labels) or 'none'}")
        return names

    def write_split(
        self, directory: Path, examples: Iterable[Example], split: str, assets: Assets, part: Part = WHOLE
    ) -> dict[str, Any]:
        """See `CorpusKind.write_split`; returns what `count_labels` does."""
        assert assets.text
        encode = self.label_encoder(assets)
        writer = StoreWriter(directory, assets.text.vocabulary_size, **self.label_column(assets))
        labels: list[Any] = []
        is_pair = bool(assets.facts.get("text_pairs"))
        for before, chunk in part.chunks(examples):
            for number, example in enumerate(chunk, before + 1):
                try:
                    labels.append(encode(example.get("label")))
                except DataError as error:
                    raise DataError(f"{split} split, example {number}: {error}") from None
            texts = [full_text(example) for example in chunk]
            encode_texts = assets.text.encode_pairs if is_pair else assets.text.encode_with_lengths
            writer.append(*encode_texts(texts), labels[-len(chunk) :], texts)
        writer.close(split=split)
        return {"labels": self.count_labels(np.asarray(labels), assets)}

    def joined_counts(self, parts: Sequence[Mapping[str, Any]], store: Any, assets: Assets) -> dict[str, Any]:
        return {"labels": self.count_labels(np.asarray(store.labels), assets)}

    # ---- how labels are stored

    def label_column(self, assets: Assets) -> dict[str, Any]:
        """Arguments of the `StoreWriter` that say how labels are stored; empty: an id a row."""
        return {}

    def label_encoder(self, assets: Assets) -> Callable[[Any], Any]:
        """A function of an example's label, as `field_value` made it, to what is stored.

        It raises a DataError for a label that cannot be used; the caller adds split and example.
        """
        ids = {name: i for i, name in enumerate(assets.labels)}

        def encode(label: Any) -> int:
            if label not in ids:
                alike = similar_label(str(label), ids)
                remedy = f"; data.labels_normalise: true makes it {alike!r}" if alike else ""
                raise DataError(
                    f"label {label!r} does not occur in the training split (labels: {', '.join(assets.labels)}){remedy}"
                )
            return ids[label]

        return encode

    def count_labels(self, labels: NDArray[Any], assets: Assets) -> dict[str, Any]:
        """What the statistics of a split say of its stored labels: the number of texts of every label."""
        return dict(zip(assets.labels, np.bincount(labels.astype(int), minlength=len(assets.labels)).tolist()))

    def label_parts(self, label: Any) -> Iterable[str]:
        """The names under which `inspect` counts an example's label."""
        return (label,)

    def label_summary(self, labels: Counter[str]) -> dict[str, Any]:
        """What `inspect` says of a split's labels."""
        return dict(sorted(labels.items()))

    # ---- what people read

    def preparation_table(self, statistics: Mapping[str, Mapping[str, Any]]) -> "Table":
        return token_statistics_table("texts", statistics)

    def inspect(
        self, examples: Mapping[str, Iterable[Example]], store_statistics: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """See `CorpusKind.inspect`.

        Returns:
            * `splits`: split → `examples`, `labels` (label → rows), `empty_texts`, and `characters` and `words`, each with
              `min`, `mean`, `p5`, `p50`, `p95`, `p99`, `max`;
            * `duplicates`: `within` (split → rows whose text came before in that split), `across` (a list of `split`,
              `also_in`, `rows`: rows whose text also occurs in an earlier split) and `conflicting` (texts that occur with
              more than one label, anywhere);
            * `examples`: label → the first few texts, cut to 200 characters.

        Example:
            >>> corpus_kind("labelled").inspect({"train": [{"text": "fine", "label": "pos"}]})["splits"]["train"]["labels"]
            {'pos': 1}
        """
        splits: dict[str, Any] = {}
        shown: dict[str, list[str]] = {}
        hashes: dict[str, array[int]] = {}
        labelled, hashes_of_labels = array("Q"), array("Q")  # hashes of the texts that have a label, and of the labels
        for split, rows in examples.items():
            counts, labels, hashes[split] = TextCounts(), Counter[str](), array("Q")
            for example in rows:
                text, label = full_text(example), example.get("label")
                key = text_hash(text)
                hashes[split].append(key)
                counts.add(text)
                if label is None:
                    continue
                labelled.append(key)
                hashes_of_labels.append(text_hash(repr(label)))
                for part in self.label_parts(label):
                    labels[part] += 1
                    if part not in shown and len(shown) >= self.shown_labels:
                        continue
                    if len(texts := shown.setdefault(part, [])) < SHOWN_EXAMPLES:
                        texts.append(shortened(shown_pair(text)))
            splits[split] = {
                "examples": len(counts.characters),
                "labels": self.label_summary(labels),
                "empty_texts": counts.characters.count(0),
                "characters": figures(counts.characters),
                "words": figures(counts.words),
                "invisible": counts.invisible_figures(),
            }
        return {
            "kind": self.name,
            "splits": splits,
            "duplicates": {**duplicates(hashes), "conflicting": conflicting(labelled, hashes_of_labels)},
            "examples": dict(sorted(shown.items())),
            "tokens": store_statistics,
        }

    def remarks_on_texts(self, report: Mapping[str, Any], experiment: Experiment) -> list[str]:
        """See `CorpusKind.remarks_on_texts`; and of a training split of one class, or none."""
        labels = list(report["splits"]["train"]["labels"])
        if len(labels) > 1:
            return super().remarks_on_texts(report, experiment)
        has = f"all of its texts have the label {shortened(labels[0])!r}" if labels else "none of its texts has a label"
        line = f"a classifier needs two labels or more, and of the training split {has}: see data.source"
        return [line, *super().remarks_on_texts(report, experiment)]

    def tables(self, report: Report) -> list["Table"]:
        repeated = duplicates_table("Duplicate texts", {"rows": report["duplicates"]}, "rows")
        repeated.add_row("texts with more than one label", f"{report['duplicates']['conflicting']:,}")
        lengths = lengths_table(report, {"words": "words", "characters": "characters"})
        return [
            self.label_table(report),
            lengths,
            repeated,
            *tokens_tables(report),
            examples_table(report, "label", "text"),
        ]

    def label_table(self, report: Report) -> "Table":
        """The labels of every split, and their shares."""
        from rich.text import Text

        splits = report["splits"]
        labels = sorted(set(itertools.chain.from_iterable(facts["labels"] for facts in splits.values())))
        table = numbers_table("Label balance", "split", "examples", *map(Text, labels), "empty texts")
        for split, facts in splits.items():
            counts = [facts["labels"].get(label, 0) for label in labels]
            shares = [f"{count:,} ({count / max(1, facts['examples']):.1%})" for count in counts]
            table.add_row(split, f"{facts['examples']:,}", *shares, f"{facts['empty_texts']:,}")
        return table


def full_text(example: Example) -> str:
    """The text of an example; of a pair both, as `join_pair` writes them."""
    return join_pair(example["text"], example["text_b"]) if "text_b" in example else str(example["text"])


def labels_of(examples: Selection) -> list[Any]:
    """The label of every example."""
    labels = [sys.intern(label) if isinstance(label := example.get("label"), str) else label for example in examples]
    if None in labels:
        raise DataError(
            f"the {examples.origin} split has rows without a label, which a classifier needs (data.source.label_column)"
        )
    return labels
