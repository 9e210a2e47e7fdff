"""The doctor looks at ops: what the server lacks, and which signatures would meet it."""

from pathlib import Path

from nlp_suite.export.graph_reachability import reached
from nlp_suite.export.op_check import check_ops
from nlp_suite.serving.client.base import DEFAULT_SIGNATURE
from nlp_suite.serving.doctor_checks import Check, verdict
from nlp_suite.serving.doctor_graph import signatures

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


def check(folder: Path, meta_graph, server_version: str) -> tuple[list[Check], set[str]]:
    """The checks of all ops, and the signatures that cannot be answered by a server without flags."""
    problems = check_ops(folder, server_version).problems
    reach = {_LOADING if name.startswith("__") else name: each for name, each in reached(meta_graph).items()}
    faults: dict[str, list] = {kind: [] for kind in _FINE}
    grave: set[str] = set()  # kinds that a signature, or loading, meets
    broken: set[str] = set()
    for problem in problems:
        kind = next((kind for kind, names in _KINDS.items() if problem.op.startswith(names)), "ops")
        met = {
            name
            for name, (ops, functions) in reach.items()
            if functions & set(problem.functions) or (_MAIN in problem.functions and problem.op in ops)
        }
        if kind == "ops" and _MAIN in problem.functions:
            met.add(_LOADING)  # the graph is not even imported
        broken |= met
        where = f"met by {', '.join(sorted(met))}" if met else "met by no signature"
        faults[kind].append(f"{problem}; {where}")
        if met and not (kind == "XLA" and met.isdisjoint({DEFAULT_SIGNATURE, _LOADING})):
            grave.add(kind)
    if faults["XLA"]:
        faults["XLA"].append(f"these signatures need a server that {_XLA_FLAG}")
    checks = [verdict(kind, faults[kind], fine, False if kind in grave else None) for kind, fine in _FINE.items()]
    return checks, broken & set(signatures(meta_graph))
