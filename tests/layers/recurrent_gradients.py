"""Values and gradients of a Keras layer on whichever backend runs; shared by the tests of the recurrent layers."""

import keras
import numpy as np


def values_and_gradients(layer, x, states=None, mask=None, training=False):
    """Gradients of sum_k <output_k, weight_k>, with fixed random weights, by x, the initial states and all weights.

    Returns:
        The list of outputs and the list of gradients (x, states, trainable weights), as NumPy arrays in float32.
    """
    arrays = [x, *(states or [])]
    call = {"mask": mask, "training": training}
    run = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    outputs, gradients = run(layer, [np.asarray(a, "float32") for a in arrays], call)
    return [_numpy(o) for o in outputs], [_numpy(g) for g in gradients]


def _numpy(tensor):
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def output_weights(outputs):
    """The fixed random weights of the outputs in the loss."""
    rng = np.random.default_rng(7)
    return [rng.normal(size=tuple(o.shape)).astype("float32") for o in outputs]


def _loss(outputs):
    weights = [keras.ops.convert_to_tensor(w) for w in output_weights(outputs)]
    return sum(keras.ops.sum(keras.ops.cast(o, "float32") * w) for o, w in zip(outputs, weights, strict=True))


def _outputs(layer_call, arrays, call):
    states = list(arrays[1:]) or None
    return keras.tree.flatten(layer_call(arrays[0], initial_state=states, **call))


def _tensorflow(layer, arrays, call):
    import tensorflow as tf

    tensors = [tf.constant(a) for a in arrays]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = _outputs(layer, tensors, call)
        loss = _loss(outputs)
    return outputs, tape.gradient(loss, tensors + [w.value for w in layer.trainable_weights])


def _jax(layer, arrays, call):
    import jax

    fixed = [v.value for v in layer.non_trainable_variables]

    def function(arrays, weights):
        outputs = _outputs(lambda x, **kw: layer.stateless_call(weights, fixed, x, **kw)[0], arrays, call)
        return _loss(outputs), outputs

    weights = [w.value for w in layer.trainable_variables]
    gradients, outputs = jax.jit(jax.grad(function, argnums=(0, 1), has_aux=True))(arrays, weights)
    return outputs, [*gradients[0], *gradients[1]]


def _torch(layer, arrays, call):
    import torch

    tensors = [torch.tensor(a, requires_grad=True) for a in arrays]
    outputs = _outputs(layer, tensors, call)
    weights = [w.value for w in layer.trainable_weights]
    return outputs, torch.autograd.grad(_loss(outputs), tensors + weights)
