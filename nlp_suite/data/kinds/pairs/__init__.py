"""Pairs of sentences, one the translation of the other: two stores a split, END after every sentence; no labels."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_suite.config import DataSettings, Experiment
from nlp_suite.data.kinds.base import CorpusKind, Positions, Progress, add_unknown_words, train_text_layer
from nlp_suite.data.kinds.pairs.inspection import inspect_pairs, pair_tables
from nlp_suite.data.kinds.pairs.store import SIDES, PairStore
from nlp_suite.data.pair_faults import fault_remarks
from nlp_suite.data.selection import WHOLE, Example, Part, Selection
from nlp_suite.data.store import StoreWriter
from nlp_suite.data.tables import Report, token_statistics_table
from nlp_suite.errors import DataError
from nlp_suite.registry import CORPUS_KINDS
from nlp_suite.task import Assets
from nlp_suite.text.statistics import text_remarks

if TYPE_CHECKING:
    from rich.table import Table


@CORPUS_KINDS.register()
class PairsKind(CorpusKind):
    """Examples `{"source": …, "target": …}`, a sentence and its translation; either may be empty.

    Both sides have one vocabulary, or with `target_text` in the config one each. Pairs with the same source stay on one
    side of a split.
    """

    fields = SIDES
    wanted = "pairs of sentences"
    unit = "pairs"
    in_parts = True
    has_copies = True

    def texts(self, examples: Iterable[Example], sides: Sequence[str] = SIDES) -> Iterator[str]:
        """See `CorpusKind.texts`; of every pair the given sides."""
        return (example[side] for example in examples for side in sides)

    def tokenized_texts(self, experiment: Experiment, examples: Iterable[Example]) -> dict[str, Iterator[str]]:
        if not experiment.target_text:
            return super().tokenized_texts(experiment, examples)
        return {"text": self.texts(examples, ["source"]), "target_text": self.texts(examples, ["target"])}

    def split(self, data: DataSettings, train: Selection) -> tuple[Positions, Positions]:
        try:
            return super().split(data, train)
        except DataError:
            _refuse_empty(train)
            raise

    def learn(self, experiment: Experiment, train: Selection, known: Assets, progress: Progress) -> Assets:
        """See `CorpusKind.learn`; with `target_text` in the config, a text layer for each side."""
        if not experiment.target_text:
            return super().learn(experiment, train, known, progress)
        texts = self.tokenized_texts(experiment, train)
        text = known.text or train_text_layer(experiment.text, texts["text"], progress, " of the sources")
        target_text = known.target_text or train_text_layer(
            experiment.target_text, texts["target_text"], progress, " of the targets"
        )
        return Assets(text, target_text, known.labels or self.label_names(experiment, train), known.facts)

    def write_split(
        self, directory: Path, examples: Iterable[Example], split: str, assets: Assets, part: Part = WHOLE
    ) -> dict[str, Any]:
        """See `CorpusKind.write_split`; every pair is kept.

        Returns:
            `pairs`, and the `length_ratio` of target to source, in tokens of all of them.
        """
        assert assets.text and assets.target_text
        layers = dict(zip(SIDES, (assets.text, assets.target_text)))
        for side, layer in layers.items():
            if not layer.settings.add_end or layer.settings.add_start:
                section = "target_text" if side == "target" and layer is not assets.text else "text"
                raise DataError(
                    f"translation needs {section}.add_end: true (the end of a sentence) and {section}.add_start: false"
                )
        writers = {side: StoreWriter(directory / side, layer.vocabulary_size) for side, layer in layers.items()}
        tokens, pairs = dict.fromkeys(SIDES, 0), 0
        for _, chunk in part.chunks(examples):
            pairs += len(chunk)
            for side, layer in layers.items():
                sentences = [example[side] for example in chunk]
                rows, full_lengths = layer.encode_with_lengths(sentences)
                writers[side].append(rows, full_lengths, [0] * len(rows), sentences)
                tokens[side] += int(full_lengths.sum())
        for writer in writers.values():
            writer.close(split=split)
        return {"pairs": pairs, "length_ratio": tokens["target"] / max(1, tokens["source"])}

    def joined_counts(self, parts: Sequence[Mapping[str, Any]], store: PairStore, assets: Assets) -> dict[str, Any]:
        source, target = (int(side.full_lengths.sum()) for side in (store.source, store.target))
        return {"pairs": len(store), "length_ratio": target / max(1, source)}

    def open_split(self, directory: Path) -> PairStore:
        return PairStore(directory)

    def statistics(self, store: PairStore) -> dict[str, Any]:
        """See `CorpusKind.statistics`: of the source, and those of the target under `target`."""
        return {**super().statistics(store.source), "target": super().statistics(store.target)}

    def input_texts(self, store: PairStore, rows: Sequence[int]) -> list[str]:
        return super().input_texts(store.source, rows)

    def summary(self, split: str, statistics: Mapping[str, Any]) -> str:
        tokens = f"{statistics['tokens']:,} and {statistics['target']['tokens']:,} tokens"
        return f"{split}: {statistics['texts']:,} {self.unit}, {tokens}"

    def with_unknown_words(self, statistics: dict[str, Any], store: PairStore, assets: Assets) -> dict[str, Any]:
        """See `CorpusKind.with_unknown_words`; of both sides."""
        target, texts = store.target, assets.target_text
        of_targets = add_unknown_words(
            statistics["target"], texts, len(store), lambda rows: [target.text(int(row)) for row in rows]
        )
        return {**super().with_unknown_words(statistics, store, assets), "target": of_targets}

    def remarks(
        self, statistics: Mapping[str, Mapping[str, Any]], experiment: Experiment, split: str = "train"
    ) -> list[str]:
        """See `CorpusKind.remarks`; of both sides."""
        section = "target_text" if experiment.target_text else "text"
        settings = experiment.target_text or experiment.text
        return [
            *(f"sources: {line}" for line in super().remarks(statistics, experiment, split)),
            *(f"targets: {line}" for line in text_remarks(statistics[split]["target"], settings, section)),
        ]

    def remarks_on_texts(self, report: Mapping[str, Any], experiment: Experiment) -> list[str]:
        """See `CorpusKind.remarks_on_texts`; and on pairs that may be no translations, of every split."""
        splits = report["splits"].items()
        faults = [line for split, facts in splits for line in fault_remarks(facts["faults"], facts["pairs"], split)]
        return [*faults, *super().remarks_on_texts(report, experiment)]

    def preparation_table(self, statistics: Mapping[str, Mapping[str, Any]]) -> "Table":
        rows = {f"{split}, {side}": facts.get(side, facts) for split, facts in statistics.items() for side in SIDES}
        return token_statistics_table(self.unit, rows)

    def inspect(
        self, examples: Mapping[str, Iterable[Example]], store_statistics: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        """See `inspect_pairs`."""
        return {"kind": self.name, **inspect_pairs(examples), "tokens": store_statistics}

    def tables(self, report: Report) -> list["Table"]:
        return pair_tables(report)


def _refuse_empty(train: Selection) -> None:
    """Refuses a training split in which nothing is written on a side."""
    count = train.count()
    empty = [side for side in SIDES if not any(example[side].strip() for example in train)]
    if count and empty:
        which = "" if len(empty) == 2 else f"the {empty[0]}s of "
        raise DataError(f"{which}all {count} pairs of the training split are empty: there is nothing to learn from")
