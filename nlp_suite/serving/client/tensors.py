"""NumPy arrays ↔ TensorProto messages and JSON values.

Internally, a string tensor is an object array of bytes. Callers give and get object arrays of `str`; a tensor that holds
anything but valid UTF-8 is returned as bytes.
"""

import base64
import math
from typing import Any

import numpy as np

from nlp_suite.errors import DataError, RequestError
from nlp_suite.serving.client import protos
from nlp_suite.serving.client.answers import TensorSpec
from nlp_suite.serving.tensor_protos import decode_strings

_TYPES = {  # DataType: (NumPy name, field of typed values)
    "DT_FLOAT": ("float32", "float_val"),
    "DT_DOUBLE": ("float64", "double_val"),
    "DT_HALF": ("float16", "half_val"),
    "DT_INT8": ("int8", "int_val"),
    "DT_INT16": ("int16", "int_val"),
    "DT_INT32": ("int32", "int_val"),
    "DT_INT64": ("int64", "int64_val"),
    "DT_UINT8": ("uint8", "int_val"),
    "DT_UINT16": ("uint16", "int_val"),
    "DT_UINT32": ("uint32", "uint32_val"),
    "DT_UINT64": ("uint64", "uint64_val"),
    "DT_BOOL": ("bool", "bool_val"),
    "DT_STRING": ("string", "string_val"),
}
_NAMES = {numpy: data_type for data_type, (numpy, _) in _TYPES.items()}


def dtype_of(data_type: str) -> str:
    """`DT_FLOAT` → `float32`; a type that NumPy lacks keeps its name in lower case, as `bfloat16`."""
    return _TYPES[data_type][0] if data_type in _TYPES else data_type.removeprefix("DT_").lower()


def is_text(value: Any) -> bool:
    """Whether a value is an array or nested lists of strings or bytes; empty lists are not."""
    while isinstance(value, list | tuple) and value:
        value = value[0]
    return isinstance(value, str | bytes) or (isinstance(value, np.ndarray) and value.dtype.kind in "USOT")


def to_array(value: Any, dtype: str | None = None) -> np.ndarray:
    """A caller's value as an array; strings become bytes.

    Args:
        value: array, nested lists or a scalar.
        dtype: of lists and scalars, such as `int32` or `string`; default: as NumPy chooses.

    Raises:
        RequestError: a string tensor with something else in it, or a type that no tensor has.
        ValueError, TypeError, OverflowError: NumPy cannot convert the value, such as ragged lists of numbers.
    """
    if is_text(value) or dtype == "string":
        array = np.array(value, dtype=object)
        flat = np.empty(array.size, object)
        flat[:] = [_encoded(item) for item in array.ravel()]
        return flat.reshape(array.shape)
    array = value if isinstance(value, np.ndarray) else np.array(value, dtype)
    if array.dtype.name not in _NAMES:
        raise RequestError(f"an array of {array.dtype} cannot be sent (allowed: {', '.join(_NAMES)})")
    return array


def _encoded(item: Any) -> bytes:
    if isinstance(item, str):
        return item.encode("utf-8", "surrogateescape")
    if isinstance(item, bytes):
        return item
    raise RequestError(f"strings are expected in all places, not {type(item).__name__} {item!r} (or a ragged list)")


def to_proto(array: np.ndarray) -> Any:
    """A TensorProto of an array that `to_array` made."""
    proto = protos.message("tensorflow.TensorProto")()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    name = "string" if array.dtype == object else array.dtype.name
    proto.dtype = protos.pool().FindEnumTypeByName("tensorflow.DataType").values_by_name[_NAMES[name]].number
    if name == "string":
        proto.string_val.extend(array.ravel())
    else:
        proto.tensor_content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    return proto


def from_proto(proto: Any) -> np.ndarray:
    """The array of a TensorProto: of `tensor_content`, or of typed values, the last of which is repeated to fill the shape.

    Raises:
        DataError: a type that NumPy lacks, or values that do not fit the shape.
    """
    name = protos.data_type(proto.dtype)
    if name not in _TYPES:
        raise DataError(f"a tensor of {name} is not read (known: {', '.join(_TYPES)})")
    dtype, field = _TYPES[name]
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0:
        raise DataError("a tensor without a definite shape")
    size, values = math.prod(shape), getattr(proto, field)
    if proto.tensor_content and name == "DT_STRING":
        values = decode_strings(proto.tensor_content, size)
        if values is None:
            raise DataError(f"a tensor of shape {shape} whose tensor_content is not that many strings")
    if proto.tensor_content and name != "DT_STRING":
        flat = np.frombuffer(proto.tensor_content, np.dtype(dtype).newbyteorder("<")).astype(dtype)
    elif name == "DT_STRING":
        flat = np.empty(len(values), object)
        flat[:] = list(values)
    elif name == "DT_HALF":
        flat = np.array(values, "uint16").view("float16")
    else:
        flat = np.array(values, dtype)
    if 0 < flat.size < size and not proto.tensor_content:
        flat = np.concatenate([flat, np.repeat(flat[-1:], size - flat.size)])
    elif flat.size == 0 and size:
        flat = np.full(size, b"", object) if name == "DT_STRING" else np.zeros(size, dtype)
    if flat.size != size:
        raise DataError(f"a tensor of shape {shape} with {flat.size} values")
    return decoded(flat.reshape(shape))


def decoded(array: np.ndarray) -> np.ndarray:
    """Bytes become `str` where all of them are valid UTF-8; any other array is returned as it is."""
    if array.dtype != object:
        return array
    out = np.empty(array.size, object)
    try:
        out[:] = [item.decode("utf-8") for item in array.ravel()]
    except UnicodeDecodeError:
        return array
    return out.reshape(array.shape)


def to_json(array: np.ndarray) -> Any:
    """Nested lists of an array that `to_array` made; bytes that are no UTF-8 as `{"b64": …}`."""
    if array.dtype != object:
        return array.tolist()
    out = np.empty(array.size, object)
    out[:] = [_json_string(item) for item in array.ravel()]
    return out.reshape(array.shape).tolist()


def _json_string(item: bytes) -> str | dict[str, str]:
    try:
        return item.decode("utf-8")
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(item).decode("ascii")}


def from_json(value: Any, spec: TensorSpec) -> np.ndarray:
    """The array of a JSON value; text was decoded with `surrogateescape`.

    Args:
        value: nested lists, or a scalar.
        spec: the output's `TensorSpec`; gives the dtype, and the rank of an empty batch.
    """
    if spec.dtype == "string":
        array = np.array(_bytes_of(value), dtype=object)
    else:
        array = np.array(value, spec.dtype)
    if array.size == 0 and spec.shape:
        array = array.reshape([*array.shape, *(size or 0 for size in spec.shape[array.ndim :])])
    return decoded(array)


def _bytes_of(value: Any) -> Any:
    if isinstance(value, list):
        return [_bytes_of(item) for item in value]
    if isinstance(value, dict):
        return base64.b64decode(value["b64"])
    return value.encode("utf-8", "surrogateescape")


def json_value(value: Any) -> Any:
    """An element or a row of an output as `json.dumps` takes it; bytes are decoded."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return json_value(value.tolist()) if value.dtype == object else value.tolist()
    if isinstance(value, list):
        return [json_value(item) for item in value]
    return value.item() if isinstance(value, np.generic) else value


def shortest_floats(array: np.ndarray) -> np.ndarray:
    """Floats as the doubles with the fewest digits that are the same number: 0.9 for the float32 0.899999976."""
    return array.astype(str).astype("float64") if array.dtype.kind == "f" else array
