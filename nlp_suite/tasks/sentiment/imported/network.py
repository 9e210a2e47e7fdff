"""Someone else's classifier as a function of TensorFlow: texts or ids in, probabilities out."""

import json
import shutil
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from nlp_suite.errors import ExportError, NlpSuiteError, UsageError
from nlp_suite.export.loaded import LoadedSignatures
from nlp_suite.tasks.sentiment.imported.reading import Foreign

Outputs = Literal["auto", "probabilities", "logits"]
_TIME_MAJOR: dict[str, tuple[Any, ...]] = {"time_major": (False, None)}
FORGOTTEN: dict[str, dict[str, tuple[Any, ...]]] = {  # layer → argument that Keras 3 has not → values that mean nothing
    "LSTM": _TIME_MAJOR,
    "GRU": _TIME_MAJOR,
    "SimpleRNN": _TIME_MAJOR,
    "RNN": _TIME_MAJOR,
    "SpatialDropout1D": {"trainable": (True, False), "noise_shape": (None,)},
}
PROBE_TEXTS = ("a fine film", "dull, and far too long", "", "the the the the the the", "9/10 !")


class ForeignNetwork(ABC):
    """A classifier that someone else trained.

    Attributes:
        path: where it was read.
        takes: `"text"` or `"ids"`.
        length: ids of a row, where that is fixed; else None.
        embedding_rows: of the first embedding; None where it is not known.
        columns: numbers that it answers a row with: 1 (the probability of the second of two labels) or one a label.
        are_logits: whether those are logits.
        parameters: number of weights.
        weight_bytes: their bytes.
        layers: what it is made of, for the model card.
    """

    path: Path
    takes: Literal["text", "ids"]
    length: int | None = None
    embedding_rows: int | None = None
    columns: int
    are_logits: bool
    parameters: int = 0
    weight_bytes: int = 0
    layers: list[str]
    weights = variables = ()  # of Keras alone; a graph holds `resources`

    @abstractmethod
    def answer(self, rows: Any) -> Any:
        """What the model answers to texts string `[B]`, or to ids int32 `[B, T]`: float32 `[B, columns]`."""

    @abstractmethod
    def settle(self, outputs: Outputs, highest_id: int) -> None:
        """Decides whether its answers are logits.

        Args:
            outputs: what they are, or `"auto"`.
            highest_id: that it can be asked about.

        Raises:
            UsageError, ExportError: they are neither, or do not tell.
        """

    @abstractmethod
    def resources(self) -> list[Any]:
        """What a graph of `answer` reads: variables and tables."""

    @property
    def labels(self) -> int:
        """Number of labels."""
        return max(2, self.columns)

    def probabilities(self, rows: Any) -> Any:
        """Probabilities float32 `[B, C]`; see `answer` for the rows."""
        import tensorflow as tf

        answer = self.answer(rows)
        if self.columns == 1:
            second = tf.sigmoid(answer) if self.are_logits else answer
            return tf.concat([1 - second, second], axis=1)
        return tf.nn.softmax(answer) if self.are_logits else answer


