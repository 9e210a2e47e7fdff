"""What the tests of both softmaxes share: the same loss from `log_probs` by automatic differentiation."""

import keras
import numpy as np
from keras import ops

from nlp_suite.layers.adaptive_softmax import AdaptiveSoftmax
from nlp_suite.layers.full_softmax import FullSoftmax

WORDS, WIDTH = 50, 12
SETTINGS = {
    "full": (FullSoftmax, {}),
    "full tied": (FullSoftmax, {"tied": True, "embedding_size": WIDTH}),
    "full tied projected": (FullSoftmax, {"tied": True, "embedding_size": 7}),
    "adaptive": (AdaptiveSoftmax, {"cutoffs": [10, 25]}),
    "adaptive tied": (AdaptiveSoftmax, {"cutoffs": [10, 25], "tied": True, "embedding_size": WIDTH}),
    "adaptive tied projected": (AdaptiveSoftmax, {"cutoffs": [10, 25], "tied": True, "embedding_size": 7}),
}


def numpy(x):
    return ops.convert_to_numpy(x)


def make(name, **more):
    """A built layer with random weights, and its table or None."""
    cls, settings = SETTINGS[name]
    layer = cls(WORDS, **settings, **more)
    layer.build((None, WIDTH))
    random = np.random.default_rng(0)
    for weight in layer.weights:
        weight.assign(random.normal(size=weight.shape).astype("float32") * 0.5)
    if not layer.tied:
        return layer, None
    return layer, random.normal(size=(WORDS, layer.embedding_size)).astype("float32")


def tokens(length=23, targets=None, seed=1):
    """Features [N, D], targets [N] and weights [N], a third of them 0 with target 0."""
    random = np.random.default_rng(seed)
    if targets is None:
        targets = random.integers(0, WORDS, length)
    weights = np.where(random.random(length) < 0.33, 0, random.random(length) + 0.5)
    targets = np.where(weights == 0, 0, targets)
    features = random.normal(size=(length, WIDTH))
    return features.astype("float32"), targets.astype("int32"), weights.astype("float32")


def dense(layer, features, targets, weights, table, label_smoothing=0.0):
    """`layer.loss` from the full distribution."""
    log_probs = layer.log_probs(features, table)  # [N, V]
    target = ops.one_hot(ops.convert_to_tensor(targets), WORDS)
    smooth = (1 - label_smoothing) * target + label_smoothing / WORDS
    loss = -ops.sum(smooth * log_probs, axis=-1)
    return ops.sum(ops.convert_to_tensor(weights) * loss), -ops.sum(target * log_probs, axis=-1)


