"""Requests in JSON as arrays (predict) or serialized `tf.Example`s (classify, regress)."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from nlp_suite.serving.rest.json_document import read_object
from nlp_suite.serving.rest.json_tensor import (
    batched,
    from_base64,
    is_base64,
    json_type,
    regular_array,
    walk,
    walked_array,
)
from nlp_suite.serving.rest.json_text import number_of, pretty, to_bytes
from nlp_suite.serving.signature_names import DEFAULT_SIGNATURE
from nlp_suite.serving.status import ServingError, invalid_argument


@dataclass(frozen=True)
class PredictInput:
    """A parsed predict request.

    Attributes:
        signature_name: the signature's name (`serving_default` where the request names none).
        row_format: whether the answer is to be in rows (`instances` → `predictions`) or columns (`inputs` → `outputs`).
        inputs: arrays by alias; strings as objects of `bytes`. Shapes are not compared with the signature's.
        signature: the `SignatureDef`.
    """

    signature_name: str
    row_format: bool
    inputs: dict[str, np.ndarray]
    signature: Any


@dataclass(frozen=True)
class ExamplesInput:
    """A parsed classify or regress request.

    Attributes:
        signature_name: the signature's name (`serving_default` where the request names none).
        examples: serialized `tf.Example`s without the context.
        context: the serialized `tf.Example` whose features all examples share, or empty.
    """

    signature_name: str
    examples: list[bytes]
    context: bytes

    @property
    def merged(self) -> list[bytes]:
        """The examples with the context in front: parsed as one message, a feature of the example wins."""
        return [self.context + example for example in self.examples]


def parse_predict(body: bytes, signatures: Mapping[str, Any]) -> PredictInput:
    """Reads the body of a predict request.

    Args:
        body: the JSON text.
        signatures: the model's `SignatureDef`s by name.

    Raises:
        ServingError: INVALID_ARGUMENT for everything that the stock server refuses, in its words; UNIMPLEMENTED for
            columnar input of a type without JSON form (half, bfloat16, complex…; in rows it is INVALID_ARGUMENT).

    Example:
        >>> parse_predict(b'{"instances": ["good", "bad"]}', signatures).inputs    # doctest: +SKIP
        {'text': array([b'good', b'bad'], dtype=object)}
    """
    document = read_object(body)
    name = _signature_name(document)
    signature = dict(signatures).get(name)
    if signature is None:
        raise invalid_argument(f'Serving signature name: "{name}" not found in signature def')
    if not signature.inputs:
        raise invalid_argument(f"Failed to get input map for signature: {document.get('signature_name') or 'DEFAULT'}")
    dtypes = {alias: _dtype_name(info) for alias, info in sorted(signature.inputs.items())}
    if "instances" in document and "inputs" in document:
        raise invalid_argument(
            f"JSON Value: {pretty(document)} Not formatted correctly expecting only one of 'inputs' or 'instances' "
            "keys to exist "
        )
    if "instances" in document:
        rows = document["instances"]
        if not isinstance(rows, list):
            raise invalid_argument(f"JSON Value: {pretty(document)} Expecting 'instances' to be an list/array")
        if not rows:
            raise invalid_argument(f"JSON Value: {pretty(document)} No values in 'instances' array")
        return PredictInput(name, True, _from_rows(rows, dtypes), signature)
    if "inputs" in document:
        return PredictInput(name, False, _from_columns(document["inputs"], dtypes), signature)
    raise invalid_argument("Missing 'inputs' or 'instances' key")


def parse_examples(body: bytes) -> ExamplesInput:
    """Reads the body of a classify or regress request.

    A number with a fraction or an exponent becomes a float feature, an integer or a bool an int64 feature, a string
    or `{"b64": …}` a bytes feature.

    Raises:
        ServingError: INVALID_ARGUMENT in the stock server's words.

    Example:
        >>> parse_examples(b'{"context": {"x": 8.0}, "examples": [{}, {}]}').examples
        [b'', b'']
    """
    document = read_object(body)
    name = _signature_name(document)
    context = _example(document["context"]) if "context" in document else b""
    if "examples" not in document:
        raise invalid_argument(
            f"JSON Value: {pretty(document)} When method is classify, key 'examples' is expected and was not found"
        )
    examples = document["examples"]
    if not isinstance(examples, list):
        raise invalid_argument(f"JSON Value: {pretty(document)} Expecting 'examples' value to be an list/array")
    if not examples:
        raise invalid_argument(f"JSON Value: {pretty(document)} 'examples' value is an empty array")
    return ExamplesInput(name, [_example(example) for example in examples], context)


def _signature_name(document: dict[str, Any]) -> str:
    name = document.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid_argument(
            f"JSON Value: {pretty(document)} not formatted correctly. 'signature_name' key must be a string value."
        )
    return name or DEFAULT_SIGNATURE


def _dtype_name(info: Any) -> str:
    """TensorFlow's name of a `TensorInfo`'s type: `float`, `int32`, `string`, `half`…."""
    types = info.DESCRIPTOR.fields_by_name["dtype"].enum_type.values_by_number
    return types[info.dtype].name.removeprefix("DT_").lower() if info.dtype in types else f"unknown ({info.dtype})"


def _is_named(row: Any) -> bool:
    return isinstance(row, dict) and not is_base64(row)


def _from_rows(rows: list[Any], dtypes: dict[str, str]) -> dict[str, np.ndarray]:
    if not isinstance(rows[0], dict) and len(dtypes) > 1:
        raise invalid_argument(
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map"
        )
    named = _is_named(rows[0])
    first = next(iter(dtypes))
    if not named:
        array = regular_array(rows, dtypes[first])
        return _walk_rows(rows, named, dtypes) if array is None else {first: array}
    if not all(isinstance(row, dict) and row.keys() == dtypes.keys() for row in rows):
        return _walk_rows(rows, named, dtypes)
    arrays = {}
    for name, dtype in dtypes.items():
        array = regular_array([row[name] for row in rows], dtype)
        if array is None:
            return _walk_rows(rows, named, dtypes)
        arrays[name] = array
    return arrays


def _walk_rows(rows: list[Any], named: bool, dtypes: dict[str, str]) -> dict[str, np.ndarray]:
    """Row by row in the stock server's order, so that the first thing wrong is what the error says."""
    leaves: dict[str, list[Any]] = {}
    shapes: dict[str, list[int]] = {}
    first = next(iter(dtypes))
    for number, row in enumerate(rows):
        if _is_named(row) != named:
            expected, got = ("object", "list") if named else ("value/list", "object")
            raise invalid_argument(f"Expecting {expected} but got {got} at item {number} of input list")
        for name, value in row.items() if named else [(first, row)]:
            try:
                _add_row(name, value, dtypes, leaves, shapes)
            except ServingError as error:
                key = f" key: {name}" if named else ""
                raise invalid_argument(
                    f"Failed to process element: {number}{key} of 'instances' list. "
                    f"Error: {error.code.name}: {error.message}"
                ) from None
        if named and row.keys() != dtypes.keys():
            raise invalid_argument(
                f"Failed to process element: {number} of 'instances' list. JSON object: {pretty(row)} "
                f"keys must be equal to: {','.join(dtypes)}"
            )
    return {name: batched(values, [len(rows), *shapes[name]], dtypes[name], name) for name, values in leaves.items()}


