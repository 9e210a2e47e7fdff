"""What is asked of signatures that take more than a text: a row a line, written as JSON or as plain numbers."""

import json
from typing import Any

from nlp_suite.errors import RequestError
from nlp_suite.registry import unknown
from nlp_suite.serving.client.answers import Signature
from nlp_suite.serving.signature_names import CLASSIFY

SERIES = {"values", "mask", "length"}  # inputs of a history of numbers, any of which may be missing
MISSING = ("?", "null")


def takes_texts(signature: Signature) -> bool:
    """Whether a signature takes texts and nothing else."""
    return signature.method == CLASSIFY or [spec.dtype for spec in signature.inputs.values()] == ["string"]


def read_row(line: str, signature: Signature) -> dict[str, Any]:
    """The inputs of a row, each without a batch dimension.

    Of a history of numbers `mask` and `length` follow from its values, among which null is a missing one; where nothing else
    is needed it is also written as `112 118 ? 129`.

    Args:
        line: a JSON object, name of an input → number, text, or list of them.
        signature: that is asked.

    Raises:
        RequestError: it is something else, or has other inputs than the signature; a history without a value, or with a mask of
            another length.
    """
    is_series, needed = signature.inputs.keys() >= SERIES, signature.inputs.keys()
    row = _json(line)
    if needed == SERIES and not isinstance(row, dict):
        row = {"values": row if isinstance(row, list) else _numbers(line)}
    if not isinstance(row, dict):
        raise RequestError(f"{line[:60]!r} is no row: give a JSON object with {', '.join(sorted(needed))}")
    if wrong := [name for name in row if name not in needed]:
        raise RequestError(unknown("input", wrong[0], sorted(needed)))
    if is_series and isinstance(row.get("values"), list):
        values = row["values"]
        given = {"mask": [float(value is not None) for value in values], "length": len(values)}
        row = {**given, **row, "values": [0.0 if value is None else value for value in values]}
        if isinstance(mask := row["mask"], list) and len(mask) != len(values):
            raise RequestError(f"{line[:60]!r}: mask has {len(mask)} numbers, and values has {len(values)}")
        if isinstance(mask, list) and not any(mask):
            raise RequestError(f"{line[:60]!r} has no value: a forecast needs one or more")
    if lacking := sorted(needed - row.keys()):
        raise RequestError(f"{line[:60]!r} lacks {', '.join(lacking)}")
    return row


def _json(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return None


def _numbers(line: str) -> list[float | None]:
    cells = line.replace(",", " ").split()
    try:
        return [None if cell in MISSING else float(cell) for cell in cells]
    except ValueError:
        raise RequestError(
            f"{line[:60]!r} is no series: give numbers with a decimal point, parted by spaces; ? is a missing one"
        ) from None
