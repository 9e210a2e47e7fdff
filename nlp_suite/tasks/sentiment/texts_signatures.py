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


class StringSignatures(Signatures):
    """The signatures of anything that answers texts, whatever networks it has.

    * `serving_default`: `text` string `[B]` → the outputs of `answer`, and `truncated` bool `[B]`, where that is known: whether
      the text had more tokens or characters than are read.
    * one for TensorFlow Serving's Classify or Regress: `inputs`, serialized `tf.Example` `[B]` with one bytes feature
      `text` → the outputs of `example_answer`. An example without the feature is an error: it is a misspelt request, not
      an empty text.

    A model of pairs has the inputs `text` and `text_b` in place of `text`, and an example both features.

    Args:
        model: what has the weights.
        predictor: a `TextsPredictor` of the same model.

    Attributes:
        of_examples: name of the signature for Classify or Regress.
        flags_truncated: whether it is known which texts were truncated.
    """

    predictor: "TextsPredictor"
    of_examples: ClassVar[str]
    flags_truncated = True
    example = "A wonderful film, well worth the wait."

    def __init__(self, model, predictor):
        super().__init__(model, predictor)
        self.labels = predictor.labels
        self._inputs = ["text", "text_b"] if predictor.pairs else ["text"]
        self._default = self.serving_default_of_pairs if predictor.pairs else self.serving_default
        if predictor.pairs:
            self.example = dict(zip(self._inputs, ("Is the film worth the wait?", self.example)))

    def functions(self) -> dict[str, Callable]:
        return {
            "serving_default": self.traced(self._default, **self._texts()),
            self.of_examples: self.traced(self.answer_examples, inputs=([None], "string")),
        }

    def _texts(self) -> dict[str, tuple]:
        return {name: ([None], "string") for name in self._inputs}

    # ---- what is particular to a problem

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

    @abstractmethod
    def outputs_of(self, *sides) -> tuple[Any, Any]:
        """Outputs float32 `[B, outputs]` of texts or pairs string `[B]`, B at least 1, and which were truncated, bool `[B]`, or None."""

    def serving_default(self, text) -> dict[str, Any]:
        return self._answer_texts(text)

    def serving_default_of_pairs(self, text, text_b) -> dict[str, Any]:
        return self._answer_texts(text, text_b)

    def _answer_texts(self, *sides):
        sides, rows = fill_empty_batch(*sides)
        return self._answer(*self.outputs_of(*sides), rows)

    def _answer(self, outputs, truncated, rows):
        """The answers of the first B rows of outputs `[≥ B, outputs]` and of what was truncated, bool `[≥ B]` or None."""
        answer = self.answer(outputs[:rows], rows)
        return answer if truncated is None else {**answer, "truncated": truncated[:rows]}

    def answer_examples(self, inputs) -> dict[str, Any]:
        import tensorflow as tf

        feature = {name: tf.io.FixedLenFeature([], tf.string) for name in self._inputs}
        given = tf.io.parse_example(tf.reshape(inputs, [-1]), feature)
        return self.example_answer(self._default(*(given[name] for name in self._inputs)))

    # ---- requests

    def cases(self, texts: Sequence[bytes]) -> list[Case]:
        """One request of every signature."""
        outputs, truncated = self.predictor.outputs_flagged(texts)  # [N, outputs], [N]
        answer = self.expected(outputs)
        sides = zip(*map(split_pair, texts)) if self.predictor.pairs else [texts]
        given = {name: list(side) for name, side in zip(self._inputs, sides)}
        examples = {"inputs": [serialized_example(dict(zip(given, row))) for row in zip(*given.values())]}
        flagged = {"truncated": truncated} if self.flags_truncated else {}
        return [
            Case("serving_default", given, {**answer, **flagged}),
            Case(self.of_examples, examples, self.example_answer(answer)),
            *self.more_cases(texts, given, answer),
        ]

    def more_cases(self, texts: Sequence[bytes], given: Mapping[str, Any], answer: Mapping[str, Any]) -> list[Case]:
        """Those of the signatures that not all have.

        Args:
            texts: as for `cases`.
            given: the inputs of `serving_default`.
            answer: what `expected` gives for them.
        """
        return []


