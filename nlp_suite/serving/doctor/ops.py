"""The doctor's checks of ops: what the server lacks, and which signatures would run it."""

from pathlib import Path
from typing import Any

from nlp_suite.export.graph_reachability import reachable_ops
from nlp_suite.export.op_check import check_ops
from nlp_suite.serving.doctor.checks import Check, verdict
from nlp_suite.serving.doctor.graph import signatures
from nlp_suite.serving.signature_names import DEFAULT_SIGNATURE

_MAIN = "main graph"  # as `check_ops` calls it
_LOADING = "loading"
_KINDS = {  # check: beginnings of the ops' names
    "XLA": ("_XlaMustCompile", "Xla"),
    "cuDNN": ("Cudnn",),
    "Python functions": ("PyFunc", "EagerPyFunc"),
}
_FINE = {
    "ops": "all known to the server",
    "XLA": "no function must be compiled",
    "cuDNN": "none",
    "Python functions": "none",
}
_XLA_FLAG = "starts with --xla_cpu_compilation_enabled (a GPU: --xla_gpu_compilation_enabled)"


def check(folder: Path, meta_graph: Any, server_version: str) -> tuple[list[Check], set[str]]:
    """The checks of all ops, and the signatures that cannot be answered by a server without flags."""
    problems = check_ops(folder, server_version).problems
    reachable = {_LOADING if name.startswith("__") else name: each for name, each in reachable_ops(meta_graph).items()}
    faults: dict[str, list[str]] = {kind: [] for kind in _FINE}
    fatal: set[str] = set()  # kinds that a signature, or loading, meets
    broken: set[str] = set()
    for problem in problems:
        kind = next((kind for kind, names in _KINDS.items() if problem.op.startswith(names)), "ops")
        met = {
            name
            for name, (ops, functions) in reachable.items()
            if functions & set(problem.functions) or (_MAIN in problem.functions and problem.op in ops)
        }
        if kind == "ops" and _MAIN in problem.functions:
            met.add(_LOADING)  # the graph is not even imported
        broken |= met
        users = f"met by {', '.join(sorted(met))}" if met else "met by no signature"
        faults[kind].append(f"{problem}; {users}")
        if met and not (kind == "XLA" and met.isdisjoint({DEFAULT_SIGNATURE, _LOADING})):
            fatal.add(kind)
    if faults["XLA"]:
        faults["XLA"].append(f"these signatures need a server that {_XLA_FLAG}")
    checks = [verdict(kind, faults[kind], fine, False if kind in fatal else None) for kind, fine in _FINE.items()]
    return checks, broken & set(signatures(meta_graph))
