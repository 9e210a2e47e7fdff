"""What other programs run of a language model: the logits of whole texts, and one token at a time."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from nlp_suite.export.parts import Part, Tensors, flat, open_sizes, unflat

STEPS = 2  # that are compared


def parts(model: Any) -> list[Part]:
    """`tokens` → `logits`; and, as `step`, one token of every row and states, which begin as zeros.

    Args:
        model: a `LanguageModel`.
    """

    def whole(tensors: Tensors) -> Tensors:
        return {"logits": model.logits(tensors["tokens"])}  # [B, T, V]

    def windows(tokens: np.ndarray) -> Iterable[Tensors]:
        yield {"tokens": tokens}
        yield from ({"tokens": tokens[:1, :width]} for width in (1, 2, tokens.shape[1] - 1) if width)

    one, two = (model.initial_state(rows) for rows in (1, 2))
    inputs = open_sizes(flat(one, "state"), flat(two, "state"))

    def step(tensors: Tensors) -> Tensors:
        logits, after = model.logits_step(tensors["token"], unflat(one, "state", tensors))
        return {"logits": logits, **flat(after, "next_state")}  # [B, V]

    def steps(tokens: np.ndarray) -> Iterable[Tensors]:
        for rows in (tokens, tokens[:1]):
            state = flat(model.initial_state(len(rows)), "state")
            for token in rows.T[:STEPS]:
                given = {"token": token, **state}
                yield given
                after = step(given)
                state = {name: after[f"next_{name}"] for name in state}

    carried = {f"next_{name}": name for name in inputs}
    return [
        Part("", {"tokens": ((None,), "int32")}, whole, windows, says="logits of the token after each of `tokens`"),
        Part(
            "step",
            {"token": ((), "int32"), **inputs},
            step,
            steps,
            carried,
            "logits of what follows `token`; the first states are zeros",
        ),
    ]
