"""The doctor looks at ops: what the server lacks, and which signatures would meet it."""

from pathlib import Path

from nlp_suite.export.op_check import check_ops
from nlp_suite.serving._doctor_checks import Check, verdict
from nlp_suite.serving._doctor_graph import signatures
from nlp_suite.serving.client.base import DEFAULT_SIGNATURE

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
    reach = reached(meta_graph)
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


def reached(meta_graph) -> dict[str, tuple[set[str], set[str]]]:
    """Signature, or `loading` → (ops of the main graph, functions) that it runs.

    What a function calls counts in full: its branches, its loops and the defaults of its arguments.
    """
    graph = meta_graph.graph_def
    nodes = {node.name: node for node in graph.node}
    calls = {f.signature.name: _called(f.node_def) for f in graph.library.function}
    result = {}
    for name, signature in meta_graph.signature_def.items():
        start = {info.name.split(":")[0] for info in signature.outputs.values()}
        whose = _LOADING if name.startswith("__") else name
        result[whose] = _run(start, nodes, calls)
    return result


def _run(start, nodes, calls):
    seen, waiting = set(), list(start)
    while waiting:
        name = waiting.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        waiting += [given.lstrip("^").split(":")[0] for given in nodes[name].input]
    functions, waiting = set(), list(_called(nodes[name] for name in seen))
    while waiting:
        function = waiting.pop()
        if function not in functions:
            functions.add(function)
            waiting += calls.get(function, ())
    return {nodes[name].op for name in seen}, functions


def _called(nodes) -> set[str]:
    """Functions that the attributes of nodes name."""
    names = set()
    for node in nodes:
        for value in node.attr.values():
            if value.HasField("func"):
                names.add(value.func.name)
            names.update(function.name for function in value.list.func)
    return names