def gradients(layer, loss, features, table):
    """The sum, the nll, and the gradients of 3 times the sum plus the features' squares by name, on any backend.

    Args:
        layer: the layer.
        loss: function of features and table to a sum and the nll.
        features: [N, D].
        table: [V, E] or None.
    """
    features = ops.convert_to_tensor(features)
    arguments = [features] if table is None else [features, ops.convert_to_tensor(table)]
    names = ["features", "table"][: len(arguments)] + [w.path.split("/")[-1] for w in layer.trainable_variables]
    values = [ops.convert_to_tensor(w) for w in layer.trainable_variables]

    def total(arguments):
        result = loss(arguments[0], arguments[1] if table is not None else None)
        return 3.0 * result[0] + ops.sum(ops.square(arguments[0])), result

    backend = keras.backend.backend()
    if backend == "tensorflow":
        import tensorflow as tf

        variables = [w.value for w in layer.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(arguments)
            objective, result = total(arguments)
        grads = tape.gradient(objective, [*arguments, *variables])
    elif backend == "jax":
        import jax

        def stateless(arguments, values):
            with keras.StatelessScope(list(zip(layer.trainable_variables, values, strict=True))):
                return total(arguments)

        grads, result = jax.jit(jax.grad(stateless, argnums=(0, 1), has_aux=True))(arguments, values)
        grads = [*grads[0], *grads[1]]
    else:
        variables = [w.value for w in layer.trainable_variables]
        arguments = [g.clone().requires_grad_(True) for g in arguments]
        for variable in variables:
            variable.grad = None
        objective, result = total(arguments)
        objective.backward()
        grads = [x.grad for x in (*arguments, *variables)]
    result = [numpy(ops.stop_gradient(r)) for r in result]
    return *result, {name: numpy(ops.convert_to_tensor(g)) for name, g in zip(names, grads, strict=True)}


def check_loss(name, chunk_elements, length=23, targets=None, **smoothing):
    """Sum, nll and all gradients are those of the dense computation."""
    layer, table = make(name, chunk_elements=chunk_elements)
    x, t, w = tokens(length, targets)
    total, nll, actual = gradients(layer, lambda x, table: layer.loss(x, t, w, table, **smoothing), x, table)
    expected_total, expected_nll, expected = gradients(
        layer, lambda x, table: dense(layer, x, t, w, table, **smoothing), x, table
    )
    np.testing.assert_allclose(total, expected_total, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(nll, expected_nll, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(numpy(layer.nll(x, t, table)), expected_nll, rtol=1e-5, atol=1e-5)
    assert actual.keys() == expected.keys()
    for weight, gradient in expected.items():
        np.testing.assert_allclose(actual[weight], gradient, rtol=1e-5, atol=2e-5, err_msg=weight)
    return actual


def check_weightless_rows(name):
    """What a row of weight 0 holds changes nothing, and it gets no gradient."""
    layer, table = make(name, chunk_elements=5 * WORDS)
    x, t, w = tokens()
    other = np.where(w[:, None] == 0, 100.0, x).astype("float32"), np.where(w == 0, WORDS - 1, t)
    results = []
    for features, targets in ((x, t), other):
        loss = lambda x, table, targets=targets: layer.loss(x, targets, w, table)  # noqa: E731
        results.append(gradients(layer, loss, features, table))
    (total, _, one), (other_total, _, two) = results
    np.testing.assert_allclose(total, other_total, rtol=1e-6)
    for weight in one:
        rows = w > 0 if weight == "features" else slice(None)
        np.testing.assert_allclose(one[weight][rows], two[weight][rows], rtol=1e-5, atol=1e-5, err_msg=weight)
    np.testing.assert_array_equal(one["features"][w == 0], 2 * x[w == 0])  # of the squares alone


def check_mixed_precision(name):
    layer, table = make(name, chunk_elements=5 * WORDS)
    half, _ = make(name, chunk_elements=5 * WORDS, dtype="mixed_bfloat16")
    x, t, w = tokens()
    _, nll, expected = gradients(layer, lambda x, table: layer.loss(x, t, w, table), x, table)
    total, half_nll, actual = gradients(half, lambda x, table: half.loss(x, t, w, table), x, table)
    assert total.dtype == half_nll.dtype == "float32"
    error = np.abs(nll - half_nll).max() / nll.max()
    assert error < 0.01, error  # bfloat16 has 8 bits: 0.004 a product
    for weight, gradient in expected.items():
        assert actual[weight].dtype == "float32", weight
        error = np.abs(actual[weight] - gradient).max() / np.abs(gradient).max()
        assert error < 0.03, (weight, error)


def check_round_trip(name, tmp_path):
    """Configuration and weights come back; a model of an untied layer too, from its file."""
    layer, table = make(name)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert again.get_config() == layer.get_config()
    again.set_weights(layer.get_weights())
    x, _, _ = tokens()
    expected = numpy(layer.log_probs(x, table))
    np.testing.assert_array_equal(numpy(again.log_probs(x, table)), expected)
    if table is None:
        inputs = keras.Input((None, WIDTH))
        keras.Model(inputs, layer(inputs)).save(tmp_path / "model.keras")
        model = keras.models.load_model(tmp_path / "model.keras")
        np.testing.assert_allclose(numpy(model(x[None]))[0], expected, atol=1e-6)


def check_tensorflow_graph(name, tmp_path):
    """Unknown N in a `tf.function`; `nll` and `log_probs` in a SavedModel have no op that a stock server lacks."""
    import tensorflow as tf
    from tensorflow.core.protobuf import saved_model_pb2

    layer, table = make(name, chunk_elements=5 * WORDS)
    module = tf.Module()
    module.weights = [w.value for w in layer.weights]
    module.table = None if table is None else tf.Variable(table)
    expected = {n: layer.loss(*tokens(n), table) for n in (23, 4)}

    @tf.function(input_signature=[tf.TensorSpec([None, WIDTH]), tf.TensorSpec([None], tf.int32), tf.TensorSpec([None])])
    def train(x, t, w):
        with tf.GradientTape() as tape:
            total, nll = layer.loss(x, t, w, module.table)
        return total, nll, tape.gradient(total, module.trainable_variables)

    for n, (total, nll) in expected.items():
        traced = train(*tokens(n))
        np.testing.assert_allclose(traced[0], total, rtol=1e-5)
        np.testing.assert_allclose(traced[1], nll, rtol=1e-5, atol=1e-5)
        assert all(g is not None for g in traced[2])

    @tf.function(input_signature=[tf.TensorSpec([None, WIDTH]), tf.TensorSpec([None], tf.int32)])
    def serve(x, t):
        return {"nll": layer.nll(x, t, module.table), "log_probs": layer.log_probs(x, module.table)}

    module.serve = serve
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    tf.saved_model.save(module, str(tmp_path), signatures=serve, options=options)
    x, t, _ = tokens()
    served = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](x=tf.constant(x), t=tf.constant(t))
    np.testing.assert_allclose(served["nll"], expected[23][1], rtol=1e-5, atol=1e-5)
    saved = saved_model_pb2.SavedModel.FromString((tmp_path / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    used = {node.op for node in graph.node} | {n.op for f in graph.library.function for n in f.node_def}
    assert "While" in used or "StatelessWhile" in used
    assert not [op for op in used if op.startswith("Xla") or "PyFunc" in op]


def check_memory_tensorflow(name):
    """No tensor of the traced loss and gradient has as many elements as the logits; of the dense ones, some have."""
    import tensorflow as tf

    length, chunk = 40, 5 * WORDS
    layer, table = make(name, chunk_elements=chunk)
    x, t, w = tokens(length)

    def largest(function):
        def train(x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                total = function(layer, x, t, w, table)[0]
            return tape.gradient(total, [x, *(v.value for v in layer.trainable_variables)])

        graph = tf.function(train).get_concrete_function(tf.constant(x)).graph
        bodies = [graph, *(graph._get_function(f.signature.name).graph for f in graph.as_graph_def().library.function)]
        sizes = [y.shape.num_elements() for g in bodies for op in g.get_operations() for y in op.outputs]
        return max(size for size in sizes if size is not None)

    assert largest(dense) >= length * WORDS
    assert largest(type(layer).loss) <= max(chunk, WORDS * WIDTH, length * WIDTH)
