"""From a source to token stores: splits, what is learned from the training split, and every split tokenised once.

The result lies under `data.cache` in a folder named by the hash of source, splits and text settings, and is used again
while the hash holds. What examples are, and how they are split and stored, the corpus kind says (`nlp_suite.data.kinds`).
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite._version import __version__
from nlp_suite.config import Experiment
from nlp_suite.data.kinds.base import CorpusKind, corpus_kind
from nlp_suite.data.label_spelling import label_merger
from nlp_suite.data.near_copies import ComparedTexts, near_copies
from nlp_suite.data.parallel_prepare import LocalWriters, MakeWriters, check_processes
from nlp_suite.data.selection import Selection
from nlp_suite.data.sources.base import SPLITS, Source
from nlp_suite.data.splits import parse_fold
from nlp_suite.data.staging import hidden_folder, place_folder
from nlp_suite.data.store import SCHEMA
from nlp_suite.errors import DataError
from nlp_suite.files import Record, check_writable, contents_of, read_json
from nlp_suite.progress import say, scope, work
from nlp_suite.registry import SOURCES
from nlp_suite.task import Assets, task_class
from nlp_suite.text.text_layer import TextLayer

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """A corpus ready for training.

    Attributes:
        assets: the text layers, trained on the training split only, label names and facts.
        stores: the store of every split there is, as the corpus kind writes them.
        statistics: split → what its corpus kind counts: for texts unknown-token rate, length percentiles and truncation;
            for pairs those of the source, and those of the target under `target`.
        directory: where all of it lies.
    """

    assets: Assets
    stores: dict[str, Any]
    statistics: dict[str, Any]
    directory: Path

    @property
    def text(self) -> TextLayer | Any:
        """The text layer; None for a corpus kind without texts."""
        return self.assets.text

    @property
    def target_text(self) -> TextLayer | Any:
        """That of the targets; the same object where both sides have one vocabulary, or there is one side."""
        return self.assets.target_text

    @property
    def labels(self) -> Sequence[str]:
        """Label names; a label id is an index into them. Empty where the corpus kind has none."""
        return self.assets.labels


@scope()
def prepare(
    experiment: Experiment,
    *,
    text: TextLayer | None = None,
    target_text: TextLayer | None = None,
    labels: Sequence[str] | None = None,
    facts: Mapping[str, Any] | None = None,
    progress: Callable[[str], None] | None = None,
    processes: int = 1,
    writers: MakeWriters | None = None,
) -> Prepared:
    """Tokenises the experiment's corpus, or opens what an earlier call made.

    Args:
        experiment: the resolved config.
        text: a trained text layer to use instead of training one.
        target_text: the same for the targets, where they have a vocabulary of their own (`target_text` of the config);
            else it is ignored.
        labels: label names to use instead of those of the training split; only with a text layer or facts.
        facts: facts to use instead of finding them in the training split (`Assets.facts`).
        progress: called with a line of text for every step of the work; default: they are only logged.
        processes: how many tokenise the splits; the result is the same. Each reads all of the data.
        writers: what makes those that tokenise, in place of processes of this machine: `BeamWriters.on(runner)`.

    Returns:
        `Prepared`.

    Raises:
        UsageError: a number of processes that cannot be, see `check_processes`.
        DataError: a missing file, column or label, invalid UTF-8, an empty split, fewer than two classes, or a label
            outside the training split's.
        DamagedFileError: a file of what an earlier call made is missing or damaged.
    """
    progress = progress or LOGGER.info
    check_processes(kind_of(experiment), processes)
    source = open_source(experiment)
    known = Assets(text, target_text if experiment.target_text else None, labels or (), facts or {})
    directory = Path(experiment.data.cache) / _key(experiment, source)
    if (known.text or known.target_text or known.facts) and not _holds(directory, experiment, known, labels):
        directory = directory.with_name(_key(experiment, source, known, labels))
    if not (directory / "prepared.json").exists():
        _build(experiment, source, known, directory, progress, processes, writers)
    else:
        progress(f"prepared data: {directory} (used again)")
    info, kind = _read_info(directory), kind_of(experiment)
    for remark in info.get("remarks", ()):
        progress(remark)
    stores = {split: kind.open_split(directory / split) for split in SPLITS if split in info["statistics"]}
    assets = open_assets(experiment, directory, info["labels"], info.get("facts", {}))
    if known.text:  # equal in all on which ids depend, not in what is kept beside
        shared = assets.target_text is assets.text
        assets = replace(assets, text=known.text, target_text=known.text if shared else assets.target_text)
    return Prepared(assets, stores, info["statistics"], directory)


def kind_of(experiment: Experiment) -> CorpusKind:
    """What the experiment's task wants of the examples."""
    return corpus_kind(task_class(experiment.task.name, experiment.task.arguments()).corpus_kind)


