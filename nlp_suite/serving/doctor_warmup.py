"""The doctor looks at the warm-up file: a record that fails keeps the server from loading the version."""

import struct
from pathlib import Path

from nlp_suite.export.warmup import FILE
from nlp_suite.serving.client.base import DEFAULT_SIGNATURE
from nlp_suite.serving.client.tensors import from_proto
from nlp_suite.serving.doctor_checks import Check, verdict
from nlp_suite.serving.doctor_graph import classify_faults, dtype, regress_faults, signatures

MOST_RECORDS = 1000


def check(folder: Path, meta_graph, broken: set[str]) -> Check:
    """Reads all records and holds them against the signatures.

    Args:
        folder: the version folder.
        meta_graph: its graph.
        broken: signatures that the server cannot answer.
    """
    from google.protobuf.message import DecodeError
    from tensorflow_serving.apis import prediction_log_pb2

    if not (folder / FILE).is_file():
        return Check("warm-up", None, f"no {FILE}: the first requests will be slow")
    own, faults, number = signatures(meta_graph), [], 0
    try:
        for number, record in enumerate(_records((folder / FILE).read_bytes()), 1):
            fault = _fault(prediction_log_pb2.PredictionLog.FromString(record), own, broken)
            faults += [f"record {number}: {fault}"] if fault else []
    except (ValueError, DecodeError, OSError) as error:
        faults.append(f"{FILE} cannot be read after record {number}: {error}")
    if number > MOST_RECORDS:
        faults.append(f"{number:,} records; the server takes {MOST_RECORDS:,}")
    if not number and not faults:
        return Check("warm-up", None, f"{FILE} is empty: the first requests will be slow")
    return verdict("warm-up", faults, f"{number} records, each fitting its signature")


def _fault(log, own, broken) -> str | None:
    """Why the server would fail on a record, or `None`."""
    kind = log.WhichOneof("log_type")
    if kind == "predict_log":
        request = log.predict_log.request
        return _named(request.model_spec, own, broken) or _predict_fault(request, own)
    if kind in ("classify_log", "regress_log"):
        request = getattr(log, kind).request
        found = _named(request.model_spec, own, broken)
        return found or _example_fault(kind.removesuffix("_log"), request.model_spec, request.input, own)
    if kind == "multi_inference_log":
        request = log.multi_inference_log.request
        for task in request.tasks:
            method = task.method_name.removeprefix("tensorflow/serving/")
            if method not in ("classify", "regress"):
                return f"its task {task.method_name!r} is neither classify nor regress"
            found = _named(task.model_spec, own, broken) or _example_fault(method, task.model_spec, request.input, own)
            if found:
                return found
        return None
    return f"is a {kind or 'log of no kind'}, which the server does not take"


def _named(model_spec, own, broken) -> str | None:
    name = model_spec.signature_name or DEFAULT_SIGNATURE
    if name not in own:
        return f"asks the signature {name!r}, which the model does not have (it has {', '.join(own)})"
    return f"asks the signature {name!r}, which the server cannot run" if name in broken else None


def _predict_fault(request, own) -> str | None:
    signature = own[request.model_spec.signature_name or DEFAULT_SIGNATURE]
    given, taken = set(request.inputs), set(signature.inputs)
    if lacking := sorted(taken - given - set(signature.defaults)):
        return f"lacks the inputs {', '.join(lacking)}"
    if extra := sorted(given - taken):
        return f"has the inputs {', '.join(extra)}, which the signature does not take"
    for name, proto in request.inputs.items():
        if dtype(proto) != dtype(signature.inputs[name]):
            return f"gives the input {name!r} as {dtype(proto)}; it is {dtype(signature.inputs[name])}"
        try:
            from_proto(proto)
        except ValueError as error:
            return f"input {name!r}: {error}"
    return None


def _example_fault(method, model_spec, given, own) -> str | None:
    signature = own[model_spec.signature_name or DEFAULT_SIGNATURE]
    faults = (classify_faults if method == "classify" else regress_faults)(signature)
    if faults:
        return f"asks a signature that cannot {method}: {faults[0]}"
    kind = given.WhichOneof("kind")
    return None if kind and getattr(given, kind).examples else "holds no examples"


def _records(data: bytes):
    """The records of a TFRecord file; checksums are compared."""
    place = 0
    while place < len(data):
        head = data[place : place + 12]
        if len(head) < 12 or _masked_crc(head[:8]) != struct.unpack("<I", head[8:])[0]:
            raise ValueError("no TFRecord file, or a truncated one")
        (length,) = struct.unpack("<Q", head[:8])
        body, check = data[place + 12 : place + 12 + length], data[place + 12 + length : place + 16 + length]
        if len(check) < 4 or _masked_crc(body) != struct.unpack("<I", check)[0]:
            raise ValueError("a truncated or corrupted record")
        yield body
        place += 16 + length


def _table():
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
