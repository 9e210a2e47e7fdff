"""LoRA (Hu et al. 2021): a dense layer keeps its weights, and what is trained is a low-rank update of its kernel beside them.

`add_update` takes a built `keras.layers.Dense` or `EinsumDense` wherever it stands in a network, so that any network of
such layers can be trained so; `merge_update` makes the update part of the kernel. Keras's own `enable_lora` is not used: it
computes the gradient of the whole kernel, gives the heads of an attention one factor in common, and what it saves and
loads is no longer the two factors.
"""

from typing import Any

import keras
import numpy as np
from keras import ops


class _Updated:
    """Mixin before the class of a dense layer: `activation(x W + b + (α / r) x A B)`.

    Attributes:
        update: the factors, A `[I, r]` and B `[r, O]`, of I inputs and O outputs, over however many axes of the kernel.
        update_factor: α / r.
        update_activation: the layer's activation, which comes after the sum.
    """

    kernel: Any
    update: tuple[Any, Any]
    update_factor: float
    update_activation: Any

    def call(self, inputs: Any, training: Any = None) -> Any:
        a, b = self.update
        inner = _inner_axes(self)
        free, outer = ops.shape(inputs)[: len(inputs.shape) - inner], self.kernel.shape[inner:]
        x = inputs if inner == 1 else ops.reshape(inputs, (*free, a.shape[0]))  # [..., I]
        x = ops.matmul(ops.matmul(x, a) * self.update_factor, b)  # [..., O]
        x = x if len(outer) == 1 else ops.reshape(x, (*free, *outer))
        return self.update_activation(super().call(inputs, training=training) + x)  # type: ignore[misc]  # of the layer


class _UpdatedDense(_Updated, keras.layers.Dense):
    pass


class _UpdatedEinsumDense(_Updated, keras.layers.EinsumDense):
    pass


_CLASSES = {keras.layers.Dense: _UpdatedDense, keras.layers.EinsumDense: _UpdatedEinsumDense}
_PLAIN = {updated: plain for plain, updated in _CLASSES.items()}


def add_update(layer: Any, rank: int, alpha: float | None = None) -> None:
    """Adds a trainable low-rank update to a layer and freezes the weights that it has.

    A begins as the authors' code has it, uniform within ±1/√I of I inputs, and B with zeros, so that the layer computes at
    first what it did. The factors come last among the layer's weights.

    Args:
        layer: a built `Dense` or `EinsumDense`, of which the kernel's first axes are the input's last ones.
        rank: r; at most as many as the kernel has inputs or outputs, else it would not be low.
        alpha: the update counts α / r times; default: r, so that it counts once whatever its rank (the authors set α to the
            first rank that they try, so that the learning rate need not be found anew with every rank).

    Raises:
        ValueError: another layer, one that is not built, or a rank that is none.

    Example:
        >>> dense = keras.layers.Dense(64, "relu")
        >>> dense.build((None, 32))
        >>> add_update(dense, rank=4)
        >>> [tuple(weight.shape) for weight in dense.trainable_weights]
        [(32, 4), (4, 64)]
    """
    if type(layer) not in _CLASSES or not layer.built:
        raise ValueError(
            f"{type(layer).__name__} {layer.name!r} is no built Dense or EinsumDense layer without an update"
        )
    shape, inner = layer.kernel.shape, _inner_axes(layer)
    inputs, outputs = _size(shape[:inner]), _size(shape[inner:])
    if not 1 <= rank <= min(inputs, outputs):
        raise ValueError(f"rank {rank} of {layer.name!r}: allowed: 1 to {min(inputs, outputs)}")
    for weight in layer.weights:
        weight.trainable = False
    initializer = keras.initializers.VarianceScaling(1 / 3, "fan_in", "uniform")
    layer._tracker.unlock()  # Keras takes no new weights of a built layer; its own `enable_lora` does so, too
    a = layer.add_weight(shape=(inputs, rank), initializer=initializer, name="update_a")
    b = layer.add_weight(shape=(rank, outputs), initializer="zeros", name="update_b")
    layer.update = (a, b)
    layer._tracker.lock()
    layer.update_factor = (rank if alpha is None else alpha) / rank
    layer.update_activation, layer.activation = layer.activation, keras.activations.linear
    layer.__class__ = _CLASSES[type(layer)]


def merge_update(layer: Any) -> None:
    """Makes the update of a layer part of its kernel, after which it is the layer that it was, frozen as it is."""
    a, b = layer.update
    # Not on a GPU, whose products of float32 have ten bits by default.
    kernel, left, right = (ops.convert_to_numpy(v.value).astype("float32") for v in (layer.kernel, a, b))
    layer.kernel.assign(kernel + (left @ right * np.float32(layer.update_factor)).reshape(kernel.shape))
    layer.__class__ = _PLAIN[type(layer)]
    layer.activation = layer.update_activation
    for factor in (a, b):
        layer._untrack_variable(factor)
    for name in ("update", "update_factor", "update_activation"):
        delattr(layer, name)


def updated_layers(layer: Any) -> list[Any]:
    """The layers with an update in a layer or network, itself included."""
    return [part for part in layer._flatten_layers() if isinstance(part, _Updated)]


def weights_without_updates(layer: Any) -> list[Any]:
    """The weights that a layer or network would have without updates, in the order that they would have."""
    factors = {id(factor) for part in updated_layers(layer) for factor in part.update}
    return [weight for weight in layer.weights if id(weight) not in factors]


def _inner_axes(layer: Any) -> int:
    """How many axes of the kernel, its first ones, are the input's last ones."""
    if isinstance(layer, keras.layers.Dense):
        return 1
    operands, output = layer.equation.split("->")
    inputs, kernel = operands.split(",")
    inner = sum(axis not in output for axis in kernel)
    if not inputs.endswith(kernel[:inner]) or inputs[: -inner or None] + kernel[inner:] != output:
        raise ValueError(
            f"EinsumDense {layer.name!r}: {layer.equation} is no product of the input's last axes and a kernel"
        )
    return inner


def _size(shape: Any) -> int:
    size = 1
    for dimension in shape:
        size *= dimension
    return size
