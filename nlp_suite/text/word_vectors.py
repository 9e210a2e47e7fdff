"""Pretrained word vectors in the text format of word2vec, GloVe and fastText: a word and its numbers on a line."""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nlp_suite.errors import ConfigError
from nlp_suite.progress import track

BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class WordVectorsFound:
    """What a file of word vectors had of a vocabulary.

    Attributes:
        words: how many words have a vector.
        repeated: lines of them that came after another one with the same word, and were left out.
    """

    words: int
    repeated: int


def read_word_vectors(path: str, words: Sequence[str], table: np.ndarray) -> WordVectorsFound:
    """Copies the vectors of known words into an embedding table; of a word that comes twice, the first.

    Args:
        path: text file in UTF-8, plain or gzipped. A first line of two whole numbers (count and size) is a header, and
            checked; a byte order mark is left out. What stands before the last E numbers of a line is the word, which in
            some files has spaces.
        words: the word of every id, length V.
        table: float `[V, E]`, changed in place.

    Raises:
        ConfigError: no such file, an incomplete one, a line that is not a vector, vectors of another size than E, or numbers
            of a known word that are not finite.
    """
    if not Path(path).is_file():
        raise ConfigError(f"task.word_vectors: file {path!r} does not exist")
    ids = {word.encode("utf-8", "surrogatepass"): i for i, word in enumerate(words)}
    size, found, repeated = table.shape[1], set(), 0
    expected = count = None
    number = 0
    for number, line in _lines(path):
        parts = line.rsplit(None, size)  # bytes part at ASCII white space only: a word may be U+00A0
        if number == 1 and len(header := line.split()) == 2 and all(part.isdigit() for part in header):
            expected, count = map(int, header)
            _check_size(path, number, count, size)
            continue
        if count is None:
            count = _size_of(line)
            _check_size(path, number, count, size)
        if len(parts) < size or (len(parts) == size and not line[:1].isspace()):
            _check_size(path, number, len(parts) - 1, size)
        if len(parts) == size or (i := ids.get(parts[0])) is None:
            continue
        if i in found:
            repeated += 1
            continue
        try:
            with np.errstate(over="ignore"):  # too large is infinite, which is refused below
                table[i] = np.array(parts[1:], "float32")
        except ValueError:
            raise ConfigError(f"{path}, line {number}: {_shown(line)} is not a word and numbers") from None
        if not np.isfinite(table[i]).all():
            raise ConfigError(
                f"{path}, line {number}: {_shown(line)} has numbers that are not finite: remove the line, or mend them"
            )
        found.add(i)
    if expected is not None and expected > number - 1:
        raise ConfigError(
            f"{path} is incomplete: its first line says {expected:,} vectors, and there are {number - 1:,}"
        )
    return WordVectorsFound(len(found), repeated)


def _lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Number and content of every line, without its end; blank ones at the end of the file are left out."""
    bytes_in_all = Path(path).stat().st_size
    with open(path, "rb") as stored:
        is_gzipped = stored.peek(2)[:2] == b"\x1f\x8b"
        file = gzip.GzipFile(fileobj=stored) if is_gzipped else stored
        try:
            share = lambda _: stored.tell() / max(1, bytes_in_all)  # noqa: E731
            for number, line in enumerate(track(file, "reading word vectors", unit="words", share=share), 1):
                if number == 1:
                    line = line.removeprefix(BYTE_ORDER_MARK)
                if line := line.rstrip(b"\r\n"):
                    yield number, line
        except (EOFError, gzip.BadGzipFile) as error:
            raise ConfigError(f"{path} is damaged or incomplete: {error}") from None


def _size_of(line: bytes) -> int:
    """How many numbers a line ends with, but for the first part of it, which is the word or its beginning."""
    parts = line.split()
    numbers = 0
    for part in reversed(parts[1:]):
        try:
            float(part)
        except ValueError:
            break
        numbers += 1
    return numbers


def _check_size(path: str, number: int, count: int, size: int) -> None:
    if count != size:
        raise ConfigError(
            f"{path}, line {number}: a vector of {count} numbers; backbone.embedding_size is {size} (give {count} there, or "
            "another file)"
        )


def _shown(line: bytes) -> str:
    return repr(line.decode("utf-8", "replace").strip()[:60])
