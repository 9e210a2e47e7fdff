"""One folder a class and one file an example, as in aclImdb; running text needs no classes: root/train/*.txt."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from nlp_suite.config import ComponentSettings
from nlp_suite.data.selection import Example
from nlp_suite.data.sources.base import PathText, Source
from nlp_suite.data.sources.reading import file_text
from nlp_suite.errors import DataError
from nlp_suite.registry import SOURCES

FOLDERS = {"train": ("train",), "validation": ("validation", "valid", "val", "dev"), "test": ("test",)}


class DirectorySettings(ComponentSettings):
    """Which folder."""

    name: str = "directory"
    root: PathText = Field(description="folder of the splits, or of the classes")
    ignore: list[str] = Field(["unsup"], description="folders that are no class")
    suffix: str = Field(".txt", description="end of the names of example files; other files are ignored")


@SOURCES.register(DirectorySettings)
class DirectorySource(Source):
    r"""Examples from one file each; the name of the file's folder is its label.

    If the root has a folder `train`, `validation` (or `valid`, `val`, `dev`) or `test`, these are the splits and
    the classes are folders in them; otherwise the root's folders are the classes of a `train` split. Files are sorted by
    name and taken from the classes in turn, so that the first rows are of all classes.

    Where the task needs no labels every file is a text, and where a split's folder holds no other folders, its own files
    are read (`root/train/*.txt` or `root/*.txt`), with `"\\n"` for `"\\r\\n"`.

    Args:
        **arguments: see `Source`; the settings are those of `DirectorySettings`.

    Raises:
        DataError: no such folder, no class or file in it, a class without files, a file that cannot be read.

    Example:
        >>> source = DirectorySource(root="aclImdb")
        >>> next(source.examples("train"))
        {'text': 'Story of a man …', 'label': 'neg'}
    """

    Settings = DirectorySettings
    reads = "one text a file"
    field_sets = (("text", "label"),)
    settings: DirectorySettings

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        self._labelled = "label" in self.kind.fields
        root = Path(self.settings.root).expanduser()
        if not root.is_dir():
            is_file = " (it is a file; the source 'files' reads files)" if root.exists() else ""
            raise DataError(f"folder {str(root)!r} does not exist{is_file}")
        splits = {}
        for split, names in FOLDERS.items():
            folders = [root / name for name in names if (root / name).is_dir()]
            if len(folders) > 1:
                raise DataError(f"{root} has several {split} folders: {', '.join(f.name for f in folders)}; keep one")
            if folders:
                splits[split] = folders[0]
        splits = splits or {"train": root}
        self._files = {split: self._classes(folder) for split, folder in splits.items()}

    def _classes(self, folder: Path) -> dict[str, list[str]]:
        """Folder of a class, or without labels perhaps the split's own, to its sorted file names."""
        names = sorted(entry.name for entry in os.scandir(folder) if entry.is_dir())
        names = [name for name in names if name not in self.settings.ignore and not name.startswith(".")]
        ignored = ", ".join(self.settings.ignore) or "none"
        if not names and self._labelled:
            raise DataError(f"{folder} has no folder of a class (ignored: {ignored})")
        suffix = self.settings.suffix
        classes = {}
        for subfolder in [folder / name for name in names] or [folder]:
            files = sorted(e.name for e in os.scandir(subfolder) if e.name.endswith(suffix) and e.is_file())
            if not files:
                hint = "a folder that is no class: ignore" if names else f"nor a folder with files (ignored: {ignored})"
                raise DataError(f"{subfolder} has no file that ends in {suffix!r}; {hint}")
            classes[str(subfolder)] = files
        return classes

    def splits(self) -> list[str]:
        return list(self._files)

    def files(self, split: str) -> Iterator[Path]:
        """Files of a split, one of each class in turn."""
        classes = [[Path(folder, name) for name in files] for folder, files in self._files[split].items()]
        for row in itertools.zip_longest(*classes):
            yield from (path for path in row if path is not None)

    def examples(self, split: str) -> Iterator[Example]:
        self._check_split(split)
        for path in self.files(split):
            text = file_text(path, self.on_error)
            if self._labelled:
                yield {"text": text, "label": path.parent.name}
            else:
                yield {"text": text.replace("\r\n", "\n")}

    def fingerprint(self) -> str:
        facts = []
        for split in self.splits():
            for path in self.files(split):
                status = path.stat()
                facts.append([split, path.parent.name, path.name, status.st_size, status.st_mtime_ns])
        return self._hash(facts)
