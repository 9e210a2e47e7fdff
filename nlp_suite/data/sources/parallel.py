"""Sentences and their translations: two files of equal length a split, or one TSV, plain or gzipped, or a folder."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, Field, ValidationError, model_validator

from nlp_suite.config import ComponentSettings, Settings, in_one_line
from nlp_suite.data.sources.base import SPLITS, PathText, Source
from nlp_suite.data.sources.directory import FOLDERS
from nlp_suite.data.sources.formats import table_examples, tsv_rows
from nlp_suite.data.sources.reading import count_lines, cut_lines, existing_file, stamp
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES, unknown

Paths = PathText | Annotated[list[PathText], Field(min_length=1)]
SUFFIXES = (".txt", ".txt.gz")


class TwoFiles(Settings):
    """The files of both languages: a path each, or a list of paths each, of which the first belongs to the first."""

    source: Paths
    target: Paths

    @model_validator(mode="after")
    def _as_many(self):
        source, target = listed(self.source), listed(self.target)
        if len(source) != len(target):
            raise ValueError(f"source has {len(source)} files and target {len(target)}; as many are needed")
        return self


def _two_files(value):
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
    directory: PathText | None = Field(None, description="folder with LANGUAGE.SPLIT.txt, as TFDS's TranslateFolder")
    source_language: str | None = Field(None, min_length=1, description="of the folder's files, such as en")
    target_language: str | None = Field(None, min_length=1, description="of the folder's files, such as de")

    @model_validator(mode="after")
    def _usable(self):
        given = [getattr(self, split) for split in SPLITS if getattr(self, split) is not None]
        languages = self.source_language, self.target_language
        if self.directory is not None:
            if given:
                raise ValueError("either a directory or files are given (train, validation, test), not both")
            if None in languages:
                raise ValueError("a directory needs source_language and target_language, such as en and de")
            if len(set(languages)) == 1:
                raise ValueError(f"source_language and target_language are the same: {self.source_language!r}")
        elif not given:
            raise ValueError("no file is given: set train, validation or test, or a directory and its languages")
        elif any(languages):
            raise ValueError("source_language and target_language belong to a directory, and none is given")
        if self.source_column == self.target_column:
            raise ValueError(f"source_column and target_column are the same: {self.source_column}")
        columns = self.source_column, self.target_column
        if columns != (0, 1) and not any(isinstance(files, (str, list)) for files in given):
            raise ValueError("source_column and target_column belong to a TSV, and no split is one")
        return self


def listed(paths: Paths) -> list[str]:
    """The paths as a list."""
    return [paths] if isinstance(paths, str) else paths


def parting(source: Path, target: Path) -> str:
    """Where two files of different length first differ in emptiness, as the end of a message."""
    for (number, line), (_, other) in zip(cut_lines(source, "replace"), cut_lines(target, "replace"), strict=False):
        if bool(line.strip()) != bool(other.strip()):
            empty = target if line.strip() else source
            return f"the first line that is empty in one of them only: line {number}, empty in {empty.name}"
    return "no line is empty in one of them only, as far as the shorter goes; line n must translate line n"


@SOURCES.register(ParallelSettings)
class ParallelSource(Source):
    r"""Pairs of sentences, read line by line: line n of the target translates line n of the source.

    A line ends at `"\n"` and nowhere else (at `"\r\n"` where a file's first line does); spaces at its ends are kept, and
    in two files tabs, too. In a TSV, which has no quoting and no header, a tab ends a column and blank lines are skipped.
    Two files must have the same number of lines, which is counted before the first pair is given; empty lines are pairs.

    In a folder, as `tfds.folder_dataset.TranslateFolder` reads it, a split is `en.train.txt` and `de.train.txt` (or
    `.txt.gz`); `validation` may be called `valid`, `val` or `dev`. Other languages and other files are passed over.

    Args:
        on_error: `"fail"` or `"replace"`, for invalid UTF-8.
        kind: `"pairs"`.
        **settings: the fields of `ParallelSettings`.

    Raises:
        DataError: a missing or empty file, files of different length, a row of a TSV with too few or too many columns, a
            broken gzip, invalid UTF-8: with file and line; a task that needs labels or running text.

    Example:
        >>> source = ParallelSource(kind="pairs", train={"source": "train.en", "target": "train.de"})
        >>> next(source.examples("train"))
        {'source': 'Two young men …', 'target': 'Zwei junge Männer …'}
    """

    Settings = ParallelSettings
    kinds = ("pairs",)
    gives = "pairs of sentences"

    def __init__(self, *, on_error: str = "fail", kind: str = "labelled", **settings):
        super().__init__(on_error=on_error, kind=kind, **settings)
        if self.settings.directory is not None:
            self._files = self._in_folder(Path(self.settings.directory).expanduser())
            return
        self._files: dict[str, list[tuple[Path, ...]]] = {}  # split → pairs of files, or TSVs
        for split in SPLITS:
            given = getattr(self.settings, split)
            if isinstance(given, TwoFiles):
                both = zip(listed(given.source), listed(given.target), strict=True)
                self._files[split] = [(existing_file(source), existing_file(target)) for source, target in both]
            elif given is not None:
                self._files[split] = [(existing_file(path),) for path in listed(given)]

    def _in_folder(self, folder: Path) -> dict[str, list[tuple[Path, ...]]]:
        if not folder.is_dir():
            is_file = " (it is a file; set train to it)" if folder.exists() else ""
            raise DataError(f"folder {str(folder)!r} does not exist{is_file}")
        found: dict[str, dict[str, Path]] = {}  # split, as the folder calls it → language → file
        for path in sorted(folder.iterdir()):
            suffix = next((s for s in SUFFIXES if path.name.endswith(s)), "")
            language, *split = path.name.removesuffix(suffix).split(".")
            if suffix and len(split) == 1 and path.is_file():
                if language in (parts := found.setdefault(split[0], {})):
                    raise DataError(f"{folder} has {parts[language].name} and {path.name}; keep one")
                parts[language] = path
        languages = sorted({language for parts in found.values() for language in parts})
        if not languages:
            raise DataError(f"{folder} has no file called LANGUAGE.SPLIT.txt, such as en.train.txt")
        wanted = self.settings.source_language, self.settings.target_language
        for setting, language in zip(("source_language", "target_language"), wanted, strict=True):
            if language not in languages:
                raise DataError(f"{folder}: {setting}: {unknown('language', language, languages)}")
        files = {}
        for split, names in FOLDERS.items():
            called = [name for name in names if set(wanted) & set(found.get(name, ()))]
            if len(called) > 1:
                raise DataError(f"{folder} has several {split} splits: {', '.join(called)}; keep one")
            for name in called:
                for language in wanted:
                    if language not in found[name]:
                        there = ", ".join(path.name for path in found[name].values())
                        raise DataError(f"{folder} has no {language}.{name}.txt beside {there}")
                files[split] = [tuple(found[name][language] for language in wanted)]
        if not files:
            known = ", ".join(name for names in FOLDERS.values() for name in names)
            raise DataError(f"{folder} has the splits {', '.join(found)}; one or more of {known} are needed")
        return files

    def splits(self) -> list[str]:
        return list(self._files)

    def examples(self, split: str) -> Iterator[dict[str, str]]:
        self._check_split(split)
        for files in self._files[split]:
            yield from self._two_files(*files) if len(files) == 2 else self._table(*files)

    def _two_files(self, source: Path, target: Path) -> Iterator[dict[str, str]]:
        counts = count_lines(source), count_lines(target)
        if counts[0] != counts[1]:
            raise DataError(f"{source} has {counts[0]:,} lines and {target} {counts[1]:,}; {parting(source, target)}")
        if not counts[0]:
            raise DataError(f"{source} and {target} are empty; a sentence a line is expected")
        both = zip(cut_lines(source, self.on_error), cut_lines(target, self.on_error), strict=True)
        for (_, line), (_, translation) in both:
            yield {"source": line, "target": translation}

    def _table(self, path: Path) -> Iterator[dict[str, str]]:
        columns = {"source": self.settings.source_column, "target": self.settings.target_column}
        return table_examples(path, tsv_rows(path, "\t", self.on_error), columns, header=False)

    def fingerprint(self) -> str:
        return self._hash({s: [[stamp(path) for path in files] for files in self._files[s]] for s in self._files})
