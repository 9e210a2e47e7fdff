"""From a file or folder to a commented config: what is in it, and what a task chooses for that."""

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nlp_suite.config import DEFAULT_TASK, Experiment, load_experiment
from nlp_suite.config_files import shipped_configs
from nlp_suite.config_yaml import read_yaml
from nlp_suite.data.init.checks import check_seen, with_merged_labels
from nlp_suite.data.init.columns import OPTIONS, choose_columns
from nlp_suite.data.init.config_text import config_text, values_of
from nlp_suite.data.init.layout import Layout, look
from nlp_suite.data.init.seen import Choice, Passing, Seen, TextSampler, seen_of
from nlp_suite.data.init.summary import summary
from nlp_suite.data.init.table_profile import Column, profile
from nlp_suite.data.kinds.base import corpus_kind
from nlp_suite.data.prepare import kind_of, open_source
from nlp_suite.data.selection import Selection
from nlp_suite.data.sources.base import SPLITS
from nlp_suite.data.table_reading import TEXT_FORMATS, Table, TableFormat, format_of, guess_encoding, open_table
from nlp_suite.errors import DataError, UsageError
from nlp_suite.files import check_writable
from nlp_suite.progress import scope
from nlp_suite.registry import SOURCES, TASKS
from nlp_suite.task import task_class

USUAL_DELIMITERS = {"tsv": "\t", "csv": ","}  # by suffix

USUAL_QUOTING = {"tsv": "none", "csv": "csv"}
MARKED, GUESSED = "by its byte order mark", "guessed, as it cannot be known: look at the texts"

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class InitResult:
    """What `init_config` did.

    Attributes:
        path: the config that was written.
        text: its YAML.
        summary: sentences on what was seen.
        seen: the same for programs; None for the built-in sample.
        next: the command that trains it.
        read_as: how the data are read: what was found or guessed, and what could be meant, too.
    """

    path: Path
    text: str
    summary: list[str]
    seen: Seen | None
    next: str
    read_as: str = ""


@scope()
def init_config(
    train: PathLike | None = None,
    *,
    validation: PathLike | None = None,
    test: PathLike | None = None,
    task: str | None = None,
    text: str | int | None = None,
    text_b: str | int | None = None,
    label: str | int | None = None,
    source: str | int | None = None,
    target: str | int | None = None,
    output: PathLike | None = None,
) -> InitResult:
    """Looks at data and writes a commented config that `train`, `evaluate` and `export` take with nothing else said.

    The first rows tell format and columns, one pass over all rows the rest; memory does not grow with the texts.

    Args:
        train: a file or folder; None: the built-in sample of the task.
        validation: a file of the validation split; default: a part of train is held out.
        test: a file of the test split.
        task: name of the task; default: by what the data hold.
        text: column of the texts, by name or number; so the others.
        text_b: column of a second text that shares the label.
        label: column of the labels; of lists: several labels a text; of numbers with fractions: regression.
        source: column of the sentences of a translation; of a folder with a file a language, the language.
        target: the same of their translations, or beside a file of sentences the file of their translations.
        output: the config; default: the name of the data with `.yaml`, in the current folder.

    Returns:
        `InitResult`.

    Raises:
        DataError: data that cannot be read or from which nothing can be learned.
        UsageError: what is meant must be said, or `output` exists: nothing is ever overwritten.

    Example:
        >>> nlp_suite.init_config("reviews.csv").next
        'nlp-suite train reviews.yaml'
    """
    given = {"train": train, "validation": validation, "test": test}
    files = {split: os.fspath(path) for split, path in given.items() if path is not None}
    told = {"text": text, "text_b": text_b, "label": label, "source": source, "target": target}
    named = {field: str(column) for field, column in told.items() if column is not None}
    if task is not None:
        TASKS.settings(task)
    if train is None:
        if files or named:
            raise UsageError("without TRAIN the built-in sample is taken, which has no files and columns to choose")
        return _sample(task or DEFAULT_TASK, output)
    layout = look(files, named.get("source"), named.get("target"))
    path = _free_path(output or f"{layout.name}.yaml")
    kind, data, labels = _data_section(layout, named, TASKS.get(task).corpus_kind if task else None)
    task = task or _task_of(kind, layout.title)
    settings = TASKS.get(task).settings_for_labels(labels) if labels else {}
    recipe: dict[str, dict[str, Choice]] = {"task": {"name": Choice(task), **settings}, "data": data}
    if labels and labels.separator not in (None, ",") and _takes_several(task, settings):
        data["source.label_separator"] = Choice(labels.separator, "between several labels in a cell")
    experiment = load_experiment(values_of(recipe))
    seen, found = _see(experiment)
    check_seen(seen, layout.title)
    recipe["data"] = data | found
    chosen = task_class(task, experiment.task.arguments())
    for section, choices in chosen.recipe(seen).items():
        recipe[section] = {**recipe.get(section, {}), **choices}
    lines = summary(seen)
    head = _head(chosen.title, layout.title, path, lines)
    text_of_config = config_text(recipe, head, chosen.other_recipe(seen))
    load_experiment(read_yaml(text_of_config, str(path)))
    return _written(path, text_of_config, lines, seen, _read_as(data))


