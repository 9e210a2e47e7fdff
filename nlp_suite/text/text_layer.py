"""The text layer: one object that turns strings into padded token ids and back, everywhere."""

import hashlib
import itertools
import json
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from nlp_suite.config import TextSettings
from nlp_suite.config_values import recorded_text
from nlp_suite.errors import TextError
from nlp_suite.progress import track
from nlp_suite.registry import TOKENIZERS
from nlp_suite.text.pairs import split_pair
from nlp_suite.text.tokenizers.base import END, PAD, START, UNKNOWN, Tokenizer, batches, evenly_chosen

__all__ = ["END", "NEVER_GENERATED", "PAD", "START", "UNKNOWN", "TextError", "TextLayer"]

NEVER_GENERATED = (PAD, UNKNOWN, START)  # ids that no decoding may choose
SCHEMA = 1  # of text.json; also part of the fingerprint: raise it when the same settings give other ids
_FILE = "text.json"


class TextLayer:
    """Strings to padded token ids and back: the same ops in preparation, prediction and the exported graph.

    A row is `[START] tokens [END]`, START and END only with `add_start` and `add_end`; the tokens between them are
    truncated so that the row has at most `max_length`. An empty text becomes the one token END, so every row has at
    least one; it decodes to "" again. Ids 0 to 3 are PAD, UNKNOWN, START, END. Where nothing was truncated,
    `decode(encode(x)) == normalise(x)` for `byte`, for `sentencepiece` with byte fallback, and for `character` if its
    vocabulary has all characters of x; `word` and `wordpiece` decode with a space between words, and encoding that
    gives the same ids.

    Make one with `train` or `load`. TensorFlow is imported by the first call that needs it, not by `load`.

    Attributes:
        settings: the text section of the config.
        tokenizer: the trained tokenizer.
        vocabulary_size: number of ids.
        fingerprint: hash of settings and vocabulary; equal in every process, and changes when ids would.

    Example:
        >>> layer = TextLayer.train(TextSettings(), ["A fine film.", "A fine mess."])
        >>> layer.decode(layer.encode(["A fine day."]))
        ['a fine � .']
    """

    def __init__(self, settings: TextSettings, tokenizer: Tokenizer):
        if not tokenizer.vocabulary_size:
            raise TextError(f"{type(tokenizer).__name__} is not trained: use TextLayer.train or TextLayer.load")
        self.settings = settings
        self.tokenizer = tokenizer
        self._graph: Any = None
        self._encode_tail: Any = None
        self._encode_pairs: Any = None
        self.fingerprint = _fingerprint(settings, tokenizer.assets())

    @classmethod
    def train(cls, settings: TextSettings, texts: Iterable[str | bytes]) -> "TextLayer":
        """Normalises the texts and learns the tokenizer's vocabulary from them; iterates once.

        Of more text than the tokenizer holds (`Tokenizer.max_training_bytes`) it learns from every second text, every
        fourth, and so on, as few as are needed.

        Raises:
            TextError: every text is empty after normalisation, or the tokenizer cannot learn its vocabulary from them.
        """
        import tensorflow as tf

        from nlp_suite.text.graph import TextGraph

        tokenizer = _new_tokenizer(settings)
        graph = TextGraph(settings, tokenizer)
        normalise = graph.normalise.get_concrete_function()
        read: Iterable[bytes] = map(_to_bytes, texts)
        if tokenizer.max_training_bytes is not None:
            sample = evenly_chosen(read, tokenizer.max_training_bytes)
            read = track(sample, "normalising what is learned from", total=len(sample), unit="texts")
        normalised = (
            text for batch in batches(read) for text in normalise(tf.constant(batch)).numpy().tolist() if text
        )
        first = next(normalised, None)
        if first is None:
            raise TextError("cannot train a tokenizer: there is no text, or every text is empty after normalisation")
        tokenizer.train(itertools.chain([first], normalised))
        return cls(settings, tokenizer)

    @classmethod
    def load(cls, directory: str | os.PathLike) -> "TextLayer":
        """Opens what `save` wrote; imports no TensorFlow.

        Raises:
            TextError: a missing, damaged or newer file; the message names it.
        """
        directory = Path(directory)
        if not (directory / _FILE).is_file():
            raise TextError(f"no text layer in {str(directory)!r}: {_FILE} is missing")
        try:
            info = json.loads((directory / _FILE).read_text("utf-8"))
            schema, hashes = info["schema"], dict(info["assets"])
            if schema != SCHEMA:
                raise TextError(f"{directory / _FILE} has schema {schema!r}; this version reads {SCHEMA}")
            settings = TextSettings.model_validate(recorded_text(info["settings"]))
        except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError, ValidationError) as error:
            raise TextError(f"{directory / _FILE} is damaged: {type(error).__name__}: {error}") from None
        assets = {name: _read_asset(directory / name, digest) for name, digest in hashes.items()}
        tokenizer = _new_tokenizer(settings)
        try:
            tokenizer.restore(assets)
        except KeyError as error:
            raise TextError(f"{directory / _FILE} is damaged: it names no asset {error}") from None
        return cls(settings, tokenizer)

    def save(self, directory: str | os.PathLike) -> None:
        """Writes `text.json` and the tokenizer's files into `directory`, each whole or not at all, `text.json` last."""
        directory = Path(directory)
        directory.mkdir(parents=True, exist_ok=True)
        assets = {**self.tokenizer.assets(), **self.tokenizer.companions()}
        info = {
            "schema": SCHEMA,
            "vocabulary_size": self.vocabulary_size,
            "fingerprint": self.fingerprint,
            "settings": self.settings.model_dump(mode="json"),
            "assets": {name: _sha256(content) for name, content in assets.items()},
        }
        files = {**assets, _FILE: json.dumps(info, indent=1, ensure_ascii=False).encode("utf-8")}
        for name, content in files.items():
            temporary = directory / f".{name}.part"
            temporary.write_bytes(content)
            os.replace(temporary, directory / name)

    @property
    def vocabulary_size(self) -> int:
        """Number of ids, the four special ones included."""
        return self.tokenizer.vocabulary_size

    def graph(self):
        """The `TextGraph` (a `tf.Module`) of this layer, made once.

        Its functions are called as concrete ones here: TensorFlow would warn of retracing in the fifth layer of a process.
        """
        from nlp_suite.text.graph import TextGraph

        if self._graph is None:
            self._graph = TextGraph(self.settings, self.tokenizer)
        return self._graph

    def normalise(self, texts: Sequence[str | bytes]) -> list[str]:
        """The texts as the tokenizer sees them."""
        results = self._map(self.graph().normalise.get_concrete_function(), texts)
        return [text.decode("utf-8") for result in results for text in result.numpy()]

    def encode(self, texts: Sequence[str | bytes]) -> list[np.ndarray]:
        """Ids of each text: int32 [T_i], 1 ≤ T_i ≤ `max_length`."""
        return self.encode_with_lengths(texts)[0]

    def encode_with_lengths(self, texts: Sequence[str | bytes]) -> tuple[list[np.ndarray], np.ndarray]:
        """Ids of each text as `encode` gives, and the number of ids before truncation, int32 [N].

        The two differ exactly where something was cut off. What is beyond `max_characters` is not tokenized: it counts as
        one id more.
        """
        rows, full_lengths = [], [np.zeros(0, np.int32)]
        for values, lengths, full in self._map(self.graph().encode_flat.get_concrete_function(), texts):
            rows += np.split(values.numpy(), np.cumsum(lengths.numpy())[:-1])
            full_lengths.append(full.numpy())
        return rows, np.concatenate(full_lengths)

    def encode_pairs(self, pairs: Sequence[str | bytes]) -> tuple[list[np.ndarray], np.ndarray]:
        """As `encode_with_lengths`, of pairs of texts as `nlp_suite.text.pairs.join_pair` writes them, in one row each.

        A row is `[START] text END text_b [END]`; what exceeds `max_length` is taken from the longer text.
        """
        import tensorflow as tf

        if self._encode_pairs is None:
            signature = [tf.TensorSpec([None], tf.string, name=name) for name in ("text", "text_b")]
            self._encode_pairs = tf.function(self.graph().encode_pairs, autograph=False).get_concrete_function(
                *signature
            )
        encode, rows, full_lengths = self._encode_pairs, [], [np.zeros(0, np.int32)]

        def split_and_encode(batch):
            sides = zip(*(split_pair(pair) for pair in batch.numpy().tolist()))
            return encode(*(tf.constant(side, tf.string) for side in sides))

        for ids, full in self._map(split_and_encode, pairs):
            rows += np.split(ids.flat_values.numpy(), ids.row_splits.numpy()[1:-1])
            full_lengths.append(full.numpy())
        return rows, np.concatenate(full_lengths)

    def encode_tail(self, texts: Sequence[str | bytes], max_tokens: int) -> list[np.ndarray]:
        """The last ids of each text, whatever `max_length` and `truncation` say: int32 [T_i], 1 ≤ T_i ≤ `max_tokens`.

        Of a text longer than `max_characters` its last `max_characters` characters are read.
        """
        import tensorflow as tf

        if self._encode_tail is None:
            signature = [tf.TensorSpec([None], tf.string, name="text"), tf.TensorSpec([], tf.int32, name="max_tokens")]
            self._encode_tail = tf.function(self.graph().encode_tail, autograph=False).get_concrete_function(*signature)
        rows = []
        limit = tf.constant(max_tokens, tf.int32)
        for values, lengths, _ in self._map(lambda batch: self._encode_tail(batch, limit), texts):
            rows += np.split(values.numpy(), np.cumsum(lengths.numpy())[:-1])
        return rows

    def _map(self, function, texts: Sequence[str | bytes]) -> Iterator:
        """`function` of batches of texts, in order; two batches at a time, as single ops leave cores idle."""
        import tensorflow as tf

        if isinstance(texts, str | bytes):
            raise TypeError(f"a list of texts is needed, got the single text {texts[:40]!r}")
        pending: deque[Any] = deque()
        with ThreadPoolExecutor(2) as pool:
            for batch in batches(map(_to_bytes, texts)):
                pending.append(pool.submit(lambda batch: function(tf.constant(batch, tf.string)), batch))
                if len(pending) > 2:  # no further ahead, so that memory stays flat
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()

    def pad(self, rows: Sequence[Sequence[int] | np.ndarray], length: int | None = None) -> np.ndarray:
        """Rows as one int32 [B, T], padded with PAD on the right; T is `length`, or that of the longest row.

        Raises:
            ValueError: a row is longer than `length`.
        """
        longest = max((len(row) for row in rows), default=0)
        length = longest if length is None else length
        if longest > length:
            raise ValueError(f"a row has {longest} tokens, more than length={length}")
        padded = np.full((len(rows), length), PAD, np.int32)  # [B, T]
        for target, row in zip(padded, rows, strict=True):
            target[: len(row)] = row
        return padded

    def decode(self, rows: Sequence[Sequence[int]]) -> list[str]:
        """Text of each row; PAD, START and END are left out, UNKNOWN is U+FFFD.

        Raises:
            TextError: an id outside the vocabulary.
        """
        import tensorflow as tf

        decode, texts = self.graph().decode.get_concrete_function(), []
        for start in range(0, len(rows), 1000):
            batch = rows[start : start + 1000]
            tokens = tf.constant(self._checked(self.pad(batch)))
            lengths = tf.constant([len(row) for row in batch], tf.int32)
            texts += [text.decode("utf-8", "replace") for text in decode(tokens, lengths).numpy()]
        return texts

    def id_to_token(self, ids: Sequence[int]) -> list[str]:
        """Surface form of each id, special tokens as `<pad> <unk> <s> </s>`.

        Raises:
            TextError: an id outside the vocabulary.
        """
        shown = self.tokenizer.shown
        return [shown[i] for i in self._checked(np.asarray(ids, np.int64).reshape(-1))]

    def _checked(self, ids: np.ndarray) -> np.ndarray:
        wrong = ids[(ids < 0) | (ids >= self.vocabulary_size)]
        if wrong.size:
            last = self.vocabulary_size - 1
            raise TextError(f"token id {int(wrong.flat[0])} is outside the vocabulary (allowed: 0 to {last})")
        return ids


def _to_bytes(text: str | bytes) -> bytes:
    """UTF-8 of a text; lone surrogates become invalid bytes, which normalisation replaces."""
    return text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass")


def _new_tokenizer(settings: TextSettings) -> Tokenizer:
    return TOKENIZERS.get(settings.tokenizer.name)(**settings.tokenizer.arguments())


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _fingerprint(settings: TextSettings, assets: dict[str, bytes]) -> str:
    hashes = {name: _sha256(content) for name, content in assets.items()}
    content = json.dumps([SCHEMA, settings.identity(), hashes], sort_keys=True)
    return _sha256(content.encode("utf-8"))[:32]


def _read_asset(path: Path, digest: str) -> bytes:
    if not path.is_file():
        raise TextError(f"text layer file {str(path)!r} is missing")
    content = path.read_bytes()
    if _sha256(content) != digest:
        raise TextError(f"text layer file {str(path)!r} is damaged: its content is not what {_FILE} recorded")
    return content
