"""What the predictors of all problems share: texts in, one answer a text out, in the order given."""

import itertools
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.task import Predictor
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
from nlp_suite.text.statistics import TokensRead


class TextsPredictor(Predictor):
    """Answers to texts; batches hold texts of similar length.

    Attributes:
        outputs: numbers that a text has before they become an answer.
    """

    task_name = "sentiment"
    outputs: int

    def predict(  # type: ignore[override]  # a text alone, which is a Sequence too, has its answer alone
        self, texts: str | bytes | Sequence[str | bytes], batch_size: int = 64
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
        if isinstance(texts, str | bytes):
            return next(self.predict_iter([texts], batch_size))
        return list(self.predict_iter(texts, batch_size))

    def predict_iter(self, texts: Iterable[str | bytes], batch_size: int = 64) -> Iterator[dict]:
        """As `predict`, one answer at a time; memory stays flat however many texts come."""
        checked_int("batch_size", batch_size, 1, MAX_BATCH)
        return self._answers(iter(checked_list(texts)), batch_size)

    def _answers(self, texts: Iterator[str | bytes], batch_size: int) -> Iterator[dict]:
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

    def outputs_flagged(self, texts: Sequence[str | bytes], batch_size: int = 64) -> tuple[np.ndarray, np.ndarray]:
        """Outputs float32 `[N, outputs]` of N texts, and which of them were truncated, bool `[N]`."""
        checked_int("batch_size", batch_size, 1, MAX_BATCH)
        items, lengths = self._prepare(as_bytes(texts))
        answer = np.zeros((len(texts), self.outputs), "float32")
        truncated = np.zeros(len(texts), bool)
        for rows in batches_by_length(lengths, batch_size):
            answer[rows], truncated[rows] = self._batch([items[i] for i in rows])
        return answer, truncated

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
    """

    def __init__(self, model, text, labels):
        self.model, self.text, self.labels = model, text, list(labels)
        self._logits, self._read = compiled_logits(model), TokensRead(text)

    def remarks(self) -> list[str]:
        """See `Predictor.remarks`."""
        return self._read.remarks()

    @abstractmethod
    def from_logits(self, logits: np.ndarray) -> np.ndarray:
        """What the network answers as outputs: float64 `[B, C]` → `[B, outputs]`."""

    def _prepare(self, texts):
        rows, full = self.text.encode_with_lengths(texts)
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

    def _prepare(self, texts):
        return texts, [len(text) for text in texts]

    def _batch(self, items):
        answer = self._ask("serving_default", text=items)
        outputs = answer[self.output_name].reshape(len(items), -1)  # [B, outputs]
        return outputs, answer.get("truncated", np.zeros(len(items), bool))  # older exports lack it