class KerasNetwork(ForeignNetwork):
    """A Keras model, opened with `safe_mode` on."""

    def __init__(self, foreign: Foreign):
        import keras

        self.path = foreign.path
        if foreign.kind == "h5":
            _refuse_layers(foreign)
        try:
            with _as_keras_3(foreign) as path:
                self.model = keras.saving.load_model(path, compile=False, safe_mode=True)
            source, target = (
                _one(foreign.path, "input", self.model.inputs),
                _one(foreign.path, "output", self.model.outputs),
            )
        except NlpSuiteError:
            raise
        except Exception as error:  # whatever Keras meets in a file that it cannot open
            raise ExportError(
                f"{str(foreign.path)!r}: Keras cannot open it: {_first_line(error)}; where it was made, write a SavedModel "
                "(model.export, or in Keras 2 model.save of a folder) and import that"
            ) from error
        if any(int(table.size()) == 0 for table in self._tables()):
            raise ExportError(
                f"{str(foreign.path)!r}: its text layer has no vocabulary, which an H5 file does not keep: save it as .keras"
            )
        self._rank = len(source.shape)
        self.takes = "text" if source.dtype == "string" else "ids"
        if self._rank > 2 or (self.takes == "text" and self._rank == 2 and source.shape[1] not in (None, 1)):
            raise ExportError(
                f"{str(foreign.path)!r}: its input has the shape {source.shape}; allowed: texts or rows of ids"
            )
        if self.takes == "ids" and self._rank != 2:
            raise ExportError(
                f"{str(foreign.path)!r}: its input is one {source.dtype} a row; allowed: texts or rows of ids"
            )
        self.length = source.shape[1] if self.takes == "ids" else None
        self._dtype = source.dtype
        embeddings = [layer for layer in self.model._flatten_layers() if isinstance(layer, keras.layers.Embedding)]
        if self.takes == "ids":
            if not embeddings:
                raise ExportError(f"{str(foreign.path)!r} has no Embedding, so its numbers are no ids of tokens")
            self.embedding_rows = embeddings[0].input_dim
        self.columns = _columns(foreign.path, target.shape)
        self._target = target
        self.parameters = self.model.count_params()
        self.weight_bytes = sum(np.asarray(weight).nbytes for weight in self.model.weights)
        self.layers = [type(layer).__name__ for layer in self.model.layers]

    def settle(self, outputs: Outputs, highest_id: int) -> None:
        is_said = outputs != "auto"
        self.are_logits = outputs == "logits" if is_said else not _is_squashed(self.path, self._target, self.columns)

    def answer(self, rows: Any) -> Any:
        import tensorflow as tf

        given = tf.reshape(rows, [-1, 1]) if self.takes == "text" and self._rank == 2 else rows
        given = given if self.takes == "text" else tf.cast(given, self._dtype)
        return tf.reshape(tf.cast(self.model(given, training=False), tf.float32), [-1, self.columns])

    def resources(self) -> list[Any]:
        return [*(variable.value for variable in self.model.variables), *self._tables()]

    def _tables(self) -> list[Any]:
        """The tables of its vocabularies."""
        layers = [
            getattr(layer, "_lookup_layer", layer) for layer in self.model._flatten_layers()
        ]  # of TextVectorization
        return list({id(layer): layer.lookup_table for layer in layers if hasattr(layer, "lookup_table")}.values())


class SavedModelNetwork(ForeignNetwork):
    """The signature `serving_default` of a SavedModel."""

    def __init__(self, foreign: Foreign):
        import tensorflow as tf

        self.path = foreign.path
        loaded = LoadedSignatures(foreign.path)
        self._function = loaded.function("serving_default")
        if self._function is None:
            raise ExportError(f"{str(foreign.path)!r} has no signature serving_default")
        self._loaded, self.layers = loaded, ["a graph of TensorFlow"]
        inputs, outputs_ = self._function.structured_input_signature[1], self._function.structured_outputs
        for side, tensors in (("input", inputs), ("output", outputs_)):
            _one(foreign.path, side, list(tensors))
        self._input, spec = next(iter(inputs.items()))
        self._output, target = next(iter(outputs_.items()))
        self._spec: Any = spec
        self.takes = "text" if spec.dtype == tf.string else "ids"
        rank = spec.shape.rank
        if rank not in ((1, 2) if self.takes == "text" else (2,)):
            raise ExportError(
                f"{str(foreign.path)!r}: its input has the shape {spec.shape}; allowed: texts or rows of ids"
            )
        self.length = spec.shape[1] if self.takes == "ids" else None
        self.columns = _columns(foreign.path, target.shape)
        variables = loaded.variables()
        self.parameters = sum(int(np.prod(variable.shape)) for variable in variables)
        self.weight_bytes = sum(variable.numpy().nbytes for variable in variables)

    def settle(self, outputs: Outputs, highest_id: int) -> None:
        self.are_logits = outputs == "logits" if outputs != "auto" else self._probe(highest_id)

    def _probe(self, highest_id: int) -> bool:
        """Whether some answers are no probabilities, as their numbers show."""
        import tensorflow as tf

        if self.takes == "text":
            rows = tf.constant(PROBE_TEXTS)
        else:
            rows = tf.random.stateless_uniform([64, self.length or 16], (1, 2), 0, highest_id + 1, tf.int32)
        answers = self.answer(rows).numpy()
        within = bool(((answers >= 0) & (answers <= 1)).all())
        if self.columns > 1:
            adds_up = within and bool(np.allclose(answers.sum(axis=1), 1, atol=1e-4))
            if within and not adds_up:
                raise UsageError(
                    f"{str(self.path)!r}: its answers are from 0 to 1 and do not add up to 1: give --outputs logits, if they are"
                )
            return not adds_up
        return not within

    def answer(self, rows: Any) -> Any:
        import tensorflow as tf

        given = tf.reshape(rows, [-1, 1]) if self.takes == "text" and self._spec.shape.rank == 2 else rows
        given = given if self.takes == "text" else tf.cast(given, self._spec.dtype)
        answer = self._function(**{self._input: given})[self._output]
        return tf.reshape(tf.cast(answer, tf.float32), [-1, self.columns])

    def resources(self) -> list[Any]:
        return [self._loaded.module()]


