"""Running text for language models: documents of lines, END after every line; no labels.

A row of the store is a line. Its column `labels` is 1 where the line begins a document, else 0. The held-out part is the
end of the corpus.
"""

import itertools

import numpy as np

from nlp_suite.data.store import StoreWriter, TokenStore
from nlp_suite.errors import DataError


def split(experiment, source) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of train that are kept and that are held out: the last part of its characters, in whole rows."""
    ends = np.cumsum([len(example["text"]) + 1 for example in source.examples("train")])
    if len(ends) < 2:
        raise DataError(
            f"nothing can be held out for validation: the training split has {len(ends)} example{'s' * (len(ends) != 1)}; "
            "give a validation split"
        )
    kept = int(np.clip(np.searchsorted(ends, ends[-1] * (1 - experiment.data.validation), "right"), 1, len(ends) - 1))
    return np.arange(kept), np.arange(kept, len(ends))


def limit(experiment, source, origin: str, rows):
    """The first `data.limit` rows."""
    if rows is not None:
        return rows[: experiment.data.limit]
    count = sum(1 for _ in itertools.islice(source.examples(origin), experiment.data.limit + 1))
    return None if count <= experiment.data.limit else np.arange(experiment.data.limit)


def label_names(experiment, source, chosen) -> list[str]:
    """None: there are no labels."""
    if experiment.data.labels is not None:
        raise DataError(
            f"data.labels {experiment.data.labels} is given, but the task {experiment.task.name!r} has none"
        )
    return []


def lines(examples):
    """Every line of the examples: its text, and whether it begins a document."""
    document = None
    for example in examples:
        begins = "document" not in example or example["document"] != document
        document = example.get("document")
        for line in example["text"].removesuffix("\n").split("\n"):
            yield line, begins
            begins = False


def texts(examples):
    """What the tokenizer is trained on."""
    return (line for line, _ in lines(examples))


def write_split(directory, examples, split, text, names) -> dict:
    """Writes the store of one split; returns the statistics of this kind.

    Returns:
        `documents`, `words` (parted by white space, and one a line for its end) and `characters` (of the normalised
        text, and one a line), over which perplexity per word and bits per character are taken.
    """
    if not text.settings.add_end or text.settings.add_start:
        raise DataError("language modelling needs text.add_end: true (the end of a line) and text.add_start: false")
    writer = StoreWriter(directory, text.vocabulary_size)
    numbered = lines(examples)
    documents = words = characters = row = 0
    while chunk := list(itertools.islice(numbered, 1024)):
        read = [line for line, _ in chunk]
        rows, full_lengths = text.encode_with_lengths(read)
        _refuse_cut_lines(text.settings, read, full_lengths, split, row)
        row += len(read)
        writer.append(rows, full_lengths, [int(begins) for _, begins in chunk], read)
        documents += sum(begins for _, begins in chunk)
        normalised = text.normalise(read)
        words += sum(len(line.split()) + 1 for line in normalised)
        characters += sum(len(line) + 1 for line in normalised)
    writer.close(split=split)
    return {"documents": documents, "words": words, "characters": characters}


def open_split(directory) -> TokenStore:
    """The store that `write_split` wrote."""
    return TokenStore(directory)


def _refuse_cut_lines(settings, lines, full_lengths, split, first) -> None:
    """A line that is cut would falsify every perplexity: a DataError that names it."""
    for number, (line, length) in enumerate(zip(lines, full_lengths), first + 1):
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
