"""Clients that others wrote, each in a separate environment, ask `nlp-suite serve` over the wire."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from google.protobuf import text_format

from tests.serving.endpoint import Command, http_ask, model_list

pytestmark = pytest.mark.slow
TEXTS = ["a fine film and a great cast", "not a fine film , a düll plot", ""]
PLAIN = """
def plain(value):
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    value = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(value, list):
        return [plain(each) for each in value]
    return value.decode() if isinstance(value, bytes) else value

def said(ask, *given):
    try:
        return plain(ask(*given))
    except Exception as error:
        return {"error": type(error).__name__, "said": str(error)}
"""
OVMSCLIENT = f"""
import json, sys
import ovmsclient
{PLAIN}
kind, address = sys.argv[1:]
client = getattr(ovmsclient, f"make_{{kind}}_client")(address)
print(json.dumps([said(getattr(client, method), *given) for method, given in json.load(sys.stdin)]))
"""
MIN_TFS_CLIENT = f"""
import json, sys
import numpy as np
from min_tfs_client.requests import TensorServingClient
from min_tfs_client.tensors import tensor_proto_to_ndarray
{PLAIN}
client = TensorServingClient("127.0.0.1", int(sys.argv[1]))

def predict(model, inputs, version):
    inputs = {{name: np.array(value, None if isinstance(value[0], str) else "float32") for name, value in inputs.items()}}
    answer = client.predict_request(model, inputs, model_version=version)
    outputs = {{name: tensor_proto_to_ndarray(proto) for name, proto in answer.outputs.items()}}
    return {{"version": answer.model_spec.version.value, "outputs": outputs}}

print(json.dumps([said(predict, *given) for given in json.load(sys.stdin)]))
"""


@pytest.fixture(scope="module")
def endpoint(exports, toys, tmp_path_factory):
    """`nlp-suite serve` with a classifier as `nlp-suite export` writes it and two toy models; `right` is Python's answer."""
    from nlp_suite.export.load import load

    folder = tmp_path_factory.mktemp("served")
    models, monitoring = folder / "models.config", folder / "monitoring.config"
    folders = {"sentiment": exports("sentiment"), "half": toys("half_plus", 123).parent, "two": toys("two_out").parent}
    models.write_text(model_list(folders))
    monitoring.write_text('prometheus_config { enable: true path: "/metrics" }')
    with Command(f"--model_config_file={models}", f"--monitoring_config_file={monitoring}") as made:
        made.wait_ready()
        made.right = load(exports.run("sentiment")).predict(TEXTS)
        yield made


