"""What the predictors of all problems share: texts in, one answer a text out, in the order given."""

import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from nlp_suite.errors import RequestError
from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.predictor import Predictor
from nlp_suite.tasks.shared.compiled import compiled
from nlp_suite.tasks.shared.request_checks import (
    MAX_BATCH,
    SORTED_BATCHES,
    as_bytes,
    batches_by_length,
    checked_int,
    checked_list,
    padded_rows,
    padded_width,
)
from nlp_suite.text.pairs import join_pair, split_pair
from nlp_suite.text.statistics import TokensRead

Text = str | bytes | tuple[str | bytes, str | bytes]


class TextsPredictor(Predictor):
    """Answers to texts; batches hold texts of similar length.

    A model of pairs takes a pair `(text, text_b)` for a text, or both in one string with a tab between them.

    Attributes:
        outputs: numbers that a text has before they become an answer.
        pairs: whether it reads two texts together.
    """

    task_name = "sentiment"
    outputs: int
    pairs: bool = False

    def predict(  # type: ignore[override]  # a text alone, which is a Sequence too, has its answer alone
        self, texts: Text | Sequence[Text], batch_size: int = 64
    ) -> dict | list[dict]:
        """The answer to every text, see `answer`.

        Args:
            texts: one text, or several; bytes are UTF-8, and invalid bytes are replaced as in training.
            batch_size: texts that run through the network together.

        Raises:
            TypeError: something that is neither str nor bytes.
            RequestError: a batch size below 1.

        Returns:
            A mapping, or a list of them.

        Example:
            >>> load("runs/imdb").predict("A wonderful film.")["label"]
            'pos'
        """
        if isinstance(texts, str | bytes | tuple):
            return next(self.predict_iter([texts], batch_size))
        return list(self.predict_iter(texts, batch_size))

    def predict_iter(self, texts: Iterable[Text], batch_size: int = 64) -> Iterator[dict]:
        """As `predict`, one answer at a time; memory stays flat however many texts come."""
        checked_int("batch_size", batch_size, 1, MAX_BATCH)
        return self._answers(iter(checked_list(texts)), batch_size)

    def _answers(self, texts: Iterator[Text], batch_size: int) -> Iterator[dict]:
        while chunk := list(itertools.islice(texts, batch_size * SORTED_BATCHES)):
            for row, truncated in zip(*self.outputs_flagged(chunk, batch_size)):
                yield {**self.answer(row), "truncated": bool(truncated)}

    @abstractmethod
    def answer(self, row: np.ndarray) -> dict[str, Any]:
        """The answer to a text, JSON-able.

        `predict` adds `truncated`: whether the text had more tokens or characters than are read (false of an older export,
        which does not say).

        Args:
            row: its outputs, float32 `[outputs]`.
        """

    def outputs_flagged(self, texts: Sequence[Text], batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Outputs float32 `[N, outputs]` of N texts, and which of them were truncated, bool `[N]`."""
        return self._in_batches(texts, batch_size, self._batch, self.outputs)

    def embed(self, texts: Text | Sequence[Text], normalize: bool = False, batch_size: int = 64) -> np.ndarray:
        """The vector of every text: what the network's head reads, pooled as trained.

        Args:
            texts: one text, or several, as of `predict`.
            normalize: whether vectors have length 1, so that their product is the cosine; zeros stay zeros.
            batch_size: texts that run through the network together.

        Raises:
            TypeError: something that is neither str nor bytes.
            RequestError: a batch size below 1, or a file that gives no vectors.

        Returns:
            float32 `[N, D]`; of one text `[D]`.

        Example:
            >>> load("runs/imdb").embed(["A wonderful film.", "Two lost hours."], normalize=True).shape
            (2, 384)
        """
        if isinstance(texts, str | bytes | tuple):
            return self.embed_flagged([texts], normalize, batch_size)[0][0]
        return self.embed_flagged(list(texts), normalize, batch_size)[0]

    def embed_flagged(
        self, texts: Sequence[Text], normalize: bool = False, batch_size: int = 64
    ) -> tuple[np.ndarray, np.ndarray]:
        """The vectors of N texts as by `embed`, `[N, D]`, and which of the texts were truncated, bool `[N]`."""
        vectors, truncated = self._in_batches(texts, batch_size, self._vectors, self.vector_size)
        if normalize:
            lengths = np.linalg.norm(vectors.astype("float64"), axis=1, keepdims=True)  # [N, 1]
            vectors = (vectors / np.where(lengths > 0, lengths, 1)).astype("float32")
        return vectors, truncated

    def _in_batches(self, texts, batch_size, ask, size):
        """What `ask` answers to the items of every batch: float32 `[N, size]` and bool `[N]`."""
        checked_int("batch_size", batch_size, 1, MAX_BATCH)
        items, lengths = self._prepare(as_bytes([self._one_text(text) for text in texts]))
        answer = np.zeros((len(texts), size), "float32")
        truncated = np.zeros(len(texts), bool)
        for rows in batches_by_length(lengths, batch_size):
            answer[rows], truncated[rows] = ask([items[i] for i in rows])
        return answer, truncated

    def _one_text(self, text: Text) -> str | bytes:
        """A text as it is, a pair as one string.

        Raises:
            TypeError: a pair for a model of single texts, or one that is no pair.
        """
        if not isinstance(text, tuple):
            return text
        if not self.pairs or len(text) != 2:
            wanted = "a pair (text, text_b)" if self.pairs else "a text (it was trained without text_b)"
            raise TypeError(f"this model takes {wanted}, not a tuple of {len(text)}")
        return join_pair(*(side.decode("utf-8", "replace") if isinstance(side, bytes) else side for side in text))

    @abstractmethod
    def _prepare(self, texts: list[bytes]) -> tuple[list, list[int]]:
        """What a batch is made of, and its lengths to sort by."""

    @abstractmethod
    def _batch(self, items: list) -> tuple[np.ndarray, np.ndarray]:
        """Outputs `[B, outputs]` of the items of a batch, and which were truncated, `[B]`."""

    @abstractmethod
    def _vectors(self, items: list) -> tuple[np.ndarray, np.ndarray]:
        """Vectors `[B, D]` of the items of a batch, and which were truncated, `[B]`."""

    @property
    @abstractmethod
    def vector_size(self) -> int:
        """Numbers D of a vector.

        Raises:
            RequestError: what was opened gives no vectors; the message says what does.
        """


def compiled_network(model: Any) -> Callable[[np.ndarray], Any]:
    """A network's function of token ids int32 `[B, T]` → vectors `[B, D]` and logits `[B, C]`, compiled.

    There is None for the vectors of a functional model, which has logits only.
    """
    both = model.vectors_and_logits if _has_vectors(model) else lambda tokens: (None, model(tokens, training=False))
    return compiled(both, model, shapes=[([None, None], "int32")])


def _has_vectors(model: Any) -> bool:
    from nlp_suite.tasks.sentiment.network import SentimentModel  # imports Keras

    return isinstance(model, SentimentModel)


class NetworkTexts(TextsPredictor):
    """A network with its text layer, under the backend that Keras runs on.

    Args:
        model: token ids int32 `[B, T]` → logits `[B, C]`.
        text: the `TextLayer` it was trained with.
        labels: label names.
        pairs: whether it reads two texts together.
    """

    def __init__(self, model, text, labels, pairs=False):
        self.model, self.text, self.labels, self.pairs = model, text, list(labels), pairs
        self._network, self._read = compiled_network(model), TokensRead(text)

    def remarks(self) -> list[str]:
        """See `Predictor.remarks`."""
        return self._read.remarks()

    @abstractmethod
    def from_logits(self, logits: np.ndarray) -> np.ndarray:
        """What the network answers as outputs: float64 `[B, C]` → `[B, outputs]`."""

    def _prepare(self, texts):
        rows, full = (self.text.encode_pairs if self.pairs else self.text.encode_with_lengths)(texts)
        self._read.add(texts, rows)
        lengths = [len(row) for row in rows]
        return list(zip(rows, full > lengths)), lengths

    @property
    def vector_size(self) -> int:
        if not _has_vectors(self.model):
            raise RequestError(
                "a file of --format keras-plain has logits only, and no vectors: embed with the run, or with an export "
                "of another format"
            )
        return int(self.model.vector_size)

    def _batch(self, items):
        logits, truncated = self._answered(items, 1)  # [B, C]
        return self.from_logits(logits.astype("float64")), truncated

    def _vectors(self, items):
        return self._answered(items, 0)

    def _answered(self, items, which):
        """The vectors (0) or the logits (1) of a batch, and which texts were truncated."""
        import keras

        rows, truncated = zip(*items)
        tokens = self.text.pad(rows, padded_width(rows))  # [B, T]
        tokens = np.pad(tokens, [(0, padded_rows(len(rows)) - len(rows)), (0, 0)], mode="edge")
        answer = keras.ops.convert_to_numpy(self._network(tokens)[which])[: len(rows)]
        return answer, np.array(truncated)


class SavedModelTexts(TextsPredictor):
    """The signatures of an exported SavedModel; needs TensorFlow and TF Text, not Keras.

    Args:
        signatures: the opened SavedModel.
    """

    output_name = "probabilities"  # of `serving_default`, that has the outputs

    def __init__(self, signatures: LoadedSignatures):
        self._ask = signatures
        self.pairs = "text_b" in signatures.inputs("serving_default")

    def _prepare(self, texts):
        return texts, [len(text) for text in texts]

    @property
    def vector_size(self) -> int:
        if "embedding" not in self._ask.outputs("embed"):
            raise RequestError(
                f"{str(self._ask.path)!r} has no signature embed: an ensemble or an imported model gives no vectors; where it is an "
                "export of an earlier version, export its run again (nlp-suite export RUN --to saved_models/NAME), or embed with the run"
            )
        return self._ask.output_width("embed", "embedding")

    def ask(self, texts: list[bytes], signature: str = "serving_default") -> dict[str, np.ndarray]:
        """What a signature answers to texts, or to pairs as `join_pair` writes them."""
        if not self.pairs:
            return self._ask(signature, text=texts)
        sides = [list(side) for side in zip(*map(split_pair, texts))]
        return self._ask(signature, text=sides[0], text_b=sides[1])

    def _batch(self, items):
        answer = self.ask(items)
        outputs = answer[self.output_name].reshape(len(items), -1)  # [B, outputs]
        return outputs, answer.get("truncated", np.zeros(len(items), bool))  # older exports lack it

    def _vectors(self, items):
        answer = self.ask(items, "embed")
        return answer["embedding"], answer["truncated"]
