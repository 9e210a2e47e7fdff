"""The clients against servers that answer by hand: answers, errors, retries, deadlines; and no TensorFlow in sight."""

import json
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from nlp_suite.serving.client import GrpcClient, RestClient, ServingClientError, TensorSpec, query
from nlp_suite.serving.status import Code
from tests.serving.fake_servers import FakeGrpc, FakeRest

KINDS = {"grpc": (FakeGrpc, GrpcClient), "rest": (FakeRest, RestClient)}
ECHO = {"text": ["a", "ü"], "count": [1, 2], "weight": [[0.5], [1.5]]}


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def server(kind):
    made = KINDS[kind][0]()
    yield made
    made.close()


@pytest.fixture
def client(kind, server):
    with KINDS[kind][1](server.target, timeout=10.0) as made:
        yield made


def requests(server, method="Predict"):
    return [asked for asked in server.asked if asked[0] == method]


# ---------------------------------------------------------------------------------------------------- answers


def test_texts_are_answered_as_arrays(client):
    found = client.predict("sentiment", ["a good film", "dull", "good"])
    assert found["label"].tolist() == ["positive", "negative", "positive"]
    assert found["probability"].dtype == np.float32 and found["probability"].tolist() == [0.875, 0.75, 0.875]
    assert found["probabilities"].shape == (3, 2)


def test_texts_go_to_the_only_input_whatever_its_name(client):
    assert client.predict("language_model", ["It"])["text"].tolist() == [" goes on."]


def test_only_the_outputs_asked_for(client):
    assert list(client.predict("sentiment", ["x"], outputs=["probability"])) == ["probability"]


def test_numbers_in_lists_take_the_signatures_dtype(client):
    found = client.predict("echo", ECHO)
    assert found["count"].dtype == np.int32 and found["weight"].dtype == np.float32
    assert found["count"].tolist() == [1, 2] and found["weight"].tolist() == [[0.5], [1.5]]
    assert found["text"].tolist() == ["a", "ü"]


def test_arrays_keep_their_dtype(server, kind):
    if kind == "rest":
        pytest.skip("JSON carries no dtype")
    with GrpcClient(server.target) as client, pytest.raises(ServingClientError, match="INVALID_ARGUMENT.*DT_INT32"):
        client.predict("echo", {**ECHO, "count": np.array([1, 2])})


def test_bytes_that_are_no_text_come_back_as_they_were(client):
    assert client.predict("echo", [b"\xff\x00", "ü"], signature="one")["text"].tolist() == [b"\xff\x00", "ü".encode()]
    assert client.predict("echo", ["ü\n\0"], signature="one")["text"].tolist() == ["ü\n\0"]


def test_outputs_named_bytes_are_decoded(client):
    assert client.predict("echo", ["é"], signature="raw")["raw_bytes"].tolist() == ["é"]


def test_no_texts_no_answers(client):
    found = client.predict("sentiment", [])
    assert found["label"].shape == (0,) and found["probabilities"].shape == (0, 2)


def test_classify(client):
    assert client.classify("sentiment", ["good", "dull"]) == [
        [("negative", 0.125), ("positive", 0.875)],
        [("negative", 0.75), ("positive", 0.25)],
    ]


def test_status_and_metadata(client):
    assert [(s.version, s.state, s.code) for s in client.status("sentiment")] == [
        (2, "AVAILABLE", Code.OK),
        (1, "END", Code.OK),
    ]
    metadata = client.metadata("sentiment")
    assert (metadata.name, metadata.version, list(metadata.signatures)) == (
        "sentiment",
        2,
        ["classify", "serving_default"],
    )
    assert metadata.signature("serving_default").inputs == {"text": TensorSpec("string", (None,))}
    assert metadata.signature("classify").outputs["scores"] == TensorSpec("float32", (None, 2))


def test_version_and_label_reach_the_server(client, server, kind):
    client.predict("sentiment", {"text": ["x"]}, version=2)
    client.predict("sentiment", {"text": ["x"]}, label="stable/α")
    first, second = (asked for _, _, asked in requests(server))
    if kind == "grpc":
        assert first.model_spec.version.value == 2 and second.model_spec.version_label == "stable/α"
    else:
        assert first[0] == "/v1/models/sentiment/versions/2:predict"
        assert second[0] == "/v1/models/sentiment/labels/stable%2F%CE%B1:predict"
    with pytest.raises(ValueError, match="give one of them"):
        client.predict("sentiment", ["x"], version=1, label="stable")


def test_signatures_are_asked_for_once(client, server):
    for _ in range(3):
        client.predict("sentiment", ["x"])
    assert len(requests(server, "GetModelMetadata")) == 1


