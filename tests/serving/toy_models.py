"""Small SavedModels of the conformance cases: arithmetic, echoes, and models that answer in ways that servers refuse."""

import tensorflow as tf

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def _spec(dtype, *shape, name=None):
    return tf.TensorSpec(shape, dtype, name=name)


def save(module, signatures, path, methods=()):
    """Writes a SavedModel; `methods` gives signatures another method name than Predict."""
    tf.saved_model.save(module, str(path), signatures=signatures)
    if methods:
        from tensorflow.core.protobuf import saved_model_pb2

        file = path / "saved_model.pb"
        saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
        for name, method in dict(methods).items():
            saved.meta_graphs[0].signature_def[name].method_name = method
        file.write_bytes(saved.SerializeToString())
    return path


def half_plus(path, plus=2.0):
    """y = 0.5 x + plus, with the Classify and Regress signatures of TensorFlow Serving's own half_plus_two."""
    module = tf.Module()
    module.a, module.b = tf.Variable(0.5), tf.Variable(plus)

    def features(examples):
        wanted = {"x": tf.io.FixedLenFeature([1], tf.float32), "x2": tf.io.FixedLenFeature([1], tf.float32, [0.0])}
        return tf.io.parse_example(examples, wanted)

    @tf.function(input_signature=[_spec(tf.float32, None, 1, name="x")])
    def serving_default(x):
        return {"y": module.a * x + module.b}

    @tf.function(input_signature=[_spec(tf.string, None, name="inputs")])
    def regress_x_to_y(inputs):
        return {"outputs": module.a * features(inputs)["x"] + module.b}

    @tf.function(input_signature=[_spec(tf.string, None, name="inputs")])
    def regress_x_to_y2(inputs):
        return {"outputs": module.a * features(inputs)["x"] + 3.0}

    @tf.function(input_signature=[_spec(tf.string, None, name="inputs")])
    def classify_x_to_y(inputs):
        return {"scores": module.a * features(inputs)["x"] + module.b}

    functions = {f.__name__: f for f in ()}
    functions |= {
        "serving_default": serving_default,
        "regress_x_to_y": regress_x_to_y,
        "regress_x_to_y2": regress_x_to_y2,
        "classify_x_to_y": classify_x_to_y,
    }
    methods = {"regress_x_to_y": REGRESS, "regress_x_to_y2": REGRESS, "classify_x_to_y": CLASSIFY}
    return save(module, functions, path, methods)


def function_model(path, function, *specs):
    """A model of one function as `serving_default`."""
    module = tf.Module()
    module.function = tf.function(function, input_signature=list(specs), autograph=False)
    return save(module, {"serving_default": module.function}, path)


def echo(path, dtype, output, name="text"):
    """The input itself; its shape is free."""
    return function_model(path, lambda **x: {output: tf.identity(x[name])}, tf.TensorSpec(None, dtype, name=name))
