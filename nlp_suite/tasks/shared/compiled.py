"""A function of a model's methods, compiled by whatever backend Keras runs on."""

from collections.abc import Callable
from functools import partial


def compiled(function, model, static=(), shapes=None) -> Callable:
    """The function, compiled, with the model's variables as they are at every call.

    Args:
        function: of tensors (or trees of them), which calls methods of the model and changes no variable.
        model: the model.
        static: names of keyword arguments that are plain values; other values compile anew.
        shapes: for every argument its shape and dtype, such as `([None, None], "int32")`, if all are arrays: TensorFlow
            then traces the function once and not a second time for the second shape.

    Returns:
        A function of arrays that returns the backend's tensors.
    """
    import keras

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        function = partial(function)  # TensorFlow counts tracings by code; the same of many models is no retracing
        if shapes is not None:
            return tf.function(function, [tf.TensorSpec(*shape) for shape in shapes], autograph=False)
        return tf.function(function, reduce_retracing=True, autograph=False)
    if backend == "jax":
        import jax

        variables = model.variables

        def stateless(values, *args, **kwargs):
            with keras.StatelessScope(state_mapping=list(zip(variables, values))):
                return function(*args, **kwargs)

        traced = jax.jit(stateless, static_argnames=static)
        return lambda *args, **kwargs: traced([v.value for v in variables], *args, **kwargs)
    import torch

    def without_gradient(*args, **kwargs):
        with torch.no_grad():
            return function(*args, **kwargs)

    return without_gradient
