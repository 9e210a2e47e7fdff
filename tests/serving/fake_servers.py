"""A gRPC and an HTTP server that answer as TensorFlow Serving does, with models of a few lines; for tests of clients.

Answers are made by hand, not by the clients' own conversions.
"""

import base64
import json
import re
import threading
import time
from concurrent import futures
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc

from nlp_suite.serving.client import protos

DTYPES = {"DT_FLOAT": 1, "DT_INT32": 3, "DT_STRING": 7, "DT_INT64": 9}
FIELDS = {"DT_FLOAT": "float_val", "DT_INT32": "int_val", "DT_STRING": "string_val", "DT_INT64": "int64_val"}
TEXT = {"text": ("DT_STRING", [-1])}
PREDICT, CLASSIFY = "tensorflow/serving/predict", "tensorflow/serving/classify"
SIGNATURES = {  # model: {signature: (inputs, outputs, method)}, tensors as (dtype, shape)
    "sentiment": {
        "serving_default": (
            TEXT,
            {
                "label": ("DT_STRING", [-1]),
                "probability": ("DT_FLOAT", [-1]),
                "probabilities": ("DT_FLOAT", [-1, 2]),
            },
            PREDICT,
        ),
        "classify": (
            {"inputs": ("DT_STRING", [-1])},
            {"classes": ("DT_STRING", [-1, 2]), "scores": ("DT_FLOAT", [-1, 2])},
            CLASSIFY,
        ),
    },
    "translation": {
        "serving_default": (TEXT, {"translation": ("DT_STRING", [-1]), "score": ("DT_FLOAT", [-1])}, PREDICT),
    },
    "language_model": {
        "serving_default": (
            {"prompt": ("DT_STRING", [-1])},
            {"text": ("DT_STRING", [-1]), "log_prob": ("DT_FLOAT", [-1]), "length": ("DT_INT32", [-1])},
            PREDICT,
        ),
    },
    "echo": {
        "serving_default": (
            {"text": ("DT_STRING", [-1]), "count": ("DT_INT32", [-1]), "weight": ("DT_FLOAT", [-1, -1])},
            {"text": ("DT_STRING", [-1]), "count": ("DT_INT32", [-1]), "weight": ("DT_FLOAT", [-1, -1])},
            PREDICT,
        ),
        "one": (TEXT, {"text": ("DT_STRING", [-1])}, PREDICT),
        "raw": (TEXT, {"raw_bytes": ("DT_STRING", [-1])}, PREDICT),
    },
}


def positive(text: bytes) -> float:
    return 0.875 if b"good" in text else 0.25


def answer(model, signature, inputs):
    """Input name → (shape, flat values) to output name → (shape, flat values)."""
    if model == "sentiment":
        ((shape, texts),) = inputs.values()
        scores = [positive(text) for text in texts]
        labels = [b"positive" if score > 0.5 else b"negative" for score in scores]
        both = [value for score in scores for value in (1 - score, score)]
        return {
            "label": (shape, labels),
            "probability": (shape, [max(score, 1 - score) for score in scores]),
            "probabilities": ([*shape, 2], both),
        }
    if model == "translation":
        shape, texts = inputs["text"]
        return {"translation": (shape, [text.upper() for text in texts]), "score": (shape, [-0.5] * len(texts))}
    if model == "language_model":
        shape, texts = inputs["prompt"]
        count = len(texts)
        return {
            "text": (shape, [b" goes on."] * count),
            "log_prob": (shape, [-3.25] * count),
            "length": (shape, [3] * count),
        }
    return {"raw_bytes": inputs["text"]} if signature == "raw" else dict(inputs)


class Fake:
    """What both servers share: scripted failures, and what was asked."""

    def __init__(self):
        self.failures: list[tuple[str, str]] = []  # (code, message), one a request, before anything else
        self.delay = 0.0  # seconds before an answer
        self.asked: list[tuple[str, str, object]] = []  # (method, model, request)
        self.states = [(2, 30), (1, 50)]  # (version, state) of every model; 30 is AVAILABLE
        self.signatures = SIGNATURES

    def begin(self, method, model, request):
        """Records a request; the failure that is due, or `None`."""
        self.asked.append((method, model, request))
        time.sleep(self.delay)
        if self.failures:
            return self.failures.pop(0)
        if model not in self.signatures:
            return "NOT_FOUND", f"Servable not found for request: Latest({model})"
        return None