def open_source(experiment: Experiment) -> Source:
    """The experiment's data source."""
    data = experiment.data
    more = {"missing": data.missing} if data.missing != "fail" else {}
    source: Source = SOURCES.get(data.source.name)(
        kind=kind_of(experiment).name, on_error=data.on_error, **more, **data.source.arguments()
    )
    return source


def splits(experiment: Experiment, source: Source) -> dict[str, Selection]:
    """The examples of each split of the experiment: where the source has no validation split, a part of train is."""
    data, kind = experiment.data, kind_of(experiment)
    selections = {split: Selection(source, split) for split in SPLITS if split in source.splits()}
    if "train" not in selections:
        has = ", ".join(source.splits()) or "none"
        raise DataError(f"the {data.source.name!r} source has no training split (it has: {has})")
    if data.labels_normalise:
        merge = label_merger(_all_labels(selections["train"]), data.labels)
        selections = {split: replace(examples, label=merge) for split, examples in selections.items()}
    if data.fold:
        number, folds = parse_fold(data.fold)
        train = selections["train"]
        train = train.take(kind.limit(data, train))  # before it is cut, so that each row is in one fold
        fold_of = kind.folds(data, train, folds)  # [N]
        parts = {"train": fold_of != number - 1, "test": fold_of == number - 1}
        selections |= {split: train.take(np.flatnonzero(part)) for split, part in parts.items()}
    selections = kind.with_held_out(data, selections)
    if data.limit:
        selections = {split: examples.take(kind.limit(data, examples)) for split, examples in selections.items()}
    if data.train_limit:
        limited = data.model_copy(update={"limit": data.train_limit})
        selections["train"] = selections["train"].take(kind.limit(limited, selections["train"]))
    if data.deduplicate is not None:
        selections["train"] = _without_copies(kind, selections, data.deduplicate)
    return {split: selections[split] for split in SPLITS if split in selections}


def _without_copies(kind: CorpusKind, selections: Mapping[str, Selection], similarity: float) -> Selection:
    """The training examples that are no near copies of an example of another split."""
    others = {
        split: ComparedTexts(examples, kind.compared_text) for split, examples in selections.items() if split != "train"
    }
    train, kept = selections["train"], np.ones(selections["train"].count(), bool)
    found = near_copies(ComparedTexts(train, kind.compared_text), others, similarity)
    kept[found.rows] = False
    of = ", ".join(f"{count:,} of {split}" for split, count in found.texts.items())
    say(
        f"data.deduplicate: left out {len(found.rows):,} of {len(kept):,} training {kind.unit}, near copies of others ({of})",
        LOGGER,
    )
    if not kept.any():
        raise DataError(
            f"data.deduplicate {similarity:g} leaves nothing to train on: every training text is a near copy of another split's"
        )
    return train.take(np.flatnonzero(kept))


def _all_labels(examples: Selection) -> Iterator[str]:
    """Every label of a split, one at a time, also where an example has several."""
    for example in examples:
        labels = example.get("label")
        yield from labels if isinstance(labels, list | tuple) else [labels] if isinstance(labels, str) else []


def known_statistics(experiment: Experiment, source: Source, text: TextLayer | None = None) -> dict[str, Any] | None:
    """Token statistics by split, where `prepare` has been run for this experiment, with that text layer if one is given."""
    directory = Path(experiment.data.cache) / _key(experiment, source, Assets(text))
    return _read_info(directory)["statistics"] if (directory / "prepared.json").exists() else None


def save_texts(directory: Path, text: TextLayer | None, target_text: TextLayer | None) -> None:
    """Writes the text layer to `text`, and that of the targets to `target_text` where it is another one; None: neither."""
    if text:
        text.save(directory / "text")
    if target_text and target_text is not text:
        target_text.save(directory / "target_text")


def open_texts(directory: Path) -> tuple[TextLayer, TextLayer]:
    """What `save_texts` wrote; the same object twice where there is one.

    Raises:
        TextError: there is none, or it is damaged.
    """
    text = TextLayer.load(directory / "text")
    return text, TextLayer.load(directory / "target_text") if (directory / "target_text").is_dir() else text


def open_assets(experiment: Experiment, directory: Path, labels: Sequence[str], facts: Mapping[str, Any]) -> Assets:
    """What belongs to a network: the text layers that `save_texts` wrote, if the corpus kind has any, labels and facts.

    Raises:
        TextError: a text layer is missing or damaged.
    """
    text, target_text = open_texts(directory) if kind_of(experiment).has_text else (None, None)
    return Assets(text, target_text, labels, facts)


def _record(directory: Path) -> Record:
    remedy = f"remove the folder {directory}, which is then made again"
    return Record(directory, "prepared.json", lambda _: remedy)


