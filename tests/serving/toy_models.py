"""Small SavedModels of the conformance cases: arithmetic, echoes, and models that answer in ways that servers refuse."""

import tensorflow as tf

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
_V1 = tf.compat.v1


def half_plus(path, plus=2.0):
    """y = 0.5 x + plus, as TensorFlow Serving's own half_plus_two: a graph of TF 1 with its names of tensors."""
    with tf.Graph().as_default(), _V1.Session() as session:
        a = _V1.get_variable("a", initializer=0.5, use_resource=True)
        b = _V1.get_variable("b", initializer=float(plus), use_resource=True)
        c = _V1.get_variable("c", initializer=3.0, use_resource=True)
        examples = _V1.placeholder(tf.string, [None], name="tf_example")
        wanted = {"x": tf.io.FixedLenFeature([1], tf.float32), "x2": tf.io.FixedLenFeature([1], tf.float32, [0.0])}
        features = tf.io.parse_example(examples, wanted)
        x = tf.identity(features["x"], name="x")
        y = tf.add(a * x, b, name="y")
        y2 = tf.add(a * x, c, name="y2")
        x2 = tf.identity(features["x2"], name="x2")
        y3 = tf.add(a * x2, c, name="y3")
        signatures = {
            "serving_default": _signature({"x": x}, {"y": y}),
            "regress_x_to_y": _signature({"inputs": examples}, {"outputs": y}, REGRESS),
            "regress_x_to_y2": _signature({"inputs": examples}, {"outputs": y2}, REGRESS),
            "regress_x2_to_y3": _signature({"inputs": x2}, {"outputs": y3}, REGRESS),
            "classify_x_to_y": _signature({"inputs": examples}, {"scores": y}, CLASSIFY),
            "classify_x2_to_y3": _signature({"inputs": x2}, {"scores": y3}, CLASSIFY),
        }
        session.run(_V1.global_variables_initializer())
        return _write(path, session, signatures)


def counting(path):
    """Counts how often each of its signatures was asked; `counts` says the numbers."""
    with tf.Graph().as_default(), _V1.Session() as session:
        names = ["predict", "classify", "regress", "multi_classify", "multi_regress"]
        counts = _V1.get_variable("counts", initializer=[0.0] * len(names), use_resource=True)
        examples = _V1.placeholder(tf.string, [None], name="examples")
        zeros = tf.zeros([tf.size(examples), 1])
        signatures = {"counts": _signature({}, {"counts": counts.read_value()})}
        for number, name in enumerate(names):
            with tf.control_dependencies([counts.assign_add(tf.one_hot(number, len(names)))]):
                counted = tf.identity(zeros)
            kind = name.removeprefix("multi_")
            output = {"predict": "y", "classify": "scores", "regress": "outputs"}[kind]
            method = {"classify": CLASSIFY, "regress": REGRESS}.get(kind, "tensorflow/serving/predict")
            signatures[name] = _signature({"inputs": examples}, {output: counted}, method)
        session.run(_V1.global_variables_initializer())
        return _write(path, session, signatures)


def _signature(inputs, outputs, method="tensorflow/serving/predict"):
    infos = [{k: _V1.saved_model.build_tensor_info(v) for k, v in side.items()} for side in (inputs, outputs)]
    return _V1.saved_model.build_signature_def(*infos, method)


def _write(path, session, signatures):
    builder = _V1.saved_model.Builder(str(path))
    builder.add_meta_graph_and_variables(session, ["serve"], signatures)
    builder.save()
    return path


def counter(path):
    """A variable that signatures without inputs read, count up and reset."""
    module = tf.Module()
    module.count = tf.Variable(0.0)

    def answering(change, *specs):
        return tf.function(lambda *given: {"output": change(*given)}, input_signature=specs, autograph=False)

    signatures = {
        "get_counter": answering(module.count.read_value),
        "incr_counter": answering(lambda: module.count.assign_add(1.0, read_value=True)),
        "reset_counter": answering(lambda: module.count.assign(0.0, read_value=True)),
        "incr_counter_by": answering(
            lambda delta: module.count.assign_add(delta, read_value=True), tf.TensorSpec([], name="delta")
        ),
    }
    tf.saved_model.save(module, str(path), signatures=signatures)
    return path


def function_model(path, function, *specs, jit_compile=None):
    """A model of one function as `serving_default`."""
    module = tf.Module()
    module.function = tf.function(function, input_signature=specs, autograph=False, jit_compile=jit_compile)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.function})
    return path


