"""What a conformance case expects against what was seen: every field of `expect`, and none is passed over.

`notes` is for people. `also_acceptable` is another answer; what is no part of an answer must hold with it too.
"""

import json
import re

import numpy as np

_TOKEN = re.compile(rb"-?(?:Infinity|NaN|\d[\d.]*(?:e[+-]?\d+)?)")


def differences(expect: dict, seen: dict) -> list[str]:
    """The fields of `expect` that `seen` does not meet; `also_acceptable` is a second way to meet it."""
    expect = dict(expect)
    also = expect.pop("also_acceptable", [])
    kept = {field: value for field, value in expect.items() if field not in _ANSWER or field in ("http", "status")}
    answers = [expect, *({**kept, **each} for each in (also if isinstance(also, list) else [also]))]
    found = [_differences(answer, seen) for answer in answers]
    unknown = [line for lines in found for line in lines if line.startswith("no check of")]
    return unknown or (found[0] if all(found) else [])


def _differences(expect, seen):
    found = []
    for field, wanted in expect.items():
        if field == "notes":
            continue
        if field not in _CHECKS:
            found.append(f"no check of {field!r}")
        elif not _CHECKS[field](wanted, seen):
            found.append(f"{field}: expected {_short(wanted)}")
    return [*found, f"seen {_short(seen)}"] if found else []


def _short(value):
    text = repr(value)
    return text if len(text) < 1000 else f"{text[:1000]}…"


def _subset(wanted, given):
    """Whether every key of `wanted` stands in `given` with the same value, at any depth."""
    if isinstance(wanted, dict) and wanted:
        return isinstance(given, dict) and all(k in given and _subset(v, given[k]) for k, v in wanted.items())
    return wanted == given


def _error(seen):
    return json.loads(seen["body"])["error"]


def _contains(wanted, text):
    return all(part in text for part in ([wanted] if isinstance(wanted, str) else wanted))


def _in_order(wanted, lines):
    """Whether each of the texts stands in a line, in this order."""
    rest = iter(lines)
    return all(any(part in line for line in rest) for part in ([wanted] if isinstance(wanted, str) else wanted))


def _outputs(wanted, given):
    """Typed fields, type and shape of TensorProtos by alias."""
    from tensorflow.core.framework import types_pb2

    def as_written(proto, like):
        fields = {name: [_text(v) for v in getattr(proto, name)] for name in like if name.endswith("_val")}
        fields |= {"tensor_content_hex": proto.tensor_content.hex()} if proto.tensor_content else {}
        shape = [dim.size for dim in proto.tensor_shape.dim]
        return {"dtype": types_pb2.DataType.Name(proto.dtype), "shape": shape, **fields}

    return set(wanted) == set(given) and all(as_written(given[k], v) == v for k, v in wanted.items())


def _text(value):
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _spec(wanted, spec):
    given = {"name": spec.name, "version": spec.version.value, "signature_name": spec.signature_name}
    return {"signature_name": "", **wanted} == given


def _classes(wanted, given):
    rows = [[{"label": c.label, "score": c.score} for c in row.classes] for row in given]
    return len(wanted) == len(rows) and all(
        len(mine) == len(row) and all(_subset(a, b) for a, b in zip(mine, row)) for mine, row in zip(wanted, rows)
    )


def _results(wanted, given):
    def one(mine, result):
        if set(mine) == {"regressions"}:
            return [each.value for each in result.regression_result.regressions] == mine["regressions"]
        return set(mine) == {"classifications"} and _classes(
            mine["classifications"], result.classification_result.classifications
        )

    return len(wanted) == len(given) and all(one(*pair) for pair in zip(wanted, given))