class FakeGrpc(Fake):
    """The gRPC server; `target` is its address."""

    def __init__(self, port=0, credentials=None):
        super().__init__()
        self.server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        for service, methods in {
            "PredictionService": ("Predict", "Classify", "GetModelMetadata"),
            "ModelService": ("GetModelStatus",),
        }.items():
            handlers = {}
            for method in methods:
                _, request, response = protos.rpc(service, method)
                handlers[method] = grpc.unary_unary_rpc_method_handler(
                    self._handler(method), request.FromString, response.SerializeToString
                )
            name = f"tensorflow.serving.{service}"
            self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(name, handlers)])
        address = f"127.0.0.1:{port}"
        if credentials is None:
            self.port = self.server.add_insecure_port(address)
            self.target = f"127.0.0.1:{self.port}"
        else:
            self.port = self.server.add_secure_port(address, credentials)
            self.target = f"grpcs://localhost:{self.port}"
        self.remaining = None  # of the last request, in seconds
        self.server.start()

    def close(self):
        self.server.stop(0).wait()

    def _handler(self, method):
        def handle(request, context):
            self.remaining = context.time_remaining()
            failure = self.begin(method, request.model_spec.name, request)
            if failure:
                context.abort(grpc.StatusCode[failure[0]], failure[1])
            return getattr(self, method)(request, context)

        return handle

    def Predict(self, request, context):
        model, name = request.model_spec.name, request.model_spec.signature_name or "serving_default"
        signature = self.signatures[model].get(name)
        if signature is None:
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, f'Serving signature key "{name}" not found.')
        inputs = {}
        for alias, proto in request.inputs.items():
            dtype = signature[0][alias][0]
            if proto.dtype != DTYPES[dtype]:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"Expects arg[0] to be {dtype}")
            inputs[alias] = ([dim.size for dim in proto.tensor_shape.dim], _values(proto, dtype))
        response = protos.message("tensorflow.serving.PredictResponse")()
        response.model_spec.name, response.model_spec.version.value = model, 2
        for alias, (shape, values) in answer(model, name, inputs).items():
            if alias not in (request.output_filter or signature[1]):
                continue
            dtype = signature[1][alias][0]
            proto = response.outputs[alias]
            proto.dtype = DTYPES[dtype]
            for size in shape:
                proto.tensor_shape.dim.add(size=size)
            getattr(proto, FIELDS[dtype]).extend(values)
        return response

    def Classify(self, request, context):
        response = protos.message("tensorflow.serving.ClassificationResponse")()
        for example in request.input.example_list.examples:
            score = positive(example.features.feature["text"].bytes_list.value[0])
            row = response.result.classifications.add()
            row.classes.add(label="negative", score=1 - score)
            row.classes.add(label="positive", score=score)
        return response

    def GetModelMetadata(self, request, context):
        response = protos.message("tensorflow.serving.GetModelMetadataResponse")()
        response.model_spec.name, response.model_spec.version.value = request.model_spec.name, 2
        found = protos.message("tensorflow.serving.SignatureDefMap")()
        for name, (inputs, outputs, method) in self.signatures[request.model_spec.name].items():
            signature = found.signature_def[name]
            signature.method_name = method
            for side, tensors in ((signature.inputs, inputs), (signature.outputs, outputs)):
                for alias, (dtype, shape) in tensors.items():
                    side[alias].dtype = DTYPES[dtype]
                    for size in shape:
                        side[alias].tensor_shape.dim.add(size=size)
        found.signature_def["__saved_model_init_op"].outputs["__saved_model_init_op"].dtype = 0
        response.metadata["signature_def"].Pack(found)
        return response

    def GetModelStatus(self, request, context):
        response = protos.message("tensorflow.serving.GetModelStatusResponse")()
        for version, state in self.states:
            response.model_version_status.add(version=version, state=state)
        return response


def _values(proto, dtype):
    if dtype == "DT_STRING":
        return list(proto.string_val)
    import numpy as np

    return np.frombuffer(proto.tensor_content, {"DT_FLOAT": "<f4", "DT_INT32": "<i4"}[dtype]).tolist()


HTTP = {"UNAVAILABLE": 503, "NOT_FOUND": 404, "INVALID_ARGUMENT": 400, "INTERNAL": 500}
STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(:\w+|/metadata)?")


