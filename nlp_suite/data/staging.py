"""Writing beside and renaming into place, so that a reader never meets half a folder.

A result is written into a hidden folder next to its destination and renamed. A process that is killed leaves at most
the hidden folder, which the next writer removes: a lock held by the living tells the dead ones.
"""

import fcntl
import glob
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nlp_suite.errors import TrainingError


@contextmanager
def hidden_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A hidden folder in `parent` to write into; it and what is left in it are gone at the end.

    Its permissions, and so those of what is written into it, are what the umask says.

    Args:
        parent: the folder that will hold the result; must exist.
        prefix: how hidden folders of this kind begin; those of dead processes are removed first.
    """
    _remove_leftovers(parent, prefix)
    folder, lock = _locked_folder(parent, prefix)
    try:
        yield folder
    except KeyboardInterrupt as error:
        error.add_note(f"interrupted: what was begun in {parent} is removed; the same command begins it again")
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _locked_folder(parent: Path, prefix: str) -> tuple[Path, int]:
    while True:
        folder = parent / f"{prefix}{uuid.uuid4().hex[:8]}"
        folder.mkdir()
        try:
            lock = os.open(folder, os.O_RDONLY)
        except FileNotFoundError:
            continue  # another writer took it for a leftover before it was locked
        fcntl.flock(lock, fcntl.LOCK_EX)
        if folder.exists():
            return folder, lock
        os.close(lock)


def _remove_leftovers(parent: Path, prefix: str) -> None:
    """Removes the hidden folders whose process is dead."""
    for folder in parent.glob(glob.escape(prefix) + "*"):
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


def place_folder(staged: Path, target: Path) -> None:
    """Flushes a complete folder to the disk and renames it.

    Raises:
        OSError: `target` exists and is not empty.
    """
    flush(staged)
    os.rename(staged, target)
    flush_folder(target.parent)


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


def flush_folder(directory: Path) -> None:
    """Forces the names in a folder, not what they hold, to the disk."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def only_process(directory: Path, message: str) -> Iterator[None]:
    """Within the context no other process can enter it for the same folder.

    Raises:
        TrainingError: with `message`, where one is in it.
    """
    lock = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TrainingError(message) from None
        yield
    finally:
        os.close(lock)