def _read_info(directory: Path) -> dict[str, Any]:
    """`prepared.json`, checked, as are the files that it lists: all but those that a store lists itself."""
    record = _record(directory)
    record.check_all()
    return record.read()


def _unlisted(directory: Path) -> list[Path]:
    """The files of a folder that no store in it lists."""
    files = [path for path in directory.rglob("*") if path.is_file()]
    stores = [path for path in files if path.name == "meta.json"]
    listed = {path.parent / name for path in stores for name in read_json(path, "").get("files", ())}
    return [path for path in files if path not in listed]


def _holds(directory: Path, experiment: Experiment, known: Assets, labels: Sequence[str] | None) -> bool:
    """Whether a prepared folder was made with what is known: its text layers (`None`: any), these labels and its facts."""
    if not (directory / "prepared.json").exists():
        return False
    info = _read_info(directory)
    held = open_assets(experiment, directory, info["labels"], info.get("facts", {}))
    texts = ((known.text, held.text), (known.target_text, held.target_text))
    return (
        labels is not None
        and list(held.labels) == list(labels)
        and held.facts == known.facts
        and all(ours is None or (theirs and ours.fingerprint == theirs.fingerprint) for ours, theirs in texts)
    )


def _key(
    experiment: Experiment, source: Source, known: Assets | None = None, labels: Sequence[str] | None = None
) -> str:
    """The name of a prepared folder: the hash of all that decides its content."""
    known = known or Assets()
    parts: dict[str, Any] = {
        "schema": SCHEMA,
        "version": __version__,
        "source": [experiment.data.source.name, kind_of(experiment).name, source.fingerprint()],
        "data": _data_facts(experiment),
        "text": known.text.fingerprint if known.text else experiment.text.identity(),
        "labels": labels,
    }
    if experiment.target_text:
        settings = experiment.target_text.identity()
        parts["target_text"] = known.target_text.fingerprint if known.target_text else settings
    if identity := kind_of(experiment).identity(experiment):
        parts["kind"] = identity
    if known.facts:
        parts["facts"] = known.facts
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _data_facts(experiment: Experiment) -> dict[str, Any]:
    """The settings of `data` in a folder's name, which stays that from before there were some of them."""
    facts = experiment.data.model_dump(mode="json", exclude={"cache", "source"})
    later = {"train_limit": None, "fold": None, "missing": "fail", "labels_normalise": False, "deduplicate": None}
    return {name: value for name, value in facts.items() if later.get(name, ...) != value}


def _build(
    experiment: Experiment,
    source: Source,
    known: Assets,
    directory: Path,
    progress: Callable[[str], None],
    processes: int,
    writers: MakeWriters | None,
) -> None:
    """Writes a prepared folder beside and renames it into place."""
    check_writable(directory.parent, "give another folder as data.cache", DataError)
    directory.parent.mkdir(parents=True, exist_ok=True)
    kind, selections = kind_of(experiment), splits(experiment, source)
    with hidden_folder(directory.parent, f".{directory.name}-") as hidden:
        temporary = hidden / "prepared"
        temporary.mkdir()
        assets = kind.learn(experiment, selections["train"], known, progress)
        save_texts(temporary, assets.text, assets.target_text)
        statistics, remarks = {}, list[str]()
        made = (writers or LocalWriters)(experiment, kind, temporary, processes) if writers or processes > 1 else None
        with made or nullcontext() as together:
            for split, examples in selections.items():
                found: list[str] = []
                with work(f"preparing {split}"):
                    if together:
                        counts, found = together.write_split(temporary / split, examples, split, assets)
                    else:
                        counts = kind.write_split(temporary / split, examples, split, assets)
                store = kind.open_split(temporary / split)
                if not len(store):
                    raise DataError(f"the {split} split is empty")
                statistics[split] = kind.with_unknown_words({**counts, **kind.statistics(store)}, store, assets)
                progress(kind.summary(split, statistics[split]))
                said = dict.fromkeys([*source.remarks(examples.origin), *found])
                remarks += [line for line in said if line not in remarks]
        info = {"schema": SCHEMA, "labels": assets.labels, "statistics": statistics}
        info |= {"facts": assets.facts} if assets.facts else {}
        info |= {"remarks": remarks} if remarks else {}
        _record(temporary).write({**info, "files": contents_of(temporary, _unlisted(temporary))})
        if directory.exists() and not (directory / "prepared.json").exists():  # it was there, and something removed it
            progress(f"{directory} had no prepared.json, so it was made again")
            directory.rename(hidden / "incomplete")
        try:
            place_folder(temporary, directory)
        except OSError:
            if not (directory / "prepared.json").exists():  # else another process was first, with the same content
                raise
