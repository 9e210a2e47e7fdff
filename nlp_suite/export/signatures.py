"""What every task's serving signatures are: functions of a graph, and requests with the answers that Python gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from nlp_suite.export.cases import Case

if TYPE_CHECKING:
    from nlp_suite.predictor import Predictor

CLASSIFY = "tensorflow/serving/classify"  # method name of TensorFlow Serving's Classify
REGRESS = "tensorflow/serving/regress"  # and of its Regress


class Signatures(ABC):
    """The serving signatures of one network, text in and text out, under the TensorFlow backend.

    Every input and output has the batch in dim 0, and a row's answer does not depend on the rows beside it.

    Args:
        model: the network.
        predictor: the same network in Python, with its text layers.

    Attributes:
        module: a `tf.Module` that holds all resources of the graph.
        methods: signature → method name, where it is not Predict.
        tolerance: of the self-check.
        example: what a user may ask first: a text, or where there are several inputs, name → text.
        columns: input → what stands in the places of its last dimension, where that has names.
        compiled: signature → the signature that is its form compiled by XLA; those need a server with XLA.
    """

    methods: ClassVar[Mapping[str, str]] = {}
    tolerance: ClassVar[float] = 1e-5
    example: str | Mapping[str, str] = "The "
    columns: Mapping[str, Sequence[str]] = {}

    def __init__(self, model: Any, predictor: Predictor):
        import tensorflow as tf

        self.model, self.predictor = model, predictor
        self.compiled: Mapping[str, str] = {}
        self.module = tf.Module()
        weights = {id(weight) for weight in model.weights}
        for variable in model.variables:  # states of random generators, which a graph may read though it draws nothing
            if id(variable) not in weights:
                variable.assign(variable.value * 0)  # else two exports of a run differ
        self.module.weights = [variable.value for variable in model.variables]

    @abstractmethod
    def functions(self) -> dict[str, Any]:
        """Signature name → `tf.function`."""

    @abstractmethod
    def cases(self, texts: Sequence[bytes]) -> list[Case]:
        """Requests with expected answers, of every signature that a stock server answers, over the same texts."""

    def compiled_cases(self, texts: Sequence[bytes]) -> list[Case]:
        """As `cases`, of the compiled signatures."""
        return []

    def compiled_warmup(self, texts: Sequence[bytes]) -> list[Case]:
        """Requests without answers that make a server compile every shape that it will meet."""
        return []

    @staticmethod
    def traced(method: Callable[..., Any], **inputs: tuple[Sequence[int | None], str]) -> Any:
        """A `tf.function` of a method.

        Args:
            method: takes the inputs in their order.
            inputs: name → shape and dtype, such as `([None], "string")`.
        """
        import tensorflow as tf

        specs = [tf.TensorSpec(*spec, name=name) for name, spec in inputs.items()]
        return tf.function(method, specs, autograph=False)


def fill_empty_batch(*columns: Any) -> tuple[list[Any], Any]:
    """Tensors `[B, …]`, with one row of empty strings or zeros where B is 0, and B itself.

    Layers and text ops do not all take an empty batch; `first_rows` takes the row off the answer again. A column declared
    as `[B]` is flattened: servers do not compare shapes, and some clients send a text alone as a scalar.
    """
    import tensorflow as tf

    columns = tuple(tf.reshape(column, [-1]) if column.shape.rank == 1 else column for column in columns)
    rows = tf.shape(columns[0])[0]
    extra = tf.cast(tf.equal(rows, 0), tf.int32)
    filled = []
    for column in columns:
        empty = tf.constant("" if column.dtype == tf.string else 0, column.dtype)
        new = tf.fill([extra, *tf.unstack(tf.shape(column), column.shape.rank)[1:]], empty)
        filled.append(tf.concat([column, new], 0))
    return filled, rows


def checked_tokens(tokens: Any, length: Any, vocabulary_size: int) -> tuple[Any, Any]:
    """Token ids int32 `[B, T]`, B at least 1, and their number `[B]` as they came, where a row can be one of the model.

    What stands at or after `length` may be anything: a server that pads puts copies of another id there. An error, unlike
    the limits that options have, fails the requests that a stock server batched with this one; but no id is near one of
    another vocabulary, and any would be an answer to another text.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs: a length below 0 or beyond T, not one length a row, or an id
            before it that is not in the vocabulary.
    """
    import tensorflow as tf

    rows, width = tf.unstack(tf.shape(tokens))
    fits = (tf.size(length) == rows) & (tf.reduce_min(length) >= 0) & (tf.reduce_max(length) <= width)
    sizes = tf.debugging.Assert(
        fits, ["every row of tokens has one length from 0 to their width; shape and length:", tf.shape(tokens), length]
    )
    with tf.control_dependencies([sizes]):
        used = tf.pad(tf.where(tf.sequence_mask(length, width), tokens, 0), [[0, 0], [0, 1]])  # [B, T + 1]
    lowest, highest = tf.reduce_min(used), tf.reduce_max(used)
    known = tf.debugging.Assert(
        (lowest >= 0) & (highest < vocabulary_size),
        [f"the ids of tokens are from 0 to {vocabulary_size - 1}; lowest and highest:", lowest, highest],
    )
    with tf.control_dependencies([known]):
        return tf.identity(tokens), tf.identity(length)


def first_rows(outputs: Mapping[str, Any], rows: Any) -> dict[str, Any]:
    """The first rows of every output."""
    return {name: value[:rows] for name, value in outputs.items()}
