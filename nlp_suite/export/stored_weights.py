"""Weights that a SavedModel stores in fewer bytes: float16, bfloat16 or int8 in its files, float32 from loading on.

A server that loads the model restores the narrow arrays and casts each once into the variable that the graph reads, by ops
that every server has (VarHandleOp, Cast, Mul, AssignVariableOp). So a request costs what it costs otherwise. int8 has a
float32 scale for every index of the last axis, a unit of a layer; it is for exports with `quantize`.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from nlp_suite.errors import ExportError
from nlp_suite.export.cases import Case

StoredType = Literal["float32", "float16", "bfloat16"]
NarrowType = Literal["float16", "bfloat16", "int8"]


def narrowable(weights: Sequence[Any]) -> list[Any]:
    """Those of some `tf.Variable`s that are stored in fewer bytes: float32 matrices; vectors are small."""
    return [weight for weight in weights if weight.dtype == "float32" and weight.shape.rank > 1]


def round_weights(weights: Sequence[Any], kind: NarrowType) -> None:
    """Gives variables the values that they have once they were stored in fewer bytes.

    Args:
        weights: see `narrowable`.
        kind: how they are stored.

    Raises:
        ExportError: a number that the type cannot hold.
    """
    import tensorflow as tf

    for weight in weights:
        rounded = _widened(*_narrowed(weight, kind))
        if not bool(tf.reduce_all(tf.math.is_finite(rounded))):
            other = "bfloat16, or float32" if kind == "float16" else "float32"
            raise ExportError(
                f"weights as {kind}: an array of the shape {tuple(weight.shape)} has numbers up to "
                f"{float(tf.reduce_max(tf.abs(weight))):.3g}, which it cannot hold: give {other}"
            )
        weight.assign(rounded)


def store_as(weights: Sequence[Any], kind: NarrowType) -> list[Any]:
    """What a module to be saved must hold in place of its weights; graphs that read those read what is stored.

    Args:
        weights: all `tf.Variable`s, rounded already.
        kind: how the `narrowable` ones are stored.
    """
    import tensorflow as tf

    class Widened(tf.saved_model.experimental.TrackableResource):
        """A float32 variable of the saved graph, which begins as one that is narrower.

        As lookup tables do, it stays in a process that loads the model with `tf.saved_model.load` and lets go of it: the
        signatures of what was loaded are used without the object that holds this one.
        """

        def __init__(self, weight: Any, number: int):
            super().__init__()
            self._weight, self._name = weight, f"weight_{number}"
            self._stored = []
            for i, array in enumerate(_narrowed(weight, kind)):
                narrow = tf.Variable(array, trainable=False, name=f"stored_{number}_{i}")
                self._stored.append(self._track_trackable(narrow, f"stored_{i}"))
            self._resource_handle = weight.handle

        def _create_resource(self) -> Any:
            return tf.raw_ops.VarHandleOp(dtype=tf.float32, shape=self._weight.shape, shared_name=self._name)

        def _initialize(self) -> None:
            tf.raw_ops.AssignVariableOp(resource=self.resource_handle, value=_widened(*self._stored))

    chosen = {id(weight) for weight in narrowable(weights)}
    return [Widened(weight, i) if id(weight) in chosen else weight for i, weight in enumerate(weights)]


def _narrowed(weight: Any, kind: NarrowType) -> list[Any]:
    """What is stored of a float32 matrix `[…, N]`: an array of the kind, and of int8 its scales `[N]`."""
    import tensorflow as tf

    if kind != "int8":
        return [tf.cast(weight, kind)]
    largest = tf.reduce_max(tf.abs(weight), axis=tf.range(weight.shape.rank - 1))
    scale = tf.where(largest > 0, largest, 1.0) / 127.0
    return [tf.cast(tf.round(weight / scale), tf.int8), scale]


def _widened(narrow: Any, scale: Any = None) -> Any:
    import tensorflow as tf

    wide = tf.cast(narrow, tf.float32)
    return wide if scale is None else wide * scale


def largest_change(before: Sequence[Case], after: Sequence[Case]) -> float:
    """The largest difference of the numbers in two answers to the same requests, relative above 1.

    Numbers of answers in which a text changed are left out: they are of something else.
    """
    largest = 0.0
    for one, other in zip(before, after, strict=True):
        rows = _alike(one, other)
        for name in one.outputs.keys() & other.outputs.keys():
            numbers = [np.asarray(case.outputs[name]) for case in (one, other)]
            if numbers[0].dtype.kind != "f" or numbers[0].shape != numbers[1].shape:
                continue
            exact, found = (array[rows].astype("float64") for array in numbers)
            difference = np.abs(found - exact) / np.maximum(np.abs(exact), 1.0)
            largest = max(largest, float(difference.max(initial=0.0)))
    return largest


def _alike(one: Case, other: Case) -> np.ndarray:
    """Of two answers to one request, the rows with the same texts, bool `[N]`."""
    count = len(next(iter(one.inputs.values())))
    alike = np.ones(count, bool)
    for name in one.outputs.keys() & other.outputs.keys():
        texts = [case.outputs[name] for case in (one, other)]
        if np.asarray(texts[0]).dtype.kind in "OSU":
            alike &= [a == b for a, b in zip(*texts, strict=True)]
    return alike