def _read_as(data: Mapping[str, Choice]) -> str:
    """How a source reads the data, with the reasons."""
    given = {f"source.{split}" for split in SPLITS} | {"source.name"}
    read = {key.removeprefix("source."): choice for key, choice in data.items() if key not in given}
    said = [f"{key} {choice.value!r}" + f" ({choice.reason})" * bool(choice.reason) for key, choice in read.items()]
    return ", ".join(said)


def _sample(task: str, output: PathLike | None) -> InitResult:
    """The config of a task's built-in sample, as it is shipped."""
    for name, shipped in shipped_configs().items():
        if name.endswith("_sample") and load_experiment(shipped).task.name == task:
            path = _free_path(output or f"{name}.yaml")
            text = shipped.read_text("utf-8").replace(f"configs/{name}.yaml", shlex.quote(str(path)))
            return _written(
                path, text, [f"the built-in sample of the task {task}; your own data: nlp-suite init FILE"], None
            )
    raise UsageError(f"there is no built-in sample for the task {task!r}: give a file or folder")


def _data_section(
    layout: Layout, named: Mapping[str, str], kind: str | None
) -> tuple[str, dict[str, Choice], Column | None]:
    """The corpus kind of the data, the section `data` that reads them as such, and the column of labels of a table."""
    source, labels = dict(layout.source), None
    if layout.tables:
        kind, columns, labels = _columns(layout, named, kind)
        source |= columns
    elif idle := [
        OPTIONS[f] for f in named if f in ("text", "text_b", "label") or layout.source["name"].value != "parallel"
    ]:
        raise UsageError(
            f"{layout.title} is no table ({layout.source['name'].reason}), so there is no {idle[0]} to choose"
        )
    elif kind is None:
        kind = layout.kinds[0]
    elif kind not in layout.kinds:
        able = " or ".join(layout.kinds)
        raise UsageError(f"{layout.title} is read as {able}, and the task needs {corpus_kind(kind).wanted}")
    return kind, {f"source.{key}": choice for key, choice in source.items()}, labels


def _columns(
    layout: Layout, named: Mapping[str, str], kind: str | None
) -> tuple[str, dict[str, Choice], Column | None]:
    """The corpus kind of tables, the settings of the source `files` that read their columns, and that of labels."""
    first = layout.tables["train"][0]
    format = layout.source["format"].value if "format" in layout.source else format_of(first)
    encoding = guess_encoding(first) if format in TEXT_FORMATS else None
    table, quoting = _opened(first, format, encoding or "utf-8")
    columns = profile(table.rows(), table.columns)
    if sum(column.rows for column in columns[:1]) < 2:
        rows = "1 row" if columns and columns[0].rows else "no rows"
        raise DataError(f"{first} has {rows}: nothing can be learned from fewer than two")
    chosen = choose_columns(columns, named, kind, str(first))
    settings = _format_settings(table.format) | quoting
    for field, choice in chosen.places.items():
        settings[f"{field}_column"] = choice
    label = chosen.places.get("label")
    return chosen.kind, settings, next((c for c in columns if label and c.place == label.value), None)


def _opened(path: Path, format: str, encoding: str) -> tuple[Table, dict[str, Choice]]:
    """A table; and where it cannot be told from the file whether it is quoted, the setting that says it as its suffix does."""
    try:
        return open_table(path, format=format, encoding=encoding), {}
    except DataError:
        if (quoting := USUAL_QUOTING.get(format)) is None:
            raise
        try:
            table = open_table(path, format=format, encoding=encoding, quoting=quoting)
        except DataError:
            table = None
        if table is None:
            raise
        return table, {
            "quoting": Choice(quoting, f"as usual in {format}, for the file fits either way: look at the texts")
        }


