"""From a source to token stores: splits, the tokenizer trained on the training split, and every split tokenised once.

The result lies under `data.cache` in a folder named by the hash of source, splits and text settings, and is used again
while the hash holds.
"""

import hashlib
import itertools
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlp_suite._version import __version__
from nlp_suite.config import Experiment
from nlp_suite.data.sources._base import DataError
from nlp_suite.data.splits import stratified_split
from nlp_suite.data.staging import hidden_folder, place_folder
from nlp_suite.data.store import SCHEMA, StoreWriter, TokenStore
from nlp_suite.registry import SOURCES
from nlp_suite.text.statistics import text_statistics
from nlp_suite.text.text_layer import UNKNOWN, TextLayer

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Prepared:
    """A corpus ready for training.

    Attributes:
        text: the text layer, trained on the training split only.
        labels: label names; a label id is an index into them.
        stores: token store of every split there is.
        statistics: unknown-token rate, length percentiles and truncation of every split.
        directory: where all of it lies.
    """

    text: TextLayer
    labels: list[str]
    stores: dict[str, TokenStore]
    statistics: dict
    directory: Path


def prepare(experiment: Experiment, *, text: TextLayer | None = None, labels: list[str] | None = None, progress=None):
    """Tokenises the experiment's corpus, or opens what an earlier call made.

    Args:
        experiment: the resolved config.
        text: a trained text layer to use instead of training one.
        labels: label names to use instead of those found in the training split.
        progress: called with a line of text as the work goes on.

    Returns:
        `Prepared`.

    Raises:
        DataError: a missing file, column or label, invalid UTF-8, an empty split, fewer than two classes, or a label
            outside the training split's.
    """
    say = progress or (lambda line: None)
    data = experiment.data
    source = SOURCES.get(data.source.name)(on_error=data.on_error, **data.source.arguments())
    directory = Path(data.cache) / _key(experiment, source, None, None)
    if text and not _holds(directory, text, labels):
        directory = Path(data.cache) / _key(experiment, source, text, labels)
    if not (directory / "prepared.json").exists():
        _build(experiment, source, text, labels, directory, say)
    else:
        say(f"prepared data: {directory} (used again)")
    info = json.loads((directory / "prepared.json").read_text("utf-8"))
    stores = {split: TokenStore(directory / split) for split in SPLITS if (directory / split).is_dir()}
    return Prepared(TextLayer.load(directory / "text"), info["labels"], stores, info["statistics"], directory)


def _holds(directory: Path, text: TextLayer, labels) -> bool:
    """Whether a prepared folder was made with this very text layer and these labels."""
    if not (directory / "prepared.json").exists():
        return False
    found = json.loads((directory / "prepared.json").read_text("utf-8"))["labels"]
    return found == labels and TextLayer.load(directory / "text").fingerprint == text.fingerprint


def splits(experiment: Experiment, source) -> dict[str, tuple[str, np.ndarray | None]]:
    """Which rows of which split of the source make up each split of the experiment.

    Returns:
        split → (split of the source, sorted row numbers, or `None` for all).
    """
    data, found = experiment.data, source.splits()
    if "train" not in found:
        raise DataError(f"the {data.source.name!r} source has no training split (it has: {', '.join(found) or 'none'})")
    chosen = {split: (split, None) for split in SPLITS if split in found}
    if "validation" not in found:
        kept, held_out = stratified_split(_labels(source, "train", None), data.validation, data.seed)
        chosen |= {"train": ("train", kept), "validation": ("train", held_out)}
    if data.limit:
        for split, (origin, rows) in chosen.items():
            labels = _labels(source, origin, rows)
            if len(labels) > data.limit:
                _, part = stratified_split(labels, data.limit / len(labels), data.seed)
                chosen[split] = (origin, part if rows is None else rows[part])
    return {split: chosen[split] for split in SPLITS if split in chosen}


def _labels(source, origin: str, rows) -> list[str]:
    """The label of every selected row."""
    labels = [example.get("label") for example in selected(source, origin, rows)]
    if None in labels:
        raise DataError(
            f"the {origin} split has rows without a label, which a classifier needs (data.source.label_column)"
        )
    return labels


def known_statistics(experiment: Experiment, source) -> dict | None:
    """Token statistics by split, where `prepare` has been run for this experiment."""
    path = Path(experiment.data.cache) / _key(experiment, source, None, None) / "prepared.json"
    return json.loads(path.read_text("utf-8"))["statistics"] if path.exists() else None


def selected(source, origin: str, rows):
    """The examples of a source's split with the given row numbers, in order."""
    examples = source.examples(origin)
    if rows is None:
        return examples
    wanted = np.zeros(int(rows[-1]) + 1 if len(rows) else 0, bool)
    wanted[rows] = True
    return itertools.compress(examples, wanted)


def _key(experiment, source, text, labels) -> str:
    parts = {
        "schema": SCHEMA,
        "version": __version__,
        "source": [experiment.data.source.name, source.fingerprint()],
        "data": experiment.data.model_dump(mode="json", exclude={"cache", "source"}),
        "text": text.fingerprint if text else experiment.text.model_dump(mode="json"),
        "labels": labels,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _build(experiment, source, text, labels, directory, say) -> None:
    """Writes a prepared folder beside and renames it into place."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    chosen = splits(experiment, source)
    names = labels or _label_names(experiment, source, chosen)
    with hidden_folder(directory.parent, f".{directory.name}-") as hidden:
        temporary = hidden / "prepared"
        if text is None:
            say(f"training the {experiment.text.tokenizer.name} tokenizer on the training split")
            text = TextLayer.train(experiment.text, (e["text"] for e in selected(source, *chosen["train"])))
        text.save(temporary / "text")
        statistics = {}
        for split, choice in chosen.items():
            _write_split(temporary / split, selected(source, *choice), split, text, names)
            store = TokenStore(temporary / split)
            if not len(store):
                raise DataError(f"the {split} split is empty")
            statistics[split] = {
                "labels": dict(zip(names, np.bincount(store.labels, minlength=len(names)).tolist())),
                **text_statistics(store, store.full_lengths, UNKNOWN),
            }
            say(f"{split}: {len(store):,} examples, {store.meta['tokens']:,} tokens")
        info = {"schema": SCHEMA, "labels": names, "statistics": statistics}
        (temporary / "prepared.json").write_text(json.dumps(info, indent=1, ensure_ascii=False), "utf-8")
        try:
            place_folder(temporary, directory)
        except OSError:
            if not (directory / "prepared.json").exists():  # else another process was first, with the same content
                raise


def _label_names(experiment, source, chosen) -> list[str]:
    found = set(_labels(source, *chosen["train"]))
    in_order = sorted(found, key=int) if all(label.isdecimal() for label in found) else sorted(found)
    names = experiment.data.labels or in_order
    extra = sorted(found - set(names))
    if extra:
        raise DataError(f"the training split has labels {extra} that data.labels {names} does not name")
    if len(found) < 2:
        raise DataError(f"a classifier needs two labels or more; the training split has {sorted(found) or 'none'}")
    return names


def _write_split(directory, examples, split, text, names) -> None:
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
