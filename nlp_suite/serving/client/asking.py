"""Questions to a server and the answers as lines for a terminal or a program: what `nlp-suite query` prints."""

import json
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from nlp_suite.errors import RequestError, UsageError
from nlp_suite.serving.client.answers import Metadata, Signature
from nlp_suite.serving.client.base import ServingClient
from nlp_suite.serving.client.forms import answer_lines
from nlp_suite.serving.client.rows import read_row, takes_texts
from nlp_suite.serving.client.tensors import json_value, shortest_floats
from nlp_suite.serving.client.tls import TlsFiles
from nlp_suite.serving.signature_names import CLASSIFY, DEFAULT_SIGNATURE

GRPC_PORT, REST_PORT = 8500, 8501
TEXTS_PER_REQUEST = 32
_NO_FILES = TlsFiles()


def connect(host: str, grpc: bool = False, timeout: float = 30.0, tls: TlsFiles = _NO_FILES) -> ServingClient:
    """A client of `host`: gRPC for `grpc(s)://…` or with `grpc`, else REST; without a port that of the stock image.

    Raises:
        UsageError: an impossible host, a timeout that is no number above 0, or TLS files that cannot be used.
    """
    scheme, _, address = host.rpartition("://")
    if scheme not in ("", "grpc", "grpcs", "http", "https"):
        raise UsageError(f"host {host!r}: write it as host:port, http://…, https://…, grpc://… or grpcs://…")
    if grpc and scheme in ("http", "https"):
        raise UsageError(f"host {host!r} is asked over REST: leave out {scheme}:// to use gRPC")
    grpc = grpc or scheme in ("grpc", "grpcs")
    if scheme in ("", "grpc", "grpcs") and not re.search(r":[^:\]]*$", address.rstrip("/")):
        address = f"{address.rstrip('/')}:{GRPC_PORT if grpc else REST_PORT}"
    if grpc:
        from nlp_suite.serving.client.grpc_client import GrpcClient

        return GrpcClient(f"{scheme or 'grpc'}://{address}", timeout=timeout, **tls._asdict())
    from nlp_suite.serving.client.rest_client import RestClient

    return RestClient(f"{scheme or 'http'}://{address}", timeout=timeout, **tls._asdict())


def answers(
    host: str,
    model: str,
    texts: Iterable[str],
    *,
    grpc: bool = False,
    signature: str = DEFAULT_SIGNATURE,
    as_json: bool = False,
    version: int | None = None,
    label: str | None = None,
    timeout: float = 30.0,
    ca: str | Path | None = None,
    cert: str | Path | None = None,
    key: str | Path | None = None,
) -> Iterator[str]:
    """Asks a server about texts, `TEXTS_PER_REQUEST` of them at once; about rows of signatures that take more one by one.

    Args:
        host: `host:port`, `grpc(s)://host:port`, `http(s)://…`; default ports 8500 (gRPC) and 8501 (REST).
        model: its name.
        texts: read as they are needed; where a signature takes more than a text each is a row, see
            `nlp_suite.serving.client.rows.read_row`.
        grpc: ask over gRPC where `host` does not say.
        signature: its name.
        as_json: a JSON object a text, with all outputs.
        version: a version's number; default: the latest.
        label: a version's label, instead of its number.
        timeout: seconds for each request.
        ca: of TLS: PEM file with the authorities to trust.
        cert: of TLS: PEM file with the client's certificate.
        key: of TLS: PEM file with its private key; default: it is in `cert`.

    Yields:
        The lines to print, in the form that suits the outputs (`nlp_suite/serving/client/forms`).

    Raises:
        ServingClientError: the server refused or could not be reached.
        RequestError: there is no signature of that name, or a text is no row of it.
        UsageError: an impossible host, version, label or timeout, or TLS files that cannot be used.
    """
    if isinstance(texts, str):
        raise RequestError("texts: give a list of texts, not a single one")
    remaining = (text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in texts)
    which: dict[str, Any] = {"signature": signature, "version": version, "label": label}
    with connect(host, grpc, timeout, TlsFiles(ca, cert, key)) as client:
        metadata = client.metadata(model, version=version, label=label)
        chosen = metadata.signature(signature)
        if not takes_texts(chosen):
            for line in remaining:
                try:
                    row = _row(client, model, line, chosen, which)
                except RequestError as error:
                    raise RequestError(f"{error} ({_takes_more(signature, metadata)})") from error
                yield _shown(line, row, as_json)
            return
        while chunk := list(islice(remaining, TEXTS_PER_REQUEST)):
            for text, row in zip(chunk, _rows(client, model, chunk, chosen, which)):
                yield _shown(text, row, as_json)


def _shown(text: str, row: dict[str, Any], as_json: bool) -> str:
    return json.dumps({"input": text, **row}, ensure_ascii=False) if as_json else answer_lines(text, row)


def query(host: str, model: str, texts: Iterable[str], **settings: Any) -> str:
    """The lines of `answers` as one text."""
    return "\n".join(answers(host, model, texts, **settings))


def _rows(
    client: ServingClient, model: str, texts: list[str], signature: Signature, which: dict[str, Any]
) -> list[dict[str, Any]]:
    """Output name → value, for each text."""
    if signature.method == CLASSIFY:
        answers = client.classify(model, texts, **which)
        return [{"classes": [name for name, _ in row], "scores": [score for _, score in row]} for row in answers]
    arrays = client.predict(model, {signature.only_input(which["signature"]): texts}, **which)
    columns = {name: shortest_floats(array) for name, array in arrays.items()}
    return [{name: json_value(column[n]) for name, column in columns.items()} for n in range(len(texts))]


def _row(client: ServingClient, model: str, line: str, signature: Signature, which: dict[str, Any]) -> dict[str, Any]:
    """Output name → value, of one row."""
    inputs = {name: [value] for name, value in read_row(line, signature).items()}
    arrays = client.predict(model, inputs, **which)
    return {name: json_value(shortest_floats(array)[0]) for name, array in arrays.items()}


def _takes_more(name: str, metadata: Metadata) -> str:
    """The sentence for a text that is no row of a signature: what it takes, and which signatures take a text."""
    takes = ", ".join(f"{n} ({spec.dtype})" for n, spec in sorted(metadata.signature(name).inputs.items()))
    others = ", ".join(n for n, signature in sorted(metadata.signatures.items()) if takes_texts(signature))
    return f"signature {name!r} of model {metadata.name!r} takes {takes or 'nothing'}; of one text: {others or 'none'}"
