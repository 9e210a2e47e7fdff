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
from nlp_suite.data.pair_store import PairStore
from nlp_suite.data.selection import selected
from nlp_suite.data.staging import hidden_folder, place_folder
from nlp_suite.data.store import SCHEMA, TokenStore
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES, TASKS
from nlp_suite.task import Assets
from nlp_suite.text.statistics import text_statistics
from nlp_suite.text.text_layer import UNKNOWN, TextLayer

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Prepared:
    """A corpus ready for training.

    Attributes:
        text: the text layer, trained on the training split only.
        target_text: that of the targets; the same object where both sides have one vocabulary, or there is one side.
        labels: label names; a label id is an index into them. Empty where the task has none.
        stores: token store of every split there is; for pairs, a pair store.
        statistics: unknown-token rate, length percentiles and truncation of every split; for pairs those of the source,
            and those of the target under `target`.
        directory: where all of it lies.
    """

    text: TextLayer
    target_text: TextLayer
    labels: list[str]
    stores: dict[str, TokenStore | PairStore]
    statistics: dict
    directory: Path

    @property
    def assets(self) -> Assets:
        """What a network needs to know of the data."""
        return Assets(self.text, self.target_text, self.labels)


def prepare(
    experiment: Experiment,
    *,
    text: TextLayer | None = None,
    target_text: TextLayer | None = None,
    labels: list[str] | None = None,
    progress=None,
) -> Prepared:
    """Tokenises the experiment's corpus, or opens what an earlier call made.

    Args:
        experiment: the resolved config.
        text: a trained text layer to use instead of training one.
        target_text: the same for the targets, where they have a vocabulary of their own (`target_text` of the config);
            else it is left aside.
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
    given = (text, target_text if experiment.target_text else None)
    directory = Path(data.cache) / _key(experiment, source)
    if any(given) and not _holds(directory, *given, labels):
        directory = Path(data.cache) / _key(experiment, source, *given, labels)
    if not (directory / "prepared.json").exists():
        _build(experiment, source, *given, labels, directory, say)
    else:
        say(f"prepared data: {directory} (used again)")
    info = json.loads((directory / "prepared.json").read_text("utf-8"))
    corpus = _corpus(experiment)
    stores = {split: corpus.open_split(directory / split) for split in SPLITS if (directory / split).is_dir()}
    return Prepared(*open_texts(directory), info["labels"], stores, info["statistics"], directory)


def save_texts(directory: Path, text: TextLayer, target_text: TextLayer) -> None:
    """Writes the text layer to `text`, and that of the targets to `target_text` where it is another one."""
    text.save(directory / "text")
    if target_text is not text:
        target_text.save(directory / "target_text")


def open_texts(directory: Path) -> tuple[TextLayer, TextLayer]:
    """What `save_texts` wrote; the same object twice where there is one."""
    text = TextLayer.load(directory / "text")
    return text, TextLayer.load(directory / "target_text") if (directory / "target_text").is_dir() else text


def _holds(directory: Path, text, target_text, labels) -> bool:
    """Whether a prepared folder was made with these very text layers (`None`: any) and these labels."""
    if not (directory / "prepared.json").exists():
        return False
    found = json.loads((directory / "prepared.json").read_text("utf-8"))["labels"]
    pairs = zip((text, target_text), open_texts(directory))
    return found == labels and all(mine is None or mine.fingerprint == theirs.fingerprint for mine, theirs in pairs)


def kind_of(experiment: Experiment) -> str:
    """What the task wants of the examples: the name of a file in `nlp_suite/data/kinds`."""
    return TASKS.get(experiment.task.name).corpus_kind


def _corpus(experiment: Experiment):
    return importlib.import_module(f"nlp_suite.data.kinds.{kind_of(experiment)}")


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
    path = Path(experiment.data.cache) / _key(experiment, source) / "prepared.json"
    return json.loads(path.read_text("utf-8"))["statistics"] if path.exists() else None


def _key(experiment, source, text=None, target_text=None, labels=None) -> str:
    parts = {
        "schema": SCHEMA,
        "version": __version__,
        "source": [experiment.data.source.name, kind_of(experiment), source.fingerprint()],
        "data": experiment.data.model_dump(mode="json", exclude={"cache", "source"}),
        "text": text.fingerprint if text else experiment.text.model_dump(mode="json"),
        "labels": labels,
    }
    if experiment.target_text:
        parts["target_text"] = (
            target_text.fingerprint if target_text else experiment.target_text.model_dump(mode="json")
        )
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _build(experiment, source, text, target_text, labels, directory, say) -> None:
    """Writes a prepared folder beside and renames it into place."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    chosen = splits(experiment, source)
    corpus = _corpus(experiment)
    names = labels or corpus.label_names(experiment, source, chosen)
    train = lambda: selected(source, *chosen["train"])  # noqa: E731
    with hidden_folder(directory.parent, f".{directory.name}-") as hidden:
        temporary = hidden / "prepared"
        if not experiment.target_text:
            text = text or _trained(experiment.text, corpus.texts(train()), "", say)
            target_text, sides = text, {}
        else:
            text = text or _trained(experiment.text, corpus.texts(train(), ["source"]), " of the sources", say)
            target_text = target_text or _trained(
                experiment.target_text, corpus.texts(train(), ["target"]), " of the targets", say
            )
            sides = {"target_text": target_text}
        save_texts(temporary, text, target_text)
        statistics = {}
        for split, choice in chosen.items():
            facts = corpus.write_split(temporary / split, selected(source, *choice), split, text, names, **sides)
            store = corpus.open_split(temporary / split)
            if not len(store):
                raise DataError(f"the {split} split is empty")
            statistics[split] = {**facts, **_statistics(store)}
            say(_summary(split, statistics[split]))
        info = {"schema": SCHEMA, "labels": names, "statistics": statistics}
        (temporary / "prepared.json").write_text(json.dumps(info, indent=1, ensure_ascii=False), "utf-8")
        try:
            place_folder(temporary, directory)
        except OSError:
            if not (directory / "prepared.json").exists():  # else another process was first, with the same content
                raise


def _trained(settings, texts, which, say) -> TextLayer:
    say(f"training the {settings.tokenizer.name} tokenizer{which} on the training split")
    return TextLayer.train(settings, texts)


def _statistics(store) -> dict:
    """Token statistics of a split; of pairs those of the source, with those of the target under `target`."""
    if isinstance(store, PairStore):
        return {**_statistics(store.source), "target": _statistics(store.target)}
    return text_statistics(store, store.full_lengths, UNKNOWN)


def _summary(split, facts) -> str:
    if "target" in facts:
        return f"{split}: {facts['texts']:,} pairs, {facts['tokens']:,} and {facts['target']['tokens']:,} tokens"
    return f"{split}: {facts['texts']:,} {'lines' if 'documents' in facts else 'examples'}, {facts['tokens']:,} tokens"
