"""What a frozen backbone makes of every text of a store, computed once and kept beside the token stores.

The vectors lie in `data.cache`, in the folder `features`, in a file for each backbone with its weights and pooling: every
training that freezes the same ones reads them, whatever its head, its rates and its share of the corpus are. The vector of a
text depends on the text and on these alone, to the last bit, so a training is the same whether it found the vectors or made
them: the shape of the batch in which a text is encoded follows from its length.
"""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from nlp_suite.data.vector_cache import VectorCache, digests_of
from nlp_suite.errors import DataError
from nlp_suite.progress import work
from nlp_suite.tasks.sentiment.texts_predictor import compiled_network

SCHEMA = 2  # of the vectors: another number where the same settings and weights would give others
OF_TRAINING = ("freeze", "dropout", "attention_dropout")  # settings that change nothing of what is frozen
BATCH_TOKENS = 2048  # of a batch that is encoded, padding included


class CachedVectors:
    """The vectors of the rows of a store, which `SentimentModel.head` reads.

    Args:
        model: a `SentimentModel` whose backbone and pooling training does not change.
        store: the token store.

    Attributes:
        made: rows that `open` had to encode.
    """

    def __init__(self, model: Any, store: Any):
        self._model, self._store, self.made = model, store, 0

    def open(self) -> list[str]:
        """Finds the vectors of all rows, and encodes the texts that have none yet; returns a line that says so.

        Raises:
            DataError: the folder `data.cache` cannot be written, or was changed meanwhile.
        """
        folder = Path(self._store.directory).parents[1] / "features"
        cache = VectorCache(folder / f"{model_digest(self._model)}.vectors", self._model.vector_size)
        digests = digests_of(self._store)
        places = cache.find(digests)
        if (places < 0).any():
            with cache.only_writer():
                places = cache.find(digests)  # another process may have added them
                rows_of = {digest: row for row, digest in enumerate(digests) if places[row] < 0}  # of equal texts one
                missing = np.array(list(rows_of.values()), int)
                self.made = len(missing)
                for rows, vectors in self._encode(missing):
                    cache.add([digests[row] for row in rows], vectors)
            places = cache.find(digests)
            if (places < 0).any():
                raise DataError(
                    f"{cache.path} was changed by another program while texts were encoded: begin again, and leave the folder alone"
                )
        self._vectors, self._places = cache.vectors(), places
        return [f"features of {len(places):,} texts, {self.made:,} of them encoded now: {cache.path}"]

    def __getitem__(self, rows: NDArray[Any]) -> NDArray[Any]:
        """The vectors of some rows, float32 `[B, P]`."""
        vectors: NDArray[Any] = self._vectors[self._places[rows]]
        return vectors

    def logits(self) -> NDArray[Any]:
        """What the head answers to every row, float32 `[N, C]`."""
        starts = range(0, len(self._store), BATCH_TOKENS)
        parts = [self[np.arange(start, min(start + BATCH_TOKENS, len(self._store)))] for start in starts]
        return np.concatenate([keras.ops.convert_to_numpy(self._model(part, training=False)) for part in parts])

    def _encode(self, rows: NDArray[Any]) -> Iterator[tuple[NDArray[Any], NDArray[Any]]]:
        """Rows with their vectors, a batch at a time."""
        network = compiled_network(self._model)
        batches = list(_batches(self._store.lengths, rows))
        total = sum(size * width for _, size, width in batches)
        with work("encoding texts, once for all trainings", total, "tokens") as going_on:
            for chunk, size, width in batches:
                filled = np.concatenate([chunk, np.repeat(chunk[:1], size - len(chunk))])
                vectors = keras.ops.convert_to_numpy(network(self._store.padded(filled, width))[0])  # [B, P]
                yield chunk, vectors[: len(chunk)]
                going_on.done += size * width


def model_digest(model: Any) -> str:
    """What tells networks apart that make other vectors of the same tokens."""
    backbone, pooling = model.backbone, model.pooling
    settings = {
        "schema": SCHEMA,
        "keras": [keras.__version__, keras.backend.backend(), backbone.dtype_policy.name],
        "backbone": [type(backbone).__name__, {k: v for k, v in backbone.settings.items() if k not in OF_TRAINING}],
        "pooling": [pooling.kinds, pooling.bidirectional],
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for weight in backbone.weights:
        digest.update(np.ascontiguousarray(keras.ops.convert_to_numpy(weight)).data)
    return digest.hexdigest()[:16]


def _width(length: int) -> int:
    """The length that a text is padded to: at most a quarter more, so that a compiling backend meets few widths."""
    step = max(4, 1 << max(0, int(length - 1).bit_length() - 3))
    return -(-length // step) * step


def _batches(lengths: NDArray[Any], rows: NDArray[Any]) -> Iterator[tuple[NDArray[Any], int, int]]:
    """Rows of one width, their number with those that fill the batch up, and the width; the longest first."""
    widths = np.array([_width(int(lengths[row])) for row in rows])
    for width in sorted(set(widths.tolist()), reverse=True):
        members, size = rows[widths == width], max(1, BATCH_TOKENS // width)
        for start in range(0, len(members), size):
            yield members[start : start + size], size, width
