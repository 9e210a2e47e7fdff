"""Greedy and sampled text from any step function: all at once in one loop, or token by token."""

import numpy as np
from keras import ops

from nlp_suite.decoding.prefix import read_prompt
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

    The prompts are read first, in a loop of their own that computes no log-probabilities; then all rows choose tokens
    side by side. A row's answer depends neither on its neighbours nor on padding. There is no XLA op on TensorFlow, so a stock server
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
    state, token = read_prompt(step, state, prompt, prompt_length)
    fixed, moving = begin(state, token, prompt, prompt_length, max_tokens, options, limit=limit)
    (moving,) = ops.while_loop(
        lambda moving: ops.logical_not(ops.all(moving["finished"])),
        lambda moving: (advance(fixed, moving),),
        (moving,),
    )
    tokens = moving["text"][:, -limit:]  # [B, L]
    return {
        "tokens": ops.maximum(tokens, 0),
        "length": moving["length"],
        "log_prob": moving["log_prob"],
        "token_log_probs": moving["log_probs"],
    }


def stream(read, advance, state, prompt, prompt_length, max_tokens, options, *, limit: int):
    """The tokens of `generate` one by one, as soon as each is chosen.

    Args:
        read: `read(state, prompt, prompt_length)`, which is `read_prompt` of the step function.
        advance: `advancing(step, ...)`, which holds the step function, the end token and the forbidden ids. Compiled
            (`tf.function(..., reduce_retracing=True)`, `jax.jit`) both can serve many calls.
        state, prompt, prompt_length, max_tokens, options, limit: as in `generate`.

    Yields:
        int32 [B] NumPy arrays, one for each step at which some row generated a token; -1 where a row did not, as it is
        finished. The n-th token of a row that is not -1 is `tokens[row, n]` of `generate`.

    Example:
        >>> read, advance = partial(read_prompt, model.step), advancing(model.step, end_token=3)
        >>> for tokens in stream(read, advance, state, prompt, length, [20], options, limit=20):
        ...     print(text.decode(tokens), end="", flush=True)
    """
    state, token = read(state, prompt, prompt_length)
    fixed, moving = begin(state, token, prompt, prompt_length, max_tokens, options, limit=limit)
    length = ops.convert_to_numpy(moving["length"])
    while not np.all(ops.convert_to_numpy(moving["finished"])):
        moving = advance(fixed, moving)
        new = ops.convert_to_numpy(moving["length"])
        if np.any(new > length):
            yield np.where(new > length, ops.convert_to_numpy(moving["token"]), -1).astype("int32")
        length = new


def begin(state, token, prompt, prompt_length, max_tokens, options, *, limit: int):
    """What the loop starts from: what stays as it is, and what `advancing` moves on; two dicts of trees of tensors.

    Args:
        state, token: as `read_prompt` gives them.
    """
    prompt = ops.cast(prompt, "int32")  # [B, P]
    given = ops.arange(ops.shape(prompt)[1], dtype="int32") < ops.expand_dims(prompt_length, -1)  # [B, P]
    given = given | (ops.arange(ops.shape(prompt)[1], dtype="int32") < 1)  # a prompt has at least one token
    max_tokens = ops.minimum(ops.cast(max_tokens, "int32"), limit)  # [B]
    # The prompt and, behind its padding, the tokens generated; -1 where there is none.
    text = ops.pad(ops.where(given, prompt, -1), ((0, 0), (0, limit)), constant_values=-1)  # [B, P + L]
    moving = {
        "count": ops.zeros((), "int32"),
        "text": text,
        "token": token,
        "finished": max_tokens < 1,
        "length": ops.zeros_like(token),
        "log_prob": ops.zeros_like(token, dtype="float32"),
        "log_probs": ops.repeat(ops.zeros_like(prompt[:, :1], dtype="float32"), limit, axis=1),  # [B, L]
        "state": state,
    }
    return {"max_tokens": max_tokens, "options": options}, moving


def advancing(step, *, end_token: int, forbidden=(), stop_at_end: bool = True):
    """The body of the loop, `advance(fixed, moving) -> moving` on the dicts of `begin`: one token for every row."""

    def advance(fixed, moving):
        count, text, finished = moving["count"], moving["text"], moving["finished"]
        limit = ops.shape(moving["log_probs"])[1]
        log_probs, state = step(moving["token"], moving["state"])  # [B, V]
        log_probs = ops.cast(log_probs, "float32")
        token = choose(log_probs, fixed["options"], ops.zeros_like(moving["length"]) + count, text, forbidden)  # [B]
        log_prob = ops.where(finished, 0.0, at(log_probs, token))
        here = ops.arange(limit, dtype="int32") == count  # [L]
        column = ops.arange(ops.shape(text)[1], dtype="int32") == ops.shape(text)[1] - limit + count  # [P + L]
        ends = count + 1 >= fixed["max_tokens"]
        if stop_at_end:
            ends = ends | (token == end_token)
        chosen = ops.where(finished, -1, token)  # [B]
        return {
            "count": count + 1,
            "text": ops.where(column, ops.expand_dims(chosen, -1), text),
            "token": ops.maximum(chosen, 0),  # a finished row goes on with token 0, which nobody sees
            "finished": finished | ends,
            "length": moving["length"] + ops.cast(ops.logical_not(finished), "int32"),
            "log_prob": moving["log_prob"] + log_prob,
            "log_probs": ops.where(here, ops.expand_dims(log_prob, -1), moving["log_probs"]),
            "state": state,
        }

    return advance