class TextsSignatures(StringSignatures):
    """The signatures of a network that answers texts: those of `StringSignatures`, and two more.

    * `tokens`: `tokens` int32 `[B, T]`, `length` int32 `[B]` → the same as `serving_default`. What stands at or after `length` is
      ignored; a row of length 0 is the empty text; an id that is not in the vocabulary and a length beyond T are errors, PAD counts
      as unknown; ids beyond the text layer's `max_length` are cut off.
    * `embed`: `text` string `[B]` → `embedding` float32 `[B, D]`, what the network's head reads, and `truncated`.

    Args:
        model: a `SentimentModel`.
        predictor: a `TextsPredictor` of the same model.
    """

    def __init__(self, model, predictor):
        super().__init__(model, predictor)
        self.text = predictor.text
        self._graph = self.text.graph()
        self.module.text = self._graph.tables
        self._embed = self.embed_pairs if predictor.pairs else self.embed
        self._network = self.traced(
            self._vectors_and_outputs, tokens=([None, None], "int32")
        )  # once for all signatures

    def functions(self) -> dict[str, Callable]:
        return {
            **super().functions(),
            "embed": self.traced(self._embed, **self._texts()),
            "tokens": self.traced(self.tokens, tokens=([None, None], "int32"), length=([None], "int32")),
        }

    @abstractmethod
    def from_logits(self, logits) -> Any:
        """The outputs float32 `[B, outputs]` of logits float32 `[B, C]`, as `NetworkTexts.from_logits`."""

    # ---- the graph

    def _vectors_and_outputs(self, tokens):
        vectors, logits = self.model.vectors_and_logits(tokens)
        return vectors, self.from_logits(logits)  # [B, D], [B, outputs]

    def outputs_of(self, *sides) -> tuple[Any, Any]:
        tokens, truncated = self._read(*sides)
        return self._network(tokens)[1], truncated

    def embed(self, text) -> dict[str, Any]:
        return self._embedding(text)

    def embed_pairs(self, text, text_b) -> dict[str, Any]:
        return self._embedding(text, text_b)

    def _read(self, *sides):
        """Tokens int32 `[B, T]` of texts or pairs `[B]`, B at least 1, and whether they had more."""
        encode = self._graph.encode_pairs_flagged if len(sides) > 1 else self._graph.encode_flagged
        tokens, _, truncated = encode(*sides)
        return tokens, truncated

    def _embedding(self, *sides):
        sides, rows = fill_empty_batch(*sides)
        tokens, truncated = self._read(*sides)
        return {"embedding": self._network(tokens)[0][:rows], "truncated": truncated[:rows]}

    def tokens(self, tokens, length) -> dict[str, Any]:
        (tokens, length), rows = fill_empty_batch(tokens, length)
        tokens, length = checked_tokens(tokens, length, self.text.vocabulary_size)
        truncated = length > self.text.settings.max_length
        return self._answer(self._network(self._clean(tokens, length))[1], truncated, rows)

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

    def more_cases(self, texts, given, answer) -> list[Case]:
        rows, (vectors, truncated) = self._encoded(texts), self.predictor.embed_flagged(texts)
        tokens = {"tokens": self.text.pad(rows), "length": np.array([len(row) for row in rows], "int32")}
        whole = np.zeros(len(rows), bool)  # these ids are what is left
        return [
            Case("tokens", tokens, {**answer, "truncated": whole}),
            Case("embed", given, {"embedding": vectors, "truncated": truncated}),
        ]


def serialized_example(texts: Mapping[str, bytes]) -> bytes:
    """A serialized `tf.Example` with a bytes feature for each text."""
    import tensorflow as tf

    values = {name: tf.train.BytesList(value=[text]) for name, text in texts.items()}
    feature = {name: tf.train.Feature(bytes_list=value) for name, value in values.items()}
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()
