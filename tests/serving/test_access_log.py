"""The log of requests over both ports: what it says of good ones and of failures, and that it never holds a text unasked."""

import json
import logging
import socket

import grpc
import numpy as np
import pytest
from google.protobuf import text_format
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
)

from nlp_suite.serving import access_log, log_lines
from nlp_suite.serving.access_log import AccessLog, note, note_failure, note_quote, texts_of_json
from nlp_suite.serving.log_lines import JsonLines, TextLines
from nlp_suite.serving.status import Code, ServingError, invalid_argument
from tests.serving.endpoint import Endpoint, model_list

SECRET = "my secret diary"


@pytest.fixture(scope="module")
def models(toys, tmp_path_factory):
    """A list of models."""
    file = tmp_path_factory.mktemp("log") / "models.config"
    file.write_text(model_list({name: toys(name).parent for name in ("half_plus", "echo_string", "two_in")}))
    return str(file)


@pytest.fixture(scope="module")
def endpoint(models):
    flags = {"log_requests": "all", "log_level": "debug", "rest_api_max_body_bytes": 2**16}
    with Endpoint(model_config_file=models, rest_api_timeout_in_ms=500, **flags) as made:
        yield made


@pytest.fixture
def lines(caplog, monkeypatch):
    """The fields of each request that was logged, after it ended."""
    caplog.set_level(logging.DEBUG, "nlp_suite")

    def read():
        return [{**record.fields, "level": record.levelname} for record in caplog.records if hasattr(record, "fields")]

    return read


@pytest.fixture
def last(lines):
    """The last line, of a request that ended a moment ago."""
    from tests.serving.fake_servables import until

    seen = [0]

    def read():
        until(lambda: len(lines()) > seen[0])
        seen[0] = len(lines())
        return lines()[-1]

    return read


def good(**known):
    return {"level": "INFO", "status": "OK", "version": None, "signature": "", "rows": None} | known


def failed(**known):
    return {"level": "WARNING", "version": None, "signature": "", "rows": None} | known


def of_rest(endpoint, last, path, body=None, **more):
    endpoint.rest("GET" if body is None else "POST", f"/v1/models/{path}", body, **more)
    return without_time(last())


def without_time(line):
    assert 0 < line.pop("milliseconds") < 60_000 and line.pop("entrypoint") in ("GRPC", "REST")
    return line


# ---------------------------------------------------------------------------------------------------- what is logged


def test_good_requests_over_rest(endpoint, last):
    half = {"model": "half_plus", "version": 1}
    predict = half | {"api": "Predict", "signature": "serving_default", "rows": 3}
    examples = {"signature_name": "regress_x_to_y", "examples": [{"x": 1.0}, {"x": 2.0}]}
    regress = half | {"api": "Regress", "signature": "regress_x_to_y", "rows": 2}
    assert of_rest(endpoint, last, "half_plus:predict", {"instances": [1.0, 2.0, 5.0]}) == good(**predict)
    assert of_rest(endpoint, last, "half_plus/versions/1:regress", examples) == good(**regress)
    assert of_rest(endpoint, last, "half_plus/metadata") == good(**half, api="GetModelMetadata")
    assert of_rest(endpoint, last, "half_plus") == good(model="half_plus", api="GetModelStatus")


def test_good_requests_over_grpc(endpoint, last):
    half = {"model": "half_plus", "version": 1}
    endpoint.half("half_plus")
    assert without_time(last()) == good(**half, api="Predict", signature="serving_default", rows=1)
    example = (
        'input { example_list { examples { features { feature { key: "x" value { float_list { value: 1 } } } } } } }'
    )
    spec = 'model_spec { name: "half_plus" signature_name: "%s" }'
    classify = text_format.Parse(f"{spec % 'classify_x_to_y'} {example}", classification_pb2.ClassificationRequest())
    endpoint.prediction.Classify(classify)
    assert without_time(last()) == good(**half, api="Classify", signature="classify_x_to_y", rows=1)
    tasks = "".join(
        f'tasks {{ {spec % name} method_name: "tensorflow/serving/{method}" }} '
        for name, method in [("regress_x_to_y", "regress"), ("classify_x_to_y", "classify")]
    )
    endpoint.prediction.MultiInference(text_format.Parse(tasks + example, inference_pb2.MultiInferenceRequest()))
    both = good(**half, api="MultiInference", signature="regress_x_to_y,classify_x_to_y", rows=1)
    assert without_time(last()) == both
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "half_plus"
    endpoint.prediction.GetModelMetadata(metadata)
    assert without_time(last()) == good(**half, api="GetModelMetadata")
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "half_plus"
    endpoint.model.GetModelStatus(status)
    assert without_time(last()) == good(model="half_plus", api="GetModelStatus")


