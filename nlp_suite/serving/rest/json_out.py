"""Answers in JSON, in the stock server's form to the last space."""

import binascii
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import numpy as np

from nlp_suite.serving.rest.json_text import float_texts, quoted, to_bytes
from nlp_suite.serving.status import Code, ServingError, invalid_argument, readable

BYTES_SUFFIX = "_bytes"  # a string output whose name ends so is written in base64


def write_predict(outputs: dict[str, np.ndarray], row_format: bool) -> bytes:
    """The body that answers a predict request.

    One output is written bare, several as objects keyed by name.

    Args:
        outputs: arrays by alias; strings as objects of `bytes`. In row format all are `[B, …]`.
        row_format: `predictions` by rows, or `outputs` by columns.

    Raises:
        ServingError: INVALID_ARGUMENT where row format finds no common batch size or a type has no JSON form.

    Example:
        >>> print(write_predict({"y": np.array([2.5, 3], np.float32)}, row_format=True).decode())
        {
            "predictions": [2.5, 3.0
            ]
        }
    """
    if not outputs:
        raise invalid_argument("Cannot convert empty tensor map to JSON")
    return to_bytes(_rows(outputs) if row_format else _columns(outputs))


def _rows(outputs: dict[str, np.ndarray]) -> str:
    batch = None
    for name, array in outputs.items():
        if not array.ndim:
            raise invalid_argument(f"Tensor name: {name} has no shape information ")
        if batch is not None and len(array) != batch:
            raise invalid_argument(f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}")
        batch = len(array)
    if len(outputs) == 1:
        ((name, array),) = outputs.items()
        return _listed("predictions", _lists(_texts(name, array, 1 + array.ndim), array.shape, 1))
    columns = [
        [f"{quoted(name)}: {text}" for text in _lists(_texts(name, array, 2 + array.ndim), array.shape, 1)]
        for name, array in outputs.items()
    ]
    inner = "\n" + " " * 12
    rows = ["\n        {" + inner + f",{inner}".join(row) + "\n        }" for row in zip(*columns)]
    return _listed("predictions", rows, ",")


def _columns(outputs: dict[str, np.ndarray]) -> str:
    depth = 1 if len(outputs) == 1 else 2
    values = {
        name: _lists(_texts(name, array, depth + array.ndim), array.shape, 0, depth)[0]
        for name, array in outputs.items()
    }
    if depth == 1:
        return '{\n    "outputs": ' + values[next(iter(values))] + "\n}"
    members = ",\n        ".join(f"{quoted(name)}: {value}" for name, value in values.items())
    return '{\n    "outputs": {\n        ' + members + "\n    }\n}"


def _listed(key: str, items: Sequence[str], separator: str = ", ") -> str:
    body = separator.join(items) + "\n    " if items else ""
    return f'{{\n    "{key}": [{body}]\n}}'


def _texts(name: str, array: np.ndarray, depth: int) -> list[str]:
    """JSON texts of an array's values in order; `depth` is where a base64 object stands."""
    flat = array.reshape(-1)
    kind = array.dtype.kind
    if kind in "OS":
        if name.endswith(BYTES_SUFFIX):
            opening, closing = "{\n" + "    " * (depth + 1) + '"b64": "', '"\n' + "    " * depth + "}"
            return [f"{opening}{binascii.b2a_base64(text, newline=False).decode()}{closing}" for text in flat.tolist()]
        return [quoted(text.decode("utf-8", "surrogateescape")) for text in flat.tolist()]
    if array.dtype in (np.float32, np.float64):
        return float_texts(flat)
    if kind == "b":
        return ["true" if value else "false" for value in flat.tolist()]
    if kind in "iu" and array.dtype != np.uint16:
        return list(map(str, flat.tolist()))
    if not flat.size:
        return []
    dtype = "half" if array.dtype == np.float16 else array.dtype.name
    raise invalid_argument(f"Failed to write JSON value for tensor type: {dtype}")


