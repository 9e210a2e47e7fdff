"""Recurrent layers as ONNX's own operators LSTM, GRU and RNN, one node a layer, where tf2onnx would write a loop.

The functional model is cut at these layers: what they read becomes further outputs, and what they answer further inputs. Once the
rest is written as ONNX, the operators are put between.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

ACTIVATIONS = {"tanh": "Tanh", "sigmoid": "Sigmoid", "relu": "Relu", "softsign": "Softsign", "softplus": "Softplus"}
GATES = {  # the operator, and Keras's gates in its order
    keras.layers.LSTM: ("LSTM", (0, 3, 1, 2)),
    keras.layers.GRU: ("GRU", (0, 1, 2)),
    keras.layers.SimpleRNN: ("RNN", (0,)),
}


@dataclass(frozen=True)
class Recurrence:
    """A recurrent layer that was cut out.

    Attributes:
        name: unique among those of a model.
        layer: `keras.layers.LSTM`, `GRU`, `SimpleRNN`, or a `Bidirectional` of two.
        reads: `x` `[B, T, E]`, perhaps `mask` `[B, T]` (right-padded) and `state_0`, … `[B, U]`, as tensors of the functional model.
        answers: `y` `[B, T, D]`, and `last_0`, … `[B, U]` where the layer returns states.
    """

    name: str
    layer: Any
    reads: Mapping[str, Any]
    answers: Mapping[str, Any]

    def named(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """`reads` or `answers` under names that no other layer's tensors have."""
        return {f"{self.name}_{key}": tensor for key, tensor in tensors.items()}


def recurrences(plain: Any) -> list[Recurrence]:
    """The layers of a functional model that an operator of ONNX computes; of others, tf2onnx writes loops."""
    found: list[Recurrence] = []
    for layer in plain.layers:
        if not _has_operator(layer):
            continue
        node = layer._inbound_nodes[0]
        (x, *_), given = node.arguments.args, node.arguments.kwargs
        states = given.get("initial_state") or []
        reads = {"x": x, "mask": given.get("mask"), **{f"state_{i}": state for i, state in enumerate(states)}}
        y, *last = node.output_tensors
        answers = {"y": y, **{f"last_{i}": state for i, state in enumerate(last)}}
        reads = {key: tensor for key, tensor in reads.items() if tensor is not None}
        found.append(Recurrence(f"recurrence_{len(found)}", layer, reads, answers))
    return found


def insert(graph: Any, layers: Sequence[Recurrence]) -> None:
    """Puts the operators of layers where an ONNX graph has inputs and outputs in their place.

    Args:
        graph: an `onnx.GraphProto`; its inputs and outputs have the names of `Recurrence.named`.
        layers: what it was cut at.
    """
    inner = {name for layer in layers for side in (layer.reads, layer.answers) for name in layer.named(side)}
    for tensors in (graph.input, graph.output):
        kept = [tensor for tensor in tensors if tensor.name not in inner]
        del tensors[:]
        tensors.extend(kept)
    for layer in layers:
        nodes, weights = _operator(layer)
        graph.node.extend(nodes)
        graph.initializer.extend(weights)
    _sort(graph)


def _directions(layer: Any) -> list[Any]:
    return [layer.forward_layer, layer.backward_layer] if isinstance(layer, keras.layers.Bidirectional) else [layer]


def _has_operator(layer: Any) -> bool:
    directions = _directions(layer)
    return getattr(layer, "merge_mode", "concat") == "concat" and all(
        type(each) in GATES
        and all(function in ACTIVATIONS for function in _activations(each))
        and each.return_sequences
        and not each.stateful
        and each.go_backwards == bool(number)
        for number, each in enumerate(directions)
    )


def _activations(layer: Any) -> list[str]:
    """Keras's names of a cell's functions, in the operator's order."""
    names = ["activation"] if isinstance(layer, keras.layers.SimpleRNN) else ["recurrent_activation", "activation"]
    names += ["activation"] if isinstance(layer, keras.layers.LSTM) else []
    return [getattr(layer.cell, name).__name__ for name in names]