def test_failures_over_rest(endpoint, last):
    def fails(path, body, **known):
        assert of_rest(endpoint, last, path, body) == failed(**known)

    absent = {"model": "absent", "api": "Predict", "status": "NOT_FOUND"}
    fails("absent:predict", {"instances": [1]}, **absent, error="Servable not found for request: Latest(absent)")
    half = {"model": "half_plus", "api": "Predict", "version": 1, "status": "INVALID_ARGUMENT"}
    unknown = 'Serving signature name: "x" not found in signature def'
    fails("half_plus:predict", {"signature_name": "x", "instances": [1.0]}, **half, error=unknown)
    malformed = "Malformed request: POST /v1/models/half_plus:ask"
    fails("half_plus:ask", {}, model="", api="", status="INVALID_ARGUMENT", error=malformed)
    known = {"model": "half_plus", "api": "Predict"}
    large = "the request's body has more than 65,536 bytes"
    fails("half_plus:predict", b" " * 70_000, **known, status="RESOURCE_EXHAUSTED", error=large)


def test_requests_that_are_none(endpoint, last):
    def sends(sent):
        with socket.create_connection(("127.0.0.1", endpoint.rest_port), timeout=20) as connection:
            connection.sendall(sent)
            assert connection.recv(4096)
        return without_time(last())

    nothing = {"model": "", "api": ""}
    no_http = failed(**nothing, status="INVALID_ARGUMENT", error="Invalid HTTP request received.")
    assert sends(b"\0\n\n") == no_http
    head = b"POST /v1/models/half_plus:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n{"
    late = "the request's body did not arrive within 0.5 s"
    known = {"model": "half_plus", "api": "Predict"}
    assert sends(head) == failed(**known, status="DEADLINE_EXCEEDED", error=late)
    with socket.create_connection(("127.0.0.1", endpoint.rest_port), timeout=20) as connection:
        connection.sendall(head)
    assert without_time(last())["status"] == "CANCELLED"


def test_failures_over_grpc(endpoint, last):
    def fails(call, **known):
        with pytest.raises(grpc.RpcError):
            call()
        assert without_time(last()) == failed(**known)

    absent = {"model": "absent", "api": "Predict", "signature": "serving_default", "status": "NOT_FOUND"}
    fails(lambda: endpoint.half("absent"), **absent, error="Servable not found for request: Latest(absent)")
    call = endpoint.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError):
        call(b"\xff")
    line = without_time(last())
    assert line.pop("error").startswith("the request is no tensorflow.serving.PredictRequest: ")
    assert line == failed(model="", api="Predict", status="INVALID_ARGUMENT")
    reload = model_management_pb2.ReloadConfigRequest()
    wrong = {"model": "", "api": "HandleReloadConfigRequest", "status": "INVALID_ARGUMENT"}
    with pytest.raises(grpc.RpcError):
        endpoint.model.HandleReloadConfigRequest(reload)
    assert without_time(last()).items() >= failed(**wrong).items()


def test_pages_and_metrics_are_not_logged(endpoint, lines):
    assert endpoint.rest("GET", "/").status == 404 and endpoint.rest("OPTIONS", "/v1/models/half_plus").status == 400
    assert [line for line in lines() if line["status"] == "OK"] == []


# ---------------------------------------------------------------------------------------------------- texts


def hostile(endpoint):
    """Requests whose errors repeat what was sent, over both ports."""
    bodies = [
        {"instances": [SECRET]},
        {"instances": SECRET},
        {"inputs": SECRET, "instances": [SECRET]},
        {"signature_name": [SECRET], "instances": [1]},
        {"inputs": {"ids": [SECRET], "length": [1]}},
        {"instances": [{"ids": SECRET, "length": 1}]},
        {"instances": [{"b64": SECRET}]},
        [SECRET],
        SECRET.encode(),
        f'{{"instances": ["{SECRET} \\u00fc \\u0000 \\\\ \\""]}}'.encode(),
        b'{"instances": ["\xff' + SECRET.encode() + b'\xed\xa0\x80"]}',
        {"instances": [{"b64": SECRET * 2000}]},
        {"instances": [[[[SECRET]], [SECRET]]]},
        f'{{"instances": ["{SECRET}'.encode(),
    ]
    for body in bodies:
        for model in ("half_plus", "two_in", "echo_string"):
            yield lambda model=model, body=body: endpoint.rest("POST", f"/v1/models/{model}:predict", body)
    for verb in ("classify", "regress"):
        for example in (SECRET, {"x": SECRET}, {"x": [SECRET, 1]}):
            body = {"examples": [example], "signature_name": f"{verb}_x_to_y"}
            yield lambda verb=verb, body=body: endpoint.rest("POST", f"/v1/models/half_plus:{verb}", body)

    def grpc_predict():
        with pytest.raises(grpc.RpcError):
            endpoint.predict("half_plus", {"x": np.array([SECRET.encode()], object)})

    yield grpc_predict


def words(text):
    return [word for word in SECRET.split() if word in text]


def test_no_text_in_the_log(endpoint, last):
    for ask in hostile(endpoint):
        ask()
        line = json.dumps(last())
        assert (not words(line) and "INVALID_ARGUMENT" in line) or '"OK"' in line, line


