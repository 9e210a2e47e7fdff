"""Warm-up files: what is in them runs before a version counts, and what fails is said."""

import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from nlp_suite.serving.servable import Servable, SessionSettings
from nlp_suite.serving.status import ServingError
from nlp_suite.serving.warmup import FILE, warm_up
from tests.serving import toy_models


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = toy_models.counting(tmp_path_factory.mktemp("warmup") / "1")  # one that tests may add a file to
    servable = Servable("m", 1, path, SessionSettings())
    yield servable
    servable.close()


def log(signature="predict", model="another"):
    made = prediction_log_pb2.PredictionLog()
    made.predict_log.request.model_spec.name = model
    made.predict_log.request.model_spec.version.value = 99
    made.predict_log.request.model_spec.signature_name = signature
    made.predict_log.request.inputs["inputs"].CopyFrom(tf.make_tensor_proto([b""]))
    return made.SerializeToString()


def write(model, *records):
    (model.path / FILE).parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(model.path / FILE)) as writer:
        for record in records:
            writer.write(record)


def counts(model):
    return model.run("counts", {}, ["counts"])["counts"].tolist()


def test_records_run_whatever_model_they_name(model):
    before = counts(model)[0]
    write(model, log(), log())
    assert warm_up(model) == 2 and counts(model)[0] == before + 2
    assert warm_up(model, 3) == 2 and counts(model)[0] == before + 8


def test_no_file(model):
    (model.path / FILE).unlink(missing_ok=True)
    assert warm_up(model) == 0


@pytest.mark.parametrize(
    "records, code, message",
    [
        (
            [log(), log("absent")],
            "FAILED_PRECONDITION",
            'warmup record 2 of .* fails: Serving signature key "absent" not found',
        ),
        ([b"\xff\xff"], "INVALID_ARGUMENT", "Failed to parse warmup record"),
        ([b""], "UNIMPLEMENTED", "Unsupported log_type for warmup: none"),
    ],
)
def test_records_that_fail(model, records, code, message):
    write(model, *records)
    with pytest.raises(ServingError, match=message) as caught:
        warm_up(model)
    assert caught.value.code.name == code


def test_a_file_of_something_else(model):
    write(model, log())
    (model.path / FILE).write_bytes((model.path / FILE).read_bytes()[:-3])
    with pytest.raises(ServingError, match="Please verify your warmup data is in TFRecord format") as caught:
        warm_up(model)
    assert caught.value.code.name == "DATA_LOSS"
