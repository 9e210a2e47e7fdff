"""Parsed JSON values as arrays, with the stock server's rules of type and shape.

A list is checked and converted at once where it is regular. Anything else is walked value by value, as the stock server
does it, which also finds the value that the error names.
"""

import binascii
from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from nlp_suite.serving.rest.json_text import number_of, pretty, to_bytes
from nlp_suite.serving.status import Code, ServingError, invalid_argument

NUMPY = {
    "float": np.float32,
    "double": np.float64,
    "int64": np.int64,
    "int32": np.int32,
    "int16": np.int16,
    "int8": np.int8,
    "uint64": np.uint64,
    "uint32": np.uint32,
    "uint8": np.uint8,
    "bool": np.bool_,
    "string": np.object_,
}
_PYTHON: dict[str, set[type]] = {"float": {int, float}, "double": {int, float}, "bool": {bool}, "string": {str}}
_JSON_TYPES = {dict: "Object", list: "Array", str: "String", type(None): "Null", int: "Number", float: "Number"}
_MAX_AXES = 64  # NumPy's limit


def json_type(value: Any) -> str:
    """RapidJSON's name of a value's type: Null, False, True, Object, Array, String or Number."""
    return str(value) if isinstance(value, bool) else _JSON_TYPES[type(value)]


def regular_array(value: Any, dtype: str) -> np.ndarray | None:
    """`value` as an array, or None where only a walk can tell what it is.

    Args:
        value: a parsed JSON value.
        dtype: TensorFlow's name of the type, such as `float` or `string`.

    Returns:
        An array in the shape of the lists; strings as objects of `bytes`.

    Example:
        >>> regular_array([[1, 2], [3, 4]], "int32").shape
        (2, 2)
    """
    shape: list[int] = []
    leaves: list[Any] = [value]
    while leaves and type(leaves[0]) is list:
        if set(map(type, leaves)) != {list}:
            return None
        sizes = set(map(len, leaves))
        if len(sizes) > 1:
            return None
        shape.append(sizes.pop())
        leaves = list(chain.from_iterable(leaves))
    if dtype not in NUMPY or len(shape) > _MAX_AXES or not set(map(type, leaves)) <= _PYTHON.get(dtype, {int}):
        return None
    try:
        return _array([to_bytes(leaf) for leaf in leaves] if dtype == "string" else leaves, shape, dtype)
    except OverflowError:
        return None


def walked_array(value: Any, dtype: str, name: str) -> np.ndarray:
    """`value` as an array, checked value by value.

    Args:
        value: a parsed JSON value.
        dtype: TensorFlow's name of the type.
        name: the input's name, for the error about too many axes.

    Raises:
        ServingError: INVALID_ARGUMENT for a wrong type or an irregular list, UNIMPLEMENTED for types without JSON form.
    """
    return batched(*walk(value, dtype, name), dtype, name)


def walk(value: Any, dtype: str, name: str) -> tuple[list[Any], list[int]]:
    """The values of a nested list in order, as `dtype` needs them, and the shape of its first elements.

    Raises:
        ServingError: as `walked_array`.
    """
    shape, inner = [], value
    while isinstance(inner, list):
        shape.append(len(inner))
        inner = inner[0] if inner else None
    _check_axes(shape, name)
    leaves: list[Any] = []
    _fill(value, 0, shape, dtype, leaves)
    return leaves, shape


def batched(leaves: list[Any], shape: Sequence[int], dtype: str, name: str) -> np.ndarray:
    """Values of `walk` as one array of `shape`."""
    _check_axes(shape, name)
    if dtype not in NUMPY:
        raise ServingError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: [] to type: {dtype}")
    return _array(leaves, shape, dtype)


def _check_axes(shape: Sequence[int], name: str) -> None:
    if len(shape) > _MAX_AXES:
        raise invalid_argument(f"tensor parsing error: {name}")


def _array(leaves: list[Any], shape: Sequence[int], dtype: str) -> np.ndarray:
    if dtype == "float":  # by way of double, as in C++: an integer too large for a float is infinite
        with np.errstate(over="ignore"):
            return np.array(leaves, np.float64).astype(np.float32).reshape(shape)
    array: np.ndarray = np.empty(len(leaves), NUMPY[dtype])
    array[:] = leaves
    return array.reshape(shape)


def _fill(value: Any, level: int, shape: list[int], dtype: str, leaves: list[Any]) -> None:
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid_argument(
                f"JSON Value: {pretty(value)} found at incorrect level: {level + 1} in the JSON DOM. "
                f"Expected at level: {len(shape)}"
            )
        leaves.append(_leaf(value, dtype))
        return
    if level >= len(shape):
        raise invalid_argument(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid_argument(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: {shape[level]}"
        )
    for item in value:
        _fill(item, level + 1, shape, dtype, leaves)


def _leaf(value: Any, dtype: str) -> Any:
    if isinstance(value, dict):
        if dtype == "string":
            return from_base64(value)
    elif dtype not in NUMPY:
        raise ServingError(Code.UNIMPLEMENTED, f"Conversion of JSON Value: {pretty(value)} to type: {dtype}")
    elif type(value) in _PYTHON.get(dtype, {int}):
        if dtype == "string":
            return to_bytes(value)
        if dtype == "bool":
            return value
        number = number_of(value)
        if dtype in ("float", "double"):
            return float(number)
        limits = np.iinfo(NUMPY[dtype])
        if isinstance(number, int) and limits.min <= number <= limits.max:
            return number
    raise invalid_argument(f"JSON Value: {pretty(value)} Type: {json_type(value)} is not of expected type: {dtype}")


def is_base64(value: Any) -> bool:
    """Whether a value is `{"b64": "…"}`: one key, and a string."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get("b64"), str)


def from_base64(value: dict[str, Any]) -> bytes:
    """The bytes of `{"b64": "…"}`: standard alphabet, white space skipped, padding complete or absent.

    Raises:
        ServingError: INVALID_ARGUMENT.

    Example:
        >>> from_base64({"b64": "aGVsbG8="})
        b'hello'
    """
    if not is_base64(value):
        raise invalid_argument(f"JSON Value: {pretty(value)} not formatted correctly for base64 data")
    text = value["b64"]
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        digits = "".join(text.split())
        padding = len(digits) - len(digits.rstrip("="))
        missing = -len(digits) % 4
        if missing and padding:
            raise invalid_argument("Unable to base64 decode") from None
    try:
        return binascii.a2b_base64(digits + "=" * missing, strict_mode=True)
    except ValueError:
        raise invalid_argument("Unable to base64 decode") from None
