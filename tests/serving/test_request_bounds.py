"""What a request may ask for, at every entrance, and what becomes of one whose client has gone."""

import http.client
import json
import time

import grpc
import numpy as np
import pytest
from tensorflow.core.example.example_pb2 import Example
from tensorflow_serving.apis import classification_pb2, inference_pb2, predict_pb2, regression_pb2

from tests.serving.endpoint import Endpoint, model_list

ROWS = 2000


@pytest.fixture(scope="module")
def endpoint(toys, tmp_path_factory):
    """A row of `slow` takes tens of milliseconds, and each is a slice."""
    models = {"half": toys("half_plus").parent, "text": toys("echo_string").parent}
    models["slow"] = toys("slow", loops=200).parent
    file = tmp_path_factory.mktemp("bounds") / "models.config"
    file.write_text(model_list(models))
    with Endpoint(model_config_file=str(file), max_request_rows=ROWS, max_row_bytes=10_000, max_rows_at_once=1) as made:
        yield made


def examples(request, number, context=0):
    example = Example()
    example.features.feature["x"].float_list.value.append(1.0)
    request.model_spec.name = "half"
    if context:
        request.input.example_list_with_context.context.features.feature["c"].bytes_list.value.append(b"x" * context)
        request.input.example_list_with_context.examples.extend([example] * number)
    else:
        request.input.example_list.examples.extend([example] * number)
    return request


def filled(rows, *texts):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "text"
    request.inputs["text"].dtype = 7
    request.inputs["text"].tensor_shape.dim.add(size=rows)
    request.inputs["text"].string_val.extend(texts)
    return request


def one_long(request):
    """Two examples, of which only one is too large."""
    examples(request, 2).input.example_list.examples[1].features.feature["c"].bytes_list.value.append(b"x" * 10_000)
    return request


def several_of(make):
    request = inference_pb2.MultiInferenceRequest()
    request.tasks.add(method_name="tensorflow/serving/regress").model_spec.name = "half"
    request.input.CopyFrom(make(classification_pb2.ClassificationRequest()).input)
    return request


def several(number):
    return several_of(lambda request: examples(request, number))


@pytest.mark.parametrize(
    "method, request_, text",
    [
        ("Predict", filled(4_000_000, b"x"), "tensor text has 4,000,000 rows; at most 2,000 are allowed"),
        ("Predict", filled(1, b"x" * 10_001), "10,025 bytes a row; at most 10,000"),
        ("Predict", filled(3, b"x" * 10_001, b""), "a row of 10,025 bytes; at most 10,000"),
        ("Classify", one_long(classification_pb2.ClassificationRequest()), r"an example has 10,0\d\d bytes"),
        ("Regress", one_long(regression_pb2.RegressionRequest()), r"an example has 10,0\d\d bytes"),
        ("MultiInference", several_of(one_long), r"an example has 10,0\d\d bytes"),
        ("Regress", examples(regression_pb2.RegressionRequest(), 1, 10_000), r"an example has 10,0\d\d bytes, with"),
        ("Classify", examples(classification_pb2.ClassificationRequest(), ROWS + 1), "2,001 rows; at most 2,000"),
        ("Regress", examples(regression_pb2.RegressionRequest(), ROWS + 1), "2,001 rows; at most 2,000"),
        (
            "Regress",
            examples(regression_pb2.RegressionRequest(), 1000, 100_000),
            "for 1,000 examples: together at most",
        ),
        ("MultiInference", several(ROWS + 1), "2,001 rows; at most 2,000"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_grpc_refuses_what_is_too_much(endpoint, method, request_, text):
    with pytest.raises(grpc.RpcError, match=text) as caught:
        getattr(endpoint.prediction, method)(request_, timeout=60)
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    "verb, body, text",
    [
        ("text:predict", {"instances": ["x"] * (ROWS + 1)}, "tensor text has 2,001 rows; at most 2,000"),
        ("text:predict", {"inputs": {"text": ["x"] * (ROWS + 1)}}, "tensor text has 2,001 rows; at most 2,000"),
        ("text:predict", {"instances": ["x" * 10_001]}, "10,025 bytes a row; at most 10,000"),
        ("text:predict", {"instances": ["", "x" * 10_001, ""]}, "a row of 10,025 bytes; at most 10,000"),
        ("text:predict", {"inputs": ["", "x" * 10_001, ""]}, "a row of 10,025 bytes; at most 10,000"),
        ("text:predict", {"inputs": "x" * 10_001}, "10,025 bytes a row; at most 10,000"),
        ("half:regress", {"examples": [{"x": 1.0}, {"c": "x" * 10_000}]}, "an example has 10,0"),
        ("half:classify", {"context": {"c": "x" * 10_000}, "examples": [{"x": 1.0}]}, "an example has 10,0"),
        ("half:regress", {"examples": [{"x": 1.0}] * (ROWS + 1)}, "the request has 2,001 rows"),
        ("half:classify", {"examples": [{"x": 1.0}] * (ROWS + 1)}, "the request has 2,001 rows"),
        ("half:regress", {"context": {"c": "x" * 100_000}, "examples": [{"x": 1.0}] * 1000}, "together at most"),
    ],
)
def test_rest_refuses_what_is_too_much(endpoint, verb, body, text):
    answer = endpoint.rest("POST", f"/v1/models/{verb}", body)
    assert answer.status == 413 and text in answer.json["error"]


def test_what_is_allowed_is_answered_at_both_ports(endpoint):
    texts = [str(number) for number in range(ROWS)]
    answer = endpoint.rest("POST", "/v1/models/text:predict", {"instances": texts})
    assert answer.json["predictions"] == texts
    assert endpoint.predict("text", {"text": np.array(texts)})[0]["out"].astype(str).tolist() == texts
    found = endpoint.prediction.Predict(filled(ROWS, b"x"), timeout=60).outputs["out"]
    assert list(found.string_val) == [b"x"] * ROWS


def over_grpc(endpoint):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "slow"
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=ROWS)
    call = endpoint.prediction.Predict.future(request, timeout=300)
    return call.cancel


def over_rest(endpoint):
    connection = http.client.HTTPConnection("127.0.0.1", endpoint.rest_port)
    connection.request("POST", "/v1/models/slow:predict", json.dumps({"instances": [1.0] * ROWS}))
    return connection.close


@pytest.mark.parametrize("ask", [over_grpc, over_rest])
def test_a_request_whose_client_left_is_dropped(endpoint, ask, monkeypatch):
    entry = endpoint.server.manager._available("slow")[1]
    runs, answer = [], entry.servable._answers

    def counted(*arguments, **options):
        runs.append(1)
        return answer(*arguments, **options)

    monkeypatch.setattr(entry.servable, "_answers", counted)
    leave, start = ask(endpoint), time.monotonic()
    while len(runs) < 2:
        assert time.monotonic() - start < 60
        time.sleep(0.001)
    leave()
    while entry.users:
        assert time.monotonic() - start < 60
        time.sleep(0.001)
    assert len(runs) < ROWS / 10
