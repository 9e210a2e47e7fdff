"""The log of requests: which model answered, how it ended and how long it took; the text only where that was asked for.

What is known of the request that this thread or task works on is noted with `note` as it becomes known, so that a request
that fails half-way is logged with what was known by then.
"""

import asyncio
import json
import logging
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from nlp_suite.serving.status import Code, as_serving_error, readable

logger = logging.getLogger(__name__)
SERVER_FAULTS = {Code.UNKNOWN, Code.INTERNAL, Code.DATA_LOSS}  # what HTTP calls 500: always logged
_MAX_NAME = 200  # characters of a name that a client chose
_MAX_ERROR = 1000  # characters of an error
_MAX_TEXTS, _MAX_TEXT = 100, 2000  # texts of a request, and characters of each
_NO_TEXTS: list[str] = []


@dataclass
class RequestRecord:
    """What is known of a request.

    Attributes:
        entrypoint: GRPC or REST.
        api: Predict, Classify, Regress, MultiInference, GetModelMetadata, GetModelStatus or HandleReloadConfigRequest;
            empty for what is none of them, which is logged only where it fails.
        model: the name that the client gave.
        version: the version that answers, once it is chosen.
        signature: the signature's name.
        rows: rows of the request.
        texts: gives its texts.
        quotes: pieces of the request that an error's message may repeat.
        code: how it ended.
        error: why it failed, without what the client sent.
        message: why it failed, as the client is told.
        trace: where an unexpected exception came from.
    """

    entrypoint: str
    api: str = ""
    model: str = ""
    version: int | None = None
    signature: str = ""
    rows: int | None = None
    texts: Callable[[], Iterable[str]] = lambda: _NO_TEXTS
    quotes: list[str] = field(default_factory=list)
    code: Code = Code.OK
    error: str = ""
    message: str = ""
    trace: TracebackType | None = None

    def fail(self, error: BaseException) -> None:
        """Notes why it failed; the first reason counts."""
        if self.code is not Code.OK:
            return
        if isinstance(error, (asyncio.CancelledError, ConnectionResetError)):
            self.code, self.error = Code.CANCELLED, "the client has gone, or the server ends"
            self.message = self.error
            return
        failure = as_serving_error(error)
        self.code, self.message, self.trace = failure.code, failure.message, error.__traceback__
        # An exception of TensorFlow or of Python may repeat what the model was given; of our own we know what they repeat.
        self.error = failure.message if failure is error else type(error).__name__
        for quote in sorted(self.quotes, key=len, reverse=True):
            self.error = self.error.replace(quote, "…")


_current: ContextVar[RequestRecord | None] = ContextVar("request", default=None)


def note(**known: Any) -> None:
    """Sets attributes of the record of the request that is being answered; without one (a warm-up) it does nothing."""
    record = _current.get()
    if record is not None:
        for name, value in known.items():
            setattr(record, name, value)


def note_failure(error: BaseException) -> None:
    """Notes why the request that is being answered failed."""
    record = _current.get()
    if record is not None:
        record.fail(error)


def note_quote(text: str) -> str:
    """Notes a piece of the request that an error's message will repeat, so that the log can leave it out; returns it."""
    record = _current.get()
    if record is not None and text:
        record.quotes.append(readable(text))  # as it stands in a `ServingError`
    return text


class AccessLog:
    """Writes a line for each request, as the flags say.

    Args:
        requests: `off`, `errors` (requests that fail) or `all`. Failures that are the server's fault (`SERVER_FAULTS`) are
            always logged.
        with_text: also the request's texts, and errors with what they repeat of them.
    """

    def __init__(self, requests: str = "off", with_text: bool = False):
        self._requests, self._with_text = requests, with_text

    @contextmanager
    def request(self, entrypoint: str, api: str = "") -> Iterator[RequestRecord]:
        """The record of a request, which is answered within the context and logged at its end."""
        record, start = RequestRecord(entrypoint, api), time.perf_counter()
        token = _current.set(record)
        try:
            yield record
        except BaseException as error:
            record.fail(error)
            raise
        finally:
            _current.reset(token)
            milliseconds = (time.perf_counter() - start) * 1e3
            if self._is_logged(record):
                self._write(record, milliseconds)

    def _is_logged(self, record: RequestRecord) -> bool:
        if record.code is Code.OK:
            return self._requests == "all" and bool(record.api)
        return self._requests != "off" or record.code in SERVER_FAULTS

    def _write(self, record: RequestRecord, milliseconds: float) -> None:
        fields: dict[str, Any] = {
            "model": record.model[:_MAX_NAME],
            "version": record.version,
            "signature": record.signature[:_MAX_NAME],
            "api": record.api,
            "entrypoint": record.entrypoint,
            "status": record.code.name,
            "milliseconds": round(milliseconds, 2),
            "rows": record.rows,
        }
        if record.code is not Code.OK:
            fields["error"] = (record.message if self._with_text else record.error)[:_MAX_ERROR]
        if self._with_text:
            fields["text"] = shortened_texts(record.texts)
        level = logging.INFO if record.code is Code.OK else logging.WARNING
        if record.code in SERVER_FAULTS:
            level = logging.ERROR
            if record.trace and logger.isEnabledFor(logging.DEBUG):
                fields["traceback"] = "".join(traceback.format_tb(record.trace))  # without the message
        logger.log(level, "request", extra={"fields": fields})


def shortened_texts(texts: Callable[[], Iterable[str]]) -> list[str]:
    """The first texts of a request, cut; none where they cannot be read."""
    try:
        return [text[:_MAX_TEXT] for text, _ in zip(texts(), range(_MAX_TEXTS))]
    except Exception as error:
        return [f"cannot be read: {type(error).__name__}"]


def texts_of_json(body: bytes) -> Iterator[str]:
    """The strings in a JSON document, without keys; of what is no JSON all of it.

    Example:
        >>> list(texts_of_json(b'{"instances": [{"text": "a"}, "b"]}'))
        ['a', 'b']
    """
    try:
        pending = [json.loads(body)]
    except (ValueError, RecursionError):
        yield body[: _MAX_TEXT * 4].decode("utf-8", "replace")
        return
    while pending:
        value = pending.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, list):
            pending.extend(reversed(value))
        elif isinstance(value, dict):
            pending.extend(reversed([each for key, each in value.items() if key != "signature_name"]))


def texts_of_message(request: Any) -> Iterator[str]:
    """The strings in the tensors or Examples of a request of gRPC."""
    for tensor in getattr(request, "inputs", {}).values():
        yield from (value.decode("utf-8", "replace") for value in tensor.string_val)
    if not hasattr(request, "input"):
        return
    lists = request.input.example_list, request.input.example_list_with_context
    for example in (each for examples in lists for each in examples.examples):
        for feature in example.features.feature.values():
            yield from (value.decode("utf-8", "replace") for value in feature.bytes_list.value)
