"""The doctor's check of the warm-up file: a record that fails prevents the server from loading the version."""

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nlp_suite.errors import DataError
from nlp_suite.export.warmup import FILE
from nlp_suite.serving.client.tensors import from_proto
from nlp_suite.serving.doctor.checks import Check, verdict
from nlp_suite.serving.doctor.graph import classify_faults, dtype, regress_faults, signatures
from nlp_suite.serving.signature_names import DEFAULT_SIGNATURE
from nlp_suite.serving.warmup import MAX_RECORDS


def check(folder: Path, meta_graph: Any, broken: set[str]) -> Check:
    """Reads all records and compares them with the signatures.

    Args:
        folder: the version folder.
        meta_graph: its graph.
        broken: signatures that the server cannot answer.
    """
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    if not (folder / FILE).is_file():
        return Check("warm-up", None, f"no {FILE}: the first requests will be slow")
    named, faults, number = signatures(meta_graph), [], 0
    try:
        for number, record in enumerate(_records((folder / FILE).read_bytes()), 1):
            fault = _fault(prediction_log_pb2.PredictionLog.FromString(record), named, broken)
            faults += [f"record {number}: {fault}"] if fault else []
    except (DataError, DecodeError, OSError) as error:
        faults.append(f"{FILE} cannot be read after record {number}: {error}")
    if number > MAX_RECORDS:
        faults.append(f"{number:,} records; the server takes {MAX_RECORDS:,}")
    if not number and not faults:
        return Check("warm-up", None, f"{FILE} is empty: the first requests will be slow")
    return verdict("warm-up", faults, f"{number} records, each fitting its signature")


def _fault(log: Any, named: dict[str, Any], broken: set[str]) -> str | None:
    """Why the server would fail on a record, or `None`."""
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        return _signature_fault(request.model_spec, named, broken) or _predict_fault(request, named)
    if kind in ("classify_log", "regress_log"):
        request = getattr(log, kind).request
        return _signature_fault(request.model_spec, named, broken) or _example_fault(
            kind.removesuffix("_log"), request.model_spec, request.input, named
        )
    if kind == "multi_inference_log":
        request = log.multi_inference_log.request
        for task in request.tasks:
            method = task.method_name.removeprefix("tensorflow/serving/")
            if method not in ("classify", "regress"):
                return f"its task {task.method_name!r} is neither classify nor regress"
            fault = _signature_fault(task.model_spec, named, broken) or _example_fault(
                method, task.model_spec, request.input, named
            )
            if fault:
                return fault
        return None
    return f"is a {kind or 'log of no kind'}, which the server does not take"


def _signature_fault(model_spec: Any, named: dict[str, Any], broken: set[str]) -> str | None:
    name = model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in named:
        return f"asks the signature {name!r}, which the model does not have (it has {', '.join(named)})"
    return f"asks the signature {name!r}, which the server cannot run" if name in broken else None


def _predict_fault(request: Any, named: dict[str, Any]) -> str | None:
    signature = named[request.model_spec.signature_name or DEFAULT_SIGNATURE]
    sent, expected = set(request.inputs), set(signature.inputs)
    if missing := sorted(expected - sent - set(signature.defaults)):
        return f"lacks the inputs {', '.join(missing)}"
    if extra := sorted(sent - expected):
        return f"has the inputs {', '.join(extra)}, which the signature does not take"
    for name, proto in request.inputs.items():
        if dtype(proto) != dtype(signature.inputs[name]):
            return f"gives the input {name!r} as {dtype(proto)}; it is {dtype(signature.inputs[name])}"
        try:
            from_proto(proto)
        except ValueError as error:
            return f"input {name!r}: {error}"
    return None


def _example_fault(method: str, model_spec: Any, example_input: Any, named: dict[str, Any]) -> str | None:
    signature = named[model_spec.signature_name or DEFAULT_SIGNATURE]
    faults = (classify_faults if method == "classify" else regress_faults)(signature)
    if faults:
        return f"asks a signature that cannot {method}: {faults[0]}"
    kind = example_input.WhichOneof("kind")
    return None if kind and getattr(example_input, kind).examples else "holds no examples"


def _records(data: bytes) -> Iterator[bytes]:
    """The records of a TFRecord file; checksums are compared."""
    position = 0
    while position < len(data):
        head = data[position : position + 12]
        if len(head) < 12 or _masked_crc(head[:8]) != struct.unpack("<I", head[8:])[0]:
            raise DataError("no TFRecord file, or a truncated one")
        (length,) = struct.unpack("<Q", head[:8])
        end = position + 12 + length
        body, checksum = data[position + 12 : end], data[end : end + 4]
        if len(checksum) < 4 or _masked_crc(body) != struct.unpack("<I", checksum)[0]:
            raise DataError("a truncated or corrupted record")
        yield body
        position = end + 4


def _table() -> Iterator[int]:
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ 0x82F63B78 * (value & 1)  # CRC-32C (Castagnoli), reversed
        yield value


_CRC = tuple(_table())


def _masked_crc(data: bytes) -> int:
    """CRC-32C, rotated and shifted as TFRecord stores it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
