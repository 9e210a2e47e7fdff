"""Can a stock TensorFlow Serving of a given version run a SavedModel? Decided from its list of ops, without a server.

The server says so itself only when a request arrives: an unknown op or a function that XLA must compile loads and then
fails on the first call.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nlp_suite.errors import ExportError
from nlp_suite.export import server_ops
from nlp_suite.export.graph_reachability import functions_only_used_by

MUST_COMPILE = "_XlaMustCompile"  # attribute of functions, and of calls to them, that only XLA can run


@dataclass(frozen=True)
class OpProblem:
    """One thing that the server cannot run: the op (or function), why, and in which functions it stands."""

    op: str
    reason: str
    functions: tuple[str, ...] = ()

    def __str__(self) -> str:
        shown = ", ".join(self.functions[:3]) + (", …" if len(self.functions) > 3 else "")
        return f"{self.op}: {self.reason}" + (f" (in {shown})" if shown else "")


@dataclass(frozen=True)
class OpReport:
    """The ops of a SavedModel held against a server version.

    Attributes:
        server_version: the version that was asked for, such as `"2.19"`.
        tensorflow_version: the TensorFlow that wrote the SavedModel.
        ops: op → how often it stands in the graph and its functions.
        problems: what that server cannot run; empty if it can run all.
    """

    server_version: str
    tensorflow_version: str
    ops: dict[str, int]
    problems: list[OpProblem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the server can run all of it."""
        return not self.problems

    def as_dict(self) -> dict[str, Any]:
        """The report for `assets.extra/ops.json`."""
        return {
            "server_version": self.server_version,
            "tensorflow_version": self.tensorflow_version,
            "missing": [{"op": p.op, "reason": p.reason, "functions": list(p.functions)} for p in self.problems],
            "ops": self.ops,
        }

    def refuse(self) -> None:
        """Raises `ExportError` naming every op that the server lacks; does nothing if there is none."""
        if self.problems:
            lines = "\n".join(f"  {problem}" for problem in self.problems)
            raise ExportError(f"TensorFlow Serving {self.server_version} cannot run this model:\n{lines}")


def server_version(text: str) -> tuple[int, int]:
    """`"2.19"` → `(2, 19)`. Raises `ExportError` for what is none, or a version whose ops are not known."""
    oldest, newest = (".".join(map(str, version)) for version in (server_ops.OLDEST, server_ops.NEWEST))
    try:
        major, minor = (int(part) for part in str(text).split(".")[:2])
    except ValueError:
        raise ExportError(f"server version {text!r}: write it as {newest} (known: {oldest} to {newest})") from None
    if not server_ops.OLDEST <= (major, minor) <= server_ops.NEWEST:
        raise ExportError(f"server version {text!r}: the ops of {oldest} to {newest} are known")
    return major, minor


def check_ops(path: str | Path, server: str = "2.19", compiled: tuple[str, ...] = ()) -> OpReport:
    """Reads `saved_model.pb` in `path` and holds its ops against what TensorFlow Serving `server` has.

    Looks at the graphs and at all functions, reached or not.

    Args:
        path: folder of a SavedModel.
        server: version of TensorFlow Serving.
        compiled: signatures that stand beside the others for a server with XLA: what only they run may need it.

    Raises:
        ExportError: no SavedModel in `path`, or an unknown server version.

    Example:
        >>> check_ops("saved_models/imdb/1", "2.19").ok
        True
    """
    version = server_version(server)
    saved_model = _read(Path(path))
    counts: Counter[str] = Counter()  # op → number
    places: defaultdict[str, set[str]] = defaultdict(set)  # op → functions
    for meta_graph in saved_model.meta_graphs:
        _count("main graph", meta_graph.graph_def.node, counts, places)
        for function in meta_graph.graph_def.library.function:
            _count(function.signature.name, function.node_def, counts, places)
            if _must_compile(function):
                places[MUST_COMPILE].add(function.signature.name)
        places[MUST_COMPILE] -= functions_only_used_by(meta_graph, compiled)
    if not places[MUST_COMPILE]:
        del places[MUST_COMPILE]
    reasons = {op: _missing(op, version) for op in sorted(places)}
    problems = [OpProblem(op, reason, tuple(sorted(places[op]))) for op, reason in reasons.items() if reason]
    written_by = saved_model.meta_graphs[0].meta_info_def.tensorflow_version if saved_model.meta_graphs else ""
    return OpReport(str(server), written_by, dict(sorted(counts.items())), problems)


def _read(path: Path) -> Any:
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf import saved_model_pb2

    file = path / "saved_model.pb"
    if not file.is_file():
        raise ExportError(f"{str(path)!r} holds no SavedModel (there is no saved_model.pb)")
    try:
        return saved_model_pb2.SavedModel.FromString(file.read_bytes())
    except DecodeError as error:
        raise ExportError(f"{str(file)!r} is no SavedModel: {error}") from None


def _count(name: str, nodes: Iterable[Any], counts: Counter[str], places: Mapping[str, set[str]]) -> None:
    for node in nodes:
        counts[node.op] += 1
        places[node.op].add(name)
        if _must_compile(node):
            places[MUST_COMPILE].add(name)


def _must_compile(node_or_function: Any) -> bool:
    return MUST_COMPILE in node_or_function.attr and bool(node_or_function.attr[MUST_COMPILE].b)


def _missing(op: str, version: tuple[int, int]) -> str | None:
    """Why the server lacks an op, or `None` if it has it."""
    for beginning, reason in server_ops.REFUSED.items():
        if op.startswith(beginning):
            return reason
    if op == MUST_COMPILE:
        return "made with jit_compile=True; a stock server has XLA switched off"
    if op in server_ops.TEXT_OPS or op.startswith(server_ops.DECISION_FORESTS):
        return None
    if op in server_ops.TEXT_OPS_SINCE_2_20:
        return None if version >= (2, 20) else "a TF Text op that servers have from 2.20 on"
    first = server_ops.FIRST_VERSION.get(op, (0, 0))
    if version < first:
        return f"an op that TensorFlow has from {first[0]}.{first[1]} on"
    return None if _is_core(op) else "neither an op of TensorFlow nor of TF Text"


def _is_core(op: str) -> bool:
    from tensorflow.python.framework import op_def_registry

    return ">" not in op and op_def_registry.get(op) is not None
