"""Serving signatures of sentiment classification: text in, labels and probabilities out, all in one graph."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from nlp_suite.export.cases import Case
from nlp_suite.export.signatures import CLASSIFY, Signatures, checked_tokens, fill_empty_batch, first_rows

if TYPE_CHECKING:
    from nlp_suite.tasks.sentiment.predictor import ClassifierPredictor


class SentimentSignatures(Signatures):
    """The signatures of a classifier of C classes.

    * `serving_default`: `text` string `[B]` → `label` string `[B]`, `probability` float `[B]` (the label's),
      `probabilities` float `[B, C]`, `labels` string `[B, C]` (the names that the probabilities belong to), `truncated`
      bool `[B]`: whether the text had more tokens or characters than are read.
    * `tokens`: `tokens` int32 `[B, T]`, `length` int32 `[B]` → the same. What stands at or after `length` is ignored; a
      row of length 0 is the empty text; an id that is not in the vocabulary and a length beyond T are errors, PAD counts
      as unknown; ids beyond the text layer's `max_length` are cut off.
    * `classify` (TensorFlow Serving's Classify): `inputs`, serialized `tf.Example` `[B]` with one bytes feature `text`
      → `classes` string `[B, C]`, `scores` float `[B, C]`, in the order of `labels`. An example without the feature is
      an error: it is a misspelt request, not an empty text.

    Args:
        model: token ids int32 `[B, T]` → logits `[B, C]`.
        predictor: a `ClassifierPredictor` of the same model.
    """

    predictor: "ClassifierPredictor"
    methods = {"classify": CLASSIFY}  # noqa: RUF012
    example = "A wonderful film, well worth the wait."

    def __init__(self, model, predictor):
        super().__init__(model, predictor)
        self.text, self.labels = predictor.text, predictor.labels
        self.module.text = self.text.graph()
        self._network = self.traced(self._probabilities, tokens=([None, None], "int32"))  # once for all signatures

    def functions(self) -> dict[str, Callable]:
        return {
            "serving_default": self.traced(self.serving_default, text=([None], "string")),
            "classify": self.traced(self.classify, inputs=([None], "string")),
            "tokens": self.traced(self.tokens, tokens=([None, None], "int32"), length=([None], "int32")),
        }

    def _probabilities(self, tokens):
        import tensorflow as tf

        return tf.nn.softmax(tf.cast(self.model(tokens, training=False), tf.float32))  # [B, C]

    def _answer(self, tokens, truncated):
        """The outputs for tokens int32 `[B, T]`, at least one a row, and whether more were given, bool `[B]`."""
        import tensorflow as tf

        probabilities = self._network(tokens)  # [B, C]
        names = tf.constant([label.encode("utf-8") for label in self.labels])  # [C]
        return {
            "label": tf.gather(names, tf.argmax(probabilities, axis=1)),  # [B]
            "probability": tf.reduce_max(probabilities, axis=1),  # [B]
            "probabilities": probabilities,
            "labels": tf.tile(names[None, :], [tf.shape(probabilities)[0], 1]),  # [B, C]
            "truncated": truncated,
        }

    def serving_default(self, text) -> dict[str, Any]:
        (text,), rows = fill_empty_batch(text)
        tokens, _, truncated = self.module.text.encode_flagged(text)  # [B, T], [B], [B]
        return first_rows(self._answer(tokens, truncated), rows)

    def classify(self, inputs) -> dict[str, Any]:
        import tensorflow as tf

        feature = {"text": tf.io.FixedLenFeature([], tf.string)}
        outputs = self.serving_default(tf.io.parse_example(tf.reshape(inputs, [-1]), feature)["text"])
        return {"classes": outputs["labels"], "scores": outputs["probabilities"]}

    def tokens(self, tokens, length) -> dict[str, Any]:
        (tokens, length), rows = fill_empty_batch(tokens, length)
        tokens, length = checked_tokens(tokens, length, self.text.vocabulary_size)
        truncated = length > self.text.settings.max_length
        return first_rows(self._answer(self._clean(tokens, length), truncated), rows)

    def _clean(self, tokens, length):
        """Only ids that the network knows, PAD exactly from `length` on, and at least one token a row."""
        import tensorflow as tf

        from nlp_suite.text.text_layer import PAD, UNKNOWN

        tokens = tokens[:, : self.text.settings.max_length]  # [B, T]
        empty = tf.constant(self.text.encode([""])[0][None, :])  # [1, T0], what an empty text becomes
        width = tf.maximum(tf.shape(tokens)[1], empty.shape[1])
        tokens = tf.pad(tokens, [[0, 0], [0, width - tf.shape(tokens)[1]]])
        empty = tf.pad(empty, [[0, 0], [0, width - empty.shape[1]]])  # [1, T]
        tokens = tf.where(tokens == PAD, UNKNOWN, tokens)
        tokens = tf.where(tf.range(width)[None, :] < length[:, None], tokens, PAD)
        return tf.where(length[:, None] > 0, tokens, empty)

    def cases(self, texts: Sequence[bytes]) -> list[Case]:
        """One request of every signature. The label is expected only where no text stands on the border between two."""
        names = [label.encode("utf-8") for label in self.labels]
        probabilities, truncated = self.predictor.probabilities_flagged(texts)  # [N, C], [N]
        outputs = {
            "probabilities": probabilities,
            "probability": probabilities.max(axis=1),
            "labels": [names] * len(texts),
        }
        top = np.sort(probabilities, axis=1)[:, -2:]  # [N, 2]
        if (top[:, 1] - top[:, 0] > 1e-4).all():
            outputs["label"] = [names[i] for i in probabilities.argmax(axis=1)]
        rows = self.text.encode(texts)
        tokens = {"tokens": self.text.pad(rows), "length": np.array([len(row) for row in rows], "int32")}
        scores = {"classes": outputs["labels"], "scores": probabilities}
        whole = np.zeros(len(rows), bool)  # these ids are what is left
        return [
            Case("serving_default", {"text": list(texts)}, {**outputs, "truncated": truncated}),
            Case("tokens", tokens, {**outputs, "truncated": whole}),
            Case("classify", {"inputs": [_example(text) for text in texts]}, scores),
        ]


def _example(text: bytes) -> bytes:
    """A serialized `tf.Example` with the bytes feature `text`."""
    import tensorflow as tf

    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[text]))
    return tf.train.Example(features=tf.train.Features(feature={"text": feature})).SerializeToString()
