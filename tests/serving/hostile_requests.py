"""Requests that mean harm or are broken, as hypothesis strategies: each is a `Rest`, a `Raw` or a `Grpc`."""

import base64
import gzip
import json
from dataclasses import dataclass, field

from hypothesis import strategies as st
from tensorflow.core.example.example_pb2 import Example
from tensorflow.core.framework import types_pb2
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    predict_pb2,
)

MODELS = ["half", "echo_float", "echo_string", "ids_int32", "two_in", "two_out", "dense_3x1", "numbers", "odd_batch"]
_INPUTS = {"half": ["x"], "echo_float": ["x"], "dense_3x1": ["x"], "ids_int32": ["ids"], "two_in": ["ids", "length"]}


@dataclass
class Rest:
    """A request of HTTP; `body` are its bytes."""

    method: str
    path: str
    body: bytes = b""
    headers: dict = field(default_factory=dict)

    def __repr__(self):
        return f"Rest({self.method} {self.path[:200]!r} {self.headers} {len(self.body)} bytes: {self.body[:300]!r})"


@dataclass
class Raw:
    """Bytes for the REST port."""

    sent: bytes


@dataclass
class Grpc:
    """Bytes for a method of gRPC."""

    method: str
    body: bytes

    def __repr__(self):
        return f"Grpc({self.method} {len(self.body)} bytes: {self.body[:300]!r})"


_models = st.sampled_from(MODELS)
_verbs = st.sampled_from(["predict", "classify", "regress"])


def _path(model, verb="predict"):
    return f"/v1/models/{model}:{verb}"


_paths = st.builds(_path, _models, _verbs)
_texts = st.text(max_size=30)
_numbers = st.one_of(
    st.integers(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.sampled_from([0, -1, 1e400, -0.0, 10**400, 2**31, 2**63]),
)
_base64 = st.one_of(
    _texts,
    st.binary(max_size=20).map(lambda b: base64.b64encode(b).decode()),
    st.sampled_from(["=", "====", "a", "aGk", "a b="]),
)
_leaves = st.one_of(
    st.none(), st.booleans(), _numbers, _texts, st.builds(lambda t: {"b64": t}, _base64), st.just({"b64": 1})
)
_values = st.recursive(
    _leaves,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["x", "ids", "length", "text", "b64", "zzz"]), inner, max_size=3),
    ),
    max_leaves=12,
)


@st.composite
def _wrong_values(draw):
    """Any JSON where the numbers and texts of a model are expected."""
    model = draw(_models)
    value = draw(_values)
    if draw(st.booleans()):
        value = {alias: draw(_values) for alias in _INPUTS.get(model, ["text"])}
    key = draw(st.sampled_from(["instances", "inputs", "examples"]))
    body = {key: [value] if key != "inputs" and draw(st.booleans()) else value}
    body |= draw(
        st.dictionaries(st.sampled_from(["signature_name", "context", "instances", "inputs"]), _values, max_size=1)
    )
    verb = "predict" if key != "examples" else draw(_verbs)
    return Rest("POST", _path(model, verb), json.dumps(body).encode())


@st.composite
def _broken_bytes(draw, good):
    """Good bytes with parts taken out, put in, or cut off."""
    found = bytearray(draw(good))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(found)))
        until = min(len(found), at + draw(st.integers(0, 6)))
        found[at:until] = draw(st.binary(max_size=6))
    return bytes(found[: draw(st.integers(0, len(found)))] if draw(st.booleans()) else found)


_good_json = st.sampled_from(
    [
        b'{"instances": [1.0, 2.0, 5.0]}',
        b'{"signature_name": "serving_default", "inputs": {"x": [[1.0], [2.0]]}}',
        b'{"instances": [{"ids": [1, 2], "length": 2}]}',
        '{"instances": ["Grüße", {"b64": "aGVsbG8="}, "\\ud83d\\ude00"]}'.encode(),
        b'{"signature_name": "regress_x_to_y", "context": {"x": 1.0}, "examples": [{"x": 2.0}, {}]}',
    ]
)
_broken_json = st.builds(lambda path, body: Rest("POST", path, body), _paths, _broken_bytes(_good_json))


