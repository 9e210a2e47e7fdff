"""A signature whose requests run together: TensorFlow's own batch scheduler, put around the signature's part of the graph.

`BatchFunction` calls a function on the rows of several requests at once. The function here is the part of the graph
between a signature's inputs and outputs; variables and tables stay where they are and are passed in.
"""

import numpy as np

from nlp_suite.serving.batching_parameters import BatchingParameters
from nlp_suite.serving.status import Code, ServingError

_POOL = "nlp_suite"  # all queues of a session share its threads


class BatchedSignature:
    """Adds a batched form of a signature to the default graph.

    Args:
        definition: the `SignatureDef`.
        outputs: aliases of the outputs that this form answers.
        parameters: the batching parameters.
        queue: the queue's name: one a model, version, signature and set of outputs, or they would answer for each other.

    Raises:
        NotImplementedError: the graph has reference variables (of TF 1), which cannot be passed to a function.

    Attributes:
        sources: alias → where an array is fed.
        targets: alias → where the answer is fetched.
    """

    def __init__(self, definition, outputs: list[str], parameters: BatchingParameters, queue: str):
        import tensorflow as tf

        graph = tf.compat.v1.get_default_graph()
        self._inputs = {alias: graph.get_tensor_by_name(info.name) for alias, info in definition.inputs.items()}
        self._fixed = {
            alias: [dim.size for dim in info.tensor_shape.dim][1:]
            for alias, info in definition.inputs.items()
            if not info.tensor_shape.unknown_rank
        }
        self._padding, self._most_rows = parameters.pad_variable_length_inputs, parameters.max_batch_size
        fetches = [definition.outputs[alias].name for alias in outputs]
        padded = {t.name for alias, t in self._inputs.items() if self._padding and -1 in self._fixed.get(alias, [])}
        function, resources = _function(tf, graph, list(self._inputs.values()), fetches, padded)
        places, fed = [], {}
        for alias, tensor in self._inputs.items():
            fed[alias] = tf.compat.v1.placeholder(tensor.dtype, tensor.shape)
            places.extend(_packed(tf, fed[alias]) if tensor.name in padded else [fed[alias]])
        answers = tf.raw_ops.BatchFunction(
            in_tensors=places,
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
        self.sources = {alias: tensor._as_tf_output() for alias, tensor in fed.items()}
        self.targets = {alias: tensor._as_tf_output() for alias, tensor in zip(outputs, answers)}

    def takes(self, feeds: dict[str, np.ndarray]) -> bool:
        """Whether requests of these shapes can share a batch; those with free dimensions cannot, unless they are padded.

        Raises:
            ServingError: an array that could never be in a batch: without rows or with too many, of another type or shape
                than the signature says, or with other rows than its neighbours.
        """
        sizes = {len(array) if array.ndim else None for array in feeds.values()}
        if None in sizes:
            raise _invalid("Batching Run() input tensors must have at least one dimension")
        if len(sizes) > 1:
            raise _invalid("Batching Run() input tensors must have equal 0th-dimension size")
        rows = sizes.pop() if sizes else 0
        if not rows:
            return False
        if rows > self._most_rows:
            raise _invalid(f"Task size {rows} is larger than maximum input batch size {self._most_rows}")
        same = True
        for number, (alias, tensor) in enumerate(self._inputs.items()):
            array, wanted = feeds[alias], tensor.dtype
            given = "string" if array.dtype == object else array.dtype.name
            if given != wanted.name:
                raise _invalid(f"Expects arg[{number}] to be {_cpp(wanted.name)} but {_cpp(given)} is provided")
            fixed = self._fixed.get(alias)
            if fixed is None:
                same = False
            elif len(fixed) != array.ndim - 1:
                return False  # the graph itself says whether it can do with another rank
            elif any(size not in (-1, here) for size, here in zip(fixed, array.shape[1:])):
                raise _invalid(
                    f"input {alias} has shape {list(array.shape)}; the signature says "
                    f"{['?', *('?' if size < 0 else size for size in fixed)]}"
                )
            elif any(size < 0 for size in fixed):
                same = same and self._padding and array.size > 0
        return same


def _allowed_sizes(parameters):
    """As the op takes them: the last is the most rows that it runs at once, where it splits requests."""
    sizes, largest = list(parameters.allowed_batch_sizes), parameters.largest_execution
    return sizes or ([] if largest == parameters.max_batch_size else list(range(1, largest + 1)))


def _invalid(message):
    return ServingError(Code.INVALID_ARGUMENT, message)


def _cpp(name: str) -> str:
    """A type's name in C++ TensorFlow."""
    return {"float32": "float", "float64": "double", "float16": "half"}.get(name, name)


def _packed(tf, tensor):
    """A tensor as rows that can be put together whatever their shapes: variants `[B]`, and the element that pads, `[B]`."""
    ragged = tf.RaggedTensor.from_tensor(tensor, ragged_rank=tensor.shape.rank - 1)
    first = tf.fill(tf.shape(tensor)[:1], tf.reshape(tensor, [-1])[0])
    return [ragged._to_variant(batched_input=True), first]


def _unpacked(tf, rows, first, dtype, rank):
    """The dense tensor of `_packed` rows, each padded with the first element of the tensor that it came from."""
    ragged = tf.RaggedTensor._from_variant(rows, dtype, output_ragged_rank=rank - 1, input_ragged_rank=rank - 2)
    dense = ragged.to_tensor()  # [B, …]
    there = ragged.with_flat_values(tf.ones_like(ragged.flat_values, tf.bool)).to_tensor(False)
    return tf.where(there, dense, tf.reshape(first, [-1, *[1] * (rank - 1)]))


def _function(tf, graph, inputs, fetches, padded):
    """The graph between inputs and fetches as a function of inputs and resources; and the resources.

    Inputs whose name is in `padded` come as `_packed` makes them.
    """
    part, resources = _part(tf, graph, [tensor.name for tensor in inputs], fetches)
    resources = [graph.get_tensor_by_name(name) for name in resources]
    specs = []
    for tensor in inputs:
        rows = [tf.TensorSpec([None], tf.variant), tf.TensorSpec([None], tensor.dtype)]
        specs += rows if tensor.name in padded else [tf.TensorSpec(tensor.shape, tensor.dtype)]
    specs += [tf.TensorSpec([], tf.resource)] * len(resources)
    named = {name for node in part.node for name in node.input}

    @tf.function(input_signature=specs, autograph=False)
    def rows_of_several_requests(*given):
        given, fed = list(given), []
        for tensor in inputs:
            first, *rest = (given.pop(0) for _ in range(1 + (tensor.name in padded)))
            fed.append(_unpacked(tf, first, *rest, tensor.dtype, tensor.shape.rank) if rest else first)
        places = dict(zip([tensor.name for tensor in [*inputs, *resources]], [*fed, *given]))
        used = {name: place for name, place in places.items() if {name, name.removesuffix(":0")} & named}
        made = [name for name in fetches if name not in places]
        answers = tf.graph_util.import_graph_def(part, input_map=used, return_elements=made, name="")
        places |= dict(zip(made, answers))
        return [tf.identity(places[name]) for name in fetches]

    return rows_of_several_requests.get_concrete_function(), resources


def _part(tf, graph, inputs, fetches):
    """The GraphDef of what `fetches` need, without `inputs`, resources and what only they need; the resources' names."""
    operations, resources, seen = set(), [], set(inputs)
    waiting = [graph.get_tensor_by_name(name) for name in fetches]
    while waiting:
        tensor = waiting.pop()
        if tensor.name in seen:
            continue
        seen.add(tensor.name)
        if tensor.dtype == tf.resource:
            resources.append(tensor.name)
            continue
        if tensor.dtype._is_ref_dtype:
            raise NotImplementedError(f"{tensor.op.name!r} is a reference variable")
        before = {tensor.op}
        while before:
            operation = before.pop()
            if operation not in operations:
                operations.add(operation)
                waiting.extend(operation.inputs)
                before.update(operation.control_inputs)
    resources.sort()
    names = {operation.name for operation in operations}
    whole = graph.as_graph_def()
    part = tf.compat.v1.GraphDef(versions=whole.versions, library=whole.library)
    part.node.extend(node for node in whole.node if node.name in names)
    return part, resources
