"""A SavedModel that a stock server cannot run is told by its ops, each by name."""

import json

import pytest
import tensorflow as tf
import tensorflow_text as tf_text

from nlp_suite.errors import ExportError
from nlp_suite.export.op_check import check_ops
from nlp_suite.export.server_ops import FIRST_VERSION, TEXT_OPS, TEXT_OPS_SINCE_2_20


def save(directory, function, *specs):
    module = tf.Module()
    module.function = tf.function(function, input_signature=list(specs))
    tf.saved_model.save(module, str(directory), signatures=module.function)
    return directory


FLOATS = tf.TensorSpec([None, 4], tf.float32)
STRINGS = tf.TensorSpec([None], tf.string)


def compiled(x):
    return {"y": tf.function(lambda y: y * 2.0, jit_compile=True)(x)}


def slice_update(x):
    import keras

    return {"y": keras.ops.slice_update(x, (0, 0), tf.zeros([1, 4]))}


def py_function(x):
    return {"y": tf.numpy_function(lambda y: y, [x], tf.float32)}


def eager_py_function(x):
    return {"y": tf.py_function(lambda y: y, [x], tf.float32)}


def cudnn(x):
    x = x[:, None, :]  # [T, B, D]
    state = tf.zeros([1, 1, 2])
    y = tf.raw_ops.CudnnRNN(input=x, input_h=state, input_c=state, params=tf.zeros([64]), rnn_mode="lstm")
    return {"y": y.output}


def inside_a_loop(x):
    import keras

    def body(i, y):
        return i + 1, keras.ops.slice_update(y, (i, 0), tf.zeros([1, 4]))

    return {"y": tf.while_loop(lambda i, y: i < 2, body, [0, x], shape_invariants=[tf.TensorShape([]), x.shape])[1]}


@pytest.mark.parametrize(
    "function, op",
    [
        (compiled, "_XlaMustCompile"),
        (slice_update, "XlaDynamicUpdateSlice"),
        (inside_a_loop, "XlaDynamicUpdateSlice"),
        (py_function, "PyFunc"),
        (eager_py_function, "EagerPyFunc"),
        (cudnn, "CudnnRNN"),
    ],
)
def test_refuses_by_name(tmp_path, function, op):
    report = check_ops(save(tmp_path, function, FLOATS), "2.20")
    assert not report.ok and [problem.op for problem in report.problems] == [op]
    assert report.problems[0].functions
    with pytest.raises(ExportError, match=rf"Serving 2\.20 cannot run this model:\n  {op}: "):
        report.refuse()


def test_ops_newer_than_the_server_are_refused_and_known_to_newer_ones(tmp_path):
    save(tmp_path, lambda x: {"y": tf.reshape(tf.raw_ops.DecodeWebP(contents=x[0]), [1, -1])}, STRINGS)
    assert "from 2.20 on" in str(check_ops(tmp_path, "2.19").problems[0])
    assert check_ops(tmp_path, "2.20").ok


def test_text_ops_that_old_servers_do_not_link(tmp_path):
    def trim(x):
        rows = tf.strings.split(x)
        return {"y": tf_text.RoundRobinTrimmer(3).trim([rows, rows])[0].to_tensor()}

    save(tmp_path, trim, STRINGS)
    assert [problem.op for problem in check_ops(tmp_path, "2.19").problems] == ["TFText>RoundRobinTrim"]
    assert check_ops(tmp_path, "2.20").ok


def test_counts_ops_of_all_functions_and_is_json(tmp_path):
    report = check_ops(save(tmp_path, lambda x: {"y": tf.tanh(x) + tf.tanh(2 * x)}, FLOATS), "2.13")
    assert report.ok and report.ops["Tanh"] == 2
    assert report.tensorflow_version == tf.__version__
    assert json.loads(json.dumps(report.as_dict()))["missing"] == []
    report.refuse()


def test_an_unknown_op_is_refused(tmp_path):
    save(tmp_path, lambda x: {"y": tf.tanh(x)}, FLOATS)
    file = tmp_path / "saved_model.pb"
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    nodes = [n for f in model.meta_graphs[0].graph_def.library.function for n in f.node_def if n.op == "Tanh"]
    for node, op in zip(nodes, ["Addons>GatherTree"]):
        node.op = op
    model.meta_graphs[0].graph_def.node.add(op="MadeUpOp", name="m")
    file.write_bytes(model.SerializeToString())
    reasons = {problem.op: problem.reason for problem in check_ops(tmp_path, "2.20").problems}
    assert set(reasons) == {"Addons>GatherTree", "MadeUpOp"} and "Addons" in reasons["Addons>GatherTree"]


def test_the_lists_name_real_ops():
    from tensorflow.python.framework import op_def_registry

    unknown = [op for op in [*TEXT_OPS, *TEXT_OPS_SINCE_2_20] if op_def_registry.get(op) is None]
    assert unknown == []
    assert all(op_def_registry.get(op) is not None for op, version in FIRST_VERSION.items() if version < (2, 20))


@pytest.mark.parametrize("version", ["2.9", "3.0", "two", "2"])
def test_versions_that_are_not_known(tmp_path, version):
    with pytest.raises(ExportError, match=r"2\.13 to 2\.21"):
        check_ops(tmp_path, version)


def test_no_saved_model(tmp_path):
    with pytest.raises(ExportError, match="holds no SavedModel"):
        check_ops(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff\xff\xff")
    with pytest.raises(ExportError, match="is no SavedModel"):
        check_ops(tmp_path)