def environment(folder, *packages) -> Path:
    """A new virtual environment that holds the packages."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    subprocess.run([folder / "bin" / "python", "-m", "pip", "install", "--quiet", *packages], check=True)
    return folder


def ask(folder, script, *arguments, calls):
    """What a client's script answers to a list of calls."""
    command = [folder / "bin" / "python", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, input=json.dumps(calls), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_sentiment(outputs, right):
    assert outputs["label"] == [row["label"] for row in right]
    np.testing.assert_allclose(outputs["probability"], [row["probability"] for row in right], rtol=1e-5)
    np.testing.assert_allclose(
        outputs["probabilities"], [list(row["probabilities"].values()) for row in right], rtol=1e-5
    )


# ---------------------------------------------------------------------------------------------------- ovmsclient


@pytest.fixture(scope="module")
def ovmsclient(tmp_path_factory):
    return environment(tmp_path_factory.mktemp("ovmsclient"), "ovmsclient==2023.1")


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_ovmsclient(endpoint, ovmsclient, kind):
    """It has separate classes for what was not found and what was wrong with the input."""
    port = {"grpc": endpoint.port, "http": endpoint.rest_port}[kind]
    status, no_status, metadata, texts, upper, row, rows, *refused = ask(
        ovmsclient,
        OVMSCLIENT,
        kind,
        f"127.0.0.1:{port}",
        calls=[
            ("get_model_status", ["half", 123]),
            ("get_model_status", ["nothing", 1]),
            ("get_model_metadata", ["sentiment", 1]),
            ("predict", [{"text": TEXTS}, "sentiment", 1]),
            ("predict", [{"text": ["düll — ok"]}, "two", 1]),
            ("predict", [{"x": [1.0, 2.0, 5.0]}, "half", 123]),
            ("predict", [{"x": [[1.0], [2.5]]}, "half", 123]),
            ("get_model_metadata", ["nothing", 1]),
            ("predict", [{"x": [1.0]}, "nothing", 1]),
            ("predict", [{"x": [1.0]}, "half", 7]),
            ("predict", [{"x": ["a"]}, "half", 123]),
            ("predict", [{"y": [1.0]}, "half", 123]),
        ],
    )
    assert status == {"123": {"state": "AVAILABLE", "error_code": 0, "error_message": ""}}
    assert no_status["error"] == "ModelNotFoundError"
    assert "Could not find version 1 of model nothing" in no_status["said"]
    if kind == "grpc":
        assert metadata["model_version"] == 1 and metadata["inputs"] == {"text": {"shape": [-1], "dtype": "DT_STRING"}}
        assert metadata["outputs"]["probabilities"] == {"shape": [-1, 2], "dtype": "DT_FLOAT"}
    else:  # it hands TensorFlow Serving's JSON on
        assert metadata["model_spec"] == {"name": "sentiment", "signature_name": "", "version": "1"}
        signature = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
        assert signature["inputs"]["text"]["dtype"] == "DT_STRING"
        sizes = [dim["size"] for dim in signature["outputs"]["probabilities"]["tensor_shape"]["dim"]]
        assert sizes == ["-1", "2"]
    check_sentiment(texts, endpoint.right)
    assert upper == {"upper": ["DüLL — OK"], "len": [12]}
    assert row == [2.5, 3.0, 4.5] and rows == [[2.5], [3.25]]
    assert [each["error"] for each in refused] == ["ModelNotFoundError"] * 3 + ["InvalidInputError"] * 2
    for each, what in zip(refused, ["Specific(nothing, 1)", "Specific(nothing, 1)", "Specific(half, 7)", "float", "x"]):
        assert what in each["said"]


# ---------------------------------------------------------------------------------------------------- min-tfs-client


def test_min_tfs_client(endpoint, tmp_path):
    """It reads typed fields only: answers in `tensor_content` would be empty."""
    client = environment(tmp_path / "client", "min-tfs-client==1.0.2", "protobuf==3.20.3")
    texts, lengths, latest, exact, nothing, no_version, wrong = ask(
        client,
        MIN_TFS_CLIENT,
        endpoint.port,
        calls=[
            ("sentiment", {"text": TEXTS}, None),
            ("two", {"text": ["a b", ""]}, 1),
            ("half", {"x": [1.0, 2.0, 5.0]}, None),
            ("half", {"x": [[1.0], [2.5]]}, 123),
            ("nothing", {"x": [1.0]}, None),
            ("half", {"x": [1.0]}, 7),
            ("half", {"x": ["a"]}, 123),
        ],
    )
    check_sentiment(texts["outputs"], endpoint.right)
    assert texts["version"] == 1 and lengths["outputs"] == {"upper": ["A B", ""], "len": [3, 0]}
    assert latest == {"version": 123, "outputs": {"y": [2.5, 3.0, 4.5]}}
    assert exact == {"version": 123, "outputs": {"y": [[2.5], [3.25]]}}
    assert "NOT_FOUND" in nothing["said"] and "Servable not found for request: Latest(nothing)" in nothing["said"]
    assert "NOT_FOUND" in no_version["said"] and "Specific(half, 7)" in no_version["said"]
    assert "INVALID_ARGUMENT" in wrong["said"] and "Expects arg[0] to be float but string is provided" in wrong["said"]


# ---------------------------------------------------------------------------------------------------- perf_analyzer


@pytest.fixture(scope="module")
def perf_analyzer(tmp_path_factory):
    """A function that runs it and gives what it printed, its exit code and the lines of its table."""
    packages = ["--no-deps", "tritonclient==2.46.0", "nvidia-cuda-runtime-cu12"]
    folder = environment(tmp_path_factory.mktemp("perf"), *packages)
    program = folder / "bin" / "perf_analyzer"
    if not program.exists():
        pytest.skip("tritonclient has no perf_analyzer for this kind of machine")
    libraries = ":".join(str(found) for found in folder.glob("lib/python*/site-packages/nvidia/*/lib"))
    variables = {**os.environ, "LD_LIBRARY_PATH": libraries}
    _with_libraries(program, variables)

    def run(endpoint, *arguments):
        table = folder / "table.csv"
        table.unlink(missing_ok=True)
        where = ["--service-kind", "tfserving", "-i", "grpc", "-u", f"127.0.0.1:{endpoint.port}", "-f", table]
        command = [program, *where, "-s", "999", *arguments]  # however unstable the machine
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=variables, timeout=120)
        rows = list(csv.DictReader(table.open())) if table.exists() else []
        return SimpleNamespace(code=done.returncode, text=done.stdout + done.stderr, rows=rows)

    return run


