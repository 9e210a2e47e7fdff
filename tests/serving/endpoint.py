"""Endpoints for tests: in this process or as a command, on free ports, and how they are asked over the wire."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

from nlp_suite.serving.flags import Options
from nlp_suite.serving.server import Server

STATES = {v: k for k, v in get_model_status_pb2.ModelVersionStatus.State.items()}


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return made.getsockname()[1]


@dataclass
class Answer:
    """What REST answered."""

    status: int
    headers: dict
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


def http_ask(port, method, path, body=None, headers=None, timeout=60) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
    try:
        given = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        connection.request(method, path, given, headers or {})
        response = connection.getresponse()
        return Answer(response.status, dict(response.getheaders()), response.read())
    finally:
        connection.close()


def raw(endpoint, *parts, pause=0.0, timeout=30):
    """What the port answers to bytes, until it closes the connection."""
    with socket.create_connection(("127.0.0.1", endpoint.rest_port), timeout=timeout) as connection:
        try:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause)
        except (BrokenPipeError, ConnectionResetError):  # it need not read to the end
            pass
        found = b""
        try:
            while more := connection.recv(65536):
                found += more
        except ConnectionResetError:
            pass
        return found


class Asker:
    """Both ports of an endpoint: `rest(…)` and the published stubs `prediction` and `model`."""

    def __init__(self, port, rest_port, target=None, credentials=None):
        self.port, self.rest_port = port, rest_port
        target = target or f"127.0.0.1:{port}"
        self.channel = grpc.secure_channel(target, credentials) if credentials else grpc.insecure_channel(target)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def rest(self, method, path, body=None, headers=None) -> Answer:
        return http_ask(self.rest_port, method, path, body, headers)

    def predict(self, name, inputs=None, *, signature="", version=None, label=None, outputs=(), timeout=60):
        """Arrays of a Predict over gRPC, and the model_spec that came with them."""
        request = predict_pb2.PredictRequest(output_filter=outputs)
        request.model_spec.name, request.model_spec.signature_name = name, signature
        if version is not None:
            request.model_spec.version.value = version
        if label is not None:
            request.model_spec.version_label = label
        for alias, value in (inputs or {}).items():
            request.inputs[alias].CopyFrom(tensor(value))
        answer = self.prediction.Predict(request, timeout=timeout)
        return {alias: array(proto) for alias, proto in answer.outputs.items()}, answer.model_spec

    def half(self, name, x=2.0, **where) -> float:
        """What a half_plus model says about x."""
        return self.predict(name, {"x": np.array([x], "float32")}, **where)[0]["y"].item()

    def reload(self, config, timeout=60):
        """HandleReloadConfigRequest; `config` is text."""
        request = model_management_pb2.ReloadConfigRequest(config=parsed(config))
        return self.model.HandleReloadConfigRequest(request, timeout=timeout)

    def states(self, name) -> dict[int, str]:
        """Version → name of its state; nothing where there is no such model."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        try:
            found = self.model.GetModelStatus(request, timeout=60).model_version_status
        except grpc.RpcError as error:
            assert error.code() == grpc.StatusCode.NOT_FOUND, error
            return {}
        return {each.version: STATES[each.state] for each in found}

    def available(self, name) -> list[int]:
        return [version for version, state in self.states(name).items() if state == "AVAILABLE"]


def tensor(value):
    """A TensorProto of an array; strings as bytes."""
    from tensorflow import make_tensor_proto

    return make_tensor_proto(value)


def array(proto):
    from tensorflow import make_ndarray

    return make_ndarray(proto)


def parsed(text):
    from google.protobuf import text_format

    return text_format.Parse(text, model_server_config_pb2.ModelServerConfig())


def model_list(models: dict) -> str:
    """The text of a model list: name → folder, or (folder, more text)."""
    entries = []
    for name, given in models.items():
        folder, more = given if isinstance(given, tuple) else (given, "")
        entries.append(f'config {{ name: "{name}" base_path: "{folder}" model_platform: "tensorflow" {more} }}')
    return f"model_config_list {{ {' '.join(entries)} }}"


class Endpoint(Asker):
    """A server in this process, as a context; `flags` are those of the command line."""

    def __init__(self, **flags):
        flags = {"port": free_port(), "rest_api_port": free_port(), "host": "127.0.0.1", "page": False, **flags}
        self.server = Server(Options(**flags))
        super().__init__(flags["port"], flags["rest_api_port"])

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *_):
        self.channel.close()
        self.server.stop()


def serving(stack: ExitStack, folder, models: dict, **flags) -> Endpoint:
    """An endpoint of a model list, entered into a stack."""
    file = folder / f"models-{time.monotonic_ns()}.config"
    file.write_text(model_list(models))
    return stack.enter_context(Endpoint(model_config_file=str(file), **flags))


class Command(Asker):
    """`python -m nlp_suite serve`, as a context that ends it."""

    def __init__(self, *arguments, target=None, ports=None):
        port, rest_port = ports or (free_port(), free_port())
        super().__init__(port, rest_port, target)
        own = ["--engine=builtin", "--host=127.0.0.1", f"--port={port}", f"--rest_api_port={rest_port}"]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "nlp_suite", "serve", *own, *map(str, arguments)],
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONUNBUFFERED": "1", "TF_CPP_MIN_LOG_LEVEL": "3"},
            text=True,
            errors="replace",  # TensorFlow quotes bytes
        )
        self.log = []

    def wait_ready(self):
        """Until it says that its ports are open."""
        for line in self.process.stderr:
            self.log.append(line)
            if " ready: " in line:
                return self
        raise AssertionError("".join(self.log) or "ended without a word")

    def figures(self) -> tuple[float, int]:
        """Megabytes and threads of the server."""
        process = Path(f"/proc/{self.process.pid}")
        pages = int((process / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 2**20, len(list((process / "task").iterdir()))

    def end(self, signal_number=signal.SIGTERM, timeout=60) -> tuple[int, str]:
        """Its exit code and what it wrote, after a signal."""
        self.process.send_signal(signal_number)
        return self.finished(timeout)

    def finished(self, timeout=120) -> tuple[int, str]:
        self.log.append(self.process.communicate(timeout=timeout)[1])
        return self.process.returncode, "".join(self.log)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
