"""Reading prompts of different lengths, after which all rows of a batch generate in step."""

import keras
from keras import ops


def read_prompt(step, state, prompt, prompt_length):
    """Feeds all but the last token of each row's prompt.

    What `step` says of the next token is not used here; a compiled graph does not compute it.

    Args:
        step: `step(tokens int32 [B], state) -> (anything, state)`.
        state: any tree of tensors with the batch in dim 0 of every leaf.
        prompt: int32 `[B, P]`, right-padded with anything; P is at least 1.
        prompt_length: int32 `[B]`; below 1 it counts as 1, above P as P.

    Returns:
        The state of each row before its last prompt token, and that token, int32 `[B]`.
    """
    prompt = ops.cast(prompt, "int32")  # [B, P]
    if prompt.shape[1] == 1:
        return state, prompt[:, 0]
    last = ops.clip(ops.cast(prompt_length, "int32"), 1, ops.shape(prompt)[1]) - 1  # [B]

    def read_in_all_rows(time, state):
        return time + 1, step(ops.take(prompt, time, axis=1), state)[1]

    def read_in_some_rows(time, state):
        new = step(ops.take(prompt, time, axis=1), state)[1]
        return time + 1, keras.tree.map_structure(
            lambda new, old: ops.where(_expanded(time < last, old), new, old), new, state
        )

    time = ops.zeros((), "int32")
    time, state = ops.while_loop(lambda time, state: ops.all(time < last), read_in_all_rows, (time, state))
    time, state = ops.while_loop(lambda time, state: ops.any(time < last), read_in_some_rows, (time, state))
    rows = ops.arange(ops.shape(prompt)[0], dtype="int32") * ops.shape(prompt)[1]  # [B]
    return state, ops.take(ops.reshape(prompt, (-1,)), rows + last)


def _expanded(mask, x):
    """A mask `[B]` with the dimensions of x `[B, ...]`."""
    return ops.reshape(mask, (-1,) + (1,) * (len(x.shape) - 1))
