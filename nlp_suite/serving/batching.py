"""A signature whose requests run together: TensorFlow's batch scheduler, put around the signature's part of the graph.

`BatchFunction` calls a function on the rows of several requests at once. The function here is the part of the graph
between a signature's inputs and outputs; variables and tables stay where they are and are passed in.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from nlp_suite.serving.batching_parameters import BatchingParameters
from nlp_suite.serving.status import invalid_argument

_POOL = "nlp_suite"  # all queues of a session share its threads


class BatchedSignature:
    """Adds a batched form of a signature to the default graph.

    Args:
        definition: the `SignatureDef`.
        outputs: aliases of the outputs that this form answers.
        parameters: the batching parameters.
        queue: the queue's name: one for each model, version, signature and set of outputs, or they would answer for each
            other.

    Raises:
        NotImplementedError: the graph has reference variables (of TF 1), which cannot be passed to a function.

    Attributes:
        sources: alias → where an array is fed.
        targets: alias → where the answer is fetched.
    """

    def __init__(self, definition: Any, outputs: list[str], parameters: BatchingParameters, queue: str):
        import tensorflow as tf

        graph = tf.compat.v1.get_default_graph()
        self._inputs = {alias: graph.get_tensor_by_name(info.name) for alias, info in definition.inputs.items()}
        self._row_shapes = {
            alias: [dim.size for dim in info.tensor_shape.dim][1:]
            for alias, info in definition.inputs.items()
            if not info.tensor_shape.unknown_rank
        }
        self._pads, self._max_rows = parameters.pad_variable_length_inputs, parameters.max_batch_size
        fetches = [definition.outputs[alias].name for alias in outputs]
        padded = {t.name for alias, t in self._inputs.items() if self._pads and -1 in self._row_shapes.get(alias, [])}
        function, resources = _function(tf, graph, list(self._inputs.values()), fetches, padded)
        batched_tensors, placeholders = [], {}
        for alias, tensor in self._inputs.items():
            placeholder = placeholders[alias] = tf.compat.v1.placeholder(tensor.dtype, tensor.shape)
            batched_tensors.extend(_pack(tf, placeholder) if tensor.name in padded else [placeholder])
        answers = tf.raw_ops.BatchFunction(
            in_tensors=batched_tensors,
            captured_tensors=resources,
            f=function,
            Tout=[graph.get_tensor_by_name(name).dtype for name in fetches],
            num_batch_threads=parameters.num_batch_threads,
            max_batch_size=parameters.max_batch_size,
            batch_timeout_micros=parameters.batch_timeout_micros,
            max_enqueued_batches=parameters.max_enqueued_batches,
            allowed_batch_sizes=_allowed_sizes(parameters),
            enable_large_batch_splitting=parameters.enable_large_batch_splitting,
            shared_name=_POOL,
            batching_queue=queue,
        )
        self.sources = {alias: tensor._as_tf_output() for alias, tensor in placeholders.items()}
        self.targets = {alias: tensor._as_tf_output() for alias, tensor in zip(outputs, answers)}

    def accepts(self, feeds: dict[str, np.ndarray]) -> bool:
        """Whether requests of these shapes can share a batch.

        Those with free dimensions do with requests of the same shape. Unless they are padded, a batch of several shapes
        fails before it runs, and each of its requests is then to run alone.

        Raises:
            ServingError: an array that could never be in a batch: without rows or with too many, of another type or shape
                than the signature says, or with another number of rows than the other inputs.
        """
        row_counts = {len(array) if array.ndim else None for array in feeds.values()}
        if None in row_counts:
            raise invalid_argument("Batching Run() input tensors must have at least one dimension")
        if len(row_counts) > 1:
            raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
        rows = row_counts.pop() if row_counts else 0
        if not rows:
            return False
        if rows > self._max_rows:
            raise invalid_argument(f"Task size {rows} is larger than maximum input batch size {self._max_rows}")
        accepted = True
        for number, (alias, tensor) in enumerate(self._inputs.items()):
            array, expected = feeds[alias], tensor.dtype
            dtype = "string" if array.dtype == object else array.dtype.name
            if dtype != expected.name:
                raise invalid_argument(
                    f"Expects arg[{number}] to be {_cpp(expected.name)} but {_cpp(dtype)} is provided"
                )
            row_shape = self._row_shapes.get(alias)
            if row_shape is None:
                accepted = False
            elif len(row_shape) != array.ndim - 1:
                return False  # the graph decides whether it can work with another rank
            elif any(fixed not in (-1, size) for fixed, size in zip(row_shape, array.shape[1:])):
                raise invalid_argument(
                    f"input {alias} has shape {list(array.shape)}; the signature says "
                    f"{['?', *('?' if size < 0 else size for size in row_shape)]}"
                )
            elif self._pads and -1 in row_shape:
                accepted = accepted and array.size > 0
        return accepted


def _allowed_sizes(parameters: BatchingParameters) -> list[int]:
    """As the op takes them: the last is the largest number of rows that it runs at once, where it splits requests."""
    sizes, largest = list(parameters.allowed_batch_sizes), parameters.largest_execution
    return sizes or ([] if largest == parameters.max_batch_size else list(range(1, largest + 1)))


def _cpp(name: str) -> str:
    """A type's name in C++ TensorFlow."""
    return {"float32": "float", "float64": "double", "float16": "half"}.get(name, name)