@st.composite
def _deep(draw):
    depth = draw(st.sampled_from([60, 70, 900, 1100, 30_000, 400_000]))
    opening, closing = draw(st.sampled_from([(b"[", b"]"), (b'{"a":', b"}"), (b'[{"b64":', b"}]"), (b"[1,", b"]")]))
    prefix = draw(
        st.sampled_from([b'{"instances":', b'{"inputs":', b'{"instances":[1.0],"ignored":', b'{"signature_name":', b""])
    )
    closed = draw(st.booleans())
    return Rest("POST", draw(_paths), prefix + opening * depth + b"1" + (closing * depth + b"}" if closed else b""))


@st.composite
def _huge(draw):
    """Long lists, ragged ones, long texts, many keys."""
    number = draw(st.sampled_from([5_000, 60_000]))
    item = draw(
        st.sampled_from(["1.5", '"text"', "[]", "[[1.0]]", "null", '{"b64":"AA=="}', '{"x":1.0}', "1e999", "9" * 50])
    )
    kind = draw(st.sampled_from(["list", "ragged", "text", "keys", "digits"]))
    body = {
        "list": f'{{"instances":[{",".join([item] * number)}]}}',
        "ragged": f'{{"inputs":[{",".join([item] * number)},[1.0,[2.0]]]}}',
        "text": f'{{"instances":["{"x" * 20 * number}"]}}',
        "keys": f"{{{','.join(f'{chr(34)}k{n}{chr(34)}:1' for n in range(number))}}}",
        "digits": f'{{"instances":[{"9" * number}]}}',
    }[kind]
    return Rest("POST", draw(_paths), body.encode())


_not_text = st.builds(
    lambda path, bad: Rest("POST", path, b'{"instances": ["' + bad.replace(b'"', b"").replace(b"\\", b"") + b'"]}'),
    _paths,
    st.binary(min_size=1, max_size=20),
)


@st.composite
def _odd_headers(draw):
    encoding = draw(st.sampled_from([b"gzip", b"GZIP", b"deflate", b"br", b"gzip, gzip", b"identity", b"\xff"]))
    body = draw(st.one_of(_broken_bytes(st.just(gzip.compress(b'{"instances": [1.0]}'))), st.binary(max_size=40)))
    kind = draw(
        st.sampled_from([b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data; boundary=", b""])
    )
    return Rest("POST", draw(_paths), body, {"Content-Encoding": encoding, "Content-Type": kind})


_tricks = st.one_of(
    st.sampled_from(
        [
            "..%2F..%2Fetc%2Fpasswd",
            "%00",
            "half%00",
            "..",
            ".",
            "half/../two_in",
            "%2e%2e",
            "a" * 20_000,
            "half//",
            "%",
            "%zz",
            "%FF%FE",
            "half%0d%0aX-Header:%20y",
            "{}",
            "%25s%25n",
            "half/versions/1/versions/1",
            "half/versions/99999999999999999999",
            "half/versions/-1",
            "half/versions/1e3",
            "half/labels/%00",
            "half/labels/" + "b" * 5_000,
            "half/versions/٣",
            "half;x=1",
        ]
    ),
    st.text(st.characters(codec="utf-8"), max_size=20),
)
_odd_paths = st.builds(
    lambda method, trick, end: Rest(method, "/v1/models/" + _quoted(trick) + end, b'{"instances": [1.0]}'),
    st.sampled_from(["GET", "POST", "PUT", "DELETE", "OPTIONS", "HEAD"]),
    _tricks,
    st.sampled_from([":predict", ":PREDICT", ":classify", "/metadata", "", ":predict/", ":", "/metadata/x"]),
)


def _quoted(text):
    """The text as an HTTP client can send it: what is not ASCII and what ends a line is percent-encoded."""
    return "".join(c if "!" <= c <= "~" else "".join(f"%{b:02X}" for b in c.encode()) for c in text)


_HEAD = b"POST /v1/models/half:predict HTTP/1.1\r\nHost: half\r\n"
_raw = st.builds(
    Raw,
    st.one_of(
        st.binary(min_size=1, max_size=60),
        _broken_bytes(st.just(_HEAD + b'Content-Length: 20\r\n\r\n{"instances": [1.0]}')),
        _broken_bytes(st.just(_HEAD + b'Transfer-Encoding: chunked\r\n\r\n4\r\n{"a"\r\n0\r\n\r\n')),
    ),
)

# ---------------------------------------------------------------------------------------------------- gRPC


@st.composite
def _tensors(draw, proto):
    """Fills a TensorProto with a type, a shape and values that need not agree."""
    proto.dtype = draw(st.one_of(st.sampled_from(types_pb2.DataType.values()), st.integers(-5, 140)))
    for _ in range(draw(st.integers(0, 4))):
        proto.tensor_shape.dim.add(
            size=draw(st.sampled_from([0, 1, 2, 3, 7, -1, -(2**63), 2**20, 2**31, 2**40, 2**62, 2**63 - 1]))
        )
    if draw(st.integers(0, 20)) == 0:
        proto.tensor_shape.unknown_rank = True
    if draw(st.integers(0, 20)) == 0:
        for _ in range(300):
            proto.tensor_shape.dim.add(size=1)
    fields = {
        "float_val": 1.5,
        "double_val": 2.5,
        "int_val": 3,
        "int64_val": 2**60,
        "bool_val": True,
        "string_val": b"\xff\0",
    }
    fields |= {"half_val": 70000, "scomplex_val": 1.0, "uint32_val": 5, "uint64_val": 2**63}
    for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=2)):
        getattr(proto, name).extend([fields[name]] * draw(st.sampled_from([1, 2, 3, 6])))
    if draw(st.integers(0, 3)) == 0:
        proto.tensor_content = draw(st.binary(max_size=24))


