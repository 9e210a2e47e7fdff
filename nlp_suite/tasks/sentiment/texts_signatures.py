"""What the serving signatures of all problems share: a text or its tokens in, the answer out, all in one graph."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from nlp_suite.export.cases import Case
from nlp_suite.export.signatures import Signatures, checked_tokens, fill_empty_batch
from nlp_suite.text.pairs import split_pair

if TYPE_CHECKING:
    from nlp_suite.tasks.sentiment.texts_predictor import TextsPredictor


class TextsSignatures(Signatures):
    """The signatures of a network that answers texts.

    * `serving_default`: `text` string `[B]` → the outputs of `answer`, and `truncated` bool `[B]`: whether the text had
      more tokens or characters than are read.
    * `tokens`: `tokens` int32 `[B, T]`, `length` int32 `[B]` → the same. What stands at or after `length` is ignored; a
      row of length 0 is the empty text; an id that is not in the vocabulary and a length beyond T are errors, PAD counts
      as unknown; ids beyond the text layer's `max_length` are cut off.
    * `embed`: `text` string `[B]` → `embedding` float32 `[B, D]`, what the network's head reads, and `truncated`.
    * one for TensorFlow Serving's Classify or Regress: `inputs`, serialized `tf.Example` `[B]` with one bytes feature
      `text` → the outputs of `example_answer`. An example without the feature is an error: it is a misspelt request, not
      an empty text.

    A model of pairs has the inputs `text` and `text_b` in place of `text`, and an example both features.

    Args:
        model: a `SentimentModel`.
        predictor: a `TextsPredictor` of the same model.

    Attributes:
        of_examples: name of the signature for Classify or Regress.
    """

    predictor: "TextsPredictor"
    of_examples: ClassVar[str]
    example = "A wonderful film, well worth the wait."

    def __init__(self, model, predictor):
        super().__init__(model, predictor)
        self.text, self.labels = predictor.text, predictor.labels
        self._graph = self.text.graph()
        self.module.text = self._graph.tables
        self._inputs = ["text", "text_b"] if predictor.pairs else ["text"]
        sides = predictor.pairs
        self._default = self.serving_default_of_pairs if sides else self.serving_default
        self._embed = self.embed_pairs if sides else self.embed
        if predictor.pairs:
            self.example = dict(zip(self._inputs, ("Is the film worth the wait?", self.example)))
        self._network = self.traced(
            self._vectors_and_outputs, tokens=([None, None], "int32")
        )  # once for all signatures

    def functions(self) -> dict[str, Callable]:
        texts = {name: ([None], "string") for name in self._inputs}
        return {
            "serving_default": self.traced(self._default, **texts),
            "embed": self.traced(self._embed, **texts),
            self.of_examples: self.traced(self.answer_examples, inputs=([None], "string")),
            "tokens": self.traced(self.tokens, tokens=([None, None], "int32"), length=([None], "int32")),
        }

    # ---- what is particular to a problem

    @abstractmethod
    def from_logits(self, logits) -> Any:
        """The outputs float32 `[B, outputs]` of logits float32 `[B, C]`, as `NetworkTexts.from_logits`."""

    @abstractmethod
    def answer(self, outputs, rows) -> dict[str, Any]:
        """The answer, output name → tensor `[B, …]`.

        Args:
            outputs: float32 `[B, outputs]`.
            rows: B.
        """

    @abstractmethod
    def example_answer(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        """The same for Classify or Regress, of tensors or of arrays."""

    @abstractmethod
    def expected(self, outputs: np.ndarray) -> dict[str, Any]:
        """What `answer` gives in Python, for the self-check; may leave out what stands on a border."""

    # ---- the graph

    def _vectors_and_outputs(self, tokens):
        vectors, logits = self.model.vectors_and_logits(tokens)
        return vectors, self.from_logits(logits)  # [B, D], [B, outputs]

    def _answer(self, tokens, truncated, rows):
        """The outputs for the first B rows of tokens int32 `[≥ B, T]`, at least one a row.

        Args:
            tokens: as above.
            truncated: bool `[≥ B]`, whether more were given.
            rows: B.
        """
        return {**self.answer(self._network(tokens)[1][:rows], rows), "truncated": truncated[:rows]}

    def serving_default(self, text) -> dict[str, Any]:
        return self._answer(*self._read(text))

    def serving_default_of_pairs(self, text, text_b) -> dict[str, Any]:
        return self._answer(*self._read(text, text_b))

    def embed(self, text) -> dict[str, Any]:
        return self._embedding(*self._read(text))

    def embed_pairs(self, text, text_b) -> dict[str, Any]:
        return self._embedding(*self._read(text, text_b))

    def _read(self, *sides):
        """Tokens int32 `[≥ B, T]` of texts or pairs `[B]`, whether they had more, and B."""
        sides, rows = fill_empty_batch(*sides)
        encode = self._graph.encode_pairs_flagged if len(sides) > 1 else self._graph.encode_flagged
        tokens, _, truncated = encode(*sides)
        return tokens, truncated, rows

    def _embedding(self, tokens, truncated, rows):
        return {"embedding": self._network(tokens)[0][:rows], "truncated": truncated[:rows]}

    def answer_examples(self, inputs) -> dict[str, Any]:
        import tensorflow as tf

        feature = {name: tf.io.FixedLenFeature([], tf.string) for name in self._inputs}
        given = tf.io.parse_example(tf.reshape(inputs, [-1]), feature)
        return self.example_answer(self._default(*(given[name] for name in self._inputs)))

    def tokens(self, tokens, length) -> dict[str, Any]:
        (tokens, length), rows = fill_empty_batch(tokens, length)
        tokens, length = checked_tokens(tokens, length, self.text.vocabulary_size)
        truncated = length > self.text.settings.max_length
        return self._answer(self._clean(tokens, length), truncated, rows)

    def _clean(self, tokens, length):
        """Only ids that the network knows, PAD exactly from `length` on, and at least one token a row."""
        import tensorflow as tf

        from nlp_suite.text.text_layer import PAD, UNKNOWN

        tokens = tokens[:, : self.text.settings.max_length]  # [B, T]
        empty = tf.constant(self._encoded([b""])[0][None, :])  # [1, T0], what an empty text becomes
        width = tf.maximum(tf.shape(tokens)[1], empty.shape[1])
        tokens = tf.pad(tokens, [[0, 0], [0, width - tf.shape(tokens)[1]]])
        empty = tf.pad(empty, [[0, 0], [0, width - empty.shape[1]]])  # [1, T]
        tokens = tf.where(tokens == PAD, UNKNOWN, tokens)
        tokens = tf.where(tf.range(width)[None, :] < length[:, None], tokens, PAD)
        return tf.where(length[:, None] > 0, tokens, empty)

    # ---- requests

    def _encoded(self, texts: Sequence[bytes]) -> list[np.ndarray]:
        return self.text.encode_pairs(texts)[0] if self.predictor.pairs else self.text.encode(texts)

    def cases(self, texts: Sequence[bytes]) -> list[Case]:
        """One request of every signature."""
        outputs, truncated = self.predictor.outputs_flagged(texts)  # [N, outputs], [N]
        answer, (vectors, _) = self.expected(outputs), self.predictor.embed_flagged(texts)
        rows = self._encoded(texts)
        tokens = {"tokens": self.text.pad(rows), "length": np.array([len(row) for row in rows], "int32")}
        whole = np.zeros(len(rows), bool)  # these ids are what is left
        sides = zip(*map(split_pair, texts)) if self.predictor.pairs else [texts]
        given = {name: list(side) for name, side in zip(self._inputs, sides)}
        examples = {"inputs": [serialized_example(dict(zip(given, row))) for row in zip(*given.values())]}
        return [
            Case("serving_default", given, {**answer, "truncated": truncated}),
            Case("tokens", tokens, {**answer, "truncated": whole}),
            Case(self.of_examples, examples, self.example_answer(answer)),
            Case("embed", given, {"embedding": vectors, "truncated": truncated}),
        ]


def serialized_example(texts: Mapping[str, bytes]) -> bytes:
    """A serialized `tf.Example` with a bytes feature for each text."""
    import tensorflow as tf

    values = {name: tf.train.BytesList(value=[text]) for name, text in texts.items()}
    feature = {name: tf.train.Feature(bytes_list=value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