def test_a_model_that_changed_is_looked_at_again(client, server):
    client.predict("sentiment", ["x"])
    inputs, outputs, method = server.signatures["sentiment"]["serving_default"]
    fewer = {name: outputs[name] for name in ("label", "probability")}
    server.signatures = {**server.signatures, "sentiment": {"serving_default": (inputs, fewer, method)}}
    if isinstance(server, FakeRest):
        assert sorted(client.predict("sentiment", ["x"])) == ["label", "probability"]
    server.failures = [("INVALID_ARGUMENT", "input size does not match signature")]
    with pytest.raises(ServingClientError):
        client.predict("sentiment", ["x"])
    before = len(requests(server, "GetModelMetadata"))
    client.predict("sentiment", ["x"])
    assert len(requests(server, "GetModelMetadata")) == before + 1


def test_what_does_not_fit_is_refused_before_it_is_sent(client, server):
    with pytest.raises(ValueError, match="not a single text"):
        client.predict("sentiment", "good")
    with pytest.raises(ValueError, match="did you mean 'classify'"):
        client.predict("sentiment", ["x"], signature="clasify")
    with pytest.raises(ValueError, match="takes count, text, weight: give a dict"):
        client.predict("echo", ["x"])
    with pytest.raises(ValueError, match="input 'weight'"):
        client.predict("echo", {**ECHO, "weight": [[0.5], [1.5, 2.5]]})
    for unknown in (["x"], [1.0], np.ones(1)):
        with pytest.raises(ValueError, match="signature 'one': unknown input 'txet': did you mean 'text'"):
            client.predict("echo", {"text": ["x"], "txet": unknown}, signature="one")
    assert not requests(server)


def test_an_input_that_is_new_in_the_model_is_sent(client, server):
    client.predict("echo", ["x"], signature="one")
    inputs, outputs, method = server.signatures["echo"]["serving_default"]
    server.signatures = {**server.signatures, "echo": {"one": (inputs, outputs, method)}}
    assert client.predict("echo", ECHO, signature="one")["count"].tolist() == [1, 2]


@pytest.mark.parametrize(
    "where, message",
    [
        ({"version": "two"}, r"version 'two': a whole number from 0 is expected \(a name is given as label\)"),
        ({"version": -1}, "version -1: a whole number from 0"),
        ({"version": 1.5}, "version 1.5: a whole number from 0"),
        ({"label": 2}, r"label 2: a text is expected \(a number is given as version\)"),
    ],
)
def test_versions_that_cannot_be(client, server, where, message):
    asks = [client.metadata, lambda model, **given: client.predict(model, ["x"], **given)]
    asks += [client.status, client.wait_until_available] if "version" in where else []
    for ask in asks:
        with pytest.raises(ValueError, match=message):
            ask("sentiment", **where)
    assert client.predict("sentiment", ["x"], version=np.int64(2))["label"].shape == (1,)


# ---------------------------------------------------------------------------------------------------- errors, retries


def test_an_error_names_host_model_and_the_servers_message(client, server):
    with pytest.raises(ServingClientError) as caught:
        client.predict("sentimnt", {"text": ["x"]})
    assert caught.value.code is Code.NOT_FOUND
    for part in (server.target, "'sentimnt'", "Servable not found for request: Latest(sentimnt)", "NOT_FOUND"):
        assert part in str(caught.value)


def test_unavailable_twice_then_an_answer(client, server):
    client.predict("sentiment", ["x"])  # its signature is known from here on
    server.failures = [("UNAVAILABLE", "queue is full")] * 2
    server.asked.clear()
    assert client.predict("sentiment", ["good"])["label"].tolist() == ["positive"]
    assert [method for method, _, _ in server.asked] == ["Predict"] * 3


def test_other_refusals_are_final(client, server):
    for code in ("INVALID_ARGUMENT", "NOT_FOUND", "INTERNAL"):
        client.predict("sentiment", ["x"])  # its signature is known from here on
        server.asked.clear()
        server.failures = [(code, "no")] * 5
        with pytest.raises(ServingClientError, match=f"{code}.*no$"):
            client.predict("sentiment", {"text": ["x"]})
        assert len(server.asked) == 1
        server.failures = []


def test_retries_end_with_their_number(server, kind):
    with KINDS[kind][1](server.target, retries=2) as client:
        server.failures = [("UNAVAILABLE", "queue is full")] * 9
        with pytest.raises(ServingClientError, match=r"queue is full \(after 3 attempts\)"):
            client.status("sentiment")
        assert len(server.failures) == 6


def test_retries_never_pass_the_deadline(server, kind):
    with KINDS[kind][1](server.target, timeout=0.6, retries=1000) as client:
        server.failures = [("UNAVAILABLE", "queue is full")] * 1000
        start = time.monotonic()
        with pytest.raises(ServingClientError, match="UNAVAILABLE"):
            client.status("sentiment")
        assert time.monotonic() - start < 0.8 and 990 < len(server.failures) < 998


def test_a_slow_server_meets_the_deadline(server, kind):
    server.delay = 1.0
    with KINDS[kind][1](server.target, timeout=0.3) as client:
        start = time.monotonic()
        with pytest.raises(ServingClientError) as caught:
            client.status("sentiment")
    assert caught.value.code is Code.DEADLINE_EXCEEDED and time.monotonic() - start < 0.8
    assert len(server.asked) == 1
    assert kind == "rest" or server.remaining < 0.35  # the server was told