def _with_libraries(program, variables):
    """Installs what the program is linked with, or skips."""

    def missing():
        linked = subprocess.run(["ldd", program], capture_output=True, text=True, env=variables, check=True).stdout
        return re.findall(r"(\S+) => not found", linked)

    if "libb64.so.0d" in missing() and shutil.which("apt-get") and os.geteuid() == 0:
        for command in (["update"], ["install", "--yes", "--no-install-recommends", "libb64-0d"]):
            quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            subprocess.run(["apt-get", "-qq", *command], capture_output=True, env=quiet, check=False)
    if missing():
        pytest.skip(f"perf_analyzer needs {', '.join(missing())} (Debian: libb64-0d)")


def predicted(text):
    """The answers that `-v -v` prints, as NumPy arrays by name."""
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2

    found = re.findall(r"^outputs \{.*?^model_spec \{.*?^\}$", text, re.MULTILINE | re.DOTALL)
    responses = [text_format.Parse(each, predict_pb2.PredictResponse()) for each in found]
    return [{name: tf.make_ndarray(proto) for name, proto in each.outputs.items()} for each in responses]


def counts(endpoint, model):
    """Requests for a model by status, as the endpoint counts them."""
    text = http_ask(endpoint.rest_port, "GET", "/metrics").body.decode()
    found = re.findall(rf'request_count\{{model_name="{model}",status="(\w+)"\}} (\d+)', text)
    return {status: int(number) for status, number in found}


def test_perf_analyzer_with_texts(endpoint, perf_analyzer):
    """Under load no request fails, on the signature of a real export."""
    before = counts(endpoint, "sentiment")
    signature = ["-m", "sentiment", "--model-signature-name", "serving_default", "--string-data", TEXTS[0], "-b", "4"]
    done = perf_analyzer(endpoint, *signature, "--request-count", "400", "--concurrency-range", "4")
    assert done.code == 0 and "Request count: 400" in done.text, done.text
    (row,) = done.rows
    assert row["Concurrency"] == "4" and float(row["Inferences/Second"]) > 0 and int(row["p99 latency"]) > 0
    after = counts(endpoint, "sentiment")
    assert after.pop("OK") - before.pop("OK", 0) >= 400 and after == before
    shown = perf_analyzer(endpoint, *signature, "--request-count", "5", "-v", "-v")
    answers = predicted(shown.text)
    assert shown.code == 0 and len(answers) >= 5, shown.text
    for answer in answers:
        assert answer["label"].tolist() == [endpoint.right[0]["label"].encode()] * 4
        np.testing.assert_allclose(answer["probability"], [endpoint.right[0]["probability"]] * 4, rtol=1e-5)


def test_perf_analyzer_with_numbers_of_a_file(endpoint, perf_analyzer, tmp_path):
    file = tmp_path / "numbers.json"
    file.write_text(json.dumps({"data": [{"x": [2.0]}, {"x": [5.0]}]}))
    asked = ["-m", "half", "--model-signature-name", "serving_default", "--input-data", file, "-b", "2"]
    before = counts(endpoint, "half")
    done = perf_analyzer(endpoint, *asked, "--concurrency-range", "1:2", "-p", "500", "-r", "3")
    after = counts(endpoint, "half")
    assert done.code == 0, done.text
    assert sorted(row["Concurrency"] for row in done.rows) == ["1", "2"]  # the table begins with the quicker
    assert all(float(row["Inferences/Second"]) > 0 for row in done.rows)
    assert after.pop("OK") > before.pop("OK", 0) and after == before
    shown = perf_analyzer(endpoint, *asked, "--request-count", "5", "-v", "-v")
    answers = [answer["y"].tolist() for answer in predicted(shown.text)]
    assert shown.code == 0 and len(answers) >= 5, shown.text
    assert all(answer == [[3.0], [4.5]] for answer in answers)


def test_perf_analyzer_with_texts_of_a_file(endpoint, perf_analyzer, tmp_path):
    """It sends them in the shape of a scalar: the first is answered, as TensorFlow reads such a tensor."""
    file = tmp_path / "texts.json"
    file.write_text(json.dumps({"data": [{"text": [TEXTS[0]]}]}))
    asked = ["-m", "sentiment", "--model-signature-name", "serving_default", "--input-data", file, "-b", "2"]
    done = perf_analyzer(endpoint, *asked, "--request-count", "5", "-v", "-v")
    answers = predicted(done.text)
    assert done.code == 0 and len(answers) >= 5, done.text
    assert all(answer["label"].tolist() == [endpoint.right[0]["label"].encode()] for answer in answers)


def test_perf_analyzer_is_told_what_is_wrong(endpoint, perf_analyzer):
    for model, signature, words in [
        ("nothing", "serving_default", "Servable not found for request: Latest(nothing)"),
        ("half", "nothing", "nothing"),
    ]:
        done = perf_analyzer(endpoint, "-m", model, "--model-signature-name", signature, "--request-count", "5")
        assert done.code != 0 and words in done.text and not done.rows
