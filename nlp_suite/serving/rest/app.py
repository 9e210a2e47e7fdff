"""The REST port: TensorFlow Serving's JSON interface, its metrics, and a page to try the models, as one ASGI application."""

import asyncio
import contextvars
import gzip
import io
import json
import threading
import zlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, suppress
from functools import partial
from typing import Any, TypeVar
from urllib.parse import parse_qs

from nlp_suite.serving import inference
from nlp_suite.serving.access_log import note, note_failure, note_quote, texts_of_json
from nlp_suite.serving.caller import Caller
from nlp_suite.serving.core import Core
from nlp_suite.serving.flags import Options
from nlp_suite.serving.memory import release_soon
from nlp_suite.serving.page import page_files
from nlp_suite.serving.rest import json_in, json_out
from nlp_suite.serving.rest.hosts import Hosts
from nlp_suite.serving.rest.paths import Route, parse_path, parse_version
from nlp_suite.serving.rest.protocol import KEEP_ALIVE
from nlp_suite.serving.servable import Servable
from nlp_suite.serving.signature_names import DEFAULT_SIGNATURE
from nlp_suite.serving.status import Code, RequestTooLarge, ServingError, as_serving_error, invalid_argument

_MODELS_PATH = "/page/models"  # the names of all models
_FORM_PATH = "/page/form"  # the form that the export of ?model=…&version=… names
PAGE_PATHS = (_MODELS_PATH, _FORM_PATH)  # what the page asks that is not of the interface
_Scope = MutableMapping[str, Any]  # of ASGI, as are the next two
_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
_Reply = tuple[int, bytes, bytes]  # status, content type, body
_Answers = TypeVar("_Answers")
_API = {"predict": "Predict", "classify": "Classify", "regress": "Regress", "metadata": "GetModelMetadata"}
_API |= {"status": "GetModelStatus"}
_NOT_FOUND = b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
_JSON, _HTML = b"application/json", b"text/html; charset=utf-8"


