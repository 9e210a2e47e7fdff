"""Files that a run is measured on, though they are no split of its data: read as its config says, with its own text layers."""

import copy
import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from nlp_suite.data.compression import bare_suffix
from nlp_suite.data.label_spelling import label_merger
from nlp_suite.data.prepare import kind_of, open_source
from nlp_suite.data.selection import Selection
from nlp_suite.data.sources.base import SPLITS, listed
from nlp_suite.data.sources.reading import existing_file
from nlp_suite.data.staging import hidden_folder
from nlp_suite.data.text_tables import is_table, settings_for
from nlp_suite.errors import DataError, RunError
from nlp_suite.files import check_writable, read_json
from nlp_suite.progress import work
from nlp_suite.registry import SOURCES
from nlp_suite.training.run import Run

READ_AS = "train"  # the split that files are for the source that reads them
LINE_SOURCES = ("text", "parallel")  # whose settings say how the lines of any file are read
FOLDER = "data"  # of a run, for reports on files


def checked_files(files: str | Path | Sequence[str | Path]) -> list[Path]:
    """The paths of files, absolute.

    Raises:
        DataError: one is missing, or a folder.
    """
    paths = [files] if isinstance(files, str | Path) else list(files)
    return [existing_file(path).resolve() for path in paths]


def source_settings(files: Sequence[Path], run: Run) -> dict[str, Any]:
    """The source, with its name, whose split `READ_AS` is some files, read as the run's own are where that is possible.

    Raises:
        DataError: files that hold no examples for the run's task.
    """
    own, kind, path = run.experiment.data.source, kind_of(run.experiment), files[0]
    if len(files) == 2 and kind.fields == ("source", "target"):
        return {"name": "parallel", READ_AS: {"source": str(files[0]), "target": str(files[1])}}
    if len(files) != 1:
        pair = ", or two files, of the sources and of the targets" * (kind.fields == ("source", "target"))
        raise DataError(f"{len(files)} files are given; the run {run.directory} is measured on one file{pair}")
    if own.name in LINE_SOURCES and _alike(path, own.train):
        return {**own.model_dump(), **dict.fromkeys(SPLITS), READ_AS: str(path)}
    if kind.fields[0] == "series":
        return {**(own.model_dump() if own.name == "series" else {"name": "series"}), READ_AS: str(path)}
    if is_table(path) or own.name == "files":
        return {"name": "files", **settings_for(path, run.experiment), READ_AS: str(path)}
    if kind.fields == ("text",):
        statistics = run.info["statistics"]["train"]
        lines = statistics.get("documents") == statistics.get("texts")
        return {"name": "text", READ_AS: str(path), "documents": "line" if lines else "file"}
    raise DataError(f"{path}: {kind.wanted} are read from a table (.csv, .tsv, .jsonl, .parquet, .xlsx, …)")


def _alike(path: Path, trained_on: Any) -> bool:
    """Whether a file looks as if it were written like those that a run was trained on (two files a split are no model)."""
    if not isinstance(trained_on, str | list):
        return False
    first = Path(listed(trained_on)[0])
    return bare_suffix(path) == bare_suffix(first) or not (is_table(path) or is_table(first))


@contextmanager
def with_files(
    run: Run, files: Sequence[Path], progress: Callable[[str], None]
) -> Iterator[tuple[Run, str, dict[str, Any]]]:
    """Within the context there is a store of some files.

    Args:
        run: the run that is measured.
        files: of `checked_files`.
        progress: called with a line of text for every step of the work.

    Yields:
        The run, which knows the statistics of the files as those of a split; the name of that split; and the stores of all
        splits, this one among them. Where the run's own data are gone, it is the only one.

    Raises:
        DataError: files that cannot be read, or hold what the run does not know, such as another label.
    """
    data, kind = run.experiment.data, kind_of(run.experiment)
    name = " and ".join(path.name for path in files)
    values = source_settings(files, run)
    settings = SOURCES.settings(values["name"]).model_validate(values)
    experiment = run.experiment.model_copy(update={"data": data.model_copy(update={"source": settings})})
    source = open_source(experiment)
    cache = Path(data.cache)
    check_writable(cache, "it is the run's data.cache, and what is measured is tokenised there", RunError)
    cache.mkdir(parents=True, exist_ok=True)
    with hidden_folder(cache, ".measured-") as folder:
        examples = Selection(source, READ_AS, label=label_merger(run.labels) if data.labels_normalise else None)
        with work(f"preparing {name}"):
            counts = kind.write_split(folder / "store", examples, name, run.assets)
        store = kind.open_split(folder / "store")
        if not len(store):
            raise DataError(f"{name}: there is nothing to measure, as it has no rows")
        statistics = kind.with_unknown_words({**counts, **kind.statistics(store)}, store, run.assets)
        progress(kind.summary(name, statistics))
        measured = copy.copy(run)
        measured.info = {**run.info, "statistics": {**run.info["statistics"], name: statistics}}
        remarks = [remark.replace(f"{READ_AS}: ", f"{name}: ", 1) for remark in source.remarks(READ_AS)]
        try:
            stores = run.stores(progress)
        except DataError as error:
            remarks = [*remarks, f"the run's own data cannot be read, so nothing is compared with them: {error}"]
            stores = {}
        if remarks:
            measured.info["remarks"] = [*run.info.get("remarks", ()), *remarks]
        yield measured, name, {**stores, name: store}


def report_folder(directory: Path, files: Sequence[Path]) -> Path:
    """Where the report on some files goes in a folder: another place for files of the same name elsewhere."""
    name = "+".join(path.name for path in files)
    for number in itertools.count(1):
        folder = directory / FOLDER / (name if number == 1 else f"{name}-{number}")
        report = folder / "report.json"
        if not report.exists() or read_json(report, f"remove the folder {folder}").get("data") == list(map(str, files)):
            break
    return folder
