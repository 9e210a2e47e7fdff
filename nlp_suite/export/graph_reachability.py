"""What of a graph each signature runs."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any


def reachable_ops(meta_graph: Any) -> dict[str, tuple[set[str], set[str]]]:
    """Signature, with `__` before it where it is the loader's own → (ops of the main graph, functions) that it runs.

    What a function calls counts in full: its branches, its loops and the defaults of its arguments.
    """
    graph = meta_graph.graph_def
    nodes = {node.name: node for node in graph.node}
    calls = {function.signature.name: _called(function.node_def) for function in graph.library.function}
    reachable = {}
    for name, signature in meta_graph.signature_def.items():
        outputs = {info.name.split(":")[0] for info in signature.outputs.values()}
        reachable[name] = _run(outputs, nodes, calls)
    return reachable


def functions_only_used_by(meta_graph: Any, signatures: Collection[str]) -> set[str]:
    """The functions that some of these signatures reach, and no other."""
    used_by_them: set[str] = set()
    used_by_others: set[str] = set()
    for name, (_, functions) in reachable_ops(meta_graph).items():
        (used_by_them if name in signatures else used_by_others).update(functions)
    return used_by_them - used_by_others


def _run(outputs: Iterable[str], nodes: Mapping[str, Any], calls: Mapping[str, set[str]]) -> tuple[set[str], set[str]]:
    """Ops and functions that are run for some nodes."""
    seen: set[str] = set()
    waiting = list(outputs)
    while waiting:
        name = waiting.pop()
        if name in seen or name not in nodes:
            continue
        seen.add(name)
        waiting += [source.lstrip("^").split(":")[0] for source in nodes[name].input]
    functions: set[str] = set()
    waiting = list(_called(nodes[name] for name in seen))
    while waiting:
        function = waiting.pop()
        if function not in functions:
            functions.add(function)
            waiting += calls.get(function, ())
    return {nodes[name].op for name in seen}, functions


def _called(nodes: Iterable[Any]) -> set[str]:
    """Functions that the attributes of nodes name."""
    names = set()
    for node in nodes:
        for value in node.attr.values():
            if value.HasField("func"):
                names.add(value.func.name)
            names.update(function.name for function in value.list.func)
    return names