def _format_settings(found: TableFormat) -> dict[str, Choice]:
    """How a table is written, where that is not as its suffix says: found once, then it holds."""
    settings = {}
    if found.delimiter not in (None, USUAL_DELIMITERS.get(found.format)):
        settings["delimiter"] = Choice(found.delimiter, "found in the file")
    if found.format == "tsv" and found.quoting == "csv":
        settings["quoting"] = Choice("csv", "found in the file: what holds a delimiter, quote or line end is quoted")
    if found.encoding not in (None, "utf-8"):
        settings["encoding"] = Choice(found.encoding, MARKED if found.encoding in ("utf-16", "utf-32") else GUESSED)
    if found.sheet is not None:
        settings["sheet"] = Choice(found.sheet)
    if not found.header:
        settings["header"] = Choice(False, "the first line is a row like the others; columns are numbers from 0")
    return settings


def _task_of(kind: str, title: str) -> str:
    """The task for a corpus kind.

    Raises:
        UsageError: there are several; the user is asked.
    """
    tasks = [name for name in TASKS.names() if TASKS.get(name).corpus_kind == kind]
    if len(tasks) != 1:
        raise UsageError(f"{title}: {corpus_kind(kind).wanted}; choose a task for that with --task: {', '.join(tasks)}")
    return tasks[0]


def _takes_several(task: str, settings: Mapping[str, Choice]) -> bool:
    """Whether a task with some settings takes several labels a text."""
    chosen = task_class(task, {key: choice.value for key, choice in settings.items()})
    return corpus_kind(chosen.corpus_kind).label_form == "several"


def _see(experiment: Experiment) -> tuple[Seen, dict[str, Choice]]:
    """One pass over all splits; and what the section `data` needs for what was found in them."""
    droppable = SOURCES.get(experiment.data.source.name).may_lack_values
    data = experiment.data.model_copy(update={"missing": "drop"} if droppable else {})
    source, kind = open_source(experiment.model_copy(update={"data": data})), kind_of(experiment)
    examples = {split: Selection(source, split) for split in source.splits()}
    if "train" not in examples:
        raise DataError(f"there is no training split, only {', '.join(examples)}")
    given = [f for f in kind.optional_fields if getattr(source.settings, f"{f}_column", None) is not None]
    samplers = {field: TextSampler() for field in (*kind.fields, *given) if field != "label"}
    passing = {split: Passing(rows, samplers if split == "train" else {}) for split, rows in examples.items()}
    report = kind.inspect(passing)  # type: ignore[arg-type]  # examples that pass are examples
    seen = seen_of(kind.name, report, {split: rows.count for split, rows in passing.items()}, samplers)
    remarks = [remark for split in examples for remark in source.remarks(split)]
    found = {}
    if "validation" not in seen.rows:
        use = "to choose the epoch and to calibrate" if seen.labels else "to choose the epoch"
        found["validation"] = Choice(experiment.data.validation, f"share of train held out {use}")
    if left_out := [line for split in examples if (line := _counted(split, source.left_out(split)))]:
        found["missing"] = Choice("drop", f"rows that lack something are left out: {'; '.join(left_out)}")
    merged, alike = with_merged_labels(seen)
    if alike:
        found["labels_normalise"] = Choice(True, f"labels that are written in several ways are made one: {alike}")
        remarks.append(found["labels_normalise"].reason)
    remarks += kind.remarks_on_texts(report, experiment)
    return replace(merged, remarks=tuple(dict.fromkeys(remarks))), found


def _counted(split: str, left_out: Mapping[str, int]) -> str:
    """What a split lost, such as `train 3 without label`; empty where nothing."""
    return f"{split} {', '.join(f'{count:,} without {field}' for field, count in left_out.items())}" if left_out else ""


def _free_path(path: PathLike) -> Path:
    path = Path(path).expanduser()
    if path.exists():
        raise UsageError(f"{path} exists and is not overwritten: give another name with --output")
    check_writable(path.parent, "give another path with --output", UsageError)
    return path


def _head(what: str, title: str, path: Path, lines: list[str]) -> list[str]:
    run = f"runs/{path.stem}"
    commands = [f"nlp-suite train {shlex.quote(str(path))}", f"nlp-suite evaluate {shlex.quote(run)}"]
    opening = f"{what} on {title}, as nlp-suite init saw it; every value can be changed."
    return [opening[0].upper() + opening[1:], "", *(f"  {command}" for command in commands), "", *lines]


def _written(path: Path, text: str, lines: list[str], seen: Seen | None, read_as: str = "") -> InitResult:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(path, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        raise UsageError(f"{path} exists and is not overwritten: give another name with --output") from None
    return InitResult(path, text, lines, seen, f"nlp-suite train {shlex.quote(str(path))}", read_as)
