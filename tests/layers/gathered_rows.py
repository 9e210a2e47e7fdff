"""Prints what two devices gather of each other's rows, by layer, where Keras's distribution gives each half of the batch.

KERAS_BACKEND=jax XLA_FLAGS=--xla_force_host_platform_device_count=2 python -m tests.layers.gathered_rows
"""

import json
import re

import jax
import keras
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from nlp_suite.layers import chunked_softmax
from nlp_suite.layers.gru import GRU
from nlp_suite.layers.lstm import LSTM
from nlp_suite.layers.simple_rnn import SimpleRNN

ROWS, STEPS, SIZE, WORDS = 8, 6, 4, 50


def gathered(function, weights, rows):
    """The shapes that are gathered in a step of training; the loss is the function's."""
    mesh = Mesh(np.array(jax.devices()), ("batch",))
    whole, shared = (NamedSharding(mesh, PartitionSpec(*axes)) for axes in ((), ("batch",)))
    arguments = jax.device_put(weights, whole), jax.device_put(rows, shared)
    text = jax.jit(jax.value_and_grad(function)).lower(*arguments).compile().as_text()
    assert "all-reduce" in text  # of the gradients
    return re.findall(r"= \(?([a-z0-9]+\[[0-9,]*\])\S* all-gather\(", text)


def of_layer(layer):
    rows = np.ones((ROWS, STEPS, SIZE), "float32")
    layer.build(rows.shape)
    others = [variable.value for variable in layer.non_trainable_variables]
    return gathered(
        lambda weights, rows: layer.stateless_call(weights, others, rows)[0].sum(),
        [variable.value for variable in layer.trainable_variables],
        rows,
    )


def of_softmax():
    def loss(weights, rows):
        features, targets = rows
        features, targets = features.reshape(-1, SIZE), targets.reshape(-1)
        settings = {"chunk_rows": 5, "dtype": "float32"}
        return chunked_softmax.cross_entropy(features, *weights, targets, targets * 0.5, **settings)[0]

    weights = np.ones((WORDS, SIZE), "float32"), np.ones(WORDS, "float32")
    return gathered(loss, weights, (np.ones((ROWS, STEPS, SIZE), "float32"), np.ones((ROWS, STEPS), "int32")))


if __name__ == "__main__":
    devices = keras.distribution.DataParallel(devices=keras.distribution.list_devices(), auto_shard_dataset=False)
    recurrent = {kind.__name__: of_layer(kind(SIZE, return_sequences=True, seed=1)) for kind in (SimpleRNN, LSTM, GRU)}
    keras.distribution.set_distribution(devices)
    print(json.dumps({**recurrent, "softmax": of_softmax()}))
