"""The Transformer decoder: steps = sequence, padding, hypotheses that share a memory, KerasHub's decoder as oracle."""

import keras
import numpy as np
import pytest
from keras import ops

from nlp_suite.registry import DECODERS

SIZE, MEMORY, ROWS, SOURCE, LENGTH = 16, 12, 3, 7, 9
VARIANTS = {
    "pre": {},
    "post": {"norm": "post", "activation": "gelu"},
    "learned": {"positions": "learned", "max_length": 20},
    "rotary": {"positions": "rotary"},
    "post rotary": {"norm": "post", "positions": "rotary", "heads": 2},
}
by_name = pytest.mark.parametrize("name", VARIANTS)


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


def numpy(x):
    return ops.convert_to_numpy(x)


def steps(decoder, x, memory, state):
    """Features [B·K, T, E] and weights [B·K, T, S] of one step after another."""
    features, weights = [], []
    for t in range(x.shape[1]):
        feature, state, weight = decoder.step(ops.convert_to_tensor(x[:, t]), state, memory)
        features.append(numpy(feature))
        weights.append(numpy(weight))
    return np.stack(features, 1), np.stack(weights, 1)


@by_name
@pytest.mark.parametrize("length", [None, LENGTH])
def test_step_by_step_is_teacher_forced(name, length):
    decoder = make(name)
    x, mask, source, source_mask = inputs()
    memory = decoder.memory(source, source_mask)
    whole, weights = (numpy(y) for y in decoder(x, mask, memory))
    found, found_weights = steps(decoder, x, memory, decoder.initial_state(ROWS, memory, length))
    np.testing.assert_allclose(found, whole, atol=1e-5)
    np.testing.assert_allclose(found_weights, weights, atol=1e-5)
    assert weights.shape == (ROWS, LENGTH, SOURCE) and weights.dtype == "float32"
    np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-5)
    assert weights.transpose(0, 2, 1)[~source_mask].max() == 0


@by_name
def test_hypotheses_share_a_memory_as_if_it_were_repeated(name):
    decoder, beams = make(name), 4
    _, _, source, source_mask = inputs()
    x = np.random.default_rng(1).normal(size=(ROWS * beams, LENGTH, SIZE)).astype("float32")
    shared = decoder.memory(source, source_mask)
    repeated = decoder.memory(np.repeat(source, beams, axis=0), np.repeat(source_mask, beams, axis=0))
    one = steps(decoder, x, shared, decoder.initial_state(ROWS * beams, shared))
    other = steps(decoder, x, repeated, decoder.initial_state(ROWS * beams, repeated))
    for found, wanted in zip(one, other):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@by_name
def test_padding_and_the_future_change_nothing(name):
    decoder = make(name)
    x, mask, source, source_mask = inputs()
    whole, weights = (numpy(y) for y in decoder(x, mask, decoder.memory(source, source_mask)))
    wide = np.pad(source, ((0, 0), (0, 4), (0, 0)), constant_values=9.0)
    wide[:, :SOURCE][~source_mask] = -50.0
    memory = decoder.memory(wide, np.pad(source_mask, ((0, 0), (0, 4))))
    shorter = mask & (np.arange(LENGTH) < 5)
    later = np.where(shorter[..., None], x, 7.0).astype("float32")
    found, found_weights = (numpy(y) for y in decoder(later, shorter, memory))
    np.testing.assert_allclose(found[:, :5], whole[:, :5], atol=1e-5)
    np.testing.assert_allclose(found_weights[:, :5, :SOURCE], weights[:, :5], atol=1e-5)
    assert np.abs(found[:, 5:] - whole[:, 5:]).max() > 0.01
    alone = decoder(x[1:2], mask[1:2], decoder.memory(source[1:2, :4], source_mask[1:2, :4]))[0]
    np.testing.assert_allclose(numpy(alone)[0], whole[1], atol=1e-5)


