"""Tensors on the server's side of the wire: what comes in is checked before it is made, what goes out is typed fields."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from nlp_suite.serving.limits import RequestLimits, string_bytes
from nlp_suite.serving.status import invalid_argument

_LIMITS = RequestLimits()
_FIELDS = {  # NumPy's type → number of TensorFlow's, and field of a TensorProto
    np.dtype(name): (number, field)
    for name, number, field in [
        ("float32", 1, "float_val"),
        ("float64", 2, "double_val"),
        ("int32", 3, "int_val"),
        ("uint8", 4, "int_val"),
        ("int16", 5, "int_val"),
        ("int8", 6, "int_val"),
        ("object", 7, "string_val"),
        ("int64", 9, "int64_val"),
        ("bool", 10, "bool_val"),
        ("uint16", 17, "int_val"),
        ("uint32", 22, "uint32_val"),
        ("uint64", 23, "uint64_val"),
    ]
}


def array_of(proto: Any, alias: str, limits: RequestLimits = _LIMITS) -> np.ndarray:
    """The array of a TensorProto; strings as objects of `bytes`.

    A list of values that is shorter than the shape is continued with its last value, as everywhere in TensorFlow; so a
    few bytes can ask for any amount of memory and work. `limits` bound that, where a stock server takes 2 GiB. Of a list
    that is longer the first values are taken, as in a stock server.

    Args:
        proto: the tensor as it came.
        alias: the input's name, for the error.
        limits: how large the array may be.

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
    value_bytes = size * max(numpy_type.itemsize, 1)
    repeated = not proto.tensor_content and values < size
    sent = proto.string_val[:size]
    if dtype == dtypes.string and proto.tensor_content:
        value_bytes += len(proto.tensor_content)
    elif dtype == dtypes.string:
        value_bytes = string_bytes(sent) + (size - len(sent)) * string_bytes(sent[-1:] or [b""])
    limits.check_tensor(alias, shape, value_bytes, repeated=repeated)
    if dtype == dtypes.string:
        if size and proto.tensor_content:
            texts = decode_strings(proto.tensor_content, size)
            if texts is None:
                raise failed
        else:
            texts = [*sent, *(sent[-1:] or [b""]) * (size - len(sent))]
        strings = np.array([None, *texts], object)[1:].reshape(shape)
        limits.check_longest_row(alias, strings)
        return strings
    if size and proto.tensor_content:
        if len(proto.tensor_content) != size * numpy_type.itemsize:
            raise failed
    elif not size or not values:
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
    if array.dtype not in _FIELDS:  # half, bfloat16, complex…
        from tensorflow import make_tensor_proto

        proto.CopyFrom(make_tensor_proto(array))
        return
    proto.dtype, field = _FIELDS[array.dtype]
    proto.tensor_shape.SetInParent()
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if as_content and array.dtype == object:
        proto.tensor_content = encode_strings(array.ravel())
    elif as_content:
        proto.tensor_content = np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
    else:
        getattr(proto, field).extend(array.ravel().tolist())
