"""JSON texts of strings, numbers and complete values in the form TensorFlow Serving writes them."""

import json
import math
from typing import Any

import numpy as np

from nlp_suite.serving.access_log import note_quote

VALUE_LIMIT = 4096  # characters of a client's value that an error repeats

quoted = json.encoder.encode_basestring  # a string as a JSON string, non-ASCII characters as they are


def to_bytes(text: str) -> bytes:
    """`text` in UTF-8; bytes that were not UTF-8 when they came in (surrogate escapes) go out as they were."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "replace")


def float_texts(values: np.ndarray) -> list[str]:
    """JSON texts of floats: six digits where they say the same number, else 9 (float32) or 17 (float64).

    Whole numbers end in `.0` unless written with an exponent; non-finite ones are `NaN`, `Infinity`, `-Infinity`.

    Args:
        values: float32 or float64 `[N]`.

    Example:
        >>> float_texts(np.array([1 / 3, 9e6, 999999, 0.5, float("nan")], np.float32))
        ['0.333333343', '9e+06', '999999.0', '0.5', 'NaN']
    """
    if not values.size:
        return []
    long, integer_limit = ("%.9g", 1e9) if values.dtype == np.float32 else ("%.17g", 1e17)
    exact = values.astype(np.float64)
    short = _fits_six_digits(values, exact)
    size = np.abs(exact)
    with np.errstate(invalid="ignore"):
        integral = (exact == np.rint(exact)) & (size < np.where(short, 1e6, integer_limit))
    # "%.0s" takes a value and prints nothing.
    formats = np.array([long, long + ".0", "%.6g", "%.6g.0", "NaN%.0s", "Infinity%.0s", "-Infinity%.0s"], object)
    choice = short * 2 + integral
    special = ~np.isfinite(exact)
    if special.any():
        choice[special] = np.select([np.isnan(exact[special]), exact[special] > 0], [4, 5], 6)
    template = "\n".join(formats[choice].tolist())
    return (template % tuple(exact.tolist())).split("\n")


def _fits_six_digits(values: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Which values are the nearest number to their six-digit text. `[N]` bool."""
    with np.errstate(all="ignore"):
        unit = 10.0 ** (np.floor(np.log10(np.abs(exact))) - 5)
        distance = np.abs(np.rint(exact / unit) * unit - exact)
        # A distance of more than a few steps between neighbours cannot fit; the rest (NaN here: zero, tiny) is tried.
        candidates = ~(distance > 8 * np.abs(np.spacing(values)))
        (indices,) = np.nonzero(candidates & np.isfinite(exact))
        texts = ("%.6g " * indices.size % tuple(exact[indices].tolist())).split()
        fits = np.zeros(values.shape, bool)
        fits[indices] = np.array(list(map(float, texts))).astype(values.dtype) == values[indices]
    return fits


def pretty(value: Any) -> str:
    """A parsed JSON value as an error repeats it: indented by 4, and cut after `VALUE_LIMIT` characters.

    Without the cut a deep list would come back a thousand times larger than it came in.

    Example:
        >>> pretty([]), pretty(1.0), pretty("x")
        ('[]', '1.0', '"x"')
    """
    pieces, length = [], 0
    pending: list[tuple[str, Any, int]] = [("", value, 0)]  # text before, value, depth; nested deeper than calls may be
    while pending and length <= VALUE_LIMIT:
        before, item, depth = pending.pop()
        if isinstance(item, (list, dict)) and item:
            opening, closing = "[]" if isinstance(item, list) else "{}"
            line = "\n" + "    " * (depth + 1)
            shown = VALUE_LIMIT // len(line) + 1
            if isinstance(item, list):
                inner = [(line, child, depth + 1) for child in item[:shown]]
            else:
                inner = [(f"{line}{quoted(key)}: ", item[key], depth + 1) for key in list(item)[:shown]]
            pending.append((line[:-4] + closing, None, -1))
            pending.extend(
                (before if n == 0 else "," + before, *rest) for n, (before, *rest) in reversed([*enumerate(inner)])
            )
            text = before + opening
        else:
            text = before if depth < 0 else before + _scalar(item)
        pieces.append(text)
        length += len(text)
    text = "".join(pieces)
    return note_quote(text if len(text) <= VALUE_LIMIT else text[:VALUE_LIMIT] + "...")


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (list, dict)):
        return "[]" if isinstance(value, list) else "{}"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    number = number_of(value)
    if isinstance(number, int):
        return str(number)
    narrow = abs(number) <= float(np.finfo(np.float32).max) or not math.isfinite(number)
    return float_texts(np.array([number], np.float32 if narrow else np.float64))[0]


def number_of(value: int | float) -> int | float:
    """A parsed JSON number as the stock server holds it: an integer beyond 64 bits is a double."""
    if isinstance(value, float) or -(2**63) <= value < 2**64:
        return value
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
