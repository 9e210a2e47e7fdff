"""A small model saved once, and how the doctor's tests break copies of it."""

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import prediction_log_pb2

from nlp_suite.serving.doctor import examine

WARMUP = "assets.extra/tf_serving_warmup_requests"
TEXT = tf.TensorSpec([None], tf.string)


class Small(tf.Module):
    """A classifier with a variable, a vocabulary in a file and a Classify signature."""

    def __init__(self, vocabulary):
        super().__init__()
        self.weight = tf.Variable(np.arange(200_000, dtype="float32"))
        keys = tf.lookup.TextFileInitializer(
            str(vocabulary),
            tf.string,
            tf.lookup.TextFileIndex.WHOLE_LINE,
            tf.int64,
            tf.lookup.TextFileIndex.LINE_NUMBER,
        )
        self.table = tf.lookup.StaticHashTable(keys, -1)

    @tf.function(input_signature=[TEXT])
    def serving_default(self, text):
        score = tf.cast(self.table.lookup(text), tf.float32) + self.weight[0]
        return {"label": tf.where(score > 0, "positive", "negative"), "probability": tf.sigmoid(score)}

    @tf.function(input_signature=[TEXT])
    def classify(self, inputs):
        scores = tf.zeros([tf.shape(inputs)[0], 2]) + self.weight[1]
        return {"classes": tf.fill(tf.shape(scores), "x"), "scores": scores}


def save(module, path, **signatures):
    names = signatures or {"serving_default": module.f}
    tf.saved_model.save(module, str(path), {name: f.get_concrete_function() for name, f in names.items()})
    return path


def small_model(folder):
    """Version 1 of a sound model in a folder."""
    (folder / "words.txt").write_text("bad\ngood\n")
    module = Small(folder / "words.txt")
    path = save(module, folder / "m" / "1", serving_default=module.serving_default, classify=module.classify)
    edit(path, lambda graph: graph.signature_def["classify"].__setattr__("method_name", "tensorflow/serving/classify"))
    write_records(path, predict_log(text=["good"]), classify_log())
    return path


def edit(path, change):
    """Rewrites the graph."""
    file = path / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    change(saved_model.meta_graphs[0])
    file.write_bytes(saved_model.SerializeToString())


def predict_log(signature="", **inputs):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.signature_name = signature
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log


def classify_log(signature="classify", examples=1):
    log = prediction_log_pb2.PredictionLog()
    log.classify_log.request.model_spec.signature_name = signature
    log.classify_log.request.input.example_list.SetInParent()
    for _ in range(examples):
        log.classify_log.request.input.example_list.examples.add()
    return log


def write_records(path, *logs):
    (path / WARMUP).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path / WARMUP)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def found(path, name, **options):
    """(verdict, what) of one check."""
    checks = {check.name: check for check in examine(path, **options).checks}
    return checks[name].ok, checks[name].message
