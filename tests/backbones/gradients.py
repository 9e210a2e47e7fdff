"""Gradients on every backend, as arrays."""

import keras
from keras import ops


def numpy(x):
    """A tensor as an array, bfloat16 as float32."""
    return ops.convert_to_numpy(ops.cast(x, "float32") if keras.backend.is_float_dtype(x.dtype) else x)


def gradients(function, layer, arrays=(), graph=False) -> dict:
    """Gradients of `function(*arrays)`, a scalar, in the arrays and in the layer's weights: by place, or path of a weight."""
    variables = layer.trainable_variables
    names = [*range(len(arrays)), *(v.path for v in variables)]
    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        def compute(*inputs):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                loss = function(*inputs)
            return tape.gradient(loss, [*inputs, *(v.value for v in variables)])

        if graph:  # of unknown batch size and lengths
            signature = [tf.TensorSpec([None, None, a.shape[-1]]) for a in arrays]
            compute = tf.function(compute, input_signature=signature)
        values = compute(*map(tf.constant, arrays))
    elif backend == "torch":
        inputs = [ops.convert_to_tensor(a).requires_grad_() for a in arrays]
        for v in variables:
            v.value.grad = None
        function(*inputs).backward()
        values = [*(i.grad for i in inputs), *(v.value.grad for v in variables)]
    else:
        import jax

        def stateless(values):
            scope = keras.StatelessScope(list(zip(variables, values[len(arrays) :], strict=True)))
            with scope:
                return function(*values[: len(arrays)])

        values = jax.grad(stateless)([*map(ops.convert_to_tensor, arrays), *(v.value for v in variables)])
    return {n: None if g is None else ops.convert_to_numpy(g) for n, g in zip(names, values, strict=True)}


def rounding(size):
    """How much more sums over `size` numbers are rounded apart than those over 16, for which the bounds were set."""
    return max(1.0, size / 16) ** 0.5
