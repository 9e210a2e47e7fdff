"""Reads a request's body as the stock server does: a JSON object, leniently."""

import json
import re
from typing import Any

from nlp_suite.serving.rest.json_text import pretty
from nlp_suite.serving.status import ServingError, invalid_argument

_START = re.compile("\ufeff?[ \t\n\r]*")
_STRING = r'"(?:[^"\\]|\\.)*+"?'  # matches an unterminated one too, so that scanning stays linear
_BRACKET = re.compile(rf"{_STRING}|[\[\]{{}}]", re.DOTALL)
_NON_FINITE = re.compile(rf"{_STRING}|-NaN|-?Inf(?:inity)?", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F])|.)", re.DOTALL)

# How Python's json begins an error → how the stock server's parser words it.
_WORDING = [
    ("Expecting property name", "Missing a name for object member."),
    ("Illegal trailing comma before end of object", "Missing a name for object member."),
    ("Expecting ':'", "Missing a colon after a name of object member."),
    ("Unterminated string", "Missing a closing quotation mark in string."),
    ("Invalid \\uXXXX escape", "Incorrect hex digit after \\u escape in string."),
    ("Invalid \\escape", "Invalid escape character in string."),
    ("Invalid control character", "Invalid escape character in string."),
    ("", "Invalid value."),
]


def _first_wins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        members = {}
        for key, value in pairs:
            members.setdefault(key, value)
    return members


def _long_integer(digits: str) -> int | float:
    return int(digits) if len(digits) < 400 else float(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_first_wins)
_LONG_INTEGERS = json.JSONDecoder(object_pairs_hook=_first_wins, parse_int=_long_integer)


def read_object(body: bytes) -> dict[str, Any]:
    """Parses a body whose top level must be a JSON object.

    As in the stock server: NaN and infinities are numbers, the first of duplicate keys counts, bytes that are not
    UTF-8 pass (as surrogate escapes), and what follows the object is ignored. Nesting is limited by Python's
    recursion limit, which is left alone.

    Raises:
        ServingError: INVALID_ARGUMENT, in the stock parser's words, with the offset in bytes.

    Example:
        >>> read_object(b'{"a": [1, NaN], "a": 2} and more')
        {'a': [1, nan]}
    """
    if not body:
        raise invalid_argument("JSON Parse error: The document is empty")
    text = body.decode("utf-8", "surrogateescape")
    start_match = _START.match(text)
    start = start_match.end() if start_match else 0
    if start == len(text):
        raise _parse_error("The document is empty.", text, start)
    try:
        value, end = _parse(text, start)
    except json.JSONDecodeError as error:
        raise _parse_error(_worded(error), text, error.pos) from None
    except RecursionError:
        raise invalid_argument("JSON Parse error: nested too deeply") from None
    if "\\u" in text:
        for escape in _ESCAPE.finditer(text, start, end):
            if escape[1]:
                raise _parse_error("The surrogate pair in string is invalid.", text, escape.start())
    if not isinstance(value, dict):
        raise invalid_argument(f"JSON Value: {pretty(value)} Is not object")
    return value


def _parse(text: str, start: int) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        if not text.startswith(("Inf", "-Inf", "-NaN"), error.pos):
            raise
        return _LONG_INTEGERS.raw_decode(_NON_FINITE.sub(_spelled_out, text), start)
    except ValueError:  # Python refuses integers of more than 4,300 digits
        return _LONG_INTEGERS.raw_decode(text, start)


def _spelled_out(match: re.Match[str]) -> str:
    """The token as Python's parser knows it; strings stay."""
    token: str = match[0]
    if token[0] == '"':
        return token
    return "NaN" if token == "-NaN" else token.removesuffix("inity") + "inity"


def _worded(error: json.JSONDecodeError) -> str:
    if not error.msg.startswith("Expecting ','"):
        return next(wording for beginning, wording in _WORDING if error.msg.startswith(beginning))
    opened = []  # the containers that are open where the comma is missing
    for token in _BRACKET.findall(error.doc[: error.pos]):
        if token in ("[", "{"):
            opened.append(token)
        elif token in ("]", "}"):
            opened.pop()
    if opened[-1] == "{":
        return "Missing a comma or } after an object member."
    return "Missing a comma or ] after an array element."


def _parse_error(problem: str, text: str, position: int) -> ServingError:
    offset = len(text[:position].encode("utf-8", "surrogateescape"))
    return invalid_argument(f"JSON Parse error: {problem} at offset: {offset}")
