"""One question to a server and its answer as lines for a terminal or a program: what `nlp-suite query` prints."""

import json
import re

from nlp_suite.errors import RequestError, UsageError
from nlp_suite.serving.client.answers import Metadata, Signature
from nlp_suite.serving.client.base import ServingClient
from nlp_suite.serving.client.forms import answer_lines
from nlp_suite.serving.client.tensors import json_value, shortest_floats
from nlp_suite.serving.signature_names import CLASSIFY, DEFAULT_SIGNATURE

GRPC_PORT, REST_PORT = 8500, 8501


def connect(host: str, grpc: bool = False, timeout: float = 30.0) -> ServingClient:
    """A client of `host`: gRPC for `grpc://…` or with `grpc`, else REST; without a port that of the stock image.

    Raises:
        UsageError: an impossible host, or a timeout that is no number above 0.
    """
    scheme, _, address = host.rpartition("://")
    if scheme not in ("", "grpc", "http", "https"):
        raise UsageError(f"host {host!r}: write it as host:port, http://…, https://… or grpc://…")
    if grpc and scheme in ("http", "https"):
        raise UsageError(f"host {host!r} is asked over REST: leave out {scheme}:// to use gRPC")
    grpc = grpc or scheme == "grpc"
    if scheme in ("", "grpc") and not re.search(r":[^:\]]*$", address.rstrip("/")):
        address = f"{address.rstrip('/')}:{GRPC_PORT if grpc else REST_PORT}"
    if grpc:
        from nlp_suite.serving.client.grpc_client import GrpcClient

        return GrpcClient(address, timeout=timeout)
    from nlp_suite.serving.client.rest_client import RestClient

    return RestClient(f"{scheme or 'http'}://{address}", timeout=timeout)


def query(
    host: str,
    model: str,
    texts: list[str],
    *,
    grpc: bool = False,
    signature: str = DEFAULT_SIGNATURE,
    as_json: bool = False,
    version: int | None = None,
    label: str | None = None,
    timeout: float = 30.0,
) -> str:
    """Asks a server about texts.

    Args:
        host: `host:port`, `grpc://host:port`, `http(s)://…`; default ports 8500 (gRPC) and 8501 (REST).
        model: its name.
        texts: B texts.
        grpc: ask over gRPC where `host` does not say.
        signature: one with a single input of texts, or a Classify signature.
        as_json: a JSON object a text, with all outputs.
        version: a version's number; default: the latest.
        label: a version's label, instead of its number.
        timeout: seconds.

    Returns:
        The lines to print, in the form that suits the outputs (`nlp_suite/serving/client/forms`).

    Raises:
        ServingClientError: the server refused or could not be reached.
        RequestError: the signature needs more than texts, or there is none of that name.
        UsageError: an impossible host, version, label or timeout.
    """
    texts = [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in texts]
    with connect(host, grpc, timeout) as client:
        metadata = client.metadata(model, version=version, label=label)
        chosen = metadata.signature(signature)
        if chosen.method == CLASSIFY:
            answers = client.classify(model, texts, signature=signature, version=version, label=label)
            rows = [{"classes": [name for name, _ in row], "scores": [score for _, score in row]} for row in answers]
        else:
            if not _takes_texts(chosen):
                raise RequestError(_cannot_be_asked(signature, metadata))
            inputs = {chosen.only_input(signature): texts}
            arrays = client.predict(model, inputs, signature=signature, version=version, label=label)
            columns = {name: shortest_floats(array) for name, array in arrays.items()}
            rows = [{name: json_value(column[n]) for name, column in columns.items()} for n in range(len(texts))]
    if as_json:
        return "\n".join(json.dumps({"input": text, **row}, ensure_ascii=False) for text, row in zip(texts, rows))
    return "\n".join(answer_lines(text, row) for text, row in zip(texts, rows))


def _takes_texts(signature: Signature) -> bool:
    """Whether a signature takes texts and nothing else."""
    return signature.method == CLASSIFY or [spec.dtype for spec in signature.inputs.values()] == ["string"]


def _cannot_be_asked(name: str, metadata: Metadata) -> str:
    """The sentence for a signature that takes more than texts: what it takes, and which signatures can be asked."""
    takes = ", ".join(f"{n} ({spec.dtype})" for n, spec in sorted(metadata.signature(name).inputs.items()))
    others = ", ".join(n for n, signature in sorted(metadata.signatures.items()) if _takes_texts(signature))
    return (
        f"signature {name!r} of model {metadata.name!r} takes {takes or 'nothing'}; the command line asks those that "
        f"take one text: {others or 'there is none'}"
    )
