"""Greedy and sampled text from any step function: all at once in one loop, or token by token."""

import numpy as np
from keras import ops

from nlp_suite.decoding.sampling import at, choose


def generate(
    step,
    state,
    prompt,
    prompt_length,
    max_tokens,
    options,
    *,
    limit: int,
    end_token: int,
    forbidden=(),
    stop_at_end: bool = True,
) -> dict:
    """Continues each row's prompt, greedily or by sampling, in one `while_loop` that ends with the last row.

    All rows walk through their prompts side by side; a row chooses its first token after its own last prompt token. A
    row's answer depends neither on its neighbours nor on padding. There is no XLA op on TensorFlow, so a stock server
    runs it.

    Args:
        step: `step(tokens int32 [B], state) -> (log_probs float32 [B, V], state)`, with V known when traced.
        state: any tree of tensors with the batch in dim 0 of every leaf; `step` keeps its structure, shapes and dtypes.
        prompt: int32 [B, P], right-padded with anything; P is at least 1.
        prompt_length: int32 [B], 1 to P.
        max_tokens: int32 [B], how many tokens a row generates at most; 0 gives none. Above `limit` it is `limit`.
        options: `sampling.Options` of [B].
        limit: int, the width L of the answer.
        end_token: id that ends a row where `stop_at_end`.
        forbidden: ids that are never generated.
        stop_at_end: whether a row ends with `end_token`; otherwise it is a token like any other.

    Returns:
        `tokens` int32 [B, L], 0 after the row's end; `length` int32 [B], with the end token if it was generated;
        `log_prob` float32 [B], the sum of the generated tokens' log-probabilities as the model gives them, before
        penalty, temperature, top-k and top-p; `token_log_probs` float32 [B, L], those of the single tokens.

    Example:
        >>> out = generate(model.step, model.initial_state(1), prompt, length, [20], Options.of(1, temperature=0.0),
        ...                limit=20, end_token=3, forbidden=(0, 1, 2))
        >>> out["tokens"]  # [1, 20]
    """
    advance = advancing(step, end_token=end_token, forbidden=forbidden, stop_at_end=stop_at_end)
    fixed, moving = begin(state, prompt, prompt_length, max_tokens, options, limit=limit)
    (moving,) = ops.while_loop(
        lambda moving: ops.logical_not(ops.all(moving["finished"])),
        lambda moving: (advance(fixed, moving),),
        (moving,),
    )
    return {
        "tokens": _generated(moving["text"], fixed["prompt_length"], moving["length"], limit),
        "length": moving["length"],
        "log_prob": moving["log_prob"],
        "token_log_probs": _generated(moving["log_probs"], fixed["prompt_length"], moving["length"], limit),
    }


def stream(advance, state, prompt, prompt_length, max_tokens, options, *, limit: int):
    """The tokens of `generate` one by one, as soon as each is chosen.

    Args:
        advance: `advancing(step, ...)`, which holds the step function, the end token and the forbidden ids. Compiled
            (`tf.function(..., reduce_retracing=True)`, `jax.jit`) it can serve many calls.
        state, prompt, prompt_length, max_tokens, options, limit: as in `generate`.

    Yields:
        int32 [B] NumPy arrays, one for each step at which some row generated a token; -1 where a row did not, as it is
        finished or still in its prompt. The n-th token of a row that is not -1 is `tokens[row, n]` of `generate`.

    Example:
        >>> for tokens in stream(advancing(model.step, end_token=3), state, prompt, length, [20], options, limit=20):
        ...     print(text.decode(tokens), end="", flush=True)
    """
    fixed, moving = begin(state, prompt, prompt_length, max_tokens, options, limit=limit)
    length = ops.convert_to_numpy(moving["length"])
    while not np.all(ops.convert_to_numpy(moving["finished"])):
        moving = advance(fixed, moving)
        new = ops.convert_to_numpy(moving["length"])
        if np.any(new > length):
            yield np.where(new > length, ops.convert_to_numpy(moving["token"]), -1).astype("int32")
        length = new


