"""The REST client, on the standard library, with connections that are kept open."""

import json
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import BadStatusLine, HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from pathlib import Path
from queue import Empty, LifoQueue
from typing import Any
from urllib.parse import quote, urlsplit

import numpy as np

from nlp_suite.errors import UsageError
from nlp_suite.serving.client.answers import Metadata, Signature, TensorSpec, VersionStatus
from nlp_suite.serving.client.base import ModelRef, ServingClient, check_port
from nlp_suite.serving.client.errors import RetryableError, with_retries
from nlp_suite.serving.client.tensors import dtype_of, from_json, to_array, to_json
from nlp_suite.serving.client.tls import TlsFiles
from nlp_suite.serving.status import Code

_CODES = {  # of an HTTP status; several codes share 400 and 500
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    404: Code.NOT_FOUND,
    409: Code.ABORTED,
    413: Code.RESOURCE_EXHAUSTED,
    429: Code.RESOURCE_EXHAUSTED,
    499: Code.CANCELLED,
    500: Code.INTERNAL,
    501: Code.UNIMPLEMENTED,
    503: Code.UNAVAILABLE,
    504: Code.DEADLINE_EXCEEDED,
}


class RestClient(ServingClient):
    """A client of the REST port; it needs NumPy and the standard library only.

    Args:
        url: `http://host:port` or `https://…`, also with a path before `/v1`; without a scheme it is http.
        timeout: seconds that one call may take, all attempts together.
        retries: how often a call is tried again that was answered 503, or whose connection was refused; with
            exponential back-off.
        ca: PEM file with the authorities to trust, over TLS; default: the system's.
        cert: PEM file with the client's certificate, for a server that asks for one.
        key: PEM file with its private key; default: it is in `cert`.
        context: of TLS, instead of files.

    Raises:
        UsageError: an impossible url or timeout, or TLS files that cannot be used or are given without TLS.

    Example:
        >>> with RestClient("localhost:8501") as client:
        ...     client.predict("sentiment", ["A wonderful film."])["probability"]
        array([0.9871], dtype=float32)
    """

    def __init__(
        self,
        url: str,
        *,
        timeout: float = 30.0,
        retries: int = 4,
        ca: str | Path | None = None,
        cert: str | Path | None = None,
        key: str | Path | None = None,
        context: ssl.SSLContext | None = None,
    ):
        parts = urlsplit(url if "://" in url else f"http://{url}")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"url {url!r}: write it as http://host:8501 or https://host")
        check_port(parts.netloc, url)
        super().__init__(f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}", timeout, retries)
        self._path = parts.path.rstrip("/")
        self._host, self._port = parts.hostname, parts.port
        self._context: ssl.SSLContext | None = None
        if parts.scheme == "https":
            self._context = context or TlsFiles(ca, cert, key).context()
        else:
            TlsFiles(ca, cert, key).refuse_without_tls(url, "https://")
        self._idle: LifoQueue[HTTPConnection] = LifoQueue()

    def close(self) -> None:
        """Closes the idle connections."""
        while True:
            try:
                self._idle.get_nowait().close()
            except Empty:
                return

    def classify(
        self,
        model: str,
        texts: list[str],
        *,
        signature: str = "classify",
        feature: str = "text",
        version: int | None = None,
        label: str | None = None,
    ) -> list[list[tuple[str, float]]]:
        """See `ServingClient.classify`."""
        ref = ModelRef(model, version, label).check()
        examples = [{feature: text} for text in to_json(to_array(list(texts), "string"))]
        answer = self._call(ref, ":classify", {"signature_name": signature, "examples": examples})
        with self._reading(model):
            return [[(name, float(score)) for name, score in row] for row in answer["results"]]

    def metadata(self, model: str, *, version: int | None = None, label: str | None = None) -> Metadata:
        """The signatures of a model; asks the server each time."""
        answer = self._call(ModelRef(model, version, label).check(), "/metadata")
        with self._reading(model):
            signatures = answer["metadata"]["signature_def"]["signature_def"]
            return Metadata(
                answer["model_spec"]["name"],
                int(answer["model_spec"]["version"]),
                {name: _signature(s) for name, s in sorted(signatures.items()) if not name.startswith("__")},
            )

    def _predict(
        self, ref: ModelRef, signature: str, arrays: dict[str, np.ndarray], outputs: list[str] | None
    ) -> dict[str, np.ndarray]:
        specs = self._signature(ref, signature).outputs
        body = {"signature_name": signature, "inputs": {name: to_json(array) for name, array in arrays.items()}}
        answer = self._call(ref, ":predict", body)
        with self._reading(ref.model):
            values = answer["outputs"]
            if len(specs) > 1 and set(values) != set(specs):  # another version of the model answered
                self._metadata.pop(ref, None)
                specs = self._signature(ref, signature).outputs
            if len(specs) == 1:
                values = {next(iter(specs)): values}
            if unknown := sorted(set(outputs or ()) - set(specs)):
                message = f"outputs {unknown} are not among those of {signature!r}: {', '.join(sorted(specs))}"
                raise self.error(Code.INVALID_ARGUMENT, ref.model, message)
            return {name: from_json(values[name], specs[name]) for name in sorted(outputs or specs)}

    def _status(self, ref: ModelRef, timeout: float, retries: int) -> list[VersionStatus]:
        answer = self._call(ref, "", timeout=timeout, retries=retries)
        with self._reading(ref.model):
            return [
                VersionStatus(
                    int(version["version"]),
                    version["state"],
                    Code[version["status"]["error_code"]],
                    version["status"]["error_message"],
                )
                for version in answer["model_version_status"]
            ]

    @contextmanager
    def _reading(self, model: str) -> Iterator[None]:
        """Within the context, an answer that is not of the form expected becomes a `ServingClientError`."""
        try:
            yield
        except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
            message = f"an answer that cannot be read: {type(error).__name__} {error}"
            raise self.error(Code.INTERNAL, model, message) from error

    def _call(
        self, ref: ModelRef, verb: str, body: Any = None, timeout: float | None = None, retries: int | None = None
    ) -> Any:
        path = f"{self._path}/v1/models/{quote(ref.model, safe='')}"
        if ref.version is not None:
            path += f"/versions/{ref.version}"
        if ref.label is not None:
            path += f"/labels/{quote(ref.label, safe='')}"
        data = None if body is None else json.dumps(body, ensure_ascii=False).encode("utf-8")

        def attempt(seconds: float) -> bytes:
            try:
                status, answer = self._exchange(path + verb, data, time.monotonic() + seconds)
            except TimeoutError as error:
                raise self.error(Code.DEADLINE_EXCEEDED, ref.model, "no answer in time") from error
            except ConnectionRefusedError as error:
                raise RetryableError(self.error(Code.UNAVAILABLE, ref.model, str(error))) from error
            except (OSError, HTTPException) as error:
                message = self._no_answer(error)
                raise self.error(Code.UNAVAILABLE, ref.model, message) from error
            if status == 200:
                return answer
            failure = self.error(_CODES.get(status, Code.UNKNOWN), ref.model, _message(status, answer))
            raise RetryableError(failure) if status == 503 else failure

        answer = with_retries(
            attempt, self.timeout if timeout is None else timeout, self.retries if retries is None else retries
        )
        with self._reading(ref.model):
            return json.loads(answer.decode("utf-8", "surrogateescape"), strict=False)

    def _no_answer(self, error: Exception) -> str:
        """Why there is no answer; a line that is no HTTP is quoted, and that of a gRPC port recognised."""
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"the server's certificate is not trusted: {error.verify_message} (ca, or --ca FILE, trusts another)"
        if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
            return f"no TLS in the answer: ask it as http://{self._host}:{self._port}"
        if not isinstance(error, BadStatusLine) or isinstance(error, RemoteDisconnected):
            return f"no answer: {str(error) or type(error).__name__}"
        line = str(error.args[0])
        if line[3:4] == "\x04":  # a frame of HTTP/2: three bytes for its length, then its type, SETTINGS
            return f"no HTTP/1.1 in the answer: this looks like a gRPC port; ask it as grpc://{self._host}:{self._port}"
        return f"no HTTP in the answer, which begins {line[:60]!a}"

    def _exchange(self, path: str, data: bytes | None, deadline: float) -> tuple[int, bytes]:
        """Sends one request and reads its answer; once more where a reused connection turns out to have been closed."""
        while True:
            try:
                connection, reused = self._idle.get_nowait(), True
            except Empty:
                connection, reused = self._connect(), False
            try:
                _limit(connection, deadline)
                headers = {"Content-Type": "application/json"} if data is not None else {}
                connection.request("GET" if data is None else "POST", path, data, headers)
                _limit(connection, deadline)
                response = connection.getresponse()
            except (ConnectionError, HTTPException):
                connection.close()
                if not reused:
                    raise
                continue
            except BaseException:
                connection.close()
                raise
            try:
                chunks = []
                while chunk := response.read1(1 << 20):
                    chunks.append(chunk)
                    _limit(connection, deadline)
                if response.length:
                    raise HTTPException(f"the answer ends {response.length} bytes too early")
                response.close()  # read1 leaves it open, and the next request would find it so
            except BaseException:
                connection.close()
                raise
            self._idle.put(connection)  # opens itself again if the server closed it
            return response.status, b"".join(chunks)

    def _connect(self) -> HTTPConnection:
        if self._context is not None:
            return HTTPSConnection(self._host, self._port, context=self._context)
        return HTTPConnection(self._host, self._port)


def _limit(connection: HTTPConnection, deadline: float) -> None:
    """Lets the next read or write last until the deadline."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    connection.timeout = left
    if connection.sock is not None:
        connection.sock.settimeout(left)


def _message(status: int, answer: bytes) -> str:
    """The server's message; of a page that is not JSON, its beginning."""
    text = answer.decode("utf-8", "replace")
    try:
        return str(json.loads(text, strict=False)["error"])
    except (ValueError, KeyError, TypeError):
        return f"HTTP {status} {text[:200]}".strip()


def _signature(value: dict[str, Any]) -> Signature:
    inputs, outputs = (
        {name: _spec(info) for name, info in sorted(value.get(side, {}).items())} for side in ("inputs", "outputs")
    )
    return Signature(inputs, outputs, value.get("method_name", ""))


def _spec(info: dict[str, Any]) -> TensorSpec:
    shape = info["tensor_shape"]
    sizes = tuple(None if int(dim["size"]) < 0 else int(dim["size"]) for dim in shape.get("dim", ()))
    return TensorSpec(dtype_of(info["dtype"]), None if shape.get("unknown_rank") else sizes)
