"""What a REST path asks for: which verb of which model, version or label."""

import re
from dataclasses import dataclass
from urllib.parse import unquote

from nlp_suite.serving.status import invalid_argument
from nlp_suite.serving.versions import MAX_VERSION

_VERSION_OR_LABEL = r"(?:/versions/(\d+)|/labels/([^/:]+))?"
_POST = re.compile(rf"/v1/models/([^/:]+){_VERSION_OR_LABEL}:(classify|regress|predict)", re.IGNORECASE | re.ASCII)
_GET = re.compile(rf"/v1/models(?:/([^/:]+))?{_VERSION_OR_LABEL}(?:/(metadata))?", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True)
class Route:
    """One request's target.

    Attributes:
        verb: predict, classify, regress, status, metadata; or form, of the page.
        model: the model's name, percent-decoded.
        version: the version asked for, or None.
        label: the version label asked for, percent-decoded, or None; never together with `version`.
    """

    verb: str
    model: str
    version: int | None = None
    label: str | None = None


def parse_path(method: str, path: str) -> Route:
    """Reads a path of the REST interface as TensorFlow Serving does.

    The path is matched without regard to case, but the verb must be in lower case; `GET …/METADATA` is therefore a
    status request. Names are percent-decoded after matching, so an encoded slash belongs to the name.

    Args:
        method: the HTTP method.
        path: the path as it came: percent-encoded, without the query.

    Raises:
        ServingError: INVALID_ARGUMENT where nothing matches, a version exceeds 64 bits or the model's name is missing.

    Example:
        >>> parse_path("POST", "/v1/models/my%2Fmodel/versions/7:predict")
        Route(verb='predict', model='my/model', version=7, label=None)
    """
    malformed = invalid_argument(f"Malformed request: {method} {path}")
    pattern = {"POST": _POST, "GET": _GET}.get(method)
    match = pattern.fullmatch(path) if pattern else None
    if match is None:
        raise malformed
    model, digits, label, verb = match.groups()
    version = None if digits is None else parse_version(digits)
    if method == "GET":
        verb = "metadata" if verb == "metadata" else "status"
        if not model:
            raise invalid_argument("Missing model name in request.")
    elif not verb.islower():
        raise malformed
    return Route(verb, unquote(model), version, None if label is None else unquote(label))


def parse_version(digits: str) -> int:
    """A version's number.

    Raises:
        ServingError: INVALID_ARGUMENT where it is none, or exceeds 64 bits.
    """
    significant = digits.lstrip("0") or "0"
    if not re.fullmatch("[0-9]{1,19}", significant) or int(significant) > MAX_VERSION:
        raise invalid_argument(f"Failed to convert version: {digits} to numeric.")
    return int(significant)