class FakeRest(Fake):
    """The HTTP server; `target` is its address."""

    def __init__(self, port=0, context=None):
        super().__init__()
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def log_message(self, *_):
                pass

            def do_GET(self):
                self.reply(None)

            def do_POST(self):
                data = self.rfile.read(int(self.headers["Content-Length"]))
                self.reply(json.loads(data))

            def reply(self, body):
                status, data = fake.reply(self.path, body)
                last = fake.hang_up  # before the client can go on and change it
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)
                if last:
                    self.close_connection = True

        self.hang_up = False  # close the connection after an answer without saying so
        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.target = f"http://127.0.0.1:{self.port}"
        if context is not None:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.target = f"https://localhost:{self.port}"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def reply(self, path, body):
        model, _version, _label, verb = PATH.fullmatch(path).groups()
        method = {":predict": "Predict", ":classify": "Classify", "/metadata": "GetModelMetadata"}.get(verb)
        failure = self.begin(method or "GetModelStatus", model, (path, body))
        if failure:
            return HTTP[failure[0]], json.dumps({"error": failure[1]}).encode()
        answered = getattr(self, method or "GetModelStatus")(model, body)
        return 200, json.dumps(answered, ensure_ascii=False).encode("utf-8", "surrogateescape")

    def Predict(self, model, body):
        name = body.get("signature_name", "serving_default")
        taken, outputs, _ = self.signatures[model][name]
        if "instances" in body:  # row format, of one input
            rows = {alias: _flat(body["instances"]) for alias in taken}
            found = {
                alias: flat
                for alias, (_, flat) in answer(model, name, rows).items()
                if len(flat) == len(body["instances"])
            }
            return {"predictions": [dict(zip(found, map(_text, row))) for row in zip(*found.values())]}
        inputs = {alias: _flat(value) for alias, value in body["inputs"].items()}
        values = {
            alias: _nested(shape, [_json(value, alias) for value in flat])
            for alias, (shape, flat) in answer(model, name, inputs).items()
            if alias in outputs
        }
        return {"outputs": values if len(outputs) > 1 else next(iter(values.values()))}

    def Classify(self, model, body):
        scores = [positive(example["text"].encode()) for example in body["examples"]]
        return {"results": [[["negative", 1 - score], ["positive", score]] for score in scores]}

    def GetModelMetadata(self, model, body):
        def side(tensors):
            return {
                alias: {
                    "dtype": dtype,
                    "tensor_shape": {"dim": [{"size": str(n), "name": ""} for n in shape], "unknown_rank": False},
                    "name": f"{alias}:0",
                }
                for alias, (dtype, shape) in tensors.items()
            }

        found = {
            name: {"inputs": side(inputs), "outputs": side(outputs), "method_name": method, "defaults": {}}
            for name, (inputs, outputs, method) in self.signatures[model].items()
        }
        found["__saved_model_init_op"] = {"inputs": {}, "outputs": {}, "method_name": "", "defaults": {}}
        spec = {"name": model, "signature_name": "", "version": "2"}
        return {"model_spec": spec, "metadata": {"signature_def": {"signature_def": found}}}

    def GetModelStatus(self, model, body):
        fine = {"error_code": "OK", "error_message": ""}
        rows = [{"version": str(n), "state": STATES[state], "status": fine} for n, state in self.states]
        return {"model_version_status": rows}


def _flat(value):
    """Nested lists of JSON → shape and flat values; strings as bytes."""
    shape = []
    flat = [value]
    while isinstance(flat[0] if flat else None, list):
        shape.append(len(flat[0]))
        flat = [item for each in flat for item in each]
    return shape, [_bytes(item) for item in flat]


def _bytes(item):
    if isinstance(item, dict):
        return base64.b64decode(item["b64"])
    return item.encode("utf-8") if isinstance(item, str) else item


def _text(value):
    return value.decode("utf-8") if isinstance(value, bytes) else value


def _json(value, alias):
    if not isinstance(value, bytes):
        return value
    if alias.endswith("_bytes"):
        return {"b64": base64.b64encode(value).decode()}
    return value.decode("utf-8", "surrogateescape")  # goes out as the bytes it was


def _nested(shape, flat):
    for size in reversed(shape[1:]):
        flat = [flat[n : n + size] for n in range(0, len(flat), size)]
    return flat
