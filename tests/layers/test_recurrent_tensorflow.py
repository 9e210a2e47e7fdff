"""The recurrent layers in TensorFlow graphs: unknown shapes, XLA, SavedModel, and the choice of cuDNN."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from nlp_suite.layers import bptt
from nlp_suite.layers.gru import GRU
from nlp_suite.layers.lstm import LSTM
from nlp_suite.layers.simple_rnn import SimpleRNN

FEATURES, UNITS = 4, 5
MASK = np.array([[1, 1, 0, 1, 0, 1, 1, 0, 1], [0, 0, 1, 1, 1, 0, 0, 0, 0], [1, 1, 1, 0, 0, 0, 0, 0, 0]], bool)
by_layer = pytest.mark.parametrize("layer_class", [SimpleRNN, LSTM, GRU], ids=lambda c: c.__name__)
UNKNOWN = [tf.TensorSpec([None, None, FEATURES]), tf.TensorSpec([None, None], tf.bool)]
BATCH_KNOWN = [tf.TensorSpec([3, None, FEATURES]), tf.TensorSpec([3, None], tf.bool)]
TIME_KNOWN = [tf.TensorSpec([None, 9, FEATURES]), tf.TensorSpec([None, 9], tf.bool)]


def inputs(time=9):
    return tf.random.stateless_normal((3, time, FEATURES), (1, time)), tf.constant(MASK[:, :time])


def step(layer):
    def function(x, mask):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, mask=mask)
            loss = tf.reduce_sum(y * y)
        return [y, *tape.gradient(loss, [x, *(w.value for w in layer.trainable_weights)])]

    return function


def assert_close(got, expected, atol=1e-5):
    for a, b in zip(got, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=atol)


@by_layer
@pytest.mark.parametrize(
    "signature, sequences",
    [(UNKNOWN, False), (UNKNOWN, True), (BATCH_KNOWN, True), (TIME_KNOWN, False)],
    ids=["unknown last", "unknown sequences", "batch", "time"],
)
def test_traced_for_unknown_shapes(layer_class, sequences, signature):
    layer = layer_class(UNITS, return_sequences=sequences)
    layer.build((None, None, FEATURES))
    traced = tf.function(step(layer), input_signature=signature, autograph=False)
    assert_close(traced(*inputs()), step(layer)(*inputs()))
    batch, time = signature[0].shape[:2]
    output = traced.get_concrete_function().structured_outputs[0]
    assert output.shape.as_list() == ([batch, time] if sequences else [batch]) + [UNITS]


@by_layer
def test_every_length_around_the_unrolled_steps(layer_class):
    layer, theirs = layer_class(UNITS), getattr(keras.layers, layer_class.__name__)(UNITS)
    for each in (layer, theirs):
        each.build((None, None, FEATURES))
    theirs.set_weights(layer.get_weights())
    ours = tf.function(step(layer), input_signature=UNKNOWN, autograph=False)
    reference = tf.function(step(theirs), input_signature=UNKNOWN, autograph=False)
    for time in range(1, 2 * bptt.UNROLL + 2):
        assert_close(ours(*inputs(time)), reference(*inputs(time)))


@by_layer
def test_compiled_by_xla(layer_class):
    layer = layer_class(UNITS, return_sequences=True, go_backwards=True)
    layer.build((None, None, FEATURES))
    compiled = tf.function(step(layer), jit_compile=True, autograph=False)
    assert_close(compiled(*inputs()), step(layer)(*inputs()))


@by_layer
def test_initial_state_with_another_static_shape(layer_class):
    layer = layer_class(UNITS, return_sequences=True)
    states = [tf.ones((3, UNITS)) for _ in layer.state_size]
    expected = layer(inputs()[0], initial_state=states)

    @tf.function(input_signature=[UNKNOWN[0]], autograph=False)
    def traced(x):
        return layer(x, initial_state=states)

    np.testing.assert_allclose(traced(inputs()[0]), expected, atol=1e-6)


@by_layer
def test_saved_model_has_only_ops_of_a_stock_server(layer_class, tmp_path):
    options = {} if layer_class is SimpleRNN else {"use_cudnn": False}
    layer = keras.layers.Bidirectional(layer_class(UNITS, return_sequences=True, **options))
    layer.build((None, None, FEATURES))
    module = tf.Module()
    module.weights = [w.value for w in layer.weights]
    module.serve = tf.function(lambda x, mask: {"y": layer(x, mask=mask)}, input_signature=UNKNOWN, autograph=False)
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve, options=options)
    loaded = tf.saved_model.load(str(tmp_path))
    x, mask = inputs()
    np.testing.assert_allclose(
        loaded.signatures["serving_default"](x=x, mask=mask)["y"], layer(x, mask=mask), atol=1e-6
    )

    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    used = {node.op for node in graph.node} | {n.op for f in graph.library.function for n in f.node_def}
    assert "While" in used or "StatelessWhile" in used
    assert not [op for op in used if op.startswith(("Xla", "CudnnRNN")) or "PyFunc" in op]


@pytest.mark.parametrize("layer_class", [LSTM, GRU], ids=lambda c: c.__name__)
def test_cudnn_is_used_where_it_can_be(layer_class, monkeypatch):
    """With a GPU (pretended: this shows the choice, not cuDNN's numbers), Keras's loop runs for right-padded masks."""
    chosen = []
    theirs = getattr(keras.layers, layer_class.__name__)
    keras_inner_loop = theirs.inner_loop

    def inner_loop(self, *args, **kwargs):
        chosen.append("keras")
        self.use_cudnn, use_cudnn = False, self.use_cudnn
        try:
            return keras_inner_loop(self, *args, **kwargs)
        finally:
            self.use_cudnn = use_cudnn

    def explicit_loop(self, *args):
        chosen.append("explicit")
        return our_explicit_loop(self, *args)

    our_explicit_loop = layer_class._explicit_loop
    monkeypatch.setattr(theirs, "inner_loop", inner_loop)
    monkeypatch.setattr(layer_class, "_explicit_loop", explicit_loop)
    monkeypatch.setattr(tf.config, "list_logical_devices", lambda kind=None: ["GPU:0"])
    x, mask = inputs()
    right = tf.sequence_mask([9, 1, 4])
    empty_row = tf.sequence_mask([9, 0, 4])

    def choice(mask, **options):
        chosen.clear()
        layer = layer_class(UNITS, **options)
        expected = {}
        for use_cudnn in (layer.use_cudnn, False):
            layer.use_cudnn = use_cudnn
            expected[use_cudnn] = layer(x, mask=mask)
        for y in expected.values():
            np.testing.assert_allclose(y, expected[False], atol=1e-6)
        return chosen[0]

    assert choice(None) == choice(right) == "keras"
    assert choice(mask) == choice(empty_row) == "explicit"
    assert choice(right, use_cudnn=False) == choice(right, recurrent_dropout=0.2) == "explicit"
    assert choice(right, activation="relu") == choice(right, use_bias=False) == "explicit"


@by_layer
def test_learns_through_fit(layer_class):
    keras.utils.set_random_seed(3)
    tokens = np.random.default_rng(0).integers(1, 9, (256, 6))
    labels = (tokens[:, 0] > 4).astype("float32")
    model = keras.Sequential(
        [keras.layers.Embedding(9, 16, mask_zero=True), layer_class(16), keras.layers.Dense(1, activation="sigmoid")]
    )
    model.compile(keras.optimizers.Adam(0.03), "binary_crossentropy", metrics=["accuracy"], jit_compile=False)
    model.fit(tokens, labels, epochs=8, batch_size=32, verbose=0)
    assert model.evaluate(tokens, labels, verbose=0)[1] > 0.97