@by_name
@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_every_weight_has_a_gradient_and_it_is_the_automatic_one(name, dropout):
    tf = pytest.importorskip("tensorflow")
    if keras.backend.backend() != "tensorflow":
        pytest.skip("takes gradients with TensorFlow")
    decoder = make(name, dropout=dropout, attention_dropout=dropout)
    x, mask, source, source_mask = inputs()
    factor = np.random.default_rng(2).normal(size=x.shape).astype("float32")

    def gradients(training):
        with tf.GradientTape() as tape:
            memory = decoder.memory(source, source_mask)
            loss = tf.reduce_sum(decoder(x, mask, memory, training=training)[0] * factor)
        return tape.gradient(loss, [w.value for w in decoder.trainable_variables])

    written = [numpy(tf.convert_to_tensor(g)) for g in gradients(True)]
    for weight, gradient in zip(decoder.trainable_variables, written, strict=True):
        assert np.abs(gradient).max() > 0, weight.path
    if not dropout:
        for weight, one, other in zip(decoder.trainable_variables, written, gradients(False), strict=True):
            np.testing.assert_allclose(one, numpy(tf.convert_to_tensor(other)), atol=2e-5, err_msg=weight.path)


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

    features, gradients = train(x, source)
    memory = decoder.memory(source, np.ones_like(source_mask))
    np.testing.assert_allclose(features, numpy(decoder(x, mask, memory)[0]), atol=1e-5)
    assert all(g is not None for g in gradients)


def split(dense, count):
    """Kernels [D, D] and biases [D] of a fused product."""
    kernel, bias = (numpy(w) for w in dense.weights)
    return list(zip(np.split(kernel, count, axis=1), np.split(bias, count)))


def give(attention, projections, out, heads):
    """Weights of query, key, value and output to a `keras.layers.MultiHeadAttention`."""
    shape = (heads, SIZE // heads)
    weights = [w for kernel, bias in projections for w in (kernel.reshape(SIZE, *shape), bias.reshape(shape))]
    attention.set_weights([*weights, out[0].reshape(*shape, SIZE), out[1]])


def hub_decoder(decoder, norm, activation):
    """KerasHub's blocks with the weights of ours."""
    hub = pytest.importorskip("keras_hub")
    copies = []
    for block in decoder.blocks:
        own, cross, heads = block.attention, block.cross, block.attention.heads
        copy = hub.layers.TransformerDecoder(24, heads, 0.0, activation, 1e-6, normalize_first=norm == "pre")
        copy.build((None, None, SIZE), (None, None, SIZE))
        give(copy._self_attention_layer, split(own.fused, 3), split(own.projection, 1)[0], heads)
        projections = [*split(cross.query, 1), *split(cross.fused, 2)]
        give(copy._cross_attention_layer, projections, split(cross.projection, 1)[0], heads)
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
    found, _ = decoder(x, mask, decoder.memory(source, source_mask))
    np.testing.assert_allclose(numpy(found), numpy(wanted), atol=2e-5)


@pytest.mark.parametrize("training", [False, True])
def test_mixed_precision_is_close(training):
    x, mask, source, source_mask = inputs()
    results = []
    for dtype in ("float32", "mixed_bfloat16"):
        decoder = make(dtype=dtype)
        memory = decoder.memory(ops.cast(source, decoder.compute_dtype), source_mask)
        features, weights = decoder(ops.cast(x, decoder.compute_dtype), mask, memory, training=training)
        assert keras.backend.standardize_dtype(features.dtype) == decoder.compute_dtype
        assert keras.backend.standardize_dtype(weights.dtype) == "float32"
        results.append(numpy(ops.cast(features, "float32")))
    assert np.abs(results[0] - results[1]).max() < 0.06
    found, _ = steps(decoder, x, memory, decoder.initial_state(ROWS, memory))
    assert np.abs(found.astype("float32") - results[0]).max() < 0.06


@by_name
def test_round_trip(name, tmp_path):
    decoder = make(name)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(decoder))
    assert again.get_config() == decoder.get_config()
    if not again.built:
        again.build(MEMORY)
    again.set_weights(decoder.get_weights())
    x, mask, source, source_mask = inputs()
    answers = [numpy(d(x, mask, d.memory(source, source_mask))[0]) for d in (decoder, again)]
    np.testing.assert_array_equal(*answers)
    block = decoder.blocks[0]
    assert type(block).from_config(block.get_config()).get_config() == block.get_config()


def test_layer_groups_hold_every_weight_once():
    for name in VARIANTS:
        decoder = make(name)
        grouped = [id(v) for group in decoder.layer_groups() for v in group]
        assert sorted(grouped) == sorted(id(v) for v in decoder.trainable_variables)


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
