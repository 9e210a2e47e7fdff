"""Functions with a written-out gradient and several outputs, on TensorFlow, JAX and PyTorch."""

import math
from itertools import accumulate, pairwise

import keras
from keras import ops


def custom_gradient(function, args):
    """Calls a function that defines its gradient: `ops.custom_gradient` with several outputs on every backend.

    PyTorch, where Keras allows one output, gets them through one flat vector: there all outputs have one dtype.

    Args:
        function: takes tensors; returns a tuple of outputs, and a function from the tuple of their gradients to the
            tuple of the arguments' gradients.
        args: tuple of tensors or variables, all that the outputs are differentiable in; others are closed over.

    Returns:
        The tuple of outputs, differentiable once.

    Example:
        >>> square = lambda x: ((x * x,), lambda upstream: (2 * x * upstream[0],))
        >>> (y,) = custom_gradient(square, (x,))
    """
    args = [ops.convert_to_tensor(a) for a in args]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        args = [tf.convert_to_tensor(a) for a in args]  # reads variables, which TensorFlow refuses within `function`
    if keras.backend.backend() != "torch":

        def with_gradient(*args):
            outputs, gradient = function(*args)
            return outputs, lambda *upstream: gradient(tuple(keras.tree.flatten(upstream)))

        return ops.custom_gradient(with_gradient)(*args)

    shapes = []

    def with_flat_gradient(*args):
        outputs, gradient = function(*args)
        shapes[:] = [ops.shape(o) for o in outputs]
        flat = ops.concatenate([ops.reshape(o, (-1,)) for o in outputs])
        return flat, lambda *_, upstream: gradient(_unflatten(upstream, shapes))

    return _unflatten(ops.custom_gradient(with_flat_gradient)(*args), shapes)


def _unflatten(flat, shapes):
    ends = accumulate((math.prod(shape) for shape in shapes), initial=0)
    return tuple(
        ops.reshape(flat[begin:end], shape) for (begin, end), shape in zip(pairwise(ends), shapes, strict=True)
    )
