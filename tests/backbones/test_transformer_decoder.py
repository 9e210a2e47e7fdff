"""The Transformer decoder: written-out gradients, graphs, KerasHub's decoder as oracle, sizes."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.registry import DECODERS
from tests.backbones.decoder_checks import tensors
from tests.backbones.gradients import gradients, numpy

SIZE, MEMORY, ROWS, SOURCE, LENGTH = 16, 12, 3, 7, 9
VARIANTS = {
    "pre": {},
    "post": {"norm": "post", "activation": "gelu"},
    "learned": {"positions": "learned", "max_length": 20},
    "rotary": {"positions": "rotary"},
    "post rotary": {"norm": "post", "positions": "rotary", "heads": 2},
}


def make(name="pre", **more):
    keras.utils.set_random_seed(5)
    settings = {"layers": 2, "heads": 4, "feed_forward": 24, "dropout": 0.0, **VARIANTS[name], **more}
    decoder = DECODERS.get("transformer")(SIZE, **settings)
    decoder.build(MEMORY)
    return decoder


def inputs(rows=ROWS, seed=0):
    """Embeddings [B, T, E], their mask, a source [B, S, D] and its mask."""
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, LENGTH, SIZE)) * 0.3
    source = random.normal(size=(rows, SOURCE, MEMORY))
    lengths = np.array([[SOURCE], [4], [1], [5], [6], [2]])[:rows]
    mask = np.arange(SOURCE) < lengths
    return x.astype("float32"), np.ones((rows, LENGTH), bool), source.astype("float32"), mask


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_every_weight_has_a_gradient_and_it_is_the_automatic_one(name, dropout):
    decoder = make(name, dropout=dropout, attention_dropout=dropout)
    x, mask, source, source_mask = inputs()
    factor = np.random.default_rng(2).normal(size=x.shape).astype("float32")

    def loss(training):
        memory = decoder.memory(*tensors(source, source_mask))
        return ops.sum(decoder(*tensors(x, mask), memory, training=training)[0] * ops.convert_to_tensor(factor))

    written = gradients(lambda: loss(True), decoder)
    assert all(np.abs(gradient).max() > 0 for gradient in written.values())
    if not dropout:
        for path, gradient in gradients(lambda: loss(False), decoder).items():
            np.testing.assert_allclose(written[path], gradient, atol=2e-5, err_msg=path)


def test_training_in_a_graph_with_unknown_sizes():
    if keras.backend.backend() != "tensorflow":
        pytest.skip("about TensorFlow's graphs")
    import tensorflow as tf

    decoder = make()
    x, mask, source, source_mask = inputs()

    @tf.function(input_signature=[tf.TensorSpec([None, None, SIZE]), tf.TensorSpec([None, None, MEMORY])])
    def train(x, source):
        with tf.GradientTape() as tape:
            memory = decoder.memory(source, tf.ones(tf.shape(source)[:2], tf.bool))
            features, _ = decoder(x, tf.ones(tf.shape(x)[:2], tf.bool), memory, training=True)
        return features, tape.gradient(features, [w.value for w in decoder.trainable_variables])

    features, weight_gradients = train(x, source)
    memory = decoder.memory(source, np.ones_like(source_mask))
    np.testing.assert_allclose(features, numpy(decoder(x, mask, memory)[0]), atol=1e-5)
    assert all(g is not None for g in weight_gradients)


def split(dense, count):
    """Kernels [D, D] and biases [D] of a fused product."""
    kernel, bias = (numpy(w) for w in dense.weights)
    return list(zip(np.split(kernel, count, axis=1), np.split(bias, count)))


def set_attention(attention, projections, out, heads):
    """Sets the weights of query, key, value and output of a `keras.layers.MultiHeadAttention`."""
    shape = (heads, SIZE // heads)
    weights = [w for kernel, bias in projections for w in (kernel.reshape(SIZE, *shape), bias.reshape(shape))]
    attention.set_weights([*weights, out[0].reshape(*shape, SIZE), out[1]])


def hub_decoder(decoder, norm, activation):
    """KerasHub's blocks with the weights of ours."""
    hub = pytest.importorskip("keras_hub")
    copies = []
    for block in decoder.blocks:
        attention, cross, heads = block.attention, block.cross, block.attention.heads
        copy = hub.layers.TransformerDecoder(24, heads, 0.0, activation, 1e-6, normalize_first=norm == "pre")
        copy.build((None, None, SIZE), (None, None, SIZE))
        set_attention(copy._self_attention_layer, split(attention.fused, 3), split(attention.projection, 1)[0], heads)
        projections = [*split(cross.query, 1), *split(cross.fused, 2)]
        set_attention(copy._cross_attention_layer, projections, split(cross.projection, 1)[0], heads)
        for theirs, ours in (
            (copy._self_attention_layer_norm, block.attention_norm),
            (copy._cross_attention_layer_norm, block.cross_norm),
            (copy._feedforward_layer_norm, block.feed_forward_norm),
            (copy._feedforward_intermediate_dense, block.expand),
            (copy._feedforward_output_dense, block.contract),
        ):
            theirs.set_weights(ours.get_weights())
        copies.append(copy)
    return copies


