"""Pretrained word vectors in the text format of word2vec, GloVe and fastText: a word and its numbers on a line."""

import gzip
import io
from pathlib import Path

import numpy as np

from nlp_suite.errors import ConfigError
from nlp_suite.progress import track


def read_word_vectors(path: str, words, table: np.ndarray) -> int:
    """Copies the vectors of known words into an embedding table.

    Args:
        path: text file, plain or gzipped; a first line of two numbers (count and size) is skipped.
        words: the word of every id, length V.
        table: float `[V, E]`, changed in place.

    Returns:
        How many words had a vector.

    Raises:
        ConfigError: no such file, a line that is not a vector, or vectors of another size than E.
    """
    if not Path(path).is_file():
        raise ConfigError(f"task.word_vectors: file {path!r} does not exist")
    ids = {word: i for i, word in enumerate(words)}
    size, count = table.shape[1], 0
    bytes_in_all = Path(path).stat().st_size
    with open(path, "rb") as stored:
        raw = gzip.GzipFile(fileobj=stored) if Path(path).suffix.lower() == ".gz" else stored
        file = io.TextIOWrapper(raw, encoding="utf-8", errors="replace", newline="\n")
        lines = track(file, "reading word vectors", unit="words", share=lambda _: stored.tell() / bytes_in_all)
        for number, line in enumerate(lines, 1):
            parts = line.rstrip().split(" ")
            if number == 1 and len(parts) == 2:
                continue
            if len(parts) <= size:
                raise ConfigError(
                    f"{path}, line {number}: a vector of {len(parts) - 1} numbers; backbone.embedding_size is {size}"
                )
            word, numbers = " ".join(parts[:-size]), parts[-size:]  # in some files a word has spaces
            if word in ids:
                try:
                    table[ids[word]] = np.array(numbers, "float32")
                except ValueError:
                    raise ConfigError(
                        f"{path}, line {number}: {line.strip()[:60]!r} is not a word and numbers"
                    ) from None
                count += 1
    return count
