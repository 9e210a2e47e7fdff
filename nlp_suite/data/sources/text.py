"""Plain text files, plain or gzipped: a document is a line, a block between blank lines, a file, or has a heading."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, model_validator

from nlp_suite.config import ComponentSettings
from nlp_suite.data.selection import Example
from nlp_suite.data.sources.base import SPLITS, Paths, Source, listed
from nlp_suite.data.sources.parts import part_files
from nlp_suite.data.sources.reading import existing_file, lines_without_ends, stamp
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES


class PlainTextSettings(ComponentSettings):
    """Which files, and where a document begins in them."""

    name: str = "text"
    train: Paths = Field(description="a path, a glob, or a list of them")
    validation: Paths | None = Field(None, description="as train")
    test: Paths | None = Field(None, description="as train")
    documents: Literal["line", "blank_line", "file"] = Field(
        "file", description="what a document is: a line (a sentence), the lines between blank lines, or a file"
    )
    heading: str | None = Field(
        None,
        min_length=1,
        description="with documents: file, regular expression of a whole line that begins a new document",
    )

    @model_validator(mode="after")
    def _usable_heading(self) -> "PlainTextSettings":
        if self.heading is not None and self.documents != "file":
            raise ValueError(f"a heading begins a document with documents: file only, got documents: {self.documents}")
        try:
            re.compile(self.heading or "")
        except re.error as error:
            raise ValueError(f"heading {self.heading!r} is no regular expression: {error}") from None
        return self


@SOURCES.register(PlainTextSettings)
class PlainTextSource(Source):
    r"""Lines of text files, read one by one; for running text only, as there are no labels.

    A line ends at `"\n"` and nowhere else (at `"\r\n"` where a file's first line does); spaces at its ends are kept. How
    lines make documents:

    * `documents="line"`: every line is a document; examples have no `"document"`;
    * `"blank_line"`: lines that are empty or white space separate documents and are no lines themselves;
    * `"file"`: a file is one document and its blank lines are lines, too; with `heading` (Python's `re.fullmatch` on a
      line without its end) a line that matches begins the next one.

    Args:
        **arguments: see `Source`; the settings are those of `PlainTextSettings`.

    Raises:
        DataError: a missing or empty file, one of blank lines only where these separate documents, a heading that no line of a
            file has, a broken gzip, invalid UTF-8: with file and line; a task that needs labels or pairs.

    Example:
        >>> source = PlainTextSource(kind="text", train="wikitext2/train.txt", heading=" = [^=]+ = ")
        >>> next(source.examples("train"))
        {'text': ' ', 'document': '1:1'}
    """

    Settings = PlainTextSettings
    reads = "plain text files"
    field_sets = (("text", "document"),)
    settings: PlainTextSettings

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        self._files: dict[str, list[Path]] = {}
        for split in SPLITS:
            if paths := listed(getattr(self.settings, split)):
                for folder in filter(os.path.isdir, paths):
                    existing_file(folder)  # which says what reads folders
                self._files[split] = part_files(paths)

    def splits(self) -> list[str]:
        return list(self._files)

    def examples(self, split: str) -> Iterator[Example]:
        self._check_split(split)
        read = {"line": self._lines, "blank_line": self._blocks, "file": self._whole}[self.settings.documents]
        for number, path in enumerate(self._files[split], 1):
            empty = True
            for line, begin in read(path):
                empty = False
                yield {"text": line} if begin is None else {"text": line, "document": f"{number}:{begin}"}
            if empty:
                what = (
                    "is empty"
                    if next(lines_without_ends(path, self.on_error), None) is None
                    else "has only blank lines"
                )
                raise DataError(f"{path}: the file {what}; lines of text are expected")

    def _lines(self, path: Path) -> Iterator[tuple[str, None]]:
        return ((line, None) for _, line in lines_without_ends(path, self.on_error))

    def _blocks(self, path: Path) -> Iterator[tuple[str, int]]:
        """Lines that are not blank, each with the number of its document's first line."""
        begin = None
        for number, line in lines_without_ends(path, self.on_error):
            if not line or line.isspace():
                begin = None
                continue
            begin = begin or number
            yield line, begin

    def _whole(self, path: Path) -> Iterator[tuple[str, int]]:
        """All lines, each with the number of its document's first line."""
        heading = re.compile(self.settings.heading) if self.settings.heading else None
        begin, matched, first = 1, False, None
        for number, line in lines_without_ends(path, self.on_error):
            if heading and heading.fullmatch(line):
                begin, matched = number, True
            first = first or (line if line.strip() else None)
            yield line, begin
        if heading and first and not matched:
            raise DataError(
                f"{path}: no line is a heading {self.settings.heading!r}; the whole line must match, spaces at its ends "
                f"included; the first line that is not blank: {first[:60]!r}"
            )

    def files(self, split: str) -> list[Path]:
        return self._files[split]

    def fingerprint(self) -> str:
        return self._hash({split: [stamp(path) for path in paths] for split, paths in self._files.items()})
