"""Running text for language models: documents of lines, END after every line; no labels."""

import itertools
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_suite.config import DataSettings, TextSettings
from nlp_suite.data.corpus_stats import SHOWN_EXAMPLES, TextCounts, duplicates, figures, shortened, text_hash
from nlp_suite.data.kinds.base import CorpusKind, Positions
from nlp_suite.data.selection import WHOLE, Example, Part, Selection
from nlp_suite.data.store import StoreWriter
from nlp_suite.data.tables import (
    Report,
    duplicates_table,
    examples_table,
    lengths_table,
    sizes_table,
    tokens_tables,
)
from nlp_suite.errors import DataError
from nlp_suite.registry import CORPUS_KINDS
from nlp_suite.task import Assets

if TYPE_CHECKING:
    from rich.table import Table


@CORPUS_KINDS.register()
class TextKind(CorpusKind):
    r"""Examples `{"text": …}`, never with a label.

    Where `"document"` is there too, an example is one line, and consecutive examples with the same value (a string) are the
    lines of one document. Without it every example is a document, whose lines end at `"\n"` (an end after the last line
    makes no further one).

    A row of the store is a line. Its column `labels` is 1 where the line begins a document, else 0. Where line breaks are
    tokens like any other, as for a pretrained model, a row is a document.
    """

    fields = ("text",)
    optional_fields = ("document",)
    wanted = "running text"
    unit = "lines"
    in_parts = True

    def texts(self, examples: Iterable[Example]) -> Iterator[str]:
        return (line for line, _ in lines(examples))

    def split(self, data: DataSettings, train: Selection) -> tuple[Positions, Positions]:
        """See `CorpusKind.split`; held out is the last part of the characters, in whole examples."""
        ends = np.cumsum([len(example["text"]) + 1 for example in train])
        if len(ends) < 2:
            raise DataError(
                f"nothing can be held out for validation: the training split has {len(ends)} "
                f"example{'s' * (len(ends) != 1)}; give a validation split"
            )
        first_held_out = np.searchsorted(ends, ends[-1] * (1 - data.validation), "right")
        first_held_out = int(np.clip(first_held_out, 1, len(ends) - 1))
        return np.arange(first_held_out), np.arange(first_held_out, len(ends))

    def folds(self, data: DataSettings, train: Selection, folds: int) -> Positions:
        """See `CorpusKind.folds`; each is a stretch of the text, of about as many characters, in whole examples."""
        ends = np.cumsum([len(example["text"]) + 1 for example in train])
        total = ends[-1] if len(ends) else 0
        fold = np.searchsorted(total * np.arange(1, folds) / folds, ends - 1, "right")
        if len(np.unique(fold)) < folds:
            raise DataError(
                f"the text cannot be cut into {folds} folds of about the same length: the training split has {len(ends):,} "
                f"example{'s' * (len(ends) != 1)} (documents or lines, which stay whole); give fewer folds, or smaller "
                "documents with data.source.documents"
            )
        return fold

    def limit(self, data: DataSettings, examples: Selection) -> Positions | None:
        """See `CorpusKind.limit`; the first ones, as text is read in its order."""
        if data.limit is None or sum(1 for _ in itertools.islice(examples, data.limit + 1)) <= data.limit:
            return None
        return np.arange(data.limit)

    def write_split(
        self, directory: Path, examples: Iterable[Example], split: str, assets: Assets, part: Part = WHOLE
    ) -> dict[str, Any]:
        """See `CorpusKind.write_split`.

        Returns:
            `documents`, `words` (parted by white space, and one a line for its end) and `characters` (of the normalised
            text, and one a line), over which perplexity per word and bits per character are taken.
        """
        assert assets.text
        settings = assets.text.settings
        whole = assets.text.tokenizer.reads_line_breaks
        if settings.add_start or not (settings.add_end or whole):
            raise DataError("language modelling needs text.add_end: true (the end of a line) and text.add_start: false")
        writer = StoreWriter(directory, assets.text.vocabulary_size)
        documents = words = characters = 0
        for before, chunk in part.chunks(documents_of(examples) if whole else lines(examples)):
            texts, begins = [line for line, _ in chunk], [int(begins) for _, begins in chunk]
            rows, full_lengths = assets.text.encode_with_lengths(texts)
            _refuse_cut_lines(settings, texts, full_lengths, split, before)
            writer.append(rows, full_lengths, begins, texts)
            documents += sum(begins)
            normalised = assets.text.normalise(texts)
            words += sum(len(line.split()) + line.count("\n") + 1 for line in normalised)
            characters += sum(len(line) + 1 for line in normalised)
        writer.close(split=split)
        return {"documents": documents, "words": words, "characters": characters}

    def joined_counts(self, parts: Sequence[Mapping[str, Any]], store: Any, assets: Assets) -> dict[str, Any]:
        return {name: sum(part[name] for part in parts) for name in ("documents", "words", "characters")}

    def inspect(
        self, examples: Mapping[str, Iterable[Example]], store_statistics: Mapping[str, Any] | None = None
    ) -> dict[str, Any]:
        r"""See `CorpusKind.inspect`.

        Returns:
            * `splits`: split → `documents`, `lines`, `blank_lines`, `words` (parted by white space), `characters` (without
              line ends), and by line `line_words`, `line_characters` with `min`, `mean`, `p5`, `p50`, `p95`, `p99`, `max`;
              the same by document as `document_lines`;
            * `duplicates`: of lines that are not blank, `within` (split → lines that came before in that split) and
              `across` (a list of `split`, `also_in`, `rows`: lines that also occur in an earlier split);
            * `examples`: split → its first few lines that are not blank, cut to 200 characters.

        Example:
            >>> corpus_kind("text").inspect({"train": [{"text": "one\\ntwo"}]})["splits"]["train"]["lines"]
            2
        """
        splits: dict[str, Any] = {}
        shown: dict[str, list[str]] = {}
        hashes: dict[str, array[int]] = {}
        for split, rows in examples.items():
            counts, document_lines, hashes[split], shown[split] = TextCounts(), array("q"), array("Q"), []
            for line, begins in lines(rows):
                if begins:
                    document_lines.append(0)
                document_lines[-1] += 1
                if not counts.add(line):
                    continue  # a blank one
                hashes[split].append(text_hash(line))
                if len(shown[split]) < SHOWN_EXAMPLES:
                    shown[split].append(shortened(line))
            splits[split] = {
                "documents": len(document_lines),
                "lines": len(counts.words),
                "blank_lines": counts.words.count(0),
                "words": sum(counts.words),
                "characters": sum(counts.characters),
                "line_words": figures(counts.words),
                "line_characters": figures(counts.characters),
                "document_lines": figures(document_lines),
                "invisible": counts.invisible_figures(),
            }
        return {
            "kind": self.name,
            "splits": splits,
            "duplicates": duplicates(hashes),
            "examples": shown,
            "tokens": store_statistics,
        }

    def tables(self, report: Report) -> list["Table"]:
        units = {
            "words a line": "line_words",
            "characters a line": "line_characters",
            "lines a document": "document_lines",
        }
        return [
            sizes_table(report, "documents", "lines", "blank_lines", "words", "characters"),
            lengths_table(report, units),
            duplicates_table("Duplicate lines", {"lines": report["duplicates"]}, "lines"),
            *tokens_tables(report),
            examples_table(report, "split", "text"),
        ]


