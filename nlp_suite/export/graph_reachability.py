"""What of a graph each signature runs."""


def reached(meta_graph) -> dict[str, tuple[set[str], set[str]]]:
    """Signature, with `__` before it where it is the loader's own → (ops of the main graph, functions) that it runs.

    What a function calls counts in full: its branches, its loops and the defaults of its arguments.
    """
    graph = meta_graph.graph_def
    nodes = {node.name: node for node in graph.node}
    calls = {f.signature.name: _called(f.node_def) for f in graph.library.function}
    result = {}
    for name, signature in meta_graph.signature_def.items():
        start = {info.name.split(":")[0] for info in signature.outputs.values()}
        result[name] = _run(start, nodes, calls)
    return result


def functions_of_only(meta_graph, signatures) -> set[str]:
    """The functions that some of these signatures reach, and no other."""
    own, others = set(), set()
    for name, (_, functions) in reached(meta_graph).items():
        (own if name in signatures else others).update(functions)
    return own - others


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