@st.composite
def _predicts(draw):
    request = predict_pb2.PredictRequest()
    model = draw(_models)
    request.model_spec.name = model
    request.model_spec.signature_name = draw(
        st.sampled_from(["", "serving_default", "regress_x_to_y", "__saved_model_init_op", "\0"])
    )
    if draw(st.integers(0, 5)) == 0:
        request.model_spec.version.value = draw(st.sampled_from([0, 1, -1, 2**63 - 1]))
    for alias in _INPUTS.get(model, ["text"]):
        draw(_tensors(request.inputs[alias]))
    if draw(st.integers(0, 5)) == 0:
        draw(_tensors(request.inputs["other"]))
    request.output_filter.extend(draw(st.lists(st.sampled_from(["y", "out", "seen", "nothing", ""]), max_size=2)))
    return Grpc("PredictionService/Predict", request.SerializeToString())


@st.composite
def _examples(draw):
    """Classify, Regress and MultiInference, with Examples that do not suit."""
    method, kind = draw(
        st.sampled_from(
            [
                ("Classify", classification_pb2.ClassificationRequest),
                ("MultiInference", inference_pb2.MultiInferenceRequest),
            ]
        )
    )
    request = kind()
    specs = (
        [request.model_spec]
        if method == "Classify"
        else [request.tasks.add().model_spec for _ in range(draw(st.integers(0, 3)))]
    )
    for spec in specs:
        spec.name = draw(st.sampled_from(["half", "echo_string", "none"]))
        spec.signature_name = draw(st.sampled_from(["", "classify_x_to_y", "regress_x_to_y", "regress_x2_to_y3"]))
    for task in [] if method == "Classify" else request.tasks:
        task.method_name = draw(st.sampled_from(["tensorflow/serving/regress", "tensorflow/serving/classify", "x", ""]))
    example = Example()
    for name in draw(st.lists(st.sampled_from(["x", "x2", "y"]), max_size=3)):
        getattr(example.features.feature[name], draw(st.sampled_from(["float_list", "int64_list"]))).value.extend(
            [1] * draw(st.integers(0, 3))
        )
    if draw(st.booleans()):
        request.input.example_list_with_context.context.CopyFrom(example)
        request.input.example_list_with_context.examples.extend([Example()] * draw(st.integers(0, 2)))
    else:
        request.input.example_list.examples.extend([example] * draw(st.integers(0, 2)))
    return Grpc(
        f"PredictionService/{draw(st.sampled_from([method, 'Regress' if method == 'Classify' else method]))}",
        request.SerializeToString(),
    )


def _small():
    predict = predict_pb2.PredictRequest()
    predict.model_spec.name = "half"
    predict.inputs["x"].dtype = 1
    predict.inputs["x"].float_val.append(1.0)
    metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    metadata.model_spec.name = "half"
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name = "half"
    return {
        "PredictionService/Predict": predict,
        "PredictionService/GetModelMetadata": metadata,
        "ModelService/GetModelStatus": status,
    }


_broken_messages = st.one_of(
    [
        st.builds(Grpc, st.just(method), _broken_bytes(st.just(message.SerializeToString())))
        for method, message in _small().items()
    ]
)
requests = st.one_of(
    _wrong_values(), _broken_json, _deep(), _huge(), _not_text, _odd_headers(), _odd_paths, _raw, _predicts(), _examples(),
    _broken_messages,
)  # fmt: skip
