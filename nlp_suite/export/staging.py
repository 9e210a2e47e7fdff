"""Where exports are written and how they appear: numbered versions, complete or not at all.

A hidden folder is no version to TensorFlow Serving, as its name is not a number.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nlp_suite.data.staging import flush, flush_folder, hidden_folder, place_folder
from nlp_suite.errors import ExportError
from nlp_suite.files import FIRST_SCHEMA, Record, check_writable, contents_of

HIDDEN_PREFIX = ".export-"
EDITABLE = ("tf_serving_warmup_requests", "model_card.md", "model_card.json")
RECORD = "assets.extra/files.json"  # of an exported version


@contextmanager
def staging(parent: Path) -> Iterator[Path]:
    """A hidden folder in `parent` to write into; it and what is left in it are gone at the end.

    Args:
        parent: the folder that will hold the result; made if absent, and removed again if it was made here and the
            export fails.

    Raises:
        ExportError: the disk is full or the folder cannot be written.
    """
    made = _make(parent)
    try:
        with hidden_folder(parent, HIDDEN_PREFIX) as folder:
            yield folder
    except OSError as error:
        raise ExportError(f"cannot write the export in {str(parent)!r}: {error.strerror or error}") from error
    finally:
        for folder in made:  # innermost first; a folder that holds an export by now stays
            try:
                folder.rmdir()
            except OSError:
                break


def check_parent(parent: Path) -> None:
    """Finds out before the work whether an export can be written into a folder, which need not exist.

    Raises:
        ExportError: it cannot be written, or TensorFlow would take its name for a pattern and find no file in it.
    """
    if wrong := sorted(set("*?[]\\") & set(str(parent.absolute()))):
        raise ExportError(
            f"TensorFlow reads no files in {str(parent.absolute())!r}: take {' '.join(wrong)} out of the name"
        )
    check_writable(parent, "give another --to", ExportError)


def check_new_folder(to: Path, what: str, example: str) -> None:
    """Finds out before the work whether a folder that is not there yet can be made.

    Args:
        to: the folder.
        what: goes there, for messages.
        example: a name that could be given.

    Raises:
        ExportError: a file, a folder with something in it, or see `check_parent`.
    """
    if to.suffix == ".keras" or to.is_file():
        raise ExportError(f"{str(to)!r} is a file: {what} goes to a new folder such as {example}")
    if to.is_dir() and any(to.iterdir()):
        raise ExportError(f"{str(to)!r} is a folder with something in it: {what} goes to a new one")
    check_parent(to.resolve().parent)


def place_new_folder(written: Path, to: Path) -> None:
    """Puts a folder at a place where there is none, or an empty one, see `check_new_folder`."""
    if to.is_dir():
        to.rmdir()
    place_folder(written, to)


def export_record(version: Path) -> Record:
    """The record of an exported version's files."""
    return Record(version, RECORD, lambda _: "export the run again")


def write_record(version: Path) -> None:
    """Records what the files of a version hold, once all are written; a user may edit the model card and the warm-up."""
    files = (path for path in version.rglob("*") if path.is_file() and path.name not in EDITABLE)
    export_record(version).write({"schema": FIRST_SCHEMA, "files": contents_of(version, files)})


def check_version(version: Path) -> None:
    """Checks the files of an exported version; one that has no record, as older and other people's, is not checked.

    Raises:
        DamagedFileError: a file is missing or damaged.
    """
    if (version / RECORD).exists():
        export_record(version).check_all()


def _make(parent: Path) -> list[Path]:
    """Makes a folder; returns those that did not exist, innermost first."""
    absent = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"cannot make the folder {str(parent)!r}: {error.strerror or error}") from error
    return absent


def versions(directory: Path) -> dict[int, Path]:
    """Version folders as TensorFlow Serving sees them: children whose whole name is a number, sorted."""
    if not directory.is_dir():
        return {}
    children = [child for child in directory.iterdir() if child.name.isascii() and child.name.isdigit()]
    return dict(sorted((int(child.name), child) for child in children))


def place_version(staged: Path, directory: Path) -> Path:
    """Renames a complete folder to the next version of `directory`; returns its path."""
    while True:
        target = directory / str(max(versions(directory), default=0) + 1)
        try:
            place_folder(staged, target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                continue  # another export took that number
            raise
        return target


def place_file(staged: Path, target: Path) -> Path:
    """Renames a complete file to `target`, replacing what was there; returns its path."""
    flush(staged)
    os.replace(staged, target)
    flush_folder(target.parent)
    return target
