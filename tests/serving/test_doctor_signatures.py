"""The doctor on broken signatures and warm-up files."""

import shutil

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from nlp_suite.serving.doctor import examine
from tests.serving.doctor_models import (
    TEXT,
    WARMUP,
    classify_log,
    edit,
    found,
    predict_log,
    save,
    write_records,
)


@pytest.fixture
def model(sound_model, tmp_path):
    """A copy of a sound model, to be broken."""
    return shutil.copytree(sound_model, tmp_path / "m" / "1")


# ---------------------------------------------------------------------------------------------------- signatures


def test_tags(model):
    edit(model, lambda graph: graph.meta_info_def.tags.append("gpu"))
    assert found(model, "tags") == (False, "the server loads the graph with the tag serve alone; there are: gpu, serve")


def test_signatures_that_are_not_there(model):
    def rename(graph):
        graph.signature_def["other"].CopyFrom(graph.signature_def["serving_default"])
        del graph.signature_def["serving_default"]

    edit(model, rename)
    ok, what = found(model, "signatures")
    assert ok is None and "no serving_default, so every request must name one" in what
    edit(model, lambda graph: graph.signature_def["other"].inputs["text"].__setattr__("name", "gone:0"))
    ok, what = found(model, "signatures")
    assert ok is False and "other: input 'text' is the tensor 'gone:0'" in what
    edit(model, lambda graph: graph.ClearField("signature_def"))
    assert found(model, "signatures")[0] is False


def test_a_scalar_output(tmp_path):
    module = tf.Module()
    module.f = tf.function(lambda text: {"count": tf.size(text)}, input_signature=[TEXT])
    report = examine(save(module, tmp_path / "1"))
    ok, what = found(report.path, "batch dimension")
    assert not report.ok and ok is False
    assert what == "serving_default: output 'count' is a scalar: no batching, and no rows over REST"


def test_a_fixed_batch_and_an_unknown_rank(model):
    def fix(graph):
        graph.signature_def["serving_default"].inputs["text"].tensor_shape.dim[0].size = 1

    def hide(graph):
        shape = graph.signature_def["classify"].outputs["scores"].tensor_shape
        shape.ClearField("dim")
        shape.unknown_rank = True

    edit(model, hide)
    ok, what = found(model, "batch dimension")
    assert ok is None and "classify: the rank of output 'scores' is unknown" in what
    edit(model, fix)
    ok, what = found(model, "batch dimension")
    assert ok is False and "serving_default: input 'text' has a fixed dim 0 of 1" in what


def test_types_that_json_lacks(model):
    def change(graph):
        graph.signature_def["classify"].outputs["scores"].dtype = tf.bfloat16.as_datatype_enum
        graph.signature_def["serving_default"].inputs.clear()

    edit(model, change)
    told = "over gRPC only: classify: output 'scores' is bfloat16; serving_default: takes no input"
    assert found(model, "REST") == (None, told)


def test_a_classify_signature_that_is_none(model):
    def change(graph):
        signature = graph.signature_def["classify"]
        signature.inputs["text"].CopyFrom(signature.inputs["inputs"])
        del signature.inputs["inputs"]
        signature.outputs["classes"].dtype = tf.int64.as_datatype_enum
        del signature.outputs["scores"].tensor_shape.dim[1]

    edit(model, change)
    ok, what = found(model, "Classify and Regress")
    assert ok is False
    for part in ("one named 'inputs' is expected", "'classes' is int64; string", "'scores' has 1 dimensions"):
        assert part in what
    edit(model, lambda graph: graph.signature_def["classify"].__setattr__("method_name", "tensorflow/serving/regress"))
    ok, what = found(model, "Classify and Regress")
    assert ok is False and "'outputs' is expected" in what
    assert "record 2: asks a signature that cannot classify" in found(model, "warm-up")[1]


def test_labels_without_names(model):
    edit(model, lambda graph: graph.signature_def["classify"].outputs.pop("classes"))
    ok, what = found(model, "label names")
    assert ok is None and what == "classify: no string output among scores names the labels"
    (model / "assets.extra" / "model_card.json").write_text('{"labels": ["no", "yes"]}')
    assert found(model, "label names")[1].endswith("assets.extra/model_card.json has them: no, yes")


# ---------------------------------------------------------------------------------------------------- warm-up


@pytest.mark.parametrize(
    "log, message",
    [
        (predict_log("gone", text=["x"]), "asks the signature 'gone', which the model does not have"),
        (predict_log(), "lacks the inputs text"),
        (predict_log(text=["x"], more=[1]), "has the inputs more, which the signature does not take"),
        (predict_log(text=[1]), "gives the input 'text' as int32; it is string"),
        (classify_log(examples=0), "holds no examples"),
        (classify_log("serving_default"), "asks a signature that cannot classify"),
        (prediction_log_pb2.PredictionLog(), "is a log of no kind"),
        (
            prediction_log_pb2.PredictionLog(session_run_log=prediction_log_pb2.SessionRunLog()),
            "is a session_run_log, which the server does not take",
        ),
    ],
)
def test_warmup_records_that_would_fail(model, log, message):
    write_records(model, predict_log(text=["good"]), log)
    ok, what = found(model, "warm-up")
    assert ok is False and what.startswith("record 2: ") and message in what


def test_the_warmup_file_itself(model):
    whole = (model / WARMUP).read_bytes()
    (model / WARMUP).write_bytes(whole[:-3])
    assert found(model, "warm-up") == (
        False,
        f"{WARMUP} cannot be read after record 1: a truncated or corrupted record",
    )
    (model / WARMUP).write_bytes(b"no record at all")
    assert found(model, "warm-up")[0] is False
    (model / WARMUP).write_bytes(b"")
    assert found(model, "warm-up")[0] is None
    write_records(model, *[predict_log(text=["good"])] * 1001)
    ok, what = found(model, "warm-up")
    assert ok is False and "1,001 records; the server takes 1,000" in what


def test_wide_answers_are_told(model):
    edit(
        model,
        lambda graph: setattr(graph.signature_def["classify"].outputs["scores"].tensor_shape.dim[1], "size", 50_000),
    )
    ok, what = found(model, "message size")
    assert ok is None and "(classify) takes 200,002 bytes or more: 20 rows at most in 4 MiB" in what
