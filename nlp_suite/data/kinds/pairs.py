"""Pairs of sentences, one the translation of the other: two stores a split, END after every sentence; no labels.

The held-out part is drawn at random; pairs with the same source stay together, so that none of it was seen in training.
"""

import hashlib
import itertools

import numpy as np

from nlp_suite.data.kinds.text import label_names
from nlp_suite.data.pair_store import PairStore
from nlp_suite.data.store import StoreWriter
from nlp_suite.errors import DataError

__all__ = ["label_names", "limit", "open_split", "split", "texts", "write_split"]

SIDES = ("source", "target")


def split(experiment, source) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of train that are kept and that are held out: a random part, equal sources on one side."""
    hashes = np.fromiter(map(_hash, source.examples("train")), np.uint64)
    _, group, sizes = np.unique(hashes, return_inverse=True, return_counts=True)
    if len(sizes) < 2:
        _check_empty(source, len(hashes))
        raise DataError(
            f"nothing can be held out for validation: the training split has {len(hashes)} pairs and "
            f"{len(sizes)} different source{'s' * (len(sizes) != 1)}; give a validation split"
        )
    left = max(1, round(experiment.data.validation * len(hashes)))
    held_out = np.zeros(len(sizes), bool)
    for candidate in np.random.default_rng(experiment.data.seed).permutation(len(sizes)):
        if sizes[candidate] <= left:
            held_out[candidate] = True
            left -= sizes[candidate]
        if not left:
            break
    if not held_out.any():  # every source occurs more often than that
        held_out[np.argmin(sizes)] = True
    elif held_out.all():
        held_out[np.argmax(sizes)] = False
    return np.flatnonzero(~held_out[group]), np.flatnonzero(held_out[group])


def _check_empty(source, count: int):
    """Refuses a training split in which nothing is written on a side."""
    empty = [side for side in SIDES if not any(example[side].strip() for example in source.examples("train"))]
    if count and empty:
        what = "" if len(empty) == 2 else f"the {empty[0]}s of "
        raise DataError(f"{what}all {count} pairs of the training split are empty: there is nothing to learn from")


def _hash(example) -> int:
    """Of the source, however it is spaced."""
    text = " ".join(example["source"].split())
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def limit(experiment, source, origin: str, rows):
    """At most `data.limit` of the rows, drawn at random: parallel corpora are often sorted by length."""
    count = sum(1 for _ in source.examples(origin)) if rows is None else len(rows)
    if count <= experiment.data.limit:
        return rows
    part = np.sort(np.random.default_rng(experiment.data.seed).permutation(count)[: experiment.data.limit])
    return part if rows is None else rows[part]


def texts(examples, sides=SIDES):
    """What a tokenizer is trained on: the given sides of every pair."""
    return (example[side] for example in examples for side in sides)


def write_split(directory, examples, split, text, names, target_text=None) -> dict:
    """Writes the two stores of one split; every pair is kept.

    Args:
        target_text: text layer of the targets; default: `text`.

    Returns:
        the statistics of this kind: `pairs`, and the `length_ratio` of target to source, in tokens of all of them.
    """
    layers = {"source": text, "target": target_text or text}
    for side, layer in layers.items():
        if not layer.settings.add_end or layer.settings.add_start:
            section = "target_text" if side == "target" and target_text else "text"
            raise DataError(
                f"translation needs {section}.add_end: true (the end of a sentence) and {section}.add_start: false"
            )
    writers = {side: StoreWriter(directory / side, layer.vocabulary_size) for side, layer in layers.items()}
    tokens = dict.fromkeys(SIDES, 0)
    examples = iter(examples)
    while chunk := list(itertools.islice(examples, 1024)):
        for side, layer in layers.items():
            sentences = [example[side] for example in chunk]
            rows, full_lengths = layer.encode_with_lengths(sentences)
            writers[side].append(rows, full_lengths, np.zeros(len(rows)), sentences)
            tokens[side] += int(np.sum(full_lengths))
    for writer in writers.values():
        writer.close(split=split)
    return {"pairs": len(PairStore(directory)), "length_ratio": tokens["target"] / max(1, tokens["source"])}


def open_split(directory) -> PairStore:
    """The store that `write_split` wrote."""
    return PairStore(directory)
