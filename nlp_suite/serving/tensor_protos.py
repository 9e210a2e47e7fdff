"""Tensors on the server's side of the wire: what comes in is checked before it is made, what goes out is typed fields."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from nlp_suite.serving.status import Code, ServingError, invalid_argument

MAX_REPEATED_BYTES = 64 * 2**20  # of a tensor that is larger than what was sent of it
_FIELDS = {  # NumPy's name → field of a TensorProto
    "float32": "float_val",
    "float64": "double_val",
    "int8": "int_val",
    "int16": "int_val",
    "int32": "int_val",
    "uint8": "int_val",
    "uint16": "int_val",
    "int64": "int64_val",
    "uint32": "uint32_val",
    "uint64": "uint64_val",
    "bool": "bool_val",
}


def array_of(proto: Any, alias: str, max_bytes: int = 2**31) -> np.ndarray:
    """The array of a TensorProto; strings as objects of `bytes`.

    A list of values that is shorter than the shape is continued with its last value, as everywhere in TensorFlow; so a
    few bytes can ask for any amount of memory. `MAX_REPEATED_BYTES` bounds that, where a stock server takes 2 GiB. Of a
    list that is longer the first values are taken, as in a stock server.

    Args:
        proto: the tensor as it came.
        alias: the input's name, for the error.
        max_bytes: how many bytes the array may take.

    Raises:
        ServingError: INVALID_ARGUMENT where the proto is no tensor, RESOURCE_EXHAUSTED where it is too large.
    """
    from tensorflow import dtypes, make_ndarray

    failed = invalid_argument(f"tensor parsing error: {alias}")
    shape = [dim.size for dim in proto.tensor_shape.dim]
    if proto.tensor_shape.unknown_rank or min(shape, default=0) < 0 or len(shape) > 64:
        raise failed
    if math.prod(filter(None, shape)) >= 2**58:  # neither NumPy nor TensorFlow can have it, even where one size is 0
        raise failed
    try:
        dtype = dtypes.as_dtype(proto.dtype)
        numpy_type = np.dtype(dtype.as_numpy_dtype)
    except (TypeError, KeyError):
        raise failed from None
    if dtype._is_ref_dtype or dtype in (dtypes.resource, dtypes.variant):
        raise failed
    size = math.prod(shape)
    values = _values(proto)
    bytes_asked = size * max(numpy_type.itemsize, 1)
    limit = max_bytes if proto.tensor_content or values >= size else min(max_bytes, MAX_REPEATED_BYTES)
    if bytes_asked > limit:
        raise ServingError(
            Code.RESOURCE_EXHAUSTED, f"tensor {alias} has {bytes_asked:,} bytes; at most {limit:,} are allowed"
        )
    if size and proto.tensor_content and dtype == dtypes.string:
        texts = decode_strings(proto.tensor_content, size)
        if texts is None:
            raise failed
        return np.array([None, *texts], object)[1:].reshape(shape)
    if size and proto.tensor_content:
        if len(proto.tensor_content) != size * numpy_type.itemsize:
            raise failed
    elif not size or not values:
        if dtype == dtypes.string:
            return np.full(shape, b"", object)
        return np.zeros(shape, numpy_type)
    try:
        array: np.ndarray = make_ndarray(_first(proto, size) if values > size else proto)
    except (TypeError, ValueError, OverflowError):
        raise failed from None
    return array


def _values(proto: Any) -> int:
    """How many typed values a proto holds."""
    lists = [value for field, value in proto.ListFields() if field.name.endswith("_val")]
    halves = bool(proto.scomplex_val or proto.dcomplex_val)  # two numbers a value
    return sum(map(len, lists)) // (2 if halves else 1)


def _first(proto: Any, size: int) -> Any:
    """A copy without the typed values that the shape has no room for."""
    copy = type(proto)()
    copy.CopyFrom(proto)
    for field, value in copy.ListFields():
        if field.name.endswith("_val"):
            del value[size * (2 if "complex" in field.name else 1) :]
    return copy


def decode_strings(content: bytes, count: int) -> list[bytes] | None:
    """The strings in a `tensor_content`: the lengths of all as varints, then their bytes; None where it is no such thing."""
    lengths, position, end = [], 0, len(content)
    for _ in range(count):
        length = shift = 0
        while True:
            if position == end or shift > 28:
                return None
            byte = content[position]
            length |= (byte & 0x7F) << shift
            position, shift = position + 1, shift + 7
            if byte < 0x80:
                break
        lengths.append(length & 0xFFFFFFFF)
    if position + sum(lengths) != end:
        return None
    texts = []
    for length in lengths:
        texts.append(content[position : position + length])
        position += length
    return texts


def encode_strings(texts: Iterable[bytes]) -> bytes:
    """The `tensor_content` of strings; see `decode_strings`."""
    head, texts = bytearray(), list(texts)
    for length in map(len, texts):
        while length > 0x7F:
            head.append(length & 0x7F | 0x80)
            length >>= 7
        head.append(length)
    return bytes(head) + b"".join(texts)


def fill_proto(proto: Any, array: np.ndarray, *, as_content: bool = False) -> None:
    """Writes an array into a TensorProto: typed fields, which every client reads.

    Args:
        proto: an empty TensorProto.
        array: strings as objects of `bytes`.
        as_content: `tensor_content` instead, as `--enable_serialization_as_tensor_content` says.
    """
    from tensorflow import dtypes, make_tensor_proto

    name = array.dtype.name
    if name not in _FIELDS and array.dtype != object:  # half, bfloat16, complex…
        proto.CopyFrom(make_tensor_proto(array))
        return
    proto.dtype = dtypes.string.as_datatype_enum if array.dtype == object else dtypes.as_dtype(name).as_datatype_enum
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if array.dtype == object and as_content:
        proto.tensor_content = encode_strings(array.ravel())
    elif array.dtype == object:
        proto.string_val.extend(array.ravel())
    elif as_content:
        proto.tensor_content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    else:
        getattr(proto, _FIELDS[name]).extend(array.ravel().tolist())
