"""The REST port: TensorFlow Serving's JSON interface, its metrics, and a page to try the models, as one ASGI application."""

import asyncio
import gzip
import io
import json
import zlib
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from nlp_suite.serving import inference
from nlp_suite.serving.core import Core
from nlp_suite.serving.flags import Options
from nlp_suite.serving.rest import json_in, json_out
from nlp_suite.serving.rest.paths import Route, parse_path
from nlp_suite.serving.status import HTTP_STATUS, Code, ServingError, of_exception

_API = {"predict": "Predict", "classify": "Classify", "regress": "Regress", "metadata": "GetModelMetadata"}
_PAGE = Path(__file__).parents[1] / "page" / "page.html"
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
        self.running = 0  # requests that are being answered

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return
        self.running += 1
        try:
            status, kind, body, close = await self._respond(scope, receive)
        except ConnectionResetError:  # the client has gone
            return
        finally:
            self.running -= 1
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
        path, method = scope.get("raw_path", scope["path"].encode()).split(b"?")[0].decode("latin-1"), scope["method"]
        if not path.lower().startswith("/v1/"):
            return *await self._beside(method, path), False
        headers = dict(scope["headers"])
        if method == "OPTIONS" and self._options.rest_api_enable_cors_support:
            return *self._preflight(headers), False
        limit = self._options.rest_api_timeout_in_ms / 1000
        try:
            body = await asyncio.wait_for(self._body(headers, receive), limit)
        except TimeoutError:
            error = f"the request's body did not arrive within {limit:g} s"
            return 408, _JSON, json_out.write_error(error), True
        except ServingError as error:
            too_large = error.code == Code.RESOURCE_EXHAUSTED
            return 413 if too_large else HTTP_STATUS[error.code], _JSON, json_out.write_error(error.message), True
        loop = asyncio.get_running_loop()
        return *await loop.run_in_executor(self._threads, partial(self._answer, method, path, body)), False

    async def _beside(self, method, path):
        """What stands beside the interface: metrics and the page."""
        if path == self._metrics_path and method in ("GET", "HEAD"):
            return 200, b"text/plain", self._core.metrics.text()
        if path == "/" and self._options.page and method in ("GET", "HEAD"):
            return 200, _HTML, _PAGE.read_bytes()
        if path == "/page/models" and self._options.page and method == "GET":
            names = [{"name": name} for name in self._core.manager.names()]
            return 200, _JSON, json.dumps({"models": names}).encode()
        return 404, _HTML, _NOT_FOUND

    def _preflight(self, headers):
        if headers.get(b"origin", b"").startswith((b"http://", b"https://")):
            return 200, _JSON, b""
        return 400, _JSON, json_out.write_error("Origin header is missing or is not http")

    async def _body(self, headers, receive):
        """The request's body, unpacked.

        Raises:
            ServingError: RESOURCE_EXHAUSTED where it is too large, INVALID_ARGUMENT where it cannot be unpacked.
            ConnectionResetError: the client has gone.
        """
        most, parts, size = self._options.rest_api_max_body_bytes, [], 0
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and int(length) > most:
            raise _too_large(most)
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ConnectionResetError
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise _too_large(most)
            if not message.get("more_body"):
                break
        body = b"".join(parts)
        encoding = headers.get(b"content-encoding", b"identity").lower()
        if encoding == b"gzip":
            return _unpacked(body, most)
        if encoding != b"identity":
            name = encoding.decode("latin-1")
            raise ServingError(Code.INVALID_ARGUMENT, f"Content-Encoding {name!r} is not supported (allowed: gzip)")
        return body

    def _answer(self, method, path, body):
        """Runs in a thread: status, content type, body."""
        try:
            route = parse_path(method, path)
            if route.verb == "status":
                return 200, _JSON, self._status(route)
            with self._core.counted(route.model, _API[route.verb], "REST"):
                return 200, _JSON, self._ask(route, body)
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

    def _ask(self, route: Route, body: bytes) -> bytes:
        core, timeout = self._core, self._options.rest_api_timeout_in_ms
        with core.manager.use(_spec(route)) as servable:
            if route.verb == "metadata":
                return json_out.write_metadata(self._metadata(route, servable))
            if route.verb == "predict":
                given = json_in.parse_predict(body, servable.signatures)
                rows = max((len(array) if array.ndim else 1 for array in given.inputs.values()), default=0)
                with core.running(route.model, "Predict", rows):
                    answers = inference.run_predict(servable, given.signature_name, given.inputs, (), timeout)
                return json_out.write_predict(answers, given.row_format)
            given = json_in.parse_examples(body)
            with core.running(route.model, _API[route.verb], len(given.examples)):
                if route.verb == "classify":
                    found = inference.classifications(servable, given.signature_name, given.merged, timeout)
                    return json_out.write_classifications(found)
                found = inference.regressions(servable, given.signature_name, given.merged, timeout)
                return json_out.write_regressions(found)

    @staticmethod
    def _metadata(route, servable):
        from tensorflow_serving.apis import get_model_metadata_pb2

        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = route.model
        return inference.model_metadata(servable, request)

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


def _too_large(most):
    return ServingError(Code.RESOURCE_EXHAUSTED, f"the request's body has more than {most:,} bytes")


def _unpacked(body, most):
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            unpacked = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ServingError(Code.INVALID_ARGUMENT, f"the body is not valid gzip: {error}") from error
    if len(unpacked) > most:
        raise _too_large(most)
    return unpacked
