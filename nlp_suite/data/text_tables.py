"""Tables of texts that a trained model is asked about, read as its config says that the tables of its training were."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlp_suite.config import Experiment
from nlp_suite.data.compression import bare_suffix
from nlp_suite.data.kinds.base import CorpusKind
from nlp_suite.data.sources.base import SPLITS, listed
from nlp_suite.data.sources.reading import share_read
from nlp_suite.data.sources.table_examples import Column, field_value, is_missing
from nlp_suite.data.table_reading import FORMATS, open_table
from nlp_suite.errors import DataError
from nlp_suite.registry import unknown
from nlp_suite.text.pairs import join_pair

WRITTEN = {
    "delimiter": ("tsv", "csv"),
    "quoting": ("tsv", "csv"),
    "sheet": ("excel",),
    "encoding": tuple(FORMATS.values()),
}
"""Settings of the source `files` on how a table is written → the formats that have it."""


def is_table(path: Path) -> bool:
    """Whether a file is a table by its suffix, before that of a compression."""
    return bare_suffix(path) in FORMATS


def column_of(given: str | None) -> str | int | None:
    """A column of the command line: its name, or its number from 0."""
    return int(given) if given is not None and given.isdecimal() else given


def settings_for(path: Path, experiment: Experiment | None) -> dict[str, Any]:
    """Settings of the source `files` for a file that need not be one of the experiment's.

    The columns are the experiment's. So is how the file is written, where its suffix is that of the experiment's own files;
    else it is found in the file. A suffix of no table leaves the format to the experiment.

    Args:
        path: the file.
        experiment: the config of a trained model; None, or one with another source: all settings have their defaults.
    """
    if experiment is None or experiment.data.source.name != "files":
        return {}
    settings: dict[str, Any] = experiment.data.source.arguments()
    own = next(Path(listed(settings.pop(split))[0]) for split in SPLITS if settings[split])
    for split in SPLITS:
        settings.pop(split, None)
    if not is_table(path):
        return settings
    settings["format"] = "auto"
    alike = bare_suffix(own) in (bare_suffix(path), "")  # a folder of parts has no suffix
    format = FORMATS[bare_suffix(path)]
    return {key: value for key, value in settings.items() if key not in WRITTEN or (alike and format in WRITTEN[key])}


class TextTable:
    """A table, one column of which holds the texts; of a model of pairs of texts (`text_b_column`) two do.

    Args:
        path: the file, of any format that `open_table` reads.
        kind: the corpus kind of the model's task, whose first field the texts are.
        experiment: the config that the model was trained with; see `settings_for`.
        column: name of the texts' column, or number from 0; default: the experiment's.

    Attributes:
        columns: the names of all columns; those of a table without a header are `column_0`, `column_1`, …
        share: for progress, see `share_read`.
        found: a sentence on how the file is written, where that is not as its suffix says; else empty.

    Raises:
        DataError: a file that cannot be read, or has no such column.
    """

    def __init__(
        self, path: Path, kind: CorpusKind, experiment: Experiment | None = None, column: str | int | None = None
    ):
        settings, field = settings_for(path, experiment), kind.fields[0]
        named = settings.get("columns", {}).get(field, settings.get(f"{field}_column", field))
        wanted, self._kind = named if column is None else column, kind
        header = settings.get("header", "auto")
        if header == "auto" and not isinstance(column, int):  # as in training, names say that there are some
            header = isinstance(wanted, str)
        reading = {key: settings[key] for key in ("format", *WRITTEN) if key in settings}
        self._table = open_table(
            path,
            **reading,
            header=header,
            on_error=experiment.data.on_error if experiment else "fail",
        )
        self._table.look_further()  # all columns are kept
        self.share = share_read([self._table.path])
        first = next(self._table.rows(), None) if self._table.columns is None else None
        self.columns = self._table.columns or [f"column_{number}" for number in range(len(first[1]) if first else 0)]
        places = [wanted] if (second := _second(settings)) is None else [wanted, second]
        self._positions = [self._find(place) for place in places]
        self._read = [Column(field, self.columns[position], "--text") for position in self._positions]
        self.found = self._table.found()

    def _find(self, wanted: str | int) -> int:
        names, where = self.columns, f"{self._table.path}: the texts are read from the column {wanted!r}"
        remedy = "name another one (--text COLUMN; in Python text_column)"
        if isinstance(wanted, int):
            if wanted < len(names):
                return wanted
            raise DataError(f"{where}, but columns go from 0 to {len(names) - 1}; {remedy}")
        if names.count(wanted) == 1:
            return names.index(wanted)
        problem = (
            f"{names.count(wanted)} columns are called so" if wanted in names else unknown("column", wanted, names)
        )
        raise DataError(f"{where}: {problem}; {remedy}")

    def rows(self) -> Iterator[tuple[list[Any], str | None]]:
        """Every row, in order: the values of all columns, and the text; None where it is missing. A pair is one text.

        Raises:
            DataError: a row that cannot be read, or whose text is none.
        """
        for number, values in self._table.rows():
            held = [(column, values[position]) for column, position in zip(self._read, self._positions, strict=True)]
            if any(is_missing(column.field, value, False) for column, value in held):
                yield values, None
                continue
            try:
                texts = [field_value(self._kind, column, value, self._table, False) for column, value in held]
            except DataError as error:
                raise DataError(f"{self._table.path}, {self._table.place} {number}: {error}") from None
            yield values, texts[0] if len(texts) == 1 else join_pair(*texts)


def _second(settings: dict[str, Any]) -> str | int | None:
    """The column of the second text of a pair; None where texts stand alone."""
    place: str | int | None = settings.get("columns", {}).get("text_b", settings.get("text_b_column"))
    return place


@dataclass(frozen=True)
class TextLines:
    """Texts as a table of one column.

    Attributes:
        texts: read once.
        columns, share: as of a `TextTable`.
    """

    texts: Iterable[str]
    columns: Sequence[str] = ("text",)
    share: Callable[[int], float] | None = None

    def rows(self) -> Iterator[tuple[list[Any], str]]:
        """Every text, as a row and as a text."""
        return (([text], text) for text in self.texts)


def added_columns(names: Iterable[str], taken: Sequence[str], prefix: str = "predicted_") -> list[str]:
    """Names for columns that are added to a table: a prefix before each, and a number behind where that is taken."""
    added: list[str] = []
    for name in names:
        candidate, number = f"{prefix}{name}", 1
        while candidate in taken or candidate in added:
            number += 1
            candidate = f"{prefix}{name}_{number}"
        added.append(candidate)
    return added


Cells = dict[str, Callable[[dict[str, Any]], Any]]
"""Name of a column → what makes its cell of an answer."""
