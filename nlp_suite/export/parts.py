"""What other programs run of a network: computations with named tensors in and out, without texts and without a search."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from nlp_suite.training.run import Run

Tensors = dict[str, Any]
WIDER = 13  # columns of padding that must change nothing


@dataclass(frozen=True)
class Part:
    """One computation of a network; every tensor has the batch in dim 0.

    Attributes:
        name: what its file is called; empty for the one that is what the network computes.
        inputs: name → sizes after the batch, None where any will do, and dtype.
        call: of tensors by input name those by output name; symbolic tensors (`keras.KerasTensor`), too.
        examples: of `Task.check_inputs` the inputs that it is compared on.
        carried: output → the input that it is in the next call, such as a recurrent state.
        says: one sentence for a person who calls it.
    """

    name: str
    inputs: Mapping[str, tuple[Sequence[int | None], str]]
    call: Callable[[Tensors], Tensors]
    examples: Callable[[Any], Iterable[Tensors]]
    carried: Mapping[str, str] = field(default_factory=dict)
    says: str = ""

    def cases(self, given: Any) -> list[tuple[Tensors, Tensors]]:
        """Inputs with the outputs that the network answers, as NumPy arrays.

        Args:
            given: of `Task.check_inputs`.
        """
        import keras

        def arrays(tensors: Tensors) -> Tensors:
            return {name: keras.ops.convert_to_numpy(tensor) for name, tensor in tensors.items()}

        found = []
        for inputs in self.examples(given):
            tensors = {name: keras.ops.convert_to_tensor(inputs[name], self.inputs[name][1]) for name in self.inputs}
            found.append((arrays(tensors), arrays(self.call(tensors))))
        return found


def parts_of(run: Run, model: Any) -> Sequence[Part]:
    """The parts of a run's network; by default one, token ids int32 `[B, T]` → `logits`."""
    return run.task.parts(model, run.assets) or [network_part(model)]


def network_part(model: Any) -> Part:
    """Token ids int32 `[B, T]`, padded on the right with 0 → `logits`, as the network computes them."""

    def call(tensors: Tensors) -> Tensors:
        return {"logits": model.call(tensors["tokens"])}

    return Part("", {"tokens": ((None,), "int32")}, call, padded_examples, says="logits of token ids, padded with 0")


def padded_examples(tokens: np.ndarray) -> Iterable[Tensors]:
    """Rows `[N, T]` all at once, once more with more padding, and some of them alone without any."""
    yield {"tokens": tokens}
    yield {"tokens": np.pad(tokens, [(0, 0), (0, WIDER)])}
    for row in sorted(tokens, key=lambda row: int((row != 0).sum()))[:: max(1, len(tokens) // 6)]:
        yield {"tokens": row[None, : max(1, int((row != 0).sum()))]}


def flat(tree: Any, name: str) -> Tensors:
    """The tensors of a tree by the way to each, such as `state_blocks_0_key`."""
    if isinstance(tree, Mapping):
        pairs = list(tree.items())
    elif isinstance(tree, list | tuple):
        pairs = list(enumerate(tree))
    else:
        return {name: tree}
    return {key: tensor for step, below in pairs for key, tensor in flat(below, f"{name}_{step}").items()}


def unflat(tree: Any, name: str, tensors: Mapping[str, Any]) -> Any:
    """A tree like `tree` of the tensors that `flat` would call so."""
    if isinstance(tree, Mapping):
        return {step: unflat(below, f"{name}_{step}", tensors) for step, below in tree.items()}
    if isinstance(tree, list | tuple):
        return [unflat(below, f"{name}_{step}", tensors) for step, below in enumerate(tree)]
    return tensors[name]


def open_sizes(small: Tensors, large: Tensors) -> dict[str, tuple[list[int | None], str]]:
    """`Part.inputs` of tensors that were computed of two inputs of different sizes: what differs, or is 0, may be any number."""
    import keras

    found = {}
    for name, tensor in small.items():
        sizes = zip(tensor.shape[1:], large[name].shape[1:], strict=True)
        dtype = keras.backend.standardize_dtype(tensor.dtype)
        found[name] = ([one if one == other and one else None for one, other in sizes], dtype)
    return found