def test_no_server_then_one(kind):
    """A refused connection is tried again; the server that comes up meanwhile answers."""
    probe = KINDS[kind][0]()
    port, target = probe.port, probe.target
    probe.close()
    with KINDS[kind][1](target, timeout=5.0, retries=1) as client, pytest.raises(ServingClientError) as caught:
        client.status("sentiment")
    assert caught.value.code is Code.UNAVAILABLE and "after 2 attempts" in str(caught.value)
    started = []
    timer = threading.Timer(0.4, lambda: started.append(KINDS[kind][0](port)))
    timer.start()
    try:
        with KINDS[kind][1](target, timeout=10.0, retries=20) as client:
            assert client.status("sentiment")[0].version == 2
    finally:
        timer.join()
        started[0].close()


def test_waiting_until_a_model_is_available(client, server):
    server.states = [(2, 20)]
    threading.Timer(0.5, lambda: setattr(server, "states", [(2, 30)])).start()
    assert client.wait_until_available("sentiment", timeout=5.0).version == 2
    server.states = [(3, 20)]
    start = time.monotonic()
    with pytest.raises(ServingClientError, match="not available after 0.5 s; last: version 3 is LOADING"):
        client.wait_until_available("sentiment", timeout=0.5)
    assert time.monotonic() - start < 1.0
    with pytest.raises(ServingClientError, match="Servable not found"):
        client.wait_until_available("nothing", timeout=0.3)


def test_one_client_in_many_threads(client):
    wrong = []

    def ask(number):
        for turn in range(10):
            text = f"{number} {turn}"
            if client.predict("echo", [text], signature="one")["text"].tolist() != [text]:
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


# ---------------------------------------------------------------------------------------------------- query


def test_query_suits_the_answer(server, kind):
    grpc = {"grpc": kind == "grpc"}
    text = "a good film"
    assert query(server.target, "sentiment", [text, "dull"], **grpc).splitlines() == [
        "positive  0.8750  a good film",
        "negative  0.7500  dull",
    ]
    assert query(server.target, "translation", ["hi"], **grpc) == "HI  (score -0.5000)"
    assert query(server.target, "language_model", ["It"], **grpc) == "It goes on.\n  (3 tokens, log-probability -3.25)"
    assert query(server.target, "sentiment", ["good"], signature="classify", **grpc) == (
        "positive 0.8750  negative 0.1250  good"
    )
    assert query(server.target, "echo", ["x"], signature="one", **grpc) == "x\n  text  x"
    (row,) = map(json.loads, query(server.target, "sentiment", [text], as_json=True, **grpc).splitlines())
    assert row == {"input": text, "label": "positive", "probability": 0.875, "probabilities": [0.125, 0.875]}
    row = '{"text": "x", "count": 2, "weight": 0.5}'
    answer = {"input": row, "count": 2, "text": "x", "weight": 0.5}
    assert json.loads(query(server.target, "echo", [row], as_json=True, **grpc)) == answer
    askable = r"'x' is no row.*takes count \(int32\), text \(string\), weight \(float32\); of one text: one, raw\)$"
    with pytest.raises(ValueError, match=askable):
        query(server.target, "echo", ["x"], **grpc)


def test_query_finds_the_port_and_the_protocol():
    from nlp_suite.serving.client.asking import connect

    assert connect("h").target == "http://h:8501" and connect("h", grpc=True).target == "h:8500"
    assert connect("grpc://h:1").target == "h:1" and connect("http://h").target == "http://h"
    assert connect("[::1]").target == "http://[::1]:8501"
    with pytest.raises(ValueError, match="over REST"):
        connect("http://h", grpc=True)
    with pytest.raises(ValueError, match="ws://h"):
        connect("ws://h")
    for host in ("h:99999", "grpc://h:99999", "h:port"):
        with pytest.raises(ValueError, match=r"h:(99999|port)': port '(99999|port)'; allowed are 1 to 65535"):
            connect(host)


def test_using_the_clients_imports_no_tensorflow(server, kind):
    code = f"""
import sys
from nlp_suite.serving.client import {KINDS[kind][1].__name__} as Client, query
with Client({server.target!r}) as client:
    print(client.predict("sentiment", ["good"])["label"][0], client.classify("sentiment", ["good"]))
    client.status("sentiment"), client.wait_until_available("sentiment")
query({server.target!r}, "sentiment", ["good"], grpc={kind == "grpc"})
heavy = {{"tensorflow", "tensorflow_serving", "keras", "grpc", "typer", "pydantic"}} & set(sys.modules)
print(sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[1] == ("['grpc']" if kind == "grpc" else "[]")
    assert done.stdout.startswith("positive [[('negative', 0.125), ('positive', 0.875)]]")
