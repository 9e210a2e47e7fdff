"""What other programs run of a translation model: the encoder once a source, and the decoder a token at a time."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from keras import ops

from nlp_suite.export.parts import WIDER, Part, Tensors, flat, open_sizes, unflat
from nlp_suite.text.text_layer import PAD

STEPS = 2  # that are compared


def parts(model: Any) -> list[Part]:
    """`encoder`: `tokens` of sources → a memory and the first states; `step`: a token, memory and states → logits and states.

    Args:
        model: a `TranslationModel`.
    """

    def encode(tokens: Any) -> tuple[Any, Any]:
        memory = model.encode(tokens)
        return memory, model.initial_state(None, memory)

    def encoder(tensors: Tensors) -> Tensors:
        memory, state = encode(tensors["tokens"])
        return {**flat(memory, "memory"), **flat(state, "state")}

    small, large = (encode(ops.ones((rows, rows + 1), "int32")) for rows in (1, 2))
    trees = dict(zip(("memory", "state"), small))
    inputs: dict[str, Any] = {}
    for (name, tree), other in zip(trees.items(), large):
        inputs |= open_sizes(flat(tree, name), flat(other, name))

    def step(tensors: Tensors) -> Tensors:
        memory, state = (unflat(tree, name, tensors) for name, tree in trees.items())
        logits, after, attention = model.logits_step(tensors["token"], state, memory)
        return {"logits": logits, "attention": attention, **flat(after, "next_state")}

    def sources(given: Mapping[str, np.ndarray]) -> Iterable[Tensors]:
        source = given["source"]
        yield {"tokens": source}
        yield {"tokens": np.pad(source, [(0, 0), (0, WIDER)])}
        yield {"tokens": source[:1, : int((source[0] != PAD).sum())]}

    def steps(given: Mapping[str, np.ndarray]) -> Iterable[Tensors]:
        for rows in (slice(None), slice(1)):
            found = encoder({"tokens": ops.convert_to_tensor(given["source"][rows])})
            for token in given["target_in"][rows].T[:STEPS]:
                call = {"token": token, **found}
                yield call
                after = step(call)
                found |= {name: after[f"next_{name}"] for name in found if name.startswith("state")}

    carried = {f"next_{name}": name for name in inputs if name.startswith("state")}
    return [
        Part(
            "encoder",
            {"tokens": ((None,), "int32")},
            encoder,
            sources,
            says="what `step` reads of sources, which end with END and are padded with 0",
        ),
        Part(
            "step",
            {"token": ((), "int32"), **inputs},
            step,
            steps,
            carried,
            "logits of the token after `token`, which is START at first; the memory is the same in all steps",
        ),
    ]