def _weights(layer: Any) -> dict[str, np.ndarray]:
    """W `[G·U, E]`, R `[G·U, U]` and B `[2·G·U]` of one direction."""
    gates, cell = GATES[type(layer)][1], layer.cell

    def ordered(weight: Any) -> np.ndarray:
        parts = np.split(keras.ops.convert_to_numpy(weight), len(gates), axis=-1)
        return np.concatenate([parts[gate] for gate in gates], axis=-1)

    kernel, recurrent = ordered(cell.kernel).T, ordered(cell.recurrent_kernel).T
    biases = np.zeros((2, len(kernel)), kernel.dtype)
    if cell.bias is not None:
        biases[: 2 if len(cell.bias.shape) == 2 else 1] = ordered(cell.bias)
    return {"W": kernel, "R": recurrent, "B": biases.reshape(-1)}


def _operator(of: Recurrence) -> tuple[list[Any], list[Any]]:
    """The nodes of a layer, from tensors with the batch first to such, and their constants."""
    from onnx import helper, numpy_helper

    directions, reads = _directions(of.layer), of.reads
    count, units = len(directions), directions[0].units
    kind, _ = GATES[type(directions[0])]
    constants: dict[str, np.ndarray] = {}
    nodes: list[Any] = []

    def name(key: str) -> str:
        return f"{of.name}_{key}"

    def constant(key: str, value: Any) -> str:
        constants[name(key)] = value if isinstance(value, np.ndarray) else np.array(value, "int64")
        return name(key)

    def add(operator: str, inputs: Sequence[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [name(output)], name(output), **attributes))
        return name(output)

    stacked = [_weights(each) for each in directions]
    weights = [constant(key, np.stack([each[key] for each in stacked])) for key in ("W", "R", "B")]
    length = ""
    if "mask" in reads:
        counted = add("Cast", [name("mask")], "counted", to=6)  # int32
        length = add("ReduceSum", [counted, constant("time", [1])], "length", keepdims=0)
    kinds = 2 if kind == "LSTM" else 1  # of states: h, c
    states = []
    for i in range(kinds if "state_0" in reads else 0):
        ones = [
            add("Unsqueeze", [name(f"state_{i + kinds * d}"), constant("front", [0])], f"first_{i}_{d}")
            for d in range(count)
        ]
        states.append(add("Concat", ones, f"first_{i}", axis=0))  # [D, B, U]
    steps = add("Transpose", [name("x")], "steps", perm=[1, 0, 2])  # [T, B, E]
    every, *ends = outputs = [name(key) for key in ("every", "end_0", "end_1")[: 1 + kinds]]
    attributes: dict[str, Any] = {
        "hidden_size": units,
        "direction": "bidirectional" if count == 2 else "forward",
        "activations": [ACTIVATIONS[function] for each in directions for function in _activations(each)],
    }
    if kind == "GRU":
        attributes["linear_before_reset"] = int(directions[0].reset_after)
    nodes.append(
        helper.make_node(kind, [steps, *weights, length, *states], outputs, name(kind.lower()), **attributes)
    )  # [T, D, B, U], and [D, B, U] each
    by_row = add("Transpose", [every], "by_row", perm=[2, 0, 1, 3])  # [B, T, D, U]
    held = "mask" in reads and not directions[0].zero_output_for_mask
    y = add("Reshape", [by_row, constant("joined", [0, 0, count * units])], "padded" if held else "y")
    if held:  # at padding stands the last output
        seen = add("Unsqueeze", [name("mask"), constant("behind", [2])], "seen")
        last = add("Transpose", [ends[0]], "last_row", perm=[1, 0, 2])  # [B, 1, U]
        add("Where", [seen, y, last], "y")
    for i in range(len(of.answers) - 1):
        direction, state = divmod(i, kinds)
        taken = constant(f"direction_{direction}", np.array(direction, "int64"))
        add("Gather", [ends[state], taken], f"last_{i}", axis=0)
    return nodes, [numpy_helper.from_array(value, key) for key, value in constants.items()]


def _sort(graph: Any) -> None:
    """Puts the nodes in an order in which all are computed before they are read, which ONNX demands."""
    waiting = list(graph.node)
    made = {tensor for node in waiting for tensor in node.output}
    known: set[str] = set()
    ordered: list[Any] = []
    while waiting:
        ready = [node for node in waiting if not (_read(node) & made) - known]
        if not ready:
            raise ValueError("the ONNX graph has a cycle")
        ordered += ready
        known |= {tensor for node in ready for tensor in node.output}
        waiting = [node for node in waiting if not set(node.output) <= known]
    del graph.node[:]
    graph.node.extend(ordered)


def _read(node: Any) -> set[str]:
    """Names of the tensors that a node reads, also in the graphs within it."""
    return set(node.input).union(
        *(_read(inner) for a in node.attribute for graph in (a.g, *a.graphs) for inner in graph.node)
    )
