"""The REST port: TensorFlow Serving's JSON interface, its metrics, and a page to try the models, as one ASGI application."""

import asyncio
import gzip
import io
import json
import zlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

from nlp_suite.serving import inference
from nlp_suite.serving.core import Core
from nlp_suite.serving.flags import Options
from nlp_suite.serving.page import page_files
from nlp_suite.serving.rest import json_in, json_out
from nlp_suite.serving.rest.paths import Route, parse_path
from nlp_suite.serving.status import HTTP_STATUS, Code, ServingError, of_exception

MODELS_PATH = "/page/models"  # where the page reads which models there are
_API = {"predict": "Predict", "classify": "Classify", "regress": "Regress", "metadata": "GetModelMetadata"}
_NOT_FOUND = b"<html><head><title>404 Not Found</title></head><body><h1>Not Found</h1></body></html>\n"
_JSON, _HTML = b"application/json", b"text/html; charset=utf-8"


class RestApp:
    """An ASGI application.

    Args:
        core: answers the requests.
        options: limits, threads, CORS, page.
        metrics_path: where Prometheus' metrics stand, or None.
    """

    def __init__(self, core: Core, options: Options, metrics_path: str | None = None):
        self._core, self._options, self._metrics_path = core, options, metrics_path
        self._threads = ThreadPoolExecutor(options.rest_api_num_threads, "rest")
        self._timeout = options.rest_api_timeout_in_ms or None  # milliseconds; None: no limit
        self._page = page_files() if options.page else {}

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        try:
            status, kind, body, close = await self._respond(scope, receive)
        except ConnectionResetError:  # the client has gone
            return
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        if self._options.rest_api_enable_cors_support:
            headers += [
                (b"access-control-allow-origin", b"*"),
                (b"access-control-allow-methods", b"POST, GET"),
                (b"access-control-allow-headers", b"Content-Type"),
            ]
        if close:
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _respond(self, scope, receive):
        """Status, content type, body, and whether the connection must end."""
        path, method = scope["raw_path"].decode("ascii"), scope["method"]  # without the query
        if not path.lower().startswith("/v1/"):
            return *await self._beside(method, path), False
        headers = dict(scope["headers"])
        if method == "OPTIONS" and self._options.rest_api_enable_cors_support:
            return *self._preflight(headers), False
        limit = self._timeout and self._timeout / 1000
        try:
            body = await asyncio.wait_for(self._body(headers, receive), limit)
        except TimeoutError:
            error = f"the request's body did not arrive within {limit:g} s"
            return 408, _JSON, json_out.write_error(error), True
        except _BodyTooLarge as error:
            return 413, _JSON, json_out.write_error(error.message), True
        loop, encoding = asyncio.get_running_loop(), headers.get(b"content-encoding", b"")
        return *await loop.run_in_executor(self._threads, self._answer, method, path, encoding, body), False

    async def _beside(self, method, path):
        """What stands beside the interface: metrics and the page."""
        if path == self._metrics_path and method in ("GET", "HEAD"):
            return 200, b"text/plain", self._core.metrics.text()
        if path in self._page and method in ("GET", "HEAD"):
            return 200, *self._page[path]
        if path == MODELS_PATH and self._page and method in ("GET", "HEAD"):
            names = [{"name": name} for name in self._core.manager.names()]
            return 200, _JSON, json.dumps({"models": names}).encode()
        return 404, _HTML, _NOT_FOUND

    def _preflight(self, headers):
        if headers.get(b"origin", b"").startswith((b"http://", b"https://")):
            return 200, _JSON, b""
        return 400, _JSON, json_out.write_error("Origin header is missing or is not http")

    async def _body(self, headers, receive):
        """The request's body as it came.

        Raises:
            _BodyTooLarge: it is.
            ConnectionResetError: the client has gone.
        """
        most, parts, size, more = self._options.rest_api_max_body_bytes, [], 0, True
        length = headers.get(b"content-length", b"0")
        declared = int(length) if length.isdigit() else 0
        while (
            more and max(size, declared) <= 2 * most
        ):  # not much too large: read, or the client would not come to read
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            parts.append(part)
            if size > most:
                parts.clear()
        if size > most or more:
            raise _BodyTooLarge(most)
        return b"".join(parts)

    def _answer(self, method, path, encoding, body):
        """Runs in a thread: status, content type, body."""
        try:
            body, route = _unpacked(encoding, body, self._options.rest_api_max_body_bytes), parse_path(method, path)
            if route.verb == "status":
                return 200, _JSON, self._status(route)
            with self._core.counted(route.model, _API[route.verb], "REST"):
                return 200, _JSON, getattr(self, f"_{route.verb}")(route, body)
        except _BodyTooLarge as error:
            return 413, _JSON, json_out.write_error(error.message)
        except Exception as error:
            failed = of_exception(error)
            return HTTP_STATUS[failed.code], _JSON, json_out.write_error(failed.message)

    def _status(self, route):
        from tensorflow_serving.apis import get_model_status_pb2

        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = route.model
        if route.version is not None:
            request.model_spec.version.value = route.version
        return json_out.write_status(self._core.model_status(request))

    def _predict(self, route: Route, body: bytes) -> bytes:
        with ExitStack() as held:
            signatures = _Signatures(lambda: held.enter_context(self._core.manager.use(_spec(route))))
            given = json_in.parse_predict(body, signatures)
            rows = max((len(array) if array.ndim else 1 for array in given.inputs.values()), default=0)
            with self._core.running(route.model, "Predict", rows):
                answers = inference.run_predict(
                    signatures.servable, given.signature_name, given.inputs, timeout_ms=self._timeout
                )
            return json_out.write_predict(answers, given.row_format)

    def _classify(self, route, body):
        return json_out.write_classifications(self._of_examples(inference.classifications, route, body))

    def _regress(self, route, body):
        return json_out.write_regressions(self._of_examples(inference.regressions, route, body))

    def _of_examples(self, function, route, body):
        given, core = json_in.parse_examples(body), self._core
        with (
            core.manager.use(_spec(route)) as servable,
            core.running(route.model, _API[route.verb], len(given.examples)),
        ):
            return function(servable, given.signature_name, given.merged, self._timeout)

    def _metadata(self, route, body):
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.CopyFrom(_spec(route))
        return json_out.write_metadata(self._core.model_metadata(request))

    def close(self) -> None:
        """Ends the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _spec(route):
    from tensorflow_serving.apis import model_pb2

    spec = model_pb2.ModelSpec(name=route.model)
    if route.version is not None:
        spec.version.value = route.version
    elif route.label is not None:
        spec.version_label = route.label
    return spec


class _Signatures(Mapping):
    """The signatures of a model that is looked up when they are first asked for: an error in the JSON comes before."""

    def __init__(self, use):
        self._use, self.servable = use, None

    def _found(self):
        if self.servable is None:
            self.servable = self._use()
        return self.servable.signatures

    def __getitem__(self, name):
        return self._found()[name]

    def __iter__(self):
        return iter(self._found())

    def __len__(self):
        return len(self._found())


class _BodyTooLarge(ServingError):
    def __init__(self, most):
        super().__init__(Code.RESOURCE_EXHAUSTED, f"the request's body has more than {most:,} bytes")


def _unpacked(encoding: bytes, body: bytes, most: int) -> bytes:
    """The body as its Content-Encoding says.

    Raises:
        ServingError: RESOURCE_EXHAUSTED where it is too large, INVALID_ARGUMENT where it cannot be unpacked.
    """
    if encoding.lower() in (b"", b"identity"):
        return body
    if encoding.lower() != b"gzip":
        name = encoding.decode("latin-1")
        raise ServingError(Code.INVALID_ARGUMENT, f"Content-Encoding {name!r} is not supported (allowed: gzip)")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            unpacked = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ServingError(Code.INVALID_ARGUMENT, f"the body is not valid gzip: {error}") from error
    if len(unpacked) > most:
        raise _BodyTooLarge(most)
    return unpacked