def test_no_text_of_an_exception_that_nobody_expected(endpoint, last, monkeypatch):
    def fails(*_, **__):
        raise KeyError(SECRET)

    monkeypatch.setattr("nlp_suite.serving.inference.run_predict", fails)
    answer = endpoint.rest("POST", "/v1/models/half_plus:predict", {"instances": [1.0]})
    line = last()
    assert answer.status == 500 and not words(json.dumps(line))
    assert (line["level"], line["status"], line["error"]) == ("ERROR", "INTERNAL", "KeyError")
    assert "in fails" in line["traceback"]


def test_texts_where_they_are_asked_for(models, last):
    with Endpoint(model_config_file=models, log_requests="all", log_text=True) as made:
        made.rest("POST", "/v1/models/echo_string:predict", {"instances": [SECRET, {"b64": "aGk="}]})
        assert last()["text"] == [SECRET, "aGk="]
        made.rest("POST", "/v1/models/half_plus:predict", {"instances": [SECRET]})
        line = last()
        assert line["text"] == [SECRET] and SECRET in line["error"]
        made.rest("POST", "/v1/models/half_plus:predict", SECRET.encode())
        assert last()["text"] == [SECRET]
        made.predict("echo_string", {"text": np.array(["süß".encode(), b"\xff"], object)})
        assert last()["text"] == ["süß", "\ufffd"]
        made.half("half_plus")
        assert last()["text"] == []


def test_texts_are_cut():
    assert list(texts_of_json(b"[" * 10**5)) == ["[" * 8000]
    many = json.dumps({"instances": ["x" * 9000] * 500}).encode()
    assert access_log.shortened_texts(lambda: texts_of_json(many)) == ["x" * 2000] * 100
    assert access_log.shortened_texts(lambda: 1 / 0) == ["cannot be read: ZeroDivisionError"]


# ---------------------------------------------------------------------------------------------------- flags


@pytest.mark.parametrize(
    "requests, logged",
    [("off", ["INTERNAL"]), ("errors", ["NOT_FOUND", "INTERNAL"]), ("all", ["OK", "NOT_FOUND", "INTERNAL"])],
)
def test_which_requests_are_logged(requests, logged, lines):
    log = AccessLog(requests)
    for error in (None, ServingError(Code.NOT_FOUND, "no"), ServingError(Code.INTERNAL, "why")):
        with log.request("REST", "Predict"):
            note_failure(error) if error else None
    assert [line["status"] for line in lines()] == logged


def test_a_failure_is_noted_once_and_without_what_it_quotes(lines):
    with AccessLog("all").request("REST", "Predict"):
        note(model="m" * 1000)
        first = invalid_argument(f"JSON Value: {note_quote(SECRET)} at {note_quote('my')}")
        note_failure(first)
        note_failure(ServingError(Code.INTERNAL, "later"))
    (line,) = lines()
    assert line["error"] == "JSON Value: … at …" and line["status"] == "INVALID_ARGUMENT" and line["model"] == "m" * 200
    note(model="x"), note_failure(first), note_quote("x")  # outside of a request: nothing


def test_an_exception_ends_the_record(lines):
    with pytest.raises(KeyError), AccessLog().request("REST"):
        raise KeyError("x")
    assert [line["error"] for line in lines()] == ["KeyError"]


# ---------------------------------------------------------------------------------------------------- lines


def record(message, level=logging.INFO, raised=None, **fields):
    made = logging.LogRecord("nlp_suite", level, "", 0, message, (), raised and (type(raised), raised, None))
    made.created = 1769860800.1234
    if fields:
        made.fields = fields
    return made


def test_lines_of_text():
    line = TextLines().format(record("request", model="m", version=3, rows=None, error="no 'x' =\x1b[31m\n\u2028"))
    fields = r'''model=m version=3 error="no 'x' =\u001b[31m\n\u2028"'''
    assert line == f"2026-01-31T12:00:00.123Z INFO request {fields}"
    assert TextLines().format(record("two\nlines\x9b", logging.ERROR)).endswith(r"Z ERROR two\nlines\u009b")
    assert TextLines().format(record("x", raised=KeyError("y"))).endswith("INFO x\nKeyError: 'y'")


def test_lines_of_json():
    line = JsonLines().format(record("two\nlines", model="\ud800", rows=2))
    assert "\n" not in line and line.isascii()
    assert json.loads(line) == {
        "time": "2026-01-31T12:00:00.123Z",
        "level": "INFO",
        "message": "two\nlines",
        "model": "\ud800",
        "rows": 2,
    }
    assert json.loads(JsonLines().format(record("x", raised=KeyError("y"))))["traceback"] == "KeyError: 'y'"


@pytest.mark.parametrize(
    "level, written",
    [("debug", "abcdf"), ("info", "bcdf"), ("warning", "cdf"), ("error", "d")],
)
def test_levels(level, written, monkeypatch, capsys):
    root, own = logging.Logger("root"), logging.Logger("nlp_suite")
    own.parent, root.manager = root, logging.Logger.manager
    monkeypatch.setattr(log_lines.logging, "getLogger", lambda name=None: own if name else root)
    monkeypatch.setattr(log_lines.logging, "root", root)
    log_lines.configure_logging(level, as_json=True)
    own.debug("a"), own.info("b"), own.warning("c"), own.error("d"), root.info("e"), root.warning("f")
    assert "".join(json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()) == written