def lines(examples: Iterable[Example]) -> Iterator[tuple[str, bool]]:
    """Every line of the examples: its text, and whether it begins a document."""
    document = None
    for example in examples:
        begins = "document" not in example or example["document"] != document
        document = example.get("document")
        for line in example["text"].removesuffix("\n").split("\n"):
            yield line, begins
            begins = False


def documents_of(examples: Iterable[Example]) -> Iterator[tuple[str, bool]]:
    """Every document of the examples as one text, and that it begins one."""
    parts: list[str] = []
    for line, begins in lines(examples):
        if begins and parts:
            yield "\n".join(parts), True
            parts = []
        parts.append(line)
    if parts:
        yield "\n".join(parts), True


def _refuse_cut_lines(
    settings: TextSettings, texts: Sequence[str], full_lengths: Iterable[int], split: str, lines_before: int
) -> None:
    """A line that is cut would falsify every perplexity: a DataError that names it."""
    for number, (line, length) in enumerate(zip(texts, full_lengths), lines_before + 1):
        if len(line) > settings.max_characters:
            raise DataError(
                f"{split} split, line {number}: {len(line):,} characters, more than text.max_characters "
                f"{settings.max_characters:,}; raise it, or break the line"
            )
        if length > settings.max_length:
            raise DataError(
                f"{split} split, line {number}: {length:,} tokens, more than text.max_length {settings.max_length:,}; "
                "raise it, or break the line"
            )