class RestApp:
    """An ASGI application.

    Args:
        core: answers the requests.
        options: limits, threads, CORS, page.
        metrics_path: path of Prometheus' metrics, or None.
    """

    def __init__(self, core: Core, options: Options, metrics_path: str | None = None):
        self._core, self._options, self._metrics_path = core, options, metrics_path
        self._threads = ThreadPoolExecutor(options.rest_api_num_threads, "rest")
        self._timeout = options.rest_api_timeout_in_ms or None  # milliseconds; None: no limit
        self._page = page_files() if options.page else {}
        self._hosts = Hosts(options)

    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Answers one request."""
        if scope["type"] != "http":
            return
        try:
            with self._core.log.request("REST"):
                status, content_type, body, close = await self._respond(scope, receive)
        except ConnectionResetError:  # the client has gone
            return
        headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body))]
        if self._options.rest_api_enable_cors_support:
            headers += [
                (b"access-control-allow-origin", b"*"),
                (b"access-control-allow-methods", b"POST, GET"),
                (b"access-control-allow-headers", b"Content-Type"),
            ]
        if close or KEEP_ALIVE in scope.get("extensions", {}):
            headers.append((b"connection", b"close" if close else b"keep-alive"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _respond(self, scope: _Scope, receive: _Receive) -> tuple[int, bytes, bytes, bool]:
        """Status, content type, body, and whether the connection must end."""
        path, method = scope["raw_path"].decode("ascii"), scope["method"]  # without the query
        try:
            self._hosts.check(scope, of_page=path in self._page or path in PAGE_PATHS)
        except ServingError as refused:
            _note_refused(method, path, refused)
            return refused.http_status, _JSON, json_out.write_error(refused.message), True
        if not path.lower().startswith("/v1/"):
            return *self._outside_interface(method, path, scope.get("query_string", b"")), False
        headers = dict(scope["headers"])
        if method == "OPTIONS" and self._options.rest_api_enable_cors_support:
            return *self._preflight(headers), False
        limit = self._timeout and self._timeout / 1000
        try:
            body = await asyncio.wait_for(self._body(headers, receive), limit)
        except TimeoutError:
            late = ServingError(Code.DEADLINE_EXCEEDED, f"the request's body did not arrive within {limit:g} s")
            _note_refused(method, path, late)
            return 408, _JSON, json_out.write_error(late.message), True
        except RequestTooLarge as error:
            _note_refused(method, path, error)
            return error.http_status, _JSON, json_out.write_error(error.message), True
        encoding, left = headers.get(b"content-encoding", b""), threading.Event()
        caller = Caller(self._timeout, left.is_set)
        work = partial(self._answer, method, path, encoding, body, caller)
        run = contextvars.copy_context().run  # with the log's record of this request
        answer = asyncio.get_running_loop().run_in_executor(self._threads, run, work)
        waiting = asyncio.ensure_future(receive())  # for the client to leave: it has sent all that it had to
        both: list[asyncio.Future[Any]] = [answer, waiting]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:  # also where the server ends, and waits no longer
            if not answer.done():
                left.set()
            waiting.cancel()
        return *await answer, False

    def _outside_interface(self, method: str, path: str, query: bytes) -> _Reply:
        """The answer to a path that is not of the interface: the metrics' or the page's."""
        if method in ("GET", "HEAD"):
            if path == self._metrics_path:
                return 200, b"text/plain", self._core.metrics.text()
            if path in self._page:
                return 200, *self._page[path]
            if path == _MODELS_PATH and self._page:
                names = [{"name": name} for name in self._core.manager.names()]
                return 200, _JSON, json.dumps({"models": names}).encode()
            if path == _FORM_PATH and self._page:
                return self._form(query)
        return 404, _HTML, _NOT_FOUND

    def _form(self, query: bytes) -> _Reply:
        """The form of the page that the export of `model` names, in `version` or the newest, and names of columns; empty where there are none."""
        fields = {name: values[0] for name, values in parse_qs(query.decode("utf-8", "replace")).items()}
        try:
            version = parse_version(fields["version"]) if "version" in fields else None
            with self._core.manager.use(_spec(Route("form", fields.get("model", ""), version))) as servable:
                return 200, _JSON, json.dumps({"form": servable.page_form, "columns": servable.columns}).encode()
        except ServingError as error:
            return error.http_status, _JSON, json_out.write_error(error.message)

    def _preflight(self, headers: Mapping[bytes, bytes]) -> _Reply:
        if headers.get(b"origin", b"").startswith((b"http://", b"https://")):
            return 200, _JSON, b""
        return 400, _JSON, json_out.write_error("Origin header is missing or is not http")

    async def _body(self, headers: Mapping[bytes, bytes], receive: _Receive) -> bytes:
        """The request's body as it came.

        Raises:
            RequestTooLarge: it is.
            ConnectionResetError: the client has gone.
        """
        limit, chunks, size, more = self._options.rest_api_max_body_bytes, [], 0, True
        length = headers.get(b"content-length", b"0")
        declared = int(length) if length.isdigit() else 0
        # A body that is somewhat too large is read to its end, or the client would not read the answer.
        while more and max(size, declared) <= 2 * limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            chunk, more = message.get("body", b""), message.get("more_body", False)
            size += len(chunk)
            chunks.append(chunk)
            if size > limit:
                chunks.clear()
        if size > limit or more:
            raise _body_too_large(limit)
        return b"".join(chunks)

    def _answer(self, method: str, path: str, encoding: bytes, body: bytes, caller: Caller) -> _Reply:
        """Runs in a thread: status, content type, body."""
        try:
            body, route = _decompressed(encoding, body, self._options.rest_api_max_body_bytes), parse_path(method, path)
            note(api=_API[route.verb], model=route.model, texts=lambda: texts_of_json(body))
            if route.verb == "status":
                return 200, _JSON, self._status(route)
            with self._core.counted(route.model, _API[route.verb], "REST"):
                return 200, _JSON, getattr(self, f"_{route.verb}")(route, body, caller)
        except Exception as error:
            _note_refused(method, path, error)
            failure = as_serving_error(error)
            return failure.http_status, _JSON, json_out.write_error(failure.message)
        finally:
            release_soon(len(body))

    def _status(self, route: Route) -> bytes:
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = route.model
        if route.version is not None:
            request.model_spec.version.value = route.version
        return json_out.write_status(self._core.model_status(request))

    def _predict(self, route: Route, body: bytes, caller: Caller) -> bytes:
        with ExitStack() as stack:
            signatures = _Signatures(self._core.use(_spec(route)), stack)
            request = json_in.parse_predict(body, signatures)
            note(signature=request.signature_name or DEFAULT_SIGNATURE)
            self._core.limits.check_arrays(request.inputs)
            rows = max((len(array) if array.ndim else 1 for array in request.inputs.values()), default=0)
            with self._core.running(route.model, "Predict", rows):
                answers = inference.run_predict(
                    signatures.servable(), request.signature_name, request.inputs, caller=caller
                )
            return json_out.write_predict(answers, request.row_format)

    def _classify(self, route: Route, body: bytes, caller: Caller) -> bytes:
        return json_out.write_classifications(self._run_examples(inference.classifications, route, body, caller))

    def _regress(self, route: Route, body: bytes, caller: Caller) -> bytes:
        return json_out.write_regressions(self._run_examples(inference.regressions, route, body, caller))

    def _run_examples(
        self,
        function: Callable[[Servable, str, list[bytes], Caller], _Answers],
        route: Route,
        body: bytes,
        caller: Caller,
    ) -> _Answers:
        request, core = json_in.parse_examples(body), self._core
        note(signature=request.signature_name or DEFAULT_SIGNATURE)
        core.limits.check_examples([*map(len, request.examples)], len(request.context))
        with (
            core.use(_spec(route)) as servable,
            core.running(route.model, _API[route.verb], len(request.examples)),
        ):
            return function(servable, request.signature_name, request.merged, caller)

    def _metadata(self, route: Route, body: bytes, caller: Caller) -> bytes:
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.CopyFrom(_spec(route))
        return json_out.write_metadata(self._core.model_metadata(request))

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _note_refused(method: str, path: str, error: Exception) -> None:
    """Notes a request that failed, perhaps before its path was looked at."""
    with suppress(ServingError):
        route = parse_path(method, path)
        note(api=_API[route.verb], model=route.model)
    note_failure(error)


def _spec(route: Route) -> Any:
    from tensorflow_serving.apis import model_pb2

    spec = model_pb2.ModelSpec(name=route.model)
    if route.version is not None:
        spec.version.value = route.version
    elif route.label is not None:
        spec.version_label = route.label
    return spec


class _Signatures(Mapping[str, Any]):
    """The signatures of a model that is looked up when they are first asked for: an error in the JSON comes before.

    Args:
        use: the context of the servable.
        stack: enters it.
    """

    def __init__(self, use: AbstractContextManager[Servable], stack: ExitStack):
        self._use, self._stack = use, stack
        self._servable: Servable | None = None

    def servable(self) -> Servable:
        """The model's servable."""
        if self._servable is None:
            self._servable = self._stack.enter_context(self._use)
        return self._servable

    def __getitem__(self, name: str) -> Any:
        return self.servable().signatures[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.servable().signatures)

    def __len__(self) -> int:
        return len(self.servable().signatures)


def _body_too_large(limit: int) -> RequestTooLarge:
    return RequestTooLarge(f"the request's body has more than {limit:,} bytes")


def _decompressed(encoding: bytes, body: bytes, limit: int) -> bytes:
    """The body as its Content-Encoding says.

    Raises:
        ServingError: RESOURCE_EXHAUSTED where it is too large, INVALID_ARGUMENT where it cannot be decompressed.
    """
    if encoding.lower() in (b"", b"identity"):
        return body
    if encoding.lower() != b"gzip":
        name = encoding.decode("latin-1")
        raise invalid_argument(f"Content-Encoding {name!r} is not supported (allowed: gzip)")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            content = file.read(limit + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise invalid_argument(f"the body is not valid gzip: {note_quote(str(error))}") from error
    if len(content) > limit:
        raise _body_too_large(limit)
    return content