def begin(state, prompt, prompt_length, max_tokens, options, *, limit: int):
    """What the loop starts from: what stays as it is, and what `advancing` moves on; two dicts of trees of tensors."""
    prompt = ops.cast(prompt, "int32")  # [B, P]
    width = ops.shape(prompt)[1]
    prompt_length = ops.clip(ops.cast(prompt_length, "int32"), 1, width)  # [B]
    max_tokens = ops.minimum(ops.cast(max_tokens, "int32"), limit)  # [B]
    given = ops.expand_dims(ops.arange(width, dtype="int32"), 0) < ops.expand_dims(prompt_length, -1)  # [B, P]
    fixed = {"prompt_length": prompt_length, "max_tokens": max_tokens, "options": options}
    # Prompt and generated tokens without a gap, -1 elsewhere.
    text = ops.pad(ops.where(given, prompt, -1), ((0, 0), (0, limit)), constant_values=-1)  # [B, P + L]
    moving = {
        "time": ops.zeros((), "int32"),
        "text": text,
        "token": prompt[:, 0],
        "finished": max_tokens < 1,
        "length": ops.zeros_like(prompt_length),
        "log_prob": ops.zeros_like(prompt_length, dtype="float32"),
        "log_probs": ops.zeros_like(text, dtype="float32"),  # [B, P + L]
        "state": state,
    }
    return fixed, moving


def advancing(step, *, end_token: int, forbidden=(), stop_at_end: bool = True):
    """The body of the loop, `advance(fixed, moving) -> moving` on the dicts of `begin`: one token for every row."""

    def advance(fixed, moving):
        text, finished = moving["text"], moving["finished"]
        log_probs, state = step(moving["token"], moving["state"])  # [B, V]
        log_probs = ops.cast(log_probs, "float32")
        time = moving["time"] + 1
        count = time - fixed["prompt_length"]  # [B], tokens generated before this one; below 0 in the prompt
        live = (count >= 0) & ~finished  # [B]

        def chosen():
            token = choose(log_probs, fixed["options"], ops.maximum(count, 0), text, forbidden)
            return token, at(log_probs, token)

        def none():
            return ops.zeros_like(count), ops.zeros_like(moving["log_prob"])

        token, log_prob = ops.cond(ops.any(live), chosen, none)
        here = ops.expand_dims(ops.arange(ops.shape(text)[1], dtype="int32") == time, 0)  # [1, P + L]
        here = here & ops.expand_dims(live, -1)  # [B, P + L]
        text = ops.where(here, ops.expand_dims(token, -1), text)
        ends = count + 1 >= fixed["max_tokens"]
        if stop_at_end:
            ends = ends | (token == end_token)
        return {
            "time": time,
            "text": text,
            # A finished row goes on with token 0, which nobody sees.
            "token": ops.maximum(ops.take(text, time, axis=1), 0),
            "finished": finished | (live & ends),
            "length": moving["length"] + ops.cast(live, "int32"),
            "log_prob": moving["log_prob"] + ops.where(live, log_prob, 0.0),
            "log_probs": ops.where(here, ops.expand_dims(log_prob, -1), moving["log_probs"]),
            "state": state,
        }

    return advance


def _generated(values, prompt_length, length, limit):
    """Moves what belongs to each row's generated tokens to the left: [B, P + L] -> [B, L], 0 behind it."""
    positions = ops.expand_dims(ops.arange(limit, dtype="int32"), 0)  # [1, L]
    width = ops.shape(values)[1]
    rows = ops.expand_dims(ops.arange(ops.shape(values)[0], dtype="int32") * width, -1)  # [B, 1]
    cells = rows + ops.expand_dims(prompt_length, -1) + positions  # [B, L]
    moved = ops.reshape(ops.take(ops.reshape(values, (-1,)), ops.reshape(cells, (-1,))), (-1, limit))
    return ops.where(positions < ops.expand_dims(length, -1), moved, 0)