_CHECKS = {
    # REST
    "http": lambda wanted, seen: seen["http"] == wanted,
    "json": lambda wanted, seen: json.loads(seen["body"]) == wanted,
    "json_subset": lambda wanted, seen: _subset(wanted, json.loads(seen["body"])),
    "error": lambda wanted, seen: _error(seen) == wanted,
    "error_contains": lambda wanted, seen: wanted in _error(seen),
    "body": lambda wanted, seen: seen["body"].decode() == wanted,
    "body_tokens": lambda wanted, seen: [token.decode() for token in _TOKEN.findall(seen["body"])] == wanted,
    "body_contains": lambda wanted, seen: _contains(wanted, seen["body"].decode()),
    "headers": lambda wanted, seen: all(seen["headers"].get(name.lower()) == value for name, value in wanted.items()),
    "must_not": lambda wanted, seen: wanted == "crash the process" and seen["alive"],
    # gRPC
    "status": lambda wanted, seen: seen["status"] == wanted,
    "message": lambda wanted, seen: seen["message"] == wanted,
    "message_contains": lambda wanted, seen: _contains(wanted, seen["message"]),
    "message_length": lambda wanted, seen: len(seen["message"].encode()) == wanted,
    "message_endswith": lambda wanted, seen: seen["message"].endswith(wanted),
    "outputs": lambda wanted, seen: _outputs(wanted, seen["response"].outputs),
    "model_spec": lambda wanted, seen: _spec(wanted, seen["response"].model_spec),
    "sequence_outputs": lambda wanted, seen: seen["sequence"] == wanted,
    "classifications": lambda wanted, seen: _classes(wanted, seen["response"].result.classifications),
    "regressions": lambda wanted, seen: [r.value for r in seen["response"].result.regressions] == wanted,
    "results": lambda wanted, seen: _results(wanted, seen["response"].results),
    "each_result_model_spec_version": lambda wanted, seen: (
        {r.model_spec.version.value for r in seen["response"].results} == {wanted}
    ),
    "metadata_keys": lambda wanted, seen: list(seen["response"].metadata) == wanted,
    "any_type": lambda wanted, seen: (
        {a.type_url.split("/")[-1] for a in seen["response"].metadata.values()} == {wanted}
    ),
    "model_version_status": lambda wanted, seen: seen["versions"] == wanted,
    "then": lambda wanted, seen: seen["then"] == wanted,
    # Commands, folders, warm-up, batching
    "process": lambda wanted, seen: wanted == "exits with failure" and seen["exit_code"] not in (0, None),
    "stderr_contains": lambda wanted, seen: wanted in seen["message"],
    "aspired": lambda wanted, seen: sorted(seen["aspired"]) == sorted(wanted),
    "aspired_then": lambda wanted, seen: seen["aspired_then"] == wanted,
    "count": lambda wanted, seen: len(seen["aspired"]) == wanted,
    "path_used": lambda wanted, seen: {str(k): seen["path_used"][int(k)] for k in wanted} == wanted,
    "load": lambda wanted, seen: seen["load"] == wanted,
    "each_record_runs": lambda wanted, seen: set(seen["runs"]) == {wanted},
    "before": lambda wanted, seen: wanted == "model becomes AVAILABLE" and seen["runs"] == seen["runs_when_available"],
    "model_sees": lambda wanted, seen: seen["model_sees"] == wanted,
    "predict_status": lambda wanted, seen: seen["status"] == wanted,
    "log_contains": lambda wanted, seen: _in_order(wanted, seen["log"]),
    "listed": lambda wanted, seen: seen["listed"] == wanted,
    "failed_requests": lambda wanted, seen: seen["failed_requests"] == wanted,
    "answers": lambda wanted, seen: seen["answers"] == wanted,
    "rows_together": lambda wanted, seen: sorted(seen["rows_together"]) == sorted(wanted),
    "y": lambda wanted, seen: bool(np.isclose(seen["y"], wanted)),
}
_ANSWER = {"http", "json", "json_subset", "error", "error_contains", "body", "body_tokens", "body_contains", "status"}
_ANSWER |= {
    "message",
    "message_contains",
    "message_length",
    "message_endswith",
    "outputs",
    "classifications",
    "regressions",
}