@pytest.mark.parametrize("norm, activation", [("pre", "relu"), ("post", "gelu")])
def test_blocks_are_those_of_keras_hub(norm, activation):
    keras.utils.set_random_seed(6)
    decoder = DECODERS.get("transformer")(
        SIZE, layers=2, heads=4, feed_forward=24, dropout=0.0, norm=norm, activation=activation, positions="learned"
    )
    decoder.build(SIZE)
    for weight in decoder.trainable_variables:  # biases and norms are constants at first
        weight.assign(weight + keras.random.normal(weight.shape, stddev=0.1))
    x, mask, _, source_mask = inputs()
    source = np.random.default_rng(4).normal(size=(ROWS, SOURCE, SIZE)).astype("float32")
    wanted = x * SIZE**0.5 + numpy(decoder.positions.table.embeddings)[:LENGTH]
    for copy in hub_decoder(decoder, norm, activation):
        wanted = copy(wanted, source, encoder_padding_mask=source_mask)
    if norm == "pre":
        wanted = decoder.final_norm(wanted)
    features, _ = decoder(x, mask, decoder.memory(source, source_mask))
    np.testing.assert_allclose(numpy(features), numpy(wanted), atol=2e-5)


@pytest.mark.parametrize("length", [None, 5])
def test_a_step_has_no_xla_op_and_nothing_but_stock_ones(length):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("about TensorFlow's graph")
    import tensorflow as tf

    decoder = make("rotary")

    @tf.function(input_signature=[tf.TensorSpec([None, None, MEMORY]), tf.TensorSpec([None, None], tf.bool)])
    def decode(source, mask):
        memory = decoder.memory(source, mask)
        state = decoder.initial_state(2 * tf.shape(source)[0], memory, length)
        x = tf.zeros([2 * tf.shape(source)[0], SIZE])
        return tf.while_loop(
            lambda t, *_: t < 5, lambda t, x, state: (t + 1, *decoder.step(x, state, memory)[:2]), (0, x, state)
        )[1]

    graph = decode.get_concrete_function().graph.as_graph_def()
    used = {n.op for n in graph.node} | {n.op for f in graph.library.function for n in f.node_def}
    assert ("TensorScatterUpdate" in used) == (length is None)  # a cache that grows has nothing to write over
    assert not [op for op in used if op.startswith("Xla") or "PyFunc" in op]
    _, _, source, mask = inputs()
    assert np.isfinite(decode(source, mask)).all()


def test_sizes_that_do_not_fit_are_refused():
    decoder = DECODERS.get("transformer")
    with pytest.raises(ValueError, match="embedding_size 10 is no multiple of heads 4"):
        decoder(10)
    with pytest.raises(ValueError, match="rotary positions need an even number of features, got 3"):
        decoder(12, positions="rotary")