def _lists(texts: list[str], shape: Sequence[int], axis: int, depth: int | None = None) -> list[str]:
    """Texts of the lists that remain when the first `axis` axes are split.

    Args:
        texts: one a value.
        shape: of the array.
        axis: how many leading axes become the returned list.
        depth: indentation of the lists where each value has a line; None for lists in one line.
    """
    for last in reversed(range(axis, len(shape))):
        size = shape[last]
        opening, separator, closing = "[", ", ", "]"
        if depth is not None and size:
            line = "\n" + "    " * (depth + last - axis)
            opening, separator, closing = f"[{line}    ", f",{line}    ", f"{line}]"
        texts = [
            opening + separator.join(texts[row * size : (row + 1) * size]) + closing
            for row in range(prod(shape[:last]))
        ]
    return texts


def write_classifications(results: Iterable[Iterable[tuple[str | bytes, float]]]) -> bytes:
    """The body that answers a classify request.

    Args:
        results: for each example its (label, score) pairs.

    Raises:
        ServingError: INVALID_ARGUMENT where there are no results.

    Example:
        >>> print(write_classifications([[("good", 0.75), ("bad", 0.25)]]).decode())
        {
            "results": [[["good", 0.75], ["bad", 0.25]]
            ]
        }
    """
    examples = []
    for pairs in results:
        pairs = list(pairs)
        scores = float_texts(np.array([score for _, score in pairs], np.float32))
        examples.append(
            "[" + ", ".join(f"[{_label(label)}, {score}]" for (label, _), score in zip(pairs, scores)) + "]"
        )
    if not examples:
        raise invalid_argument("Cannot convert empty ClassificationResults to JSON")
    return to_bytes(_listed("results", examples))


def _label(label: str | bytes) -> str:
    return quoted(label.decode("utf-8", "surrogateescape") if isinstance(label, bytes) else label)


def write_regressions(values: Iterable[float]) -> bytes:
    """The body that answers a regress request.

    Args:
        values: one an example.

    Raises:
        ServingError: INVALID_ARGUMENT where there are no values.

    Example:
        >>> print(write_regressions([42, 0.1]).decode())
        {
            "results": [42.0, 0.1]
        }
    """
    texts = float_texts(np.array(list(values), np.float32))
    if not texts:
        raise invalid_argument("Cannot convert empty RegressionResults to JSON")
    return to_bytes('{\n    "results": [' + ", ".join(texts) + "]\n}")


def write_error(message: str) -> bytes:
    """The body of an error, which is valid UTF-8 whatever was sent.

    Example:
        >>> print(write_error("Malformed request: GET /v1").decode())
        {
            "error": "Malformed request: GET /v1"
        }
    """
    return to_bytes(f'{{\n    "error": {quoted(readable(message))}\n}}')


def write_status(response: Any) -> bytes:
    """The body of a `GetModelStatusResponse`: field names of the proto, int64 as strings, defaults printed."""
    return to_bytes(_proto_text(response) + "\n")


def write_metadata(response: Any) -> bytes:
    """The body of a `GetModelMetadataResponse` that carries the signatures.

    Raises:
        ServingError: INTERNAL where the response has no `signature_def` or something else under that name.
    """
    from tensorflow_serving.apis.get_model_metadata_pb2 import SignatureDefMap

    if "signature_def" not in response.metadata:
        raise ServingError(
            Code.INTERNAL, "Failed to find 'signature_def' key in the GetModelMetadataResponse metadata map."
        )
    signatures = SignatureDefMap()
    if not response.metadata["signature_def"].Unpack(signatures):
        raise ServingError(Code.INTERNAL, "Failed to unpack 'Any' object to 'SignatureDefMap'.")
    spec, defs = _proto_text(response.model_spec), _proto_text(signatures)
    return to_bytes(f'{{\n"model_spec":{spec}\n,\n"metadata": {{"signature_def": {defs}\n}}\n}}\n')


def _proto_text(message: Any) -> str:
    from google.protobuf.json_format import MessageToJson

    text: str = MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        indent=1,
        ensure_ascii=False,
    )
    return text
