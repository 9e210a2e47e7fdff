"""Sentences and their translations: two files of equal length a split, or one TSV, plain or gzipped, or a folder."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from nlp_suite.config import ComponentSettings, Settings
from nlp_suite.config_base import in_one_line
from nlp_suite.data.selection import Example
from nlp_suite.data.sources.base import SPLITS, Paths, PathText, Source, listed, without_defaults
from nlp_suite.data.sources.directory import FOLDERS
from nlp_suite.data.sources.reading import count_pairs, existing_file, lines_without_ends, stamp
from nlp_suite.data.sources.table_examples import Column, table_examples
from nlp_suite.data.table_reading import open_table
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES, unknown

SUFFIXES = (".txt", ".txt.gz")


class TwoFiles(Settings):
    """The files of both languages: a path each, or a list of paths each, of which the first belongs to the first."""

    source: Paths
    target: Paths

    @model_validator(mode="after")
    def _equally_many(self) -> "TwoFiles":
        source, target = listed(self.source), listed(self.target)
        if len(source) != len(target):
            raise ValueError(f"source has {len(source)} files and target {len(target)}; as many are needed")
        return self


def _two_files(value: Any) -> Any:
    """A mapping as `TwoFiles`; so what is wrong with it is said once, and not in terms of a path as well."""
    if isinstance(value, dict):
        try:
            return TwoFiles.model_validate(value)
        except ValidationError as error:
            raise ValueError(in_one_line(error)) from None
    paths = value if isinstance(value, list) and value else [value]
    if value is not None and not all(isinstance(path, str | os.PathLike | TwoFiles) for path in paths):
        raise ValueError(f"{{source: PATH, target: PATH}}, a path or a list of paths is needed, got {value!r}")
    return value


Files = Annotated[TwoFiles | Paths | None, BeforeValidator(_two_files)]


class ParallelSettings(ComponentSettings):
    """Which files: of each split two (a mapping with source and target), or one TSV; or a folder of all."""

    name: str = "parallel"
    train: Files = Field(
        None,
        description="{source: PATH, target: PATH}, or the path of a TSV; lists of paths are read one after another",
    )
    validation: Files = Field(None, description="as train")
    test: Files = Field(None, description="as train")
    source_column: int = Field(0, ge=0, description="of a TSV, from 0")
    target_column: int = Field(1, ge=0, description="of a TSV, from 0")
    quoting: Literal["auto", "csv", "none"] = Field("auto", description="of a TSV: as in RFC 4180, none, or found")
    directory: PathText | None = Field(None, description="folder with LANGUAGE.SPLIT.txt, as TFDS's TranslateFolder")
    source_language: str | None = Field(None, min_length=1, description="of the folder's files, such as en")
    target_language: str | None = Field(None, min_length=1, description="of the folder's files, such as de")

    @model_validator(mode="after")
    def _usable(self) -> "ParallelSettings":
        files = [getattr(self, split) for split in SPLITS if getattr(self, split) is not None]
        languages = self.source_language, self.target_language
        if self.directory is not None:
            if files:
                raise ValueError("either a directory or files are given (train, validation, test), not both")
            if None in languages:
                raise ValueError("a directory needs source_language and target_language, such as en and de")
            if len(set(languages)) == 1:
                raise ValueError(f"source_language and target_language are the same: {self.source_language!r}")
        elif not files:
            raise ValueError("no file is given: set train, validation or test, or a directory and its languages")
        elif any(languages):
            raise ValueError("source_language and target_language belong to a directory, and none is given")
        if self.source_column == self.target_column:
            raise ValueError(f"source_column and target_column are the same: {self.source_column}")
        columns = self.source_column, self.target_column
        if columns != (0, 1) and not any(isinstance(paths, str | list) for paths in files):
            raise ValueError("source_column and target_column belong to a TSV, and no split is one")
        return self


def checked_pair_count(source: Path, target: Path) -> int:
    """The pairs of two files of sentences.

    Raises:
        DataError: they have not as many lines, but for blank ones at the end of the longer.
    """
    *counts, pairs = count_pairs(source, target)
    if pairs > min(counts):
        raise DataError(f"{source} has {counts[0]:,} lines and {target} {counts[1]:,}; {mismatch_hint(source, target)}")
    return pairs


def mismatch_hint(source: Path, target: Path) -> str:
    """The first line that is empty in one of two files only, as the end of a message about their lengths."""
    for (number, line), (_, other) in zip(
        lines_without_ends(source, "replace"), lines_without_ends(target, "replace"), strict=False
    ):
        if bool(line.strip()) != bool(other.strip()):
            empty = target if line.strip() else source
            return f"the first line that is empty in one of them only: line {number}, empty in {empty.name}"
    return "no line is empty in one of them only, as far as the shorter goes; line n must translate line n"

    @model_serializer(mode="wrap")
    def _without_later_settings(self, serialize: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Hashes of settings, and so the names of prepared folders, stay those from before there was `quoting`."""
        return without_defaults(self, serialize(self), ("quoting",))


