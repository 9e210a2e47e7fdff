"""A functional Keras model as an ONNX graph, by tf2onnx and ONNX's recurrent operators, with its tensors' names and open sizes."""

import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from nlp_suite.errors import ExportError
from nlp_suite.export.formats.onnx_recurrence import insert, recurrences
from nlp_suite.export.parts import Part


def write_onnx(plain: Any, part: Part, outputs: Sequence[str], file: Path, opset: int) -> None:
    """Writes a functional model of stock layers (`nlp_suite.export.plain_model`) as an ONNX file.

    Args:
        plain: the model.
        part: what it was made of.
        outputs: names of what it answers.
        file: is written.
        opset: version of ONNX's operators.

    Raises:
        ExportError: an op that ONNX lacks, or a graph that asks for more than the part's inputs.
    """
    import keras
    import onnx
    import tensorflow as tf
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    layers = recurrences(plain)
    inputs, answers = _named(plain.input, part.inputs), _named(plain.output, outputs)
    for layer in layers:
        inputs |= layer.named(layer.answers)
        answers |= layer.named(layer.reads)
    ends = [keras.layers.Identity()(tensor) for tensor in answers.values()]  # none is another, or an input
    cut = keras.Model(list(inputs.values()), ends)
    specs = [tf.TensorSpec(tensor.shape, tensor.dtype, name) for name, tensor in inputs.items()]

    def call(*tensors: Any) -> list[Any]:
        return [tf.identity(tensor) for tensor in keras.tree.flatten(cut(list(tensors), training=False))]

    try:
        with _quiet():
            patch_tf2onnx()  # for NumPy 2
            function = tf.function(call, specs, autograph=False)
            handlers: dict[str, Any] = {"Erfc": (_complement_of_erf, [])}  # of an exact GELU; ONNX has no such operator
            proto, _ = tf2onnx.convert.from_function(function, specs, opset=opset, custom_op_handlers=handlers)
    except Exception as error:  # tf2onnx has no class of its own for what it lacks
        raise ExportError(f"tf2onnx cannot write {part.name or 'the network'} as ONNX: {error}") from error
    graph = proto.graph
    asked = [tensor.name.split(":")[0] for tensor in graph.input]
    _rename(graph, {tensor.name: name for tensor, name in zip(graph.input, asked)})
    _rename(graph, {tensor.name: name for tensor, name in zip(graph.output, answers, strict=True)})
    if layers:
        insert(graph, layers)
    if lost := sorted(set(asked) - set(inputs)):
        raise ExportError(f"the ONNX graph asks for {lost}, constants of the network that were lost on the way")
    if unread := sorted(set(part.inputs) - set(asked)):
        raise ExportError(f"the ONNX graph does not read {unread}")
    for tensor in (*graph.input, *graph.output):
        for axis, size in enumerate(tensor.type.tensor_type.shape.dim):
            if not size.HasField("dim_value") or (not axis and tensor.name in part.inputs):
                size.dim_param = "batch" if not axis else f"{tensor.name}_{axis}"
    try:
        onnx.checker.check_model(proto)
    except onnx.checker.ValidationError as error:
        raise ExportError(f"{part.name or 'the network'} has an operation that ONNX lacks: {error}") from None
    onnx.save(proto, str(file))


def _complement_of_erf(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """erfc(x) = 1 - erf(x), as tf2onnx wants the making of an operator."""
    erf = graph.make_node(
        "Erf", node.input, shapes=[graph.get_shape(node.input[0])], dtypes=[graph.get_dtype(node.input[0])]
    )
    one = graph.make_const(f"{name}_one", np.array(1, "float32"))
    node.type, node.domain = "Sub", ""
    graph.replace_inputs(node, [one.output[0], erf.output[0]])


def _named(tensors: Any, names: Iterable[str]) -> dict[str, Any]:
    """One tensor, or a dict of several, by their names."""
    return {name: tensors[name] if isinstance(tensors, dict) else tensors for name in names}


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the warnings of TensorFlow's old functions and NumPy's old names that tf2onnx uses."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)


def _rename(graph: Any, names: Mapping[str, str]) -> None:
    """Gives tensors other names, also where graphs within the graph, such as loops, read them."""
    if clash := {name for tensors in _tensors(graph) for name in tensors} & (set(names.values()) - set(names)):
        raise ExportError(
            f"the ONNX graph has tensors {sorted(clash)} of its own, which are names of the network's outputs"
        )
    for tensors in _tensors(graph):
        for i, name in enumerate(tensors):
            tensors[i] = names.get(name, name)
    for tensor in (*graph.input, *graph.output):
        tensor.name = names.get(tensor.name, tensor.name)


def _tensors(graph: Any) -> Iterator[Any]:
    """The lists of names of all nodes' inputs and outputs."""
    for node in graph.node:
        yield from (node.input, node.output)
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs):
                yield from _tensors(inner)


def check_packages() -> None:
    """Finds out whether the packages that an export needs are there; tf2onnx, which imports TensorFlow, without importing it.

    Raises:
        ExportError: one is not installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401

        version("tf2onnx")
    except ImportError as error:  # `PackageNotFoundError` is one
        raise ExportError(
            f"a package that an ONNX export needs cannot be imported ({error}): install the extra, pip install 'nlp-suite[onnx]'"
        ) from error
