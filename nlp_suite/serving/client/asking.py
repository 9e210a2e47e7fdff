"""One question to a server and its answer as lines for a terminal or a program: what `nlp-suite query` prints."""

import json
import re

import numpy as np

from nlp_suite.serving.client.answers import CLASSIFY, Metadata, Signature
from nlp_suite.serving.client.base import DEFAULT_SIGNATURE

GRPC_PORT, REST_PORT = 8500, 8501
_SHOWN = 60  # characters of a text beside its label


def connect(host: str, grpc: bool = False, timeout: float = 30.0):
    """A client of `host`: gRPC for `grpc://…` or with `grpc`, else REST; without a port that of the stock image.

    Raises:
        ValueError: a host that cannot be, or a timeout that is no number above 0.
    """
    scheme, _, address = host.rpartition("://")
    if scheme not in ("", "grpc", "http", "https"):
        raise ValueError(f"host {host!r}: write it as host:port, http://…, https://… or grpc://…")
    if grpc and scheme in ("http", "https"):
        raise ValueError(f"host {host!r} is asked over REST: leave out {scheme}:// to use gRPC")
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
        version, label: of the model; default: the latest version.
        timeout: seconds.

    Returns:
        The lines to print: label with probability, translation with score, continuation with log-probability; of other
        signatures every output by name.

    Raises:
        ServingClientError: the server refused or could not be reached.
        ValueError: the signature needs more than texts, or there is none of that name.
    """
    texts = [text.encode("utf-8", "surrogateescape").decode("utf-8", "replace") for text in texts]
    with connect(host, grpc, timeout) as client:
        where = {"version": version, "label": label}
        described = client.metadata(model, **where)
        chosen = described.signature(signature)
        if chosen.method == CLASSIFY:
            answers = client.classify(model, texts, signature=signature, **where)
            rows = [{"classes": [name for name, _ in row], "scores": [score for _, score in row]} for row in answers]
        else:
            if not _takes_texts(chosen):
                raise ValueError(_cannot_be_asked(signature, described))
            arrays = client.predict(model, {chosen.only_input(signature): texts}, signature=signature, **where)
            rows = [{name: _plain(array[n]) for name, array in arrays.items()} for n in range(len(texts))]
    if as_json:
        return "\n".join(json.dumps({"input": text, **row}, ensure_ascii=False) for text, row in zip(texts, rows))
    return "\n".join(_lines(text, row) for text, row in zip(texts, rows))


def _takes_texts(signature: Signature) -> bool:
    """Whether a signature takes texts and nothing else."""
    return signature.method == CLASSIFY or [spec.dtype for spec in signature.inputs.values()] == ["string"]


def _cannot_be_asked(name: str, described: Metadata) -> str:
    """The sentence for a signature that takes more than texts: what it takes, and which ones can be asked."""
    takes = ", ".join(f"{n} ({spec.dtype})" for n, spec in sorted(described.signature(name).inputs.items()))
    others = ", ".join(n for n, signature in sorted(described.signatures.items()) if _takes_texts(signature))
    return (
        f"signature {name!r} of model {described.name!r} takes {takes or 'nothing'}; the command line asks those that "
        f"take one text: {others or 'there is none'}"
    )


def _plain(value):
    """A row of an output as JSON takes it; float32 with the digits that it has."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.floating):
        return float(str(value))
    return value.item() if isinstance(value, np.generic) else value


def _lines(text: str, row: dict) -> str:
    if {"label", "probability"} <= row.keys():
        return f"{row['label']}  {row['probability']:.4f}  {_short(text)}"
    if {"translation", "score"} <= row.keys():
        return f"{row['translation']}  (score {row['score']:.4f})"
    if {"text", "log_prob"} <= row.keys():
        return f"{text}{row['text']}\n  ({row.get('length', '?')} tokens, log-probability {row['log_prob']:.2f})"
    if row.keys() == {"classes", "scores"}:
        pairs = sorted(zip(row["scores"], row["classes"]), reverse=True)
        return "  ".join(f"{name} {score:.4f}" for score, name in pairs) + f"  {_short(text)}"
    width = max(map(len, row), default=0)
    return "\n".join([_short(text), *(f"  {name:<{width}}  {_value(value)}" for name, value in row.items())])


def _value(value) -> str:
    if isinstance(value, list):
        return " ".join(_value(item) for item in value)
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
