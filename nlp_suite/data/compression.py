"""Files that are compressed, as their suffix says: gz, bz2, xz and zst are read and written like plain ones."""

import bz2
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, cast

from nlp_suite.errors import DataError

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst")
_PIECE = 1 << 17  # compressed bytes read at once
_NO_TEXT = (  # place and bytes by which files are known that are no text; what they are, and the remedy
    (0, b"PK\x03\x04", "a zip archive or a workbook: unpack it, or let its name end in .xlsx"),
    (257, b"ustar", "a tar archive: unpack it"),
    (0, b"%PDF-", "a PDF: save its text as a text file"),
    (0, b"\x1f\x8b", "compressed by gzip: let its name end in .gz"),
    (4, b"1AY&SY", "compressed by bzip2: let its name end in .bz2"),
    (0, b"\xfd7zXZ\x00", "compressed by xz: let its name end in .xz"),
    (0, b"\x28\xb5\x2f\xfd", "compressed by zstd: let its name end in .zst"),
)


def compression_of(path: Path) -> str:
    """One of `COMPRESSIONS`, in lower case, if a file's name ends in it, in either case; else empty."""
    suffix = path.suffix.lower()
    return suffix if suffix in COMPRESSIONS else ""


def bare_suffix(path: Path) -> str:
    """A file's suffix before that of its compression, in lower case: `.csv` of `a.CSV.gz`."""
    return (path.with_suffix("") if compression_of(path) else path).suffix.lower()


@contextmanager
def open_bytes(path: Path, position: Callable[[], str] = str) -> Iterator[IO[bytes]]:
    """The bytes of a file, decompressed.

    Args:
        path: the file.
        position: says for messages how far it has been read, such as `", after line 7"`.

    Raises:
        DataError: a broken compressed file or one that cannot be read, then or while it is read within the context; a
            file that is no text, as an archive; or a `.zst` without the package that reads it.
    """
    compression = compression_of(path)
    try:
        with _opened(path, compression, "rb") as file:
            begin = cast(io.BufferedReader, file).peek(300)
            for place, mark, what in _NO_TEXT:
                if begin.startswith(mark, place):
                    raise DataError(f"{path} is {what}" if not compression else f"{path}: what it holds is {what}")
            yield file
    except (EOFError, zlib.error, gzip.BadGzipFile, lzma.LZMAError) as error:
        raise DataError(f"{path}{position()}: broken {_called(compression)} file: {error}") from None
    except OSError as error:
        if compression and error.errno is None:  # bz2 says so
            raise DataError(f"{path}{position()}: broken {_called(compression)} file: {error}") from None
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def open_compressed(path: Path, to_suffix_of: Path) -> IO[bytes]:
    """A file to write, compressed as the suffix of another name says."""
    return _opened(path, compression_of(to_suffix_of), "wb")


def text_size(path: Path) -> int | None:
    """Bytes of a file's text, of a gzip modulo 4 GiB, as its last four bytes say; None: not known without reading it."""
    try:
        size = path.stat().st_size
        if compression_of(path) == ".gz" and size >= 4:
            with open(path, "rb") as file:
                file.seek(-4, 2)
                return int.from_bytes(file.read(4), "little")
        return None if compression_of(path) in (".bz2", ".xz", ".zst") else size
    except OSError:  # who reads the file will say it
        return 0


def zstandard_package(path: Path) -> Any:
    """The package that reads and writes `.zst`.

    Raises:
        DataError: it is not installed.
    """
    try:
        import zstandard
    except ModuleNotFoundError:
        remedy = "it is installed by pip install 'nlp-suite[zstd]'; .gz, .bz2 and .xz need no package"
        raise DataError(f"{path}: .zst needs the package zstandard, which is not installed; {remedy}") from None
    return zstandard


def _called(compression: str) -> str:
    return {".gz": "gzip", ".bz2": "bzip2"}.get(compression, compression.removeprefix("."))


def _opened(path: Path, compression: str, mode: str) -> IO[bytes]:
    if compression == ".gz" and mode == "wb":
        return cast(IO[bytes], gzip.GzipFile(path, mode, compresslevel=6, mtime=0))
    if compression == ".zst":
        package = zstandard_package(path)
        if mode == "rb":
            return io.BufferedReader(_ZstdFile(path, package))
        return cast(IO[bytes], package.open(path, mode))
    opened: Any = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open, "": open}[compression]
    return cast(IO[bytes], opened(path, mode))


class _ZstdFile(io.RawIOBase):
    """A `.zst` of one or more frames; one that is cut is an error, which the package's own reader takes for the end."""

    def __init__(self, path: Path, package: Any):
        self._package, self._file = package, open(path, "rb")  # noqa: SIM115  # it is closed with this one
        self._frame: Any = None  # what decompresses the frame that has begun
        self._ready, self._rest = memoryview(b""), b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._ready:
            piece = self._rest or self._file.read(_PIECE)
            self._rest = b""
            if not piece:
                if self._frame:
                    raise EOFError("it ends before its last frame does")
                return 0
            self._frame = self._frame or self._package.ZstdDecompressor().decompressobj()
            try:
                self._ready = memoryview(self._frame.decompress(piece))
            except self._package.ZstdError as error:
                raise EOFError(str(error)) from None
            if self._frame.eof:
                self._rest, self._frame = self._frame.unused_data, None
        count = min(len(buffer), len(self._ready))
        buffer[:count], self._ready = self._ready[:count], self._ready[count:]
        return count

    def close(self) -> None:
        self._file.close()
        super().close()