@SOURCES.register(ParallelSettings)
class ParallelSource(Source):
    r"""Pairs of sentences, read line by line: line n of the target translates line n of the source.

    A line ends at `"\n"` and nowhere else (at `"\r\n"` where a file's first line does); spaces at its ends are kept, and
    in two files tabs as well. In a TSV, which has no header, a tab ends a column and blank lines are skipped.
    Two files must have the same number of lines, which is counted before the first pair is given; empty lines are pairs,
    but for those at the end of the longer file.

    In a folder, as `tfds.folder_dataset.TranslateFolder` reads it, a split is `en.train.txt` and `de.train.txt` (or
    `.txt.gz`); `validation` may be called `valid`, `val` or `dev`. Other languages and other files are passed over.

    Args:
        **arguments: see `Source`; the settings are those of `ParallelSettings`.

    Raises:
        DataError: a missing or empty file, files of different length, a row of a TSV with too few or too many columns, a
            broken gzip, invalid UTF-8: with file and line; a task that needs labels or running text.

    Example:
        >>> source = ParallelSource(kind="pairs", train={"source": "train.en", "target": "train.de"})
        >>> next(source.examples("train"))
        {'source': 'Two young men …', 'target': 'Zwei junge Männer …'}
    """

    Settings = ParallelSettings
    reads = "two files of sentences, or a TSV"
    field_sets = (("source", "target"),)
    settings: ParallelSettings

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        self._remarks: list[str] = []
        self._files: dict[str, list[tuple[Path, ...]]] = {}  # split → pairs of files, or TSVs
        if self.settings.directory is not None:
            self._files = self._in_folder(Path(self.settings.directory).expanduser())
            return
        for split in SPLITS:
            files = getattr(self.settings, split)
            if isinstance(files, TwoFiles):
                both = zip(listed(files.source), listed(files.target), strict=True)
                self._files[split] = [(existing_file(source), existing_file(target)) for source, target in both]
            elif files is not None:
                self._files[split] = [(existing_file(path),) for path in listed(files)]

    def _in_folder(self, folder: Path) -> dict[str, list[tuple[Path, ...]]]:
        if not folder.is_dir():
            is_file = " (it is a file; set train to it)" if folder.exists() else ""
            raise DataError(f"folder {str(folder)!r} does not exist{is_file}")
        languages_of: dict[str, dict[str, Path]] = {}  # split, as the folder calls it → language → file
        for path in sorted(folder.iterdir()):
            suffix = next((s for s in SUFFIXES if path.name.lower().endswith(s)), "")
            language, *split_name = path.name[: len(path.name) - len(suffix)].split(".")
            if suffix and len(split_name) == 1 and path.is_file():
                if language in (files := languages_of.setdefault(split_name[0], {})):
                    raise DataError(f"{folder} has {files[language].name} and {path.name}; keep one")
                files[language] = path
        languages = sorted({language for files in languages_of.values() for language in files})
        if not languages:
            raise DataError(f"{folder} has no file called LANGUAGE.SPLIT.txt, such as en.train.txt")
        wanted = str(self.settings.source_language), str(self.settings.target_language)
        for setting, language in zip(("source_language", "target_language"), wanted, strict=True):
            if language not in languages:
                raise DataError(f"{folder}: {setting}: {unknown('language', language, languages)}")
        pairs = {}
        for split, names in FOLDERS.items():
            called = [name for name in names if set(wanted) & set(languages_of.get(name, ()))]
            if len(called) > 1:
                raise DataError(f"{folder} has several {split} splits: {', '.join(called)}; keep one")
            for name in called:
                for language in wanted:
                    if language not in languages_of[name]:
                        others = ", ".join(path.name for path in languages_of[name].values())
                        raise DataError(f"{folder} has no {language}.{name}.txt beside {others}")
                pairs[split] = [tuple(languages_of[name][language] for language in wanted)]
        if not pairs:
            known = ", ".join(name for names in FOLDERS.values() for name in names)
            raise DataError(f"{folder} has the splits {', '.join(languages_of)}; one or more of {known} are needed")
        return pairs

    def splits(self) -> list[str]:
        return list(self._files)

    def examples(self, split: str) -> Iterator[Example]:
        self._check_split(split)
        for files in self._files[split]:
            yield from self._two_files(*files) if len(files) == 2 else self._table(*files)

    def _two_files(self, source: Path, target: Path) -> Iterator[Example]:
        pairs = checked_pair_count(source, target)
        if not pairs:
            raise DataError(f"{source} and {target} are empty; a sentence a line is expected")
        both = zip(lines_without_ends(source, self.on_error), lines_without_ends(target, self.on_error), strict=False)
        for (_, line), (_, translation) in itertools.islice(both, pairs):
            yield {"source": line, "target": translation}

    def _table(self, path: Path) -> Iterator[Example]:
        columns = [
            Column("source", self.settings.source_column, "source_column"),
            Column("target", self.settings.target_column, "target_column"),
        ]
        quoting = self.settings.quoting
        table = open_table(path, format="tsv", delimiter="\t", quoting=quoting, header=False, on_error=self.on_error)
        self._remarks = [table.found()] if table.found() else []
        return table_examples(table, columns, self.kind)

    def remarks(self, split: str) -> list[str]:
        return self._remarks

    def files(self, split: str) -> list[Path]:
        return [path for files in self._files[split] for path in files]

    def fingerprint(self) -> str:
        return self._hash({s: [[stamp(path) for path in files] for files in self._files[s]] for s in self._files})