def _one(path: Path, side: str, tensors: Any) -> Any:
    if len(tensors) != 1:
        names = ", ".join(str(getattr(tensor, "name", tensor)) for tensor in tensors)
        raise ExportError(f"{str(path)!r} has {len(tensors)} {side}s ({names}); a classifier of texts has one")
    return tensors[0]


def _columns(path: Path, shape: Any) -> int:
    size = shape[-1] if len(shape) == 2 else 1 if len(shape) == 1 else None
    if size is None:
        raise ExportError(
            f"{str(path)!r}: its output has the shape {tuple(shape)}; a classifier has one number a label, or one"
        )
    return int(size)


def _refuse_layers(foreign: Foreign) -> None:
    """Refuses an H5 with layers that Keras has not, by their names."""
    import keras

    for described in foreign.config["config"].get("layers", []) if isinstance(foreign.config["config"], dict) else []:
        kind = described.get("class_name", "")
        if not hasattr(keras.layers, kind) and not hasattr(keras, kind):
            name = described.get("config", {}).get("name", "")
            raise ExportError(
                f"{str(foreign.path)!r} is refused: {kind} {name!r} is no layer of Keras: a custom object, whose code is not in the file, "
                "or an operation, which H5 does not keep. Save the model as .keras, or as a SavedModel where it was made (model.export)"
            )


def _is_squashed(path: Path, target: Any, columns: int) -> bool:
    """Whether the answers are probabilities, as the operation says that they come from.

    Raises:
        ExportError: a sigmoid for each of several labels: any number of them at once; or an operation that does not say it.
    """
    last = target._keras_history.operation
    if hasattr(last, "layers"):  # a model within the model
        return _is_squashed(path, last.outputs[0], columns)
    kind = type(last).__name__
    activation = getattr(getattr(last, "activation", None), "__name__", kind.lower())
    if activation == "sigmoid" and columns > 1:
        raise ExportError(
            f"{str(path)!r}: it gives {columns} sigmoids, any number of labels a text (multi_label), and what is imported has one "
            "label a text"
        )
    if activation not in ("linear", "sigmoid", "softmax"):
        raise ExportError(
            f"{str(path)!r}: its last layer, {kind} {last.name!r}, does not say what its numbers are: give --outputs logits, or "
            "--outputs probabilities"
        )
    return activation != "linear"


@contextmanager
def _as_keras_3(foreign: Foreign) -> Iterator[Path]:
    """The file, or a copy of an H5 of Keras 2 without the arguments that Keras 3 no longer knows."""
    config = _known_arguments(foreign.config)
    if foreign.kind != "h5" or config == foreign.config:
        yield foreign.path
        return
    import h5py

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copy(foreign.path, Path(folder) / "model.h5"))
        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(config).encode("utf-8")
        yield copy


def _known_arguments(config: Any) -> Any:
    """A config of Keras 2 without `FORGOTTEN` arguments, where they say what Keras 3 does anyway."""
    if isinstance(config, list):
        return [_known_arguments(value) for value in config]
    if not isinstance(config, dict):
        return config
    config = {key: _known_arguments(value) for key, value in config.items()}
    if isinstance(inner := config.get("config"), dict):
        forgotten = FORGOTTEN.get(str(config.get("class_name")), {})
        config["config"] = {k: v for k, v in inner.items() if not (k in forgotten and v in forgotten[k])}
    return config


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
