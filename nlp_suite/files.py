"""The files that this package writes for itself: written whole, and never used when they are damaged.

A folder of ours has a *record*: a JSON file (`run.json`, `prepared.json`, a store's `meta.json`, an export's
`assets.extra/files.json`) that says of the folder's other files, under `files`, how many bytes they have and their
CRC-32, and of itself, under `digest`, the CRC-32 of its other keys. What reads a file of ours asks the record first
(`Record.check`).

CRC-32 finds damage, not forgery: it read 1.9 GB a second on one core, SHA-256 0.9 and BLAKE2b 0.5. A file of a MiB or
more is read once a process, so a store of a gigabyte costs half a second at the start.

While a file is replaced, the record lists what it holds before and after (null: nothing): a process that is killed at any
moment leaves no file that looks damaged. Folders written before there were records of files have none; they open unchecked.
"""

import fcntl
import json
import os
import re
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePath
from typing import Any

from nlp_suite.errors import DamagedFileError, NlpSuiteError

FIRST_SCHEMA = 2  # of a JSON file of ours that has a digest of itself
_BLOCK = 1 << 20  # bytes read at once; a file as large is checked once a process
_checked: set[tuple[int, int, int, int, str]] = set()  # device, inode, bytes, time of change, content

Files = Mapping[str, Sequence[str | None]]
"""File, relative to its folder → what it may hold, as `content_of` says it; None: it may be absent."""


def is_unfinished(path: Path) -> bool:
    """Whether a file is what `write_file` had begun to write when its process was killed."""
    return re.fullmatch(r"\..+\.[0-9a-f]{32}", path.name) is not None


def write_file(path: Path, text: str, place: Callable[[Path, Path], None] | None = None) -> None:
    """Writes a text beside its destination and renames it; if that fails, the file that was there stays as it was.

    Args:
        path: the destination.
        text: written as UTF-8.
        place: what renames it; default: `os.replace`.

    Raises:
        OSError: with the file's name.
    """
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        with open(beside, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        (place or os.replace)(beside, path)
    except OSError as error:
        raise OSError(error.errno, f"cannot write {str(path)!r}: {error.strerror or error}") from error
    finally:
        beside.unlink(missing_ok=True)


def check_writable(folder: Path, remedy: str, error: type[NlpSuiteError]) -> None:
    """Finds out before hours of work whether a folder, or the nearest one above it that exists, takes new files.

    Raises:
        error: with the folder, why it does not, and the remedy.
    """
    existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
    probe = existing / f".{uuid.uuid4().hex}"
    try:
        probe.mkdir()
        probe.rmdir()
    except OSError as reason:
        raise error(f"cannot write into {str(existing)!r} ({reason.strerror}): {remedy}") from None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Writes a JSON file of ours, with its digest, in one piece."""
    plain = json.loads(json.dumps(content))
    write_file(path, json.dumps({**plain, "digest": _digest(plain)}, indent=1, ensure_ascii=False))


def read_json(path: Path, remedy: str) -> dict[str, Any]:
    """What `write_json` wrote.

    Args:
        path: the file; one with a schema below `FIRST_SCHEMA` may have no digest.
        remedy: what to do where it is damaged.

    Raises:
        DamagedFileError: it is missing or damaged.
    """
    try:
        raw = path.read_bytes()
        content = json.loads(raw)
    except FileNotFoundError:
        raise DamagedFileError(f"{path} is missing: {remedy}") from None
    except (ValueError, RecursionError) as error:
        raise DamagedFileError(f"{path} is damaged ({error if raw else 'it is empty'}): {remedy}") from None
    if not isinstance(content, dict):
        raise DamagedFileError(f"{path} is damaged (it holds no JSON object): {remedy}")
    digest, schema = content.pop("digest", None), content.get("schema")
    if digest is None and not (isinstance(schema, int) and schema >= FIRST_SCHEMA):
        return content
    if digest != _digest(content):
        raise DamagedFileError(f"{path} is damaged (its content does not have the digest that it states): {remedy}")
    return content


def _digest(content: dict[str, Any]) -> str:
    return f"crc32 {zlib.crc32(json.dumps(content, sort_keys=True).encode()):08x}"


def content_of(path: Path, *, appended: bool = False) -> str:
    """Size and digest of a file, as `"1234 bytes, crc32 0a1b2c3d"`; `appended`: more may be written at its end later."""
    size = path.stat().st_size
    return f"{'first ' * appended}{size} bytes, crc32 {_crc32(path, size):08x}"


def contents_of(directory: Path, files: Iterable[Path]) -> Files:
    """The record's entries for some files of a folder."""
    return {file.relative_to(directory).as_posix(): [content_of(file)] for file in sorted(files)}


def _crc32(path: Path, size: int) -> int:
    """CRC-32 of the first bytes of a file."""
    value = 0
    with open(path, "rb") as file:
        while size and (block := file.read(min(size, _BLOCK))):
            value, size = zlib.crc32(block, value), size - len(block)
    return value


def _size(content: str) -> int:
    """The number of bytes that `content_of` stated."""
    return int(content.removeprefix("first ").split()[0])


def _holds(path: Path, content: str) -> bool:
    """Whether a file holds what `content_of` said."""
    status, size = path.stat(), _size(content)
    if status.st_size != size and not (content.startswith("first ") and status.st_size > size):
        return False
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, content)
    if key in _checked:
        return True
    holds = int(content.rsplit(maxsplit=1)[1], 16) == _crc32(path, size)
    if holds and size >= _BLOCK:
        _checked.add(key)
    return holds


