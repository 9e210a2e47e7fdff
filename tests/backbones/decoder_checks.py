"""What the tests of recurrent decoders share: variants, a batch, and gradients on every backend."""

import keras
import numpy as np
from keras import ops

from nlp_suite.registry import DECODERS

UNITS, MEMORY, EMBEDDING = 6, 6, 5
ATTENTIONS = {
    "bahdanau": {"name": "bahdanau", "units": 7},
    "dot": {"name": "luong", "score": "dot"},
    "general": "luong",
    "concat": {"name": "luong", "score": "concat", "units": 4},
    "scaled_dot": {"name": "scaled_dot", "heads": 2},
}
LOOPS = {
    "feeding": {},
    "conditional": {"conditional": True},
    "above": {"input_feeding": False},
}


def make(cell, dtype=None, bidirectional=True, seed=3, **settings):
    """A built decoder, all its biases and gains moved from where they start."""
    keras.utils.set_random_seed(seed)
    decoder = DECODERS.get(cell)(embedding_size=EMBEDDING, units=UNITS, **settings, dtype=dtype)
    decoder.build(MEMORY, bidirectional)
    noise = np.random.default_rng(seed)
    for v in decoder.trainable_variables:
        v.assign(v + noise.normal(0, 0.3, v.shape))
    return decoder


def batch(rows=3, source=7, target=6, seed=0):
    """Embeddings [B, T, E], target mask [B, T], encoded source [B, S, D], source mask [B, S]."""
    random = np.random.default_rng(seed)
    lengths = np.array([source, 1, *random.integers(1, source, rows)])[:rows]
    targets = np.array([target, 2, *random.integers(1, target, rows)])[:rows]
    return (
        random.normal(0, 1, (rows, target, EMBEDDING)).astype("float32"),
        np.arange(target) < targets[:, None],
        random.normal(0, 1, (rows, source, MEMORY)).astype("float32"),
        np.arange(source) < lengths[:, None],
    )


def numpy(x):
    return ops.convert_to_numpy(x)


def tensors(*arrays):
    return [ops.convert_to_tensor(a) for a in arrays]


def forced(decoder, x, target_mask, encoded, mask, **kwargs):
    """Features and weights of teacher forcing, as arrays."""
    x, target_mask, encoded, mask = tensors(x, target_mask, encoded, mask)
    features, weights = decoder(x, target_mask, decoder.memory(encoded, mask), **kwargs)
    return numpy(features), numpy(weights)


def gradients(function, decoder, arrays, graph=False):
    """Gradients of `function(*arrays)`, a scalar, in the arrays and in the decoder's weights: a dict of arrays."""
    variables = decoder.trainable_variables
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
            kinds = [tf.TensorSpec([None, None, a.shape[-1]]) for a in arrays]
            compute = tf.function(compute, input_signature=kinds)
        found = compute(*map(tf.constant, arrays))
    elif backend == "torch":
        inputs = [ops.convert_to_tensor(a).requires_grad_() for a in arrays]
        for v in variables:
            v.value.grad = None
        function(*inputs).backward()
        found = [*(i.grad for i in inputs), *(v.value.grad for v in variables)]
    else:
        import jax

        def stateless(values):
            scope = keras.StatelessScope(list(zip(variables, values[len(arrays) :], strict=True)))
            with scope:
                return function(*values[: len(arrays)])

        found = jax.grad(stateless)([*map(ops.convert_to_tensor, arrays), *(v.value for v in variables)])
    return {n: None if g is None else numpy(g) for n, g in zip(names, found, strict=True)}
