"""A stack of Keras's recurrent layers over an embedding, recognised, and its weights in the network of this package."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from nlp_suite.errors import ExportError

SKIPPED = (
    "InputLayer",
    "TextVectorization",
    "Dropout",
    "SpatialDropout1D",
)  # that have no weights and, asked, do nothing
KINDS = {"LSTM": "lstm", "GRU": "gru"}


@dataclass(frozen=True)
class Recognised:
    """`Embedding → LSTM or GRU, one or more → Dense` of a Keras model.

    Attributes:
        backbone: section of a config.
        task: likewise.
        embedding: its Keras layer.
        recurrent: the layers, from the bottom to the top.
        hidden: the dense layer below the last; None where there is none.
        classifier: the last dense layer.
        masked: whether padding is left out of what the recurrent layers read.
    """

    backbone: dict[str, Any]
    task: dict[str, Any]
    embedding: Any
    recurrent: Sequence[Any]
    hidden: Any
    classifier: Any
    masked: bool


def recognise(model: Any) -> Recognised:
    """What a Keras model is, in the terms of this package.

    Raises:
        ExportError: it is something else; the message names the layer and what is expected.
    """
    layers = [layer for layer in _chain(model) if type(layer).__name__ not in SKIPPED]
    names = [type(layer).__name__ for layer in layers]
    embedding, *above = layers
    if names[0] != "Embedding":
        raise _other(embedding, "the first layer is an Embedding")
    recurrent = []
    while above and _inner(above[0]) is not None:
        recurrent.append(above.pop(0))
    if not recurrent:
        raise _other(above[0] if above else embedding, "LSTM or GRU layers stand above the Embedding")
    pooled = above[:1] if above and type(above[0]).__name__ == "GlobalAveragePooling1D" else []
    above = above[len(pooled) :]
    if not above or len(above) > 2 or any(type(layer).__name__ != "Dense" for layer in above):
        raise _other(above[0] if above else recurrent[-1], "one Dense, or two, stand above the recurrent layers")
    *hidden, classifier = above
    if hidden and hidden[0].activation.__name__ != "relu":
        raise _other(hidden[0], "a Dense below the last has the activation relu")
    for layer in above:
        if not layer.use_bias:
            raise _other(layer, "a Dense has a bias")
    if pooled and not embedding.mask_zero:
        raise _other(pooled[0], "padding is masked (mask_zero of the Embedding), or the mean counts it")
    backbone = {**_stack(recurrent, bool(pooled)), "embedding_size": int(embedding.output_dim)}
    task = {"pooling": ["mean" if pooled else "last"], "hidden": int(hidden[0].units) if hidden else 0}
    return Recognised(
        backbone, task, embedding, recurrent, hidden[0] if hidden else None, classifier, bool(embedding.mask_zero)
    )


def _chain(model: Any) -> list[Any]:
    """The layers of a model in which each reads the one before.

    Raises:
        ExportError: a layer that reads another one, or several.
    """
    layers = list(model.layers)
    if type(model).__name__ == "Sequential":
        return layers
    for before, layer in itertools.pairwise(layers):
        nodes = layer._inbound_nodes
        read = [tensor._keras_history.operation for node in nodes for tensor in node.input_tensors]
        if [operation for operation in read if operation in layers] != [
            before
        ]:  # a mask comes from an operation that is no layer
            raise _other(layer, "each layer reads the one before it alone")
    return layers


def _inner(layer: Any) -> Any:
    """The LSTM or GRU that a layer is or runs in both directions; None of another one."""
    inner = layer.forward_layer if type(layer).__name__ == "Bidirectional" else layer
    return inner if type(inner).__name__ in KINDS else None


def _stack(layers: Sequence[Any], pooled: bool) -> dict[str, Any]:
    """Settings of the backbone of some recurrent layers.

    Raises:
        ExportError: one that the backbone has not.
    """
    first = _inner(layers[0])
    both = type(layers[0]).__name__ == "Bidirectional"
    for place, layer in enumerate(layers):
        inner, is_last = _inner(layer), place == len(layers) - 1
        if type(inner) is not type(first) or (type(layer).__name__ == "Bidirectional") != both:
            raise _other(layer, "all recurrent layers are of one kind, all in one direction or all in both")
        if both and layer.merge_mode != "concat":
            raise _other(layer, "a Bidirectional has merge_mode concat")
        if inner.units != first.units and not is_last:
            raise _other(layer, "all recurrent layers but the last have as many units")
        if inner.return_sequences != (pooled or not is_last):
            raise _other(layer, "each recurrent layer but the last returns sequences, or all of them below a mean")
        if inner.recurrent_activation.__name__ != "sigmoid" or inner.activation is not first.activation:
            raise _other(layer, "recurrent_activation is sigmoid, and activation the same in all layers")
        if not inner.use_bias or inner.go_backwards or not getattr(inner, "reset_after", True):
            raise _other(layer, "it has a bias, runs forwards and, of a GRU, has reset_after")
    return {
        "name": KINDS[type(first).__name__],
        "units": int(first.units),
        "layers": len(layers),
        "last_units": int(_inner(layers[-1]).units),
        "bidirectional": both,
        "activation": first.activation.__name__,
    }


def _other(layer: Any, expected: str) -> ExportError:
    return ExportError(
        f"not recognised: {type(layer).__name__} {layer.name!r}; expected Embedding → LSTM or GRU (one or more) → Dense, in which "
        f"{expected}. It can still be imported as it is, with --to"
    )


def put_weights(recognised: Recognised, model: Any, rows: np.ndarray, columns: int) -> None:
    """Gives the network of this package the weights of the Keras model.

    Args:
        recognised: where they are.
        model: a `SentimentModel` of its settings, built.
        rows: row of the embedding for every id of this package, int `[V]`; -1: zeros.
        columns: numbers that the Keras model answers; of one, the first of two logits is 0.
    """
    table = np.asarray(recognised.embedding.get_weights()[0])  # [V', E]
    model.backbone.embedding.embeddings.assign(np.where(rows[:, None] >= 0, table[np.maximum(rows, 0)], 0))
    for ours, theirs in zip(model.backbone.recurrent, recognised.recurrent, strict=True):
        ours.set_weights(theirs.get_weights())
    if recognised.hidden is not None:
        model.hidden.set_weights(recognised.hidden.get_weights())
    kernel, bias = recognised.classifier.get_weights()
    if columns == 1:
        kernel, bias = np.hstack([np.zeros_like(kernel), kernel]), np.concatenate([np.zeros_like(bias), bias])
    model.classifier.set_weights([kernel, bias])
