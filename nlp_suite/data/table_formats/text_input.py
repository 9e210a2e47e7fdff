"""The text of a file of rows: which encoding it has, a sample of its beginning, and its lines."""

import codecs
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nlp_suite.data.compression import open_bytes
from nlp_suite.data.sources.reading import count_bytes
from nlp_suite.errors import DataError

SAMPLE_BYTES = 4 * 2**20  # of a file's text, from which its dialect is found
_PIECE_BYTES = 1 << 20
_WESTERN = {
    *map(chr, range(128)),
    *"ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØÙÚÛÜÝßàáâãäåæçèéêëìíîïñòóôõöøùúûüýÿŒœŠšŽžŸ€£§°«»¡¿·ªº‘’‚“”„–—…•™®© ",
}
_SELDOM = set("¹²³¼½¾´¨±µ×÷¢¥†‡‰‹›¯¬¦¶¤·ˆ˜ƒ")  # in Western texts; letters in other encodings
_RARE = ["cp037", "cp273", "cp424", "cp500", "cp875", "cp1026", "cp1140", "mac_cyrillic", "mac_greek", "mac_iceland"]
_RARE += ["mac_latin2", "mac_roman", "mac_turkish"]  # of mainframes and of computers before 2001
_BYTE_ORDER_MARKS = (  # the longer ones first
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


@dataclass(frozen=True)
class TextInput:
    """A text file that is read as lines.

    Attributes:
        path: the file.
        encoding: name of its codec, as `find_encoding` found it.
        on_error: what to do with bytes that are invalid in it: `"fail"`, or `"replace"` them with U+FFFD.
        newline: what ends a line: LF, or CR where the file has no LF that ends one.
    """

    path: Path
    encoding: str
    on_error: str
    newline: str = "\n"

    def sample(self) -> tuple[str, bool]:
        """The text of the first `SAMPLE_BYTES`, and whether there is more of it; invalid bytes are U+FFFD."""
        with open_bytes(self.path) as file:
            piece = file.read(SAMPLE_BYTES)
            more = bool(file.read(1))
        return codecs.getincrementaldecoder(self.encoding)("replace").decode(piece, not more).removeprefix(
            "\ufeff"
        ), more

    def lines(self) -> Iterator[tuple[int, str]]:
        """Numbered lines, from 1, with their ends, without a byte order mark.

        Raises:
            DataError: invalid bytes (unless replaced), or a file that cannot be read.
        """
        by_bytes = self.newline == "\n" and keeps_ascii(self.encoding)
        for number, line in self._split_bytes() if by_bytes else self._split_text():
            yield number, line.removeprefix("\ufeff") if number == 1 else line

    def pieces(self) -> Iterator[str]:
        """The text in pieces that end anywhere, for a format in which a line may be the whole file.

        Raises:
            DataError: as of `lines`.
        """
        decoder = codecs.getincrementaldecoder(self.encoding)("replace" if self.on_error == "replace" else "strict")
        number, first, raw = 1, True, b"-"
        with open_bytes(self.path) as file:
            while raw:
                raw = file.read(_PIECE_BYTES)
                count_bytes(len(raw))
                try:
                    piece = decoder.decode(raw, not raw)
                except UnicodeError as error:
                    what = (
                        f"line {number} or later: invalid {_called(self.encoding)}: {getattr(error, 'reason', error)}"
                    )
                    raise DataError(f"{self.path}, {what}; {self._remedy()}") from None
                number += piece.count("\n")
                yield piece.removeprefix("\ufeff") if first else piece
                first = False

    def _split_bytes(self) -> Iterator[tuple[int, str]]:
        number = 0
        with open_bytes(self.path, lambda: f", after line {number}") as file:
            for number, raw in enumerate(file, 1):
                count_bytes(len(raw))
                try:
                    line = raw.decode(self.encoding)
                except UnicodeDecodeError as error:
                    if self.on_error != "replace":
                        at = f"line {number}: invalid {_called(self.encoding)}, byte 0x{raw[error.start]:02x} at position"
                        raise DataError(f"{self.path}, {at} {error.start + 1}; {self._remedy()}") from None
                    line = raw.decode(self.encoding, "replace")
                yield number, line

    def _split_text(self) -> Iterator[tuple[int, str]]:
        number, width = (
            0,
            len("a".encode(self.encoding + "-le" if self.encoding in ("utf-16", "utf-32") else self.encoding)),
        )
        errors = "replace" if self.on_error == "replace" else "strict"
        with open_bytes(self.path, lambda: f", after line {number}") as file:
            try:
                text = io.TextIOWrapper(file, self.encoding, errors, newline=self.newline)
                for number, line in enumerate(text, 1):
                    count_bytes(len(line) * width)
                    yield number, line
            except UnicodeError as error:
                what = (
                    f"line {number + 1} or later: invalid {_called(self.encoding)}: {getattr(error, 'reason', error)}"
                )
                raise DataError(f"{self.path}, {what}; {self._remedy()}") from None

    def _remedy(self) -> str:
        found = guess_encoding(self.path)
        other = f"the file looks like {found}: set encoding: {found}; " if found not in (None, self.encoding) else ""
        return f"{other}data.on_error=replace puts U+FFFD in its place"


def find_encoding(path: Path, encoding: str) -> str:
    """The codec of a file: that of its byte order mark, or the given one.

    Raises:
        DataError: there is no such codec, the mark is of another one, or the file looks like UTF-16 without a mark.
    """
    name = codec_name(encoding)
    with open_bytes(path) as file:
        begin = file.read(1000)
    marked = _by_mark(begin)
    if marked and name not in (marked, "utf-8", "utf-8-sig") and not name.startswith(marked):
        raise DataError(
            f"{path}: the file begins with the byte order mark of {_called(marked)}, and encoding is {encoding!r}; "
            f"set encoding: {marked}"
        )
    if not marked and name == "utf-8" and (wide := _wide(begin)):
        raise DataError(f"{path}, line 1: invalid UTF-8: the file looks like UTF-16; set encoding: {wide}")
    return marked or ("utf-8" if name == "utf-8-sig" else name)


def codec_name(encoding: str) -> str:
    """Python's name of a text codec.

    Raises:
        DataError: there is no such codec.
    """
    try:
        "".encode(encoding)  # refuses codecs that are not of text
        return codecs.lookup(encoding).name
    except (LookupError, ValueError):
        some = "utf-8, utf-16, cp1252, latin-1, cp1251, shift_jis, gb18030"
        raise DataError(f"unknown encoding {encoding!r} (any codec of Python is allowed, such as {some})") from None


def guess_encoding(path: str | Path) -> str | None:
    """The encoding that a file's beginning most likely has, as Python calls it; None where nothing fits.

    UTF-8 and what a byte order mark says are certain; everything else is a guess, which a person has to confirm.

    Raises:
        DataError: a file that cannot be read.
    """
    with open_bytes(Path(path)) as file:
        piece = file.read(SAMPLE_BYTES // 16)
    if marked := _by_mark(piece):
        return marked
    if wide := _wide(piece):
        return wide
    if is_utf8(piece):
        return "utf-8"
    if _is_western(piece.decode("cp1252", "replace")):
        return "cp1252"
    from charset_normalizer import from_bytes

    best = from_bytes(piece, cp_exclusion=_RARE).best()
    return best.encoding if best else None


def _is_western(text: str) -> bool:
    """Whether a text that was decoded as cp1252 is one: one in ten of its further characters at most is seldom."""
    further = [character for character in text if character > "\x7f"]
    seldom = sum(character in _SELDOM for character in further)
    return {*text} <= _WESTERN | _SELDOM and len(further) < 0.2 * len(text) and seldom <= max(1, len(further) // 10)


def _wide(piece: bytes) -> str | None:
    """UTF-16 without a byte order mark, where every other byte is mostly zero; not for scripts without ASCII."""
    first, second = (part.count(0) / max(1, len(part)) for part in (piece[::2], piece[1::2]))
    if max(first, second) < 0.4 or min(first, second) > 0.05:
        return None
    return "utf-16-le" if second > first else "utf-16-be"


def is_utf8(piece: bytes) -> bool:
    """Whether bytes are the beginning of a text in UTF-8, of which the last character may be cut."""
    try:
        codecs.getincrementaldecoder("utf-8")().decode(piece)
    except UnicodeDecodeError:
        return False
    return True


def keeps_ascii(encoding: str) -> bool:
    """Whether a line end is the same single byte in an encoding as in ASCII, so that lines are found before decoding."""
    return "a\n".encode(encoding) == b"a\n" and not encoding.startswith(("iso2022", "hz", "utf-7"))


def _by_mark(piece: bytes) -> str | None:
    return next((name for mark, name in _BYTE_ORDER_MARKS if piece.startswith(mark)), None)


def _called(encoding: str) -> str:
    return encoding.upper() if encoding.startswith("utf") else encoding