def _text(shape=(None,)):
    return tf.TensorSpec(shape, tf.string, name="text")


def echo_float(path):
    return function_model(path, lambda x: {"y": tf.identity(x)}, tf.TensorSpec([None], name="x"))


def echo_string(path, output="out"):
    return function_model(path, lambda text: {output: tf.identity(text)}, _text())


def echo_bytes(path):
    return echo_string(path, "out_bytes")


def two_out(path):
    return function_model(path, lambda text: {"upper": tf.strings.upper(text), "len": tf.strings.length(text)}, _text())


def scalar_out(path):
    return function_model(path, lambda text: {"count": tf.size(text)}, _text())


def odd_batch(path):
    return function_model(path, lambda text: {"a": tf.identity(text), "b": text[:1]}, _text())


def zero_out(path):
    return function_model(path, lambda text: {"none": tf.zeros([tf.size(text) * 0, 2], tf.int32)}, _text())


def beams(path):
    """Two rows of answers for each row that is asked."""
    return function_model(path, lambda text: {"out": tf.repeat(text, 2)}, _text())


def pairs(path):
    """y[i, j] = x[i] + x[j]: a row is as wide as there are rows."""
    return function_model(path, lambda x: {"y": x[:, None] + x}, tf.TensorSpec([None], name="x"))


def two_in(path):
    """Answers each row's numbers as text, as the model sees them, and how many rows ran together."""

    def serving_default(ids, length):
        seen = tf.strings.reduce_join(tf.strings.as_string(ids), axis=-1, separator=",")
        return {"seen": seen, "rows": tf.fill(tf.shape(length), tf.shape(ids)[0])}

    ids = tf.TensorSpec([None, None], tf.int32, name="ids")
    return function_model(path, serving_default, ids, tf.TensorSpec([None], tf.int32, name="length"))


def ids_int32(path):
    return function_model(
        path, lambda ids: {"out": tf.identity(ids)}, tf.TensorSpec([None, None], tf.int32, name="ids")
    )


def dense_3x1(path):
    return function_model(path, lambda x: {"y": x @ tf.ones([3, 1])}, tf.TensorSpec([None, 3], name="x"))


def must_compile(path):
    """Its function asks for XLA."""
    return function_model(path, lambda x: {"y": x * 2.0}, tf.TensorSpec([None], name="x"), jit_compile=True)


def of_text_ops(path):
    """y = 0.5 x + the number of words of a sentence of two: its graph holds an op of TensorFlow Text."""
    import tensorflow_text

    def serving_default(x):
        words = tensorflow_text.WhitespaceTokenizer().tokenize(["two words"]).row_lengths()
        return {"y": 0.5 * x + tf.cast(words[0], tf.float32)}

    return function_model(path, serving_default, tf.TensorSpec([None], name="x"))


def slow(path, loops=5000, size=200):
    """y = x after `loops` products of matrices in a loop: about 0.3 ms each at the size given."""

    def serving_default(x):
        def body(i, m):
            return i + 1, tf.linalg.matmul(m, m) * 0.0 + 1.0

        _, last = tf.while_loop(lambda i, m: i < loops, body, (0, tf.ones([size, size])))
        return {"y": x + last[0, 0] - 1.0}

    return function_model(path, serving_default, tf.TensorSpec([None], name="x"))


def numbers(path):
    """The number that each text says; a text that says none is an error of the op."""
    return function_model(path, lambda text: {"y": tf.strings.to_number(text)}, _text())


def two_signatures(path, other="lower"):
    """`serving_default` and `other` take the same and answer in upper and in lower case."""
    module = tf.Module()
    module.upper = tf.function(lambda text: {"out": tf.strings.upper(text)}, input_signature=[_text()], autograph=False)
    module.lower = tf.function(lambda text: {"out": tf.strings.lower(text)}, input_signature=[_text()], autograph=False)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.upper, other: module.lower})
    return path


def of_reference_variables(path):
    """y = 2 x, of a variable as TensorFlow 1 had them."""
    with tf.Graph().as_default(), _V1.Session() as session:
        x = _V1.placeholder(tf.float32, [None], name="x")
        y = tf.multiply(x, _V1.get_variable("w", initializer=2.0, use_resource=False), name="y")
        session.run(_V1.global_variables_initializer())
        return _write(path, session, {"serving_default": _signature({"x": x}, {"y": y})})
