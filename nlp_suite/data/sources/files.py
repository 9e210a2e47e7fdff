"""TSV, CSV or JSONL files, plain or gzipped, one or more a split."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from nlp_suite.config import ComponentSettings
from nlp_suite.data.sources.base import SPLITS, PathText, Source
from nlp_suite.data.sources.formats import csv_rows, format_of, jsonl_examples, table_examples, tsv_rows
from nlp_suite.data.sources.reading import existing_file, stamp
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES

Paths = PathText | Annotated[list[PathText], Field(min_length=1)] | None
Column = str | Annotated[int, Field(ge=0)]


class FilesSettings(ComponentSettings):
    """Which files, and which of their columns."""

    name: str = "files"
    train: Paths = Field(None, description="a path, or a list of paths")
    validation: Paths = Field(None, description="as train")
    test: Paths = Field(None, description="as train")
    format: Literal["auto", "tsv", "csv", "jsonl"] = Field("auto", description="auto: by suffix, before .gz")
    text_column: Column = Field("text", description="name, or number from 0")
    label_column: Column | None = Field(
        "label", description="name, or number from 0; null: texts without labels; not read where the task needs none"
    )
    source_column: Column = Field("source", description="of pairs: name, or number from 0")
    target_column: Column = Field("target", description="of pairs: name, or number from 0")
    header: bool | Literal["auto"] = Field("auto", description="auto: there is one when a column is given by name")
    delimiter: str | None = Field(None, min_length=1, max_length=1, description="default: a tab (tsv), a comma (csv)")

    @model_validator(mode="after")
    def _usable(self):
        if not (self.train or self.validation or self.test):
            raise ValueError("no file is given: set one or more of train, validation, test")
        return self


@SOURCES.register(FilesSettings)
class FilesSource(Source):
    """Examples from files, read line by line.

    TSV has no quoting: lines end at `\\n` and columns at the delimiter, whatever else they hold. CSV is quoted as in
    RFC 4180. JSONL is one object a line. Blank lines are skipped; an empty text is an example. For running text
    (`kind="text"`) every row is a document and `label_column` is not read; for pairs (`kind="pairs"`) `source_column` and
    `target_column` are read instead of both.

    Args:
        on_error: `"fail"` or `"replace"`, for invalid UTF-8.
        kind: `"labelled"`, `"text"` or `"pairs"`.
        **settings: the fields of `FilesSettings`.

    Raises:
        DataError: a missing file, column or key, an empty file, a row with too few or too many columns, a broken
            gzip, invalid UTF-8: with file and line.

    Example:
        >>> source = FilesSource(train="train.tsv.gz", test="test.tsv.gz")
        >>> next(source.examples("test"))
        {'text': 'A film about …', 'label': '1'}
    """

    Settings = FilesSettings

    def __init__(self, *, on_error: str = "fail", kind: str = "labelled", **settings):
        super().__init__(on_error=on_error, kind=kind, **settings)
        keys = {"labelled": ("text", "label"), "text": ("text",), "pairs": ("source", "target")}[kind]
        columns = {key: getattr(self.settings, f"{key}_column") for key in keys}
        self._columns = {key: column for key, column in columns.items() if column is not None}
        self._check_columns()
        self._files: dict[str, list[tuple[Path, str]]] = {}
        for split in SPLITS:
            given = getattr(self.settings, split)
            paths = [existing_file(path) for path in ([given] if isinstance(given, str) else given or [])]
            if paths:
                self._files[split] = [(path, self._format(path)) for path in paths]

    def _check_columns(self) -> None:
        columns = list(self._columns.values())
        if len(columns) == 2 and columns[0] == columns[1]:
            raise DataError(f"{' and '.join(f'{key}_column' for key in self._columns)} are the same: {columns[0]!r}")
        names = [column for column in columns if isinstance(column, str)]
        if self.settings.header is False and names:
            raise DataError(f"header is false, so columns are numbers from 0, got {', '.join(map(repr, names))}")

    def _format(self, path: Path) -> str:
        settings = self.settings
        format_ = format_of(path) if settings.format == "auto" else settings.format
        if format_ == "jsonl":
            numbers = [column for column in self._columns.values() if isinstance(column, int)]
            if numbers:
                raise DataError(f"{path}: columns of JSONL are keys, not numbers, got {numbers[0]}")
            if settings.delimiter is not None:
                raise DataError(f"{path}: JSONL has no delimiter, got {settings.delimiter!r}; allowed with tsv and csv")
        return format_

    def splits(self) -> list[str]:
        return list(self._files)

    def examples(self, split: str) -> Iterator[dict[str, str]]:
        self._check_split(split)
        for path, format_ in self._files[split]:
            yield from self._read(path, format_)

    def _read(self, path: Path, format_: str) -> Iterator[dict[str, str]]:
        if format_ == "jsonl":
            return jsonl_examples(path, self._columns, self.on_error)
        read, delimiter = (tsv_rows, "\t") if format_ == "tsv" else (csv_rows, ",")
        rows = read(path, self.settings.delimiter or delimiter, self.on_error)
        return table_examples(path, rows, self._columns, self.settings.header)

    def fingerprint(self) -> str:
        return self._hash({split: [stamp(path) for path, _ in files] for split, files in self._files.items()})
