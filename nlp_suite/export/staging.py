"""Writing beside and renaming into place, so that a reader never meets half an export.

An export is written into a hidden folder next to its destination, flushed to the disk, and renamed. A process that is
killed leaves at most the hidden folder, which TensorFlow Serving ignores (its name is not a number) and the next export
removes: a lock held by the living writer tells the dead ones.
"""

import errno
import fcntl
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path

from nlp_suite.export.errors import ExportError

_PREFIX = ".export-"


@contextmanager
def staging(parent: Path):
    """A hidden folder in `parent` to write into; it and what is left in it are gone at the end.

    Args:
        parent: the folder that will hold the result; made if absent, and removed again if it was made here and the
            export fails.

    Raises:
        ExportError: the disk is full or the folder cannot be written.
    """
    made = _make(parent)
    try:
        _remove_leftovers(parent)
        folder, lock = _locked_folder(parent)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
    except OSError as error:
        raise ExportError(f"cannot write the export in {str(parent)!r}: {error.strerror or error}") from error
    finally:
        for folder in made:  # innermost first; a folder that holds an export by now stays
            try:
                folder.rmdir()
            except OSError:
                break


def _make(parent: Path) -> list[Path]:
    """Makes a folder; returns those that did not exist, innermost first."""
    absent = [folder for folder in (parent, *parent.parents) if not folder.exists()]
    try:
        parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"cannot make the folder {str(parent)!r}: {error.strerror or error}") from error
    return absent


def _locked_folder(parent: Path) -> tuple[Path, int]:
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # another export took it for a leftover before it was locked
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def _remove_leftovers(parent: Path) -> None:
    """Removes the folders of exports whose process is dead."""
    for folder in parent.glob(_PREFIX + "*"):
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)
        except BlockingIOError:
            pass  # its writer lives
        finally:
            os.close(lock)


def flush(path: Path) -> None:
    """Forces a file, or a folder and all in it, to the disk."""
    if path.is_dir():
        for child in path.iterdir():
            flush(child)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def versions(directory: Path) -> dict[int, Path]:
    """Version folders as TensorFlow Serving sees them: children whose whole name is a number, sorted."""
    if not directory.is_dir():
        return {}
    found = {int(child.name): child for child in directory.iterdir() if child.name.isascii() and child.name.isdigit()}
    return dict(sorted(found.items()))


def place_version(staged: Path, directory: Path) -> Path:
    """Renames a complete folder to the next version of `directory`; returns its path."""
    staged.chmod(0o755)
    flush(staged)
    while True:
        target = directory / str(max(versions(directory), default=0) + 1)
        try:
            os.rename(staged, target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
                continue  # another export took that number
            raise
        flush_folder(directory)
        return target


def place_file(staged: Path, target: Path) -> Path:
    """Renames a complete file to `target`, replacing what was there; returns its path."""
    flush(staged)
    os.replace(staged, target)
    flush_folder(target.parent)
    return target


def flush_folder(directory: Path) -> None:
    """Forces the names in a folder, not what they hold, to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
