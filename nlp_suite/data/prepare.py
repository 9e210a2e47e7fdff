"""From a source to token stores: splits, the tokenizer trained on the training split, and every split tokenised once.

The result lies under `data.cache` in a folder named by the hash of source, splits and text settings, and is used again
while the hash holds.
"""

import hashlib
import importlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlp_suite._version import __version__
from nlp_suite.config import Experiment
from nlp_suite.data.selection import selected
from nlp_suite.data.sources._base import DataError
from nlp_suite.data.staging import hidden_folder, place_folder
from nlp_suite.data.store import SCHEMA, TokenStore
from nlp_suite.registry import SOURCES
from nlp_suite.text.statistics import text_statistics
from nlp_suite.text.text_layer import UNKNOWN, TextLayer

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Prepared:
    """A corpus ready for training.

    Attributes:
        text: the text layer, trained on the training split only.
        labels: label names; a label id is an index into them. Empty where the task has none.
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
    source = open_source(experiment)
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


def kind_of(experiment: Experiment) -> str:
    """What the task wants of the examples: the name of a file in `nlp_suite/data/corpora`."""
    return getattr(experiment.task, "examples", "labelled")


def _corpus(experiment: Experiment):
    return importlib.import_module(f"nlp_suite.data.corpora.{kind_of(experiment)}")


def open_source(experiment: Experiment):
    """The experiment's data source."""
    data = experiment.data
    return SOURCES.get(data.source.name)(kind=kind_of(experiment), on_error=data.on_error, **data.source.arguments())


def splits(experiment: Experiment, source) -> dict[str, tuple[str, np.ndarray | None]]:
    """Which rows of which split of the source make up each split of the experiment.

    Returns:
        split → (split of the source, sorted row numbers, or `None` for all).
    """
    data, found, corpus = experiment.data, source.splits(), _corpus(experiment)
    if "train" not in found:
        raise DataError(f"the {data.source.name!r} source has no training split (it has: {', '.join(found) or 'none'})")
    chosen = {split: (split, None) for split in SPLITS if split in found}
    if "validation" not in found:
        kept, held_out = corpus.split(experiment, source)
        chosen |= {"train": ("train", kept), "validation": ("train", held_out)}
    if data.limit:
        chosen = {
            name: (origin, corpus.limit(experiment, source, origin, rows)) for name, (origin, rows) in chosen.items()
        }
    return {split: chosen[split] for split in SPLITS if split in chosen}


def known_statistics(experiment: Experiment, source) -> dict | None:
    """Token statistics by split, where `prepare` has been run for this experiment."""
    path = Path(experiment.data.cache) / _key(experiment, source, None, None) / "prepared.json"
    return json.loads(path.read_text("utf-8"))["statistics"] if path.exists() else None


def _key(experiment, source, text, labels) -> str:
    parts = {
        "schema": SCHEMA,
        "version": __version__,
        "source": [experiment.data.source.name, kind_of(experiment), source.fingerprint()],
        "data": experiment.data.model_dump(mode="json", exclude={"cache", "source"}),
        "text": text.fingerprint if text else experiment.text.model_dump(mode="json"),
        "labels": labels,
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _build(experiment, source, text, labels, directory, say) -> None:
    """Writes a prepared folder beside and renames it into place."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    chosen = splits(experiment, source)
    corpus = _corpus(experiment)
    names = labels or corpus.label_names(experiment, source, chosen)
    with hidden_folder(directory.parent, f".{directory.name}-") as hidden:
        temporary = hidden / "prepared"
        if text is None:
            say(f"training the {experiment.text.tokenizer.name} tokenizer on the training split")
            text = TextLayer.train(experiment.text, corpus.texts(selected(source, *chosen["train"])))
        text.save(temporary / "text")
        statistics = {}
        for split, choice in chosen.items():
            facts = corpus.write_split(temporary / split, selected(source, *choice), split, text, names)
            store = TokenStore(temporary / split)
            if not len(store):
                raise DataError(f"the {split} split is empty")
            statistics[split] = {**facts, **text_statistics(store, store.full_lengths, UNKNOWN)}
            say(
                f"{split}: {len(store):,} {'lines' if 'documents' in facts else 'examples'}, {store.meta['tokens']:,} tokens"
            )
        info = {"schema": SCHEMA, "labels": names, "statistics": statistics}
        (temporary / "prepared.json").write_text(json.dumps(info, indent=1, ensure_ascii=False), "utf-8")
        try:
            place_folder(temporary, directory)
        except OSError:
            if not (directory / "prepared.json").exists():  # else another process was first, with the same content
                raise
