"""Tables, one or more a split: TSV, CSV, JSON, JSON lines, Excel, Parquet or Arrow, text also compressed."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from nlp_suite.config import ComponentSettings
from nlp_suite.data.kinds.base import CorpusKind
from nlp_suite.data.selection import Example
from nlp_suite.data.sources.base import SPLITS, Paths, Source, listed, without_defaults
from nlp_suite.data.sources.parts import part_files
from nlp_suite.data.sources.reading import stamp
from nlp_suite.data.sources.table_examples import Column, table_examples
from nlp_suite.data.table_formats.text_input import codec_name
from nlp_suite.data.table_reading import Table, format_of, open_table
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES, unknown

ColumnName = str | Annotated[int, Field(ge=0)]
_LATER_SETTINGS = (
    "columns",
    "label_separator",
    "text_b_column",
    "quoting",
    "encoding",
    "sheet",
)  # those that older hashes were made without


def _known_codec(encoding: str) -> str:
    codec_name(encoding)
    return encoding


class FilesSettings(ComponentSettings):
    """Which files, and which of their columns."""

    name: str = "files"
    train: Paths | None = Field(None, description="a path, a glob, a folder of parts, or a list of them")
    validation: Paths | None = Field(None, description="as train")
    test: Paths | None = Field(None, description="as train")
    format: Literal["auto", "tsv", "csv", "json", "jsonl", "excel", "parquet", "arrow"] = Field(
        "auto", description="auto: by suffix, before that of a compression (.gz, .bz2, .xz, .zst)"
    )
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
    delimiter: str | None = Field(
        None, min_length=1, max_length=1, description="of tsv and csv; default: found among , ; tab and |, and said"
    )
    quoting: Literal["auto", "csv", "none"] = Field(
        "auto", description="of tsv and csv: as in RFC 4180 (csv), quotes are text (none), or found in the file (auto)"
    )
    encoding: Annotated[str, AfterValidator(_known_codec)] = Field(
        "utf-8", description="of text, as Python calls it; a byte order mark of UTF-8 or UTF-16 is seen"
    )
    sheet: str | None = Field(None, description="of a workbook; default: the only one that has rows")

    @model_validator(mode="after")
    def _usable(self) -> "FilesSettings":
        if not (self.train or self.validation or self.test):
            raise ValueError("no file is given: set one or more of train, validation, test")
        return self

    @model_serializer(mode="wrap")
    def _without_later_settings(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Hashes of settings, and so the names of prepared folders, stay those from before there were some of them."""
        return without_defaults(self, serialize(self), _LATER_SETTINGS)


@SOURCES.register(FilesSettings)
class FilesSource(Source):
    """Examples from tables, read row by row: a column a field, whatever the kind of examples.

    How a file is written is found in it (`nlp_suite.data.table_reading.open_table`); what is not as its suffix says stands
    in `remarks`. Blank lines are skipped; an empty text is an example. For running text every row is a document, unless
    `columns` names one for `document`.

    Args:
        **arguments: see `Source`; the settings are those of `FilesSettings`.

    Raises:
        DataError: a missing file, column or key, an empty file, a row with too few or too many columns, a broken
            compressed file, invalid UTF-8: with file and line.

    Example:
        >>> source = FilesSource(train="train.tsv.gz", test="test.tsv.gz")
        >>> next(source.examples("test"))
        {'text': 'A film about …', 'label': '1'}
    """

    Settings = FilesSettings
    reads = "TSV, CSV, JSON, Excel, Parquet or Arrow"
    may_lack_values = True
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
        self._remarks: dict[str, list[str]] = {}
        self._left_out: dict[str, Counter[str]] = {}
        for split in SPLITS:
            if paths := listed(getattr(self.settings, split)):
                self._files[split] = [(path, self._format(path)) for path in part_files(paths)]

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
        if format_ in ("json", "jsonl"):
            numbers = [column.place for column in self._columns if isinstance(column.place, int)]
            if numbers:
                raise DataError(f"{path}: columns of JSON are keys, not numbers, got {numbers[0]}")
        if format_ not in ("tsv", "csv") and settings.delimiter is not None:
            raise DataError(f"{path}: {format_} has no delimiter, got {settings.delimiter!r}; allowed with tsv and csv")
        return format_

    def splits(self) -> list[str]:
        return list(self._files)

    def examples(self, split: str) -> Iterator[Example]:
        self._check_split(split)
        remarks, dropped = [], Counter[str]()
        for path, format_ in self._files[split]:
            table = self._open(path, format_)
            remarks += [table.found()] if table.found() else []
            yield from table_examples(table, self._columns, self.kind, dropped if self.missing == "drop" else None)
        if dropped:
            by_field = ", ".join(f"{count:,} without {field}" for field, count in dropped.items())
            remarks.append(f"{split}: {dropped.total():,} rows were left out ({by_field})")
        self._remarks[split], self._left_out[split] = remarks, dropped

    def _open(self, path: Path, format_: str) -> Table:
        settings, names = self.settings, any(isinstance(column.place, str) for column in self._columns)
        return open_table(
            path,
            format=format_,
            delimiter=settings.delimiter,
            quoting=settings.quoting,
            encoding=settings.encoding,
            header=names if settings.header == "auto" else settings.header,
            sheet=settings.sheet,
            on_error=self.on_error,
        )

    def left_out(self, split: str) -> Counter[str]:
        return self._left_out.get(split, Counter())

    def remarks(self, split: str) -> list[str]:
        return self._remarks.get(split, [])

    def files(self, split: str) -> list[Path]:
        return [path for path, _ in self._files[split]]

    def fingerprint(self) -> str:
        return self._hash({split: [stamp(path) for path, _ in files] for split, files in self._files.items()})
