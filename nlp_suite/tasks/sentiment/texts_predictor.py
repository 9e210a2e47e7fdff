"""What the predictors of all problems share: texts in, one answer a text out, in the order given."""

import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

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
        checked_int("batch_size", batch_size, 1, MAX_BATCH)
        items, lengths = self._prepare(as_bytes([self._one_text(text) for text in texts]))
        answer = np.zeros((len(texts), self.outputs), "float32")
        truncated = np.zeros(len(texts), bool)
        for rows in batches_by_length(lengths, batch_size):
            answer[rows], truncated[rows] = self._batch([items[i] for i in rows])
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


def compiled_logits(model: Any) -> Callable[[np.ndarray], Any]:
    """A network's function of token ids int32 `[B, T]` → logits `[B, C]`, compiled."""
    logits = lambda tokens: model(tokens, training=False)  # noqa: E731
    return compiled(logits, model, shapes=[([None, None], "int32")])


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
        self._logits, self._read = compiled_logits(model), TokensRead(text)

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

    def _batch(self, items):
        import keras

        rows, truncated = zip(*items)
        tokens = self.text.pad(rows, padded_width(rows))  # [B, T]
        tokens = np.pad(tokens, [(0, padded_rows(len(rows)) - len(rows)), (0, 0)], mode="edge")
        logits = keras.ops.convert_to_numpy(self._logits(tokens)).astype("float64")[: len(rows)]  # [B, C]
        return self.from_logits(logits), np.array(truncated)


class SavedModelTexts(TextsPredictor):
    """The `serving_default` signature of an exported SavedModel; needs TensorFlow and TF Text, not Keras.

    Args:
        signatures: the opened SavedModel.
    """

    output_name = "probabilities"  # of the signature, that has the outputs

    def __init__(self, signatures: LoadedSignatures):
        self._ask = signatures
        self.pairs = "text_b" in signatures.inputs("serving_default")

    def _prepare(self, texts):
        return texts, [len(text) for text in texts]

    def ask(self, texts: list[bytes]) -> dict[str, np.ndarray]:
        """What the signature answers to texts, or to pairs as `join_pair` writes them."""
        if not self.pairs:
            return self._ask("serving_default", text=texts)
        sides = [list(side) for side in zip(*map(split_pair, texts))]
        return self._ask("serving_default", text=sides[0], text_b=sides[1])

    def _batch(self, items):
        answer = self.ask(items)
        outputs = answer[self.output_name].reshape(len(items), -1)  # [B, outputs]
        return outputs, answer.get("truncated", np.zeros(len(items), bool))  # older exports lack it
