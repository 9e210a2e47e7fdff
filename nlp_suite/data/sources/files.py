"""TSV, CSV or JSONL files, plain or gzipped, one or more a split."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from nlp_suite.config import ComponentSettings
from nlp_suite.data.kinds.base import CorpusKind
from nlp_suite.data.selection import Example
from nlp_suite.data.sources.base import SPLITS, Paths, Source, listed
from nlp_suite.data.sources.formats import (
    Column,
    csv_rows,
    format_of,
    jsonl_examples,
    table_examples,
    tsv_rows,
)
from nlp_suite.data.sources.reading import existing_file, stamp
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES, unknown

ColumnName = str | Annotated[int, Field(ge=0)]


class FilesSettings(ComponentSettings):
    """Which files, and which of their columns."""

    name: str = "files"
    train: Paths | None = Field(None, description="a path, or a list of paths")
    validation: Paths | None = Field(None, description="as train")
    test: Paths | None = Field(None, description="as train")
    format: Literal["auto", "tsv", "csv", "jsonl"] = Field("auto", description="auto: by suffix, before .gz")
    text_column: ColumnName = Field("text", description="name, or number from 0")
    label_column: ColumnName | None = Field(
        "label", description="name, or number from 0; null: texts without labels; not read where the task needs none"
    )
    text_b_column: ColumnName | None = Field(
        None, description="of pairs of texts that have a label together: name, or number from 0, of the second one"
    )
    label_separator: str | None = Field(
        None, min_length=1, description="between the labels of a cell, where the task takes several; default: a comma"
    )
    source_column: ColumnName = Field("source", description="of pairs: name, or number from 0")
    target_column: ColumnName = Field("target", description="of pairs: name, or number from 0")
    columns: dict[str, ColumnName] = Field(
        {},
        description="of any other field of the task's examples: field → name, or number from 0; default: its own name",
    )
    header: bool | Literal["auto"] = Field("auto", description="auto: there is one when a column is given by name")
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="default: a tab (tsv), a comma (csv)")

    @model_validator(mode="after")
    def _usable(self) -> "FilesSettings":
        if not (self.train or self.validation or self.test):
            raise ValueError("no file is given: set one or more of train, validation, test")
        return self

    @model_serializer(mode="wrap")
    def _without_empty_columns(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Hashes of settings, and so the names of prepared folders, stay those from before there was `columns`."""
        values: dict[str, Any] = serialize(self)
        for name in ("columns", "label_separator", "text_b_column"):
            if getattr(self, name) in (None, {}):
                values.pop(name, None)
        return values


@SOURCES.register(FilesSettings)
class FilesSource(Source):
    r"""Examples from files, read line by line: a column a field, whatever the kind of examples.

    TSV has no quoting: lines end at `\\n` and columns at the delimiter, whatever else they hold. CSV is quoted as in
    RFC 4180. JSONL is one object a line. Blank lines are skipped; an empty text is an example. For running text every row
    is a document, unless `columns` names one for `document`.

    Args:
        **arguments: see `Source`; the settings are those of `FilesSettings`.

    Raises:
        DataError: a missing file, column or key, an empty file, a row with too few or too many columns, a broken
            gzip, invalid UTF-8: with file and line.

    Example:
        >>> source = FilesSource(train="train.tsv.gz", test="test.tsv.gz")
        >>> next(source.examples("test"))
        {'text': 'A film about …', 'label': '1'}
    """

    Settings = FilesSettings
    reads = "TSV, CSV or JSONL"
    settings: FilesSettings

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        self._columns = self._read_columns()
        self._check_columns()
        if self.settings.label_separator is not None:
            if self.kind.label_form != "several":
                raise DataError(
                    "label_separator is for tasks that take several labels a text (task.problem: multi_label)"
                )
            self.kind.label_separator = self.settings.label_separator
        self._files: dict[str, list[tuple[Path, str]]] = {}
        for split in SPLITS:
            paths = [existing_file(path) for path in listed(getattr(self.settings, split))]
            if paths:
                self._files[split] = [(path, self._format(path)) for path in paths]

    @classmethod
    def gives(cls, kind: CorpusKind) -> bool:
        """Every kind: a column can hold any field."""
        return True

    def _read_columns(self) -> list[Column]:
        """The columns that are read: of every field of the kind, and of those optional ones that `columns` names."""
        named = {*self.settings.columns, *(["text_b"] if self.settings.text_b_column is not None else [])}
        fields = [*self.kind.fields, *(field for field in self.kind.optional_fields if field in named)]
        for field in self.settings.columns:
            if field not in fields:
                allowed = (*self.kind.fields, *self.kind.optional_fields)
                raise DataError(f"columns: {unknown('field', field, allowed)}")
        columns = []
        for field in fields:
            setting = f"{field}_column"
            if field in self.settings.columns or setting not in FilesSettings.model_fields:
                columns.append(Column(field, self.settings.columns.get(field, field), f"columns.{field}"))
            elif getattr(self.settings, setting) is not None:
                columns.append(Column(field, getattr(self.settings, setting), setting))
        return columns

    def _check_columns(self) -> None:
        by_place: dict[str | int, str] = {}
        for column in self._columns:
            if column.place in by_place:
                raise DataError(f"{by_place[column.place]} and {column.setting} are the same: {column.place!r}")
            by_place[column.place] = column.setting
        names = [place for place in by_place if isinstance(place, str)]
        if self.settings.header is False and names:
            raise DataError(f"header is false, so columns are numbers from 0, got {', '.join(map(repr, names))}")

    def _format(self, path: Path) -> str:
        settings = self.settings
        format_ = format_of(path) if settings.format == "auto" else settings.format
        if format_ == "jsonl":
            numbers = [column.place for column in self._columns if isinstance(column.place, int)]
            if numbers:
                raise DataError(f"{path}: columns of JSONL are keys, not numbers, got {numbers[0]}")
            if settings.delimiter is not None:
                raise DataError(f"{path}: JSONL has no delimiter, got {settings.delimiter!r}; allowed with tsv and csv")
        return format_

    def splits(self) -> list[str]:
        return list(self._files)

    def examples(self, split: str) -> Iterator[Example]:
        self._check_split(split)
        for path, format_ in self._files[split]:
            yield from self._read(path, format_)

    def _read(self, path: Path, format_: str) -> Iterator[Example]:
        if format_ == "jsonl":
            return jsonl_examples(path, self._columns, self.kind, self.on_error)
        read, delimiter = (tsv_rows, "\t") if format_ == "tsv" else (csv_rows, ",")
        rows = read(path, self.settings.delimiter or delimiter, self.on_error)
        return table_examples(path, rows, self._columns, self.kind, self.settings.header)

    def files(self, split: str) -> list[Path]:
        return [path for path, _ in self._files[split]]

    def fingerprint(self) -> str:
        return self._hash({split: [stamp(path) for path, _ in files] for split, files in self._files.items()})
