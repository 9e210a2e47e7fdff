"""Python prediction with a network or with a SavedModel: texts in, one answer a text out, in the order given."""

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


class ClassifierPredictor(Predictor):
    """Labels and probabilities of texts; batches hold texts of similar length.

    Attributes:
        labels: label names, in the order of the probabilities.
    """

    task_name = "sentiment"
    labels: list[str]

    def predict(  # type: ignore[override]  # a text alone, which is a Sequence too, has its answer alone
        self, texts: str | bytes | Sequence[str | bytes], batch_size: int = 64
    ) -> dict | list[dict]:
        """The label and probabilities of every text.

        Args:
            texts: one text, or several; bytes are UTF-8, and invalid bytes are replaced as in training.
            batch_size: texts that run through the network together.

        Raises:
            TypeError: something that is neither str nor bytes.
            RequestError: a batch size below 1.

        Returns:
            `{"label": str, "probability": float, "probabilities": {label: float}, "truncated": bool}`, or a list of them;
            `truncated` says whether the text had more tokens or characters than are read (false of an older export, which
            does not say).

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
            for row, truncated in zip(*self.probabilities_flagged(chunk, batch_size)):
                best = int(row.argmax())
                yield {
                    "label": self.labels[best],
                    "probability": float(row[best]),
                    "probabilities": dict(zip(self.labels, row.tolist())),
                    "truncated": bool(truncated),
                }

    def probabilities(self, texts: Sequence[str | bytes], batch_size: int = 64) -> np.ndarray:
        """Probabilities float32 `[N, C]` of N texts."""
        return self.probabilities_flagged(texts, batch_size)[0]

    def probabilities_flagged(
        self, texts: Sequence[str | bytes], batch_size: int = 64
    ) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities float32 `[N, C]` of N texts, and which of them were truncated, bool `[N]`."""
        checked_int("batch_size", batch_size, 1, MAX_BATCH)
        items, lengths = self._prepare(as_bytes(texts))
        answer = np.zeros((len(texts), len(self.labels)), "float32")  # [N, C]
        truncated = np.zeros(len(texts), bool)
        for rows in batches_by_length(lengths, batch_size):
            answer[rows], truncated[rows] = self._batch([items[i] for i in rows])
        return answer, truncated

    @abstractmethod
    def _prepare(self, texts: list[bytes]) -> tuple[list, list[int]]:
        """What a batch is made of, and its lengths to sort by."""

    @abstractmethod
    def _batch(self, items: list) -> tuple[np.ndarray, np.ndarray]:
        """Probabilities `[B, C]` of the items of a batch, and which were truncated, `[B]`."""


def compiled_logits(model: Any) -> Callable[[np.ndarray], Any]:
    """A classifier's function of token ids int32 `[B, T]` → logits `[B, C]`, compiled."""
    logits = lambda tokens: model(tokens, training=False)  # noqa: E731
    return compiled(logits, model, shapes=[([None, None], "int32")])


class NetworkClassifier(ClassifierPredictor):
    """A network with its text layer, under the backend that Keras runs on.

    Args:
        model: token ids int32 `[B, T]` → logits `[B, C]`.
        text: the `TextLayer` it was trained with.
        labels: C label names.
    """

    def __init__(self, model, text, labels):
        self.model, self.text, self.labels = model, text, list(labels)
        self._logits, self._read = compiled_logits(model), TokensRead(text)

    def remarks(self) -> list[str]:
        """See `Predictor.remarks`."""
        return self._read.remarks()

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
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True), np.array(truncated)


class SavedModelClassifier(ClassifierPredictor):
    """The `serving_default` signature of an exported SavedModel; needs TensorFlow and TF Text, not Keras.

    Args:
        signatures: the opened SavedModel.
    """

    def __init__(self, signatures: LoadedSignatures):
        self._ask = signatures
        labels = self._ask("serving_default", text=[b""])["labels"][0]
        self.labels = [label.decode("utf-8") for label in labels]

    def _prepare(self, texts):
        return texts, [len(text) for text in texts]

    def _batch(self, items):
        answer = self._ask("serving_default", text=items)
        return answer["probabilities"], answer.get("truncated", np.zeros(len(items), bool))  # older exports lack it
