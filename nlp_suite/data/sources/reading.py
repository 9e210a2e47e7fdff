"""Reading text files: UTF-8 checked line by line, decompressed by suffix, and stamps that change with a file."""

import codecs
import hashlib
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from nlp_suite.data.compression import open_bytes, text_size
from nlp_suite.errors import DataError

MAX_HASHED_BYTES = 64 * 2**20  # a larger file is known by its size and time of change

_bytes_read = 0  # of text, by this process


def existing_file(path: str | Path) -> Path:
    """The path, with `~` expanded. Raises `DataError` if there is no such file, naming the files beside it."""
    path = Path(path).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        hint = "one folder a class is read by the source 'directory', translations by 'parallel' with directory"
        raise DataError(f"{path} is a folder, not a file; {hint}")
    if not path.parent.is_dir():
        raise DataError(f"file {str(path)!r} does not exist, nor does its folder (looked from {Path.cwd()})")
    beside = sorted(p.name for p in path.parent.iterdir() if p.is_file())
    shown = ", ".join(beside[:10]) + (", …" if len(beside) > 10 else "")
    raise DataError(f"file {str(path)!r} does not exist; its folder has: {shown or 'no files'}")


def decode(raw: bytes, path: Path, line: int, on_error: str) -> str:
    """UTF-8 bytes of one line to text; invalid bytes are an error with file and line, or U+FFFD."""
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        if on_error == "replace":
            return raw.decode("utf-8", errors="replace")
        utf16 = line == 1 and raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
        hint = "the file looks like UTF-16: convert it" if utf16 else "data.on_error=replace puts U+FFFD in its place"
        raise DataError(
            f"{path}, line {line}: invalid UTF-8, byte 0x{raw[error.start]:02x} at position {error.start + 1}; "
            f"allowed is UTF-8 ({hint})"
        ) from None


def text_lines(path: Path, on_error: str = "fail") -> Iterator[tuple[int, str]]:
    r"""Numbered lines of a UTF-8 file, from 1, with their line ends; split at `"\n"` only.

    A byte order mark is dropped; a compressed file is decompressed (`open_bytes`).

    Raises:
        DataError: invalid UTF-8 (unless replaced), a broken compressed file, or a file that cannot be read.
    """
    for number, raw in _raw_lines(path):
        if number == 1:
            raw = raw.removeprefix(codecs.BOM_UTF8)
        yield number, decode(raw, path, number, on_error)


def _raw_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    number = 0
    with open_bytes(path, lambda: f", after line {number}") as file:
        for number, raw in enumerate(file, 1):
            count_bytes(len(raw))
            yield number, raw


def count_bytes(number: int) -> None:
    """Counts bytes of text that have been read, for `share_read`."""
    global _bytes_read
    _bytes_read += number


def share_read(paths: Iterable[Path]) -> Callable[[int], float] | None:
    """What says, for `nlp_suite.progress`, which share of some files has been read since this call; None: not known."""
    sizes, before = list(map(text_size, paths)), _bytes_read
    if None in sizes or not (total := sum(size for size in sizes if size)):
        return None
    return lambda _: (_bytes_read - before) / total


def count_lines(path: Path) -> int:
    """The number of lines that `text_lines` gives, without decoding them."""
    return sum(1 for _ in _raw_lines(path))


def count_pairs(source: Path, target: Path) -> tuple[int, int, int]:
    """The lines of two files, and how many pairs they are: blank lines at the end of the longer one are none."""
    counts = count_lines(source), count_lines(target)
    pairs = min(counts)
    longer = source if counts[0] > pairs else target
    extra = itertools.islice(_raw_lines(longer), pairs, None) if max(counts) > pairs else ()
    return (*counts, max(counts) if any(line.strip() for _, line in extra) else pairs)


def lines_without_ends(path: Path, on_error: str = "fail") -> Iterator[tuple[int, str]]:
    r"""`text_lines` without their ends; `"\r\n"` is an end where the first line has it, else `"\n"` alone."""
    crlf = False
    for number, line in text_lines(path, on_error):
        line = line.removesuffix("\n")
        crlf = line.endswith("\r") if number == 1 else crlf
        yield number, line.removesuffix("\r") if crlf else line


def file_text(path: Path, on_error: str = "fail") -> str:
    """All of a file as one text, with the errors of `text_lines`."""
    return "".join(line for _, line in text_lines(path, on_error))


def stamp(path: Path) -> list[Any]:
    """JSON-able facts that change with a file: its size, and the hash of its bytes or, if large, path and time."""
    status = path.stat()
    if status.st_size > MAX_HASHED_BYTES:
        return [str(path.resolve()), status.st_size, status.st_mtime_ns]
    with open(path, "rb") as file:
        return [path.name, status.st_size, hashlib.file_digest(file, "sha256").hexdigest()]