def _pack(tf: Any, tensor: Any) -> list[Any]:
    """A tensor as rows that can be concatenated whatever their shapes: variants `[B]`, and the element that pads, `[B]`."""
    ragged = tf.RaggedTensor.from_tensor(tensor, ragged_rank=tensor.shape.rank - 1)
    first = tf.fill(tf.shape(tensor)[:1], tf.reshape(tensor, [-1])[0])
    return [ragged._to_variant(batched_input=True), first]


def _unpack(tf: Any, rows: Any, padding: Any, dtype: Any, rank: int) -> Any:
    """The dense tensor of packed rows, each padded with the first element of the tensor that it came from."""
    ragged = tf.RaggedTensor._from_variant(rows, dtype, output_ragged_rank=rank - 1, input_ragged_rank=rank - 2)
    dense = ragged.to_tensor()  # [B, …]
    filled = ragged.with_flat_values(tf.ones_like(ragged.flat_values, tf.bool)).to_tensor(False)
    return tf.where(filled, dense, tf.reshape(padding, [-1, *[1] * (rank - 1)]))


def _function(
    tf: Any, graph: Any, inputs: Sequence[Any], fetches: Sequence[str], padded: set[str]
) -> tuple[Any, list[Any]]:
    """The graph between inputs and fetches as a function of inputs and resources; and the resources.

    Inputs whose name is in `padded` come as `_pack` makes them.
    """
    subgraph, resource_names = _subgraph(tf, graph, [tensor.name for tensor in inputs], fetches)
    resources = [graph.get_tensor_by_name(name) for name in resource_names]
    specs = []
    for tensor in inputs:
        packed = [tf.TensorSpec([None], tf.variant), tf.TensorSpec([None], tensor.dtype)]
        specs += packed if tensor.name in padded else [tf.TensorSpec(tensor.shape, tensor.dtype)]
    specs += [tf.TensorSpec([], tf.resource)] * len(resources)
    read = {name for node in subgraph.node for name in node.input}

    @tf.function(input_signature=specs, autograph=False)  # type: ignore[untyped-decorator]
    def rows_of_several_requests(*arguments: Any) -> list[Any]:
        remaining, dense = iter(arguments), []
        for tensor in inputs:
            rows = next(remaining)
            if tensor.name in padded:
                rows = _unpack(tf, rows, next(remaining), tensor.dtype, tensor.shape.rank)
            dense.append(rows)
        tensors = dict(zip([tensor.name for tensor in [*inputs, *resources]], [*dense, *remaining]))
        input_map = {name: tensor for name, tensor in tensors.items() if {name, name.removesuffix(":0")} & read}
        computed = [name for name in fetches if name not in tensors]
        answers = tf.graph_util.import_graph_def(subgraph, input_map=input_map, return_elements=computed, name="")
        tensors |= dict(zip(computed, answers))
        return [tf.identity(tensors[name]) for name in fetches]

    return rows_of_several_requests.get_concrete_function(), resources


def _subgraph(tf: Any, graph: Any, inputs: Iterable[str], fetches: Iterable[str]) -> tuple[Any, list[str]]:
    """The GraphDef of what `fetches` need, without `inputs`, resources and what only they need; the resources' names."""
    operations, resources, seen = set(), [], set(inputs)
    pending = [graph.get_tensor_by_name(name) for name in fetches]
    while pending:
        tensor = pending.pop()
        if tensor.name in seen:
            continue
        seen.add(tensor.name)
        if tensor.dtype == tf.resource:
            resources.append(tensor.name)
            continue
        if tensor.dtype._is_ref_dtype:
            raise NotImplementedError(f"{tensor.op.name!r} is a reference variable")
        required = {tensor.op}
        while required:
            operation = required.pop()
            if operation not in operations:
                operations.add(operation)
                pending.extend(operation.inputs)
                required.update(operation.control_inputs)
    names = {operation.name for operation in operations}
    complete = graph.as_graph_def()
    subgraph = tf.compat.v1.GraphDef(versions=complete.versions, library=complete.library)
    subgraph.node.extend(node for node in complete.node if node.name in names)
    return subgraph, sorted(resources)