@contextmanager
def locked(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    """Within the context no other process has the lock of the file that lies at a path.

    Args:
        path: the file. One that is replaced or removed while the lock is waited for is opened anew.
        flags: of `os.open`.

    Yields:
        Its descriptor.
    """
    while True:
        lock = os.open(path, flags, 0o666)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if _is_at(path, lock):
                yield lock
                return
        finally:
            os.close(lock)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether the open file is the one that lies at the path."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


class Record:
    """The record of a folder's files, and the way to each of them.

    Args:
        directory: the folder.
        name: the JSON file in it.
        remedy: what to do where a file of the folder, named relative to it, is damaged.

    Attributes:
        directory, remedy: the arguments.

    Example:
        >>> record = Record(run, "run.json", lambda name: "restore it from a copy")
        >>> text = record.check("config.yaml").read_text("utf-8")
    """

    def __init__(self, directory: Path, name: str, remedy: Callable[[str], str]):
        self.directory, self._name, self.remedy = directory, name, remedy
        # what `replace` put in place; until the next change listed beside what was there
        self._placed: dict[str, list[str | None]] = {}

    def read(self) -> dict[str, Any]:
        """The record's JSON, checked."""
        return read_json(self.directory / self._name, self.remedy(self._name))

    def write(self, content: dict[str, Any]) -> None:
        """Writes the record, in one piece."""
        write_json(self.directory / self._name, content)

    def _files(self) -> Files | None:
        """The entries of all files; None of a folder that was written before there were any."""
        files: Files | None = self.read().get("files")
        return files

    def _entry(self, name: str) -> Sequence[str | None]:
        return (self._files() or {}).get(name, [None])

    def has(self, name: str) -> bool:
        """Whether a file is, or should be, in the folder."""
        return (self.directory / name).exists() or None not in self._entry(name)

    def matching(self, pattern: str) -> list[str]:
        """The files of the folder whose names match a pattern of `glob`; those that the record does not list aside."""
        present = {path.relative_to(self.directory).as_posix() for path in self.directory.glob(pattern)}
        if (files := self._files()) is None:
            return sorted(present)
        named = (name for name in files if PurePath(name).match(pattern))
        return sorted(name for name in named if name in present or None not in files[name])

    def check(self, name: str) -> Path:
        """The path of a file that holds what was written, or of one that is absent and may be.

        Raises:
            DamagedFileError: it is missing, damaged, or not of this folder.
        """
        path, files = self.directory / name, self._files()
        while files is not None and (fault := self._fault(path, files.get(name))):
            before, files = files, self._files()
            if files == before:  # else another process has just replaced it
                raise DamagedFileError(f"{path} {fault}: {self.remedy(name)}")
        return path

    def _fault(self, path: Path, entry: Sequence[str | None] | None) -> str:
        """What is wrong with a file, given its entry; empty if nothing is."""
        contents = [content for content in entry or () if content]
        if not path.exists():
            return f"is missing, though {self._name} lists it" if entry and len(contents) == len(entry) else ""
        if not entry:
            return f"is not of this folder ({self._name} does not list it)"
        if any(_holds(path, content) for content in contents):
            return ""
        size, sizes = path.stat().st_size, sorted({_size(content) for content in contents})
        if size in sizes:
            return f"is damaged (its CRC-32 is not what {self._name} says)"
        return f"is damaged (it has {size} bytes, {self._name} says {' or '.join(map(str, sizes))})"

    def check_all(self) -> None:
        """Checks every file that the record lists.

        Raises:
            DamagedFileError: see `check`.
        """
        for name in self._files() or {}:
            self.check(name)

    def replace(self, staged: Path, target: Path, *, appended: bool = False, also: Files | None = None) -> None:
        """Renames a file that was written beside to `target`, in the folder, and records what it holds.

        Args:
            staged: the file; on the same file system.
            target: its place.
            appended: whether more will be written at its end.
            also: entries of other files, recorded before the renaming.
        """
        name, content = target.relative_to(self.directory).as_posix(), content_of(staged, appended=appended)
        with self._locked():
            before = [old for old in self._placed.get(name) or self._entry(name) if old != content]
            self._change({**(also or {}), name: [*before, content]})
            os.replace(staged, target)
            self._placed[name] = [content]

    def update(self, files: Files | None = None, *, without: Iterable[str] = (), **changes: Any) -> None:
        """Changes the entries of some files, takes out those of others, and changes further keys of the record."""
        with self._locked():
            self._change(files or {}, without, **changes)

    def _change(self, files: Files, without: Iterable[str] = (), **changes: Any) -> None:
        content = self.read()
        new = {**content, **changes}
        if "files" in content:
            entries = {**content["files"], **self._placed, **files}
            new["files"] = {name: entry for name, entry in entries.items() if name not in set(without)}
        if new != content:
            self.write(new)
        self._placed = {}

    def _locked(self) -> AbstractContextManager[int]:
        """Within the context no other process changes the record."""
        return locked(self.directory / self._name)
