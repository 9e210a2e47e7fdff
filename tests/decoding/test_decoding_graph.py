"""Decoding traced for a server: the batch unknown, the same answers, and no XLA or Python op in the graph."""

import functools

import keras
import numpy as np
import pytest

from nlp_suite.decoding.beam_search import beam_search
from nlp_suite.decoding.generate import generate
from nlp_suite.decoding.sampling import Options
from tests.decoding.step_functions import END, Trigram, arrays, tensor

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="graphs are TensorFlow's")
MODEL = Trigram(70)  # above the number of tokens at which top-k sorts the vocabulary
PROMPT, LENGTH, MAX_TOKENS = [[5, 6, 4], [4, 0, 0], [6, 5, 0]], [3, 1, 2], [8, 3, 6]
OPTIONS = {"temperature": [0.0, 1.0, 0.8], "top_k": [0, 0, 66], "top_p": [1.0, 0.6, 0.9], "seed": [1, 2, 3]}
RULES = {"limit": 8, "end_token": END, "forbidden": (0, 1, 2)}


def by_sampling(prompt, length, max_tokens, options):
    state = MODEL.initial_state(keras.ops.shape(prompt)[0])
    penalised = options._replace(repetition_penalty=options.repetition_penalty * 1.1)
    return generate(MODEL.step, state, prompt, length, max_tokens, penalised, **RULES)


def by_beams(prompt, length, max_tokens, options):
    state = MODEL.initial_state(keras.ops.shape(prompt)[0])
    alpha = options.temperature
    return beam_search(
        MODEL.step,
        state,
        prompt,
        length,
        max_tokens,
        beam_size=4,
        n_best=2,
        length_penalty=alpha,
        min_tokens=1,
        **RULES,
    )


def inputs(rows=slice(None)):
    options = Options.broadcast(3, **OPTIONS)
    return [
        *(tensor(values[rows]) for values in (PROMPT, LENGTH, MAX_TOKENS)),
        Options(*(value[rows] for value in options)),
    ]


@functools.cache
def traced(decode, batch):
    import tensorflow as tf

    numbers = tf.TensorSpec([batch], tf.int32)
    columns = [tf.TensorSpec([batch], value.dtype) for value in inputs()[3]]
    signature = [tf.TensorSpec([batch, None], tf.int32), numbers, numbers, Options(*columns)]
    return tf.function(decode, input_signature=signature)


@pytest.mark.parametrize("decode", [by_sampling, by_beams])
def test_traced_is_eager(decode):
    expected = arrays(decode(*inputs()))
    graph = traced(decode, None)
    for name, value in arrays(graph(*inputs())).items():
        np.testing.assert_array_equal(value, expected[name])
    for row in range(3):
        for name, value in arrays(graph(*inputs(slice(row, row + 1)))).items():
            np.testing.assert_array_equal(value[0], expected[name][row])
    for name, value in arrays(traced(decode, 3)(*inputs())).items():
        np.testing.assert_array_equal(value, expected[name])


@pytest.mark.parametrize("decode", [by_sampling, by_beams])
def test_stock_ops_only(decode):
    definition = traced(decode, None).get_concrete_function().graph.as_graph_def()
    nodes = [*definition.node, *(node for function in definition.library.function for node in function.node_def)]
    ops = {node.op for node in nodes}
    assert "TopKV2" in ops and ({"While", "StatelessWhile"} & ops)
    assert not {op for op in ops if op.startswith("Xla") or "PyFunc" in op or op.startswith("Stateful")}
    assert not any("_XlaMustCompile" in node.attr and node.attr["_XlaMustCompile"].b for node in nodes)
