"""Texts with a label each: splits keep every class its share, labels become ids."""

import itertools

import numpy as np

from nlp_suite.data.selection import selected
from nlp_suite.data.splits import stratified_split
from nlp_suite.data.store import StoreWriter, TokenStore
from nlp_suite.errors import DataError


def split(experiment, source) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of train that are kept and that are held out for validation."""
    return stratified_split(_labels(source, "train", None), experiment.data.validation, experiment.data.seed)


def limit(experiment, source, origin: str, rows):
    """At most `data.limit` of the rows; every class keeps its share."""
    labels = _labels(source, origin, rows)
    if len(labels) <= experiment.data.limit:
        return rows
    _, part = stratified_split(labels, experiment.data.limit / len(labels), experiment.data.seed)
    return part if rows is None else rows[part]


def _labels(source, origin: str, rows) -> list[str]:
    """The label of every selected row."""
    labels = [example.get("label") for example in selected(source, origin, rows)]
    if None in labels:
        raise DataError(
            f"the {origin} split has rows without a label, which a classifier needs (data.source.label_column)"
        )
    return labels


def label_names(experiment, source, chosen) -> list[str]:
    """Names of the labels, in the order of their ids."""
    found = set(_labels(source, *chosen["train"]))
    in_order = sorted(found, key=int) if all(label.isdecimal() for label in found) else sorted(found)
    names = experiment.data.labels or in_order
    extra = sorted(found - set(names))
    if extra:
        raise DataError(f"the training split has labels {extra} that data.labels {names} does not name")
    if len(found) < 2:
        raise DataError(f"a classifier needs two labels or more; the training split has {sorted(found) or 'none'}")
    return names


def texts(examples):
    """What the tokenizer is trained on."""
    return (example["text"] for example in examples)


def write_split(directory, examples, split, text, names) -> dict:
    """Writes the store of one split; returns the statistics of this kind: texts of every label."""
    ids = {name: i for i, name in enumerate(names)}
    writer = StoreWriter(directory, text.vocabulary_size)
    examples = iter(examples)
    row = 0
    while chunk := list(itertools.islice(examples, 1024)):
        for i, example in enumerate(chunk):
            if example.get("label") not in ids:
                raise DataError(
                    f"{split} split, example {row + i + 1}: label {example.get('label')!r} does not occur in the training "
                    f"split (labels: {', '.join(names)})"
                )
        texts = [example["text"] for example in chunk]
        rows, full_lengths = text.encode_with_lengths(texts)
        writer.append(rows, full_lengths, [ids[example["label"]] for example in chunk], texts)
        row += len(chunk)
    writer.close(split=split)
    counts = np.bincount(TokenStore(directory).labels, minlength=len(names))
    return {"labels": dict(zip(names, counts.tolist()))}


def open_split(directory) -> TokenStore:
    """The store that `write_split` wrote."""
    return TokenStore(directory)