def _add_row(
    name: str, value: Any, dtypes: dict[str, str], leaves: dict[str, list[Any]], shapes: dict[str, list[int]]
) -> None:
    if name not in dtypes:
        raise invalid_argument(f"JSON object: does not have named input: {name}")
    values, shape = walk(value, dtypes[name], name)
    expected = shapes.setdefault(name, shape)
    if prod(expected) != len(values):
        raise invalid_argument(f"Expecting tensor size: {prod(expected)} but got: {len(values)}")
    if shape != expected:
        texts = ["[" + ",".join(map(str, sizes)) + "]" for sizes in (expected, shape)]
        raise invalid_argument(f"Expecting shape {texts[0]} but got: {texts[1]}")
    leaves.setdefault(name, []).extend(values)


def _from_columns(value: Any, dtypes: dict[str, str]) -> dict[str, np.ndarray]:
    if not _is_named(value):
        if len(dtypes) > 1:
            raise invalid_argument(
                "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
                "tensorinfo_map"
            )
        value = {next(iter(dtypes)): value}
    arrays = {}
    for name, dtype in dtypes.items():
        if name not in value:
            raise invalid_argument(f"Missing named input: {name} in 'inputs' object.")
        array = regular_array(value[name], dtype)
        arrays[name] = walked_array(value[name], dtype, name) if array is None else array
    return arrays


def _example(value: Any) -> bytes:
    from tensorflow.core.example.example_pb2 import Example

    if not isinstance(value, dict):
        raise invalid_argument(f"Example must be JSON object but got JSON {json_type(value)}")
    example = Example()
    for name, content in value.items():
        kind, items = None, []
        for item in content if isinstance(content, list) else [content]:
            item_kind, converted = _feature_value(item, name)
            if kind not in (None, item_kind):
                raise invalid_argument(f"Unexpected element type in feature: {name} expecting type: {kind}")
            kind = item_kind
            items.append(converted)
        try:
            feature = example.features.feature[name]
        except UnicodeEncodeError:
            raise invalid_argument(f"Feature: {name} has a name that is not valid UTF-8") from None
        if kind:
            getattr(feature, f"{kind}_list").value.extend(items)
    return bytes(example.SerializeToString(deterministic=True))


def _feature_value(value: Any, name: str) -> tuple[str, Any]:
    """Which kind of list a value belongs to, and the value as it stands there."""
    if isinstance(value, str):
        return "bytes", to_bytes(value)
    if is_base64(value):
        return "bytes", from_base64(value)
    if value is None or isinstance(value, (list, dict)):
        raise invalid_argument(f"Feature: {name} has element with unexpected JSON type: {json_type(value)}")
    number = number_of(value)
    if isinstance(number, float):
        with np.errstate(over="ignore"):
            return "float", float(np.float32(number))
    if number >= 2**63:
        raise invalid_argument(f"Feature: {name} has uint64_t element. Only int64_t is supported.")
    return "int64", int(number)
