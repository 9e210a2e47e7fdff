"""Greedy and sampled continuations from any step function: all at once in one loop, or token by token."""

from functools import partial

import numpy as np
from keras import ops

from nlp_suite.decoding.prefix import read_prompt
from nlp_suite.decoding.sampling import choose, take_per_row


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
    read=None,
) -> dict:
    """Continues each row's prompt, greedily or by sampling, in one `while_loop` that ends with the last row.

    The prompts are read first, in a loop that computes no logits; then all rows generate in step. A row's
    answer depends neither on its neighbours nor on padding. On TensorFlow there is no XLA op: a stock server runs it.

    Args:
        step: `step(tokens int32 [B], state) -> (logits float32 [B, V], state)`, with V known when traced. Log-probabilities
            are logits, too; only the repetition penalty knows the difference.
        state: any tree of tensors with the batch in dim 0 of every leaf; `step` keeps its structure, shapes and dtypes.
        prompt: int32 [B, P], right-padded with anything; P is at least 1.
        prompt_length: int32 [B], 1 to P.
        max_tokens: int32 [B], at most so many tokens a row, capped at `limit`; 0 gives none.
        options: `sampling.Options` of [B].
        limit: int, the width L of the answer.
        end_token: id that ends a row where `stop_at_end`.
        forbidden: ids that are never generated.
        stop_at_end: whether `end_token` ends a row; otherwise it is a token like any other.
        read: `read(state, prompt, prompt_length)`, which does what `read_prompt` does; default: by `step`.

    Returns:
        `tokens` int32 [B, L], 0 after the row's end; `length` int32 [B], with the end token if it was generated;
        `log_prob` float32 [B], the sum of the generated tokens' log-probabilities as the model gives them, before
        penalty, temperature, top-k and top-p; `token_log_probs` float32 [B, L], those of the single tokens.

    Example:
        >>> greedy = Options.broadcast(1, temperature=0.0)
        >>> out = generate(model.step, model.initial_state(1), prompt, length, [20], greedy, limit=20, end_token=3)
        >>> out["tokens"]  # [1, 20]
    """
    advance = make_advance(step, end_token=end_token, forbidden=forbidden, stop_at_end=stop_at_end)
    state, token = (read or partial(read_prompt, step))(state, prompt, prompt_length)
    fixed, carry = initial_carry(state, token, prompt, prompt_length, max_tokens, options, limit=limit)
    (carry,) = ops.while_loop(
        lambda carry: ops.logical_not(ops.all(carry["finished"])), lambda carry: (advance(fixed, carry),), (carry,)
    )
    tokens = ops.maximum(carry["seen"][:, -limit:], 0)  # [B, L]
    return {"tokens": tokens, **{name: carry[name] for name in ("length", "log_prob", "token_log_probs")}}


def stream(read, advance, state, prompt, prompt_length, max_tokens, options, *, limit: int):
    """The tokens of `generate` one by one, as soon as each is chosen.

    Args:
        read: `read(state, prompt, prompt_length)`, which is `read_prompt` of the step function.
        advance: `make_advance(step, ...)`, which holds the step function, the end token and the forbidden ids. Both may
            be compiled (`tf.function(..., reduce_retracing=True)`, `jax.jit`) and serve many calls.
        state, prompt, prompt_length, max_tokens, options, limit: as in `generate`.

    Yields:
        int32 [B] NumPy arrays, one for each step at which some row generated a token; -1 in rows that are finished. The
        n-th token of a row that is not -1 is `tokens[row, n]` of `generate`.

    Example:
        >>> read, advance = partial(read_prompt, model.step), make_advance(model.step, end_token=3)
        >>> for tokens in stream(read, advance, state, prompt, length, [20], options, limit=20):
        ...     print(text.decode(tokens), end="", flush=True)
    """
    state, token = read(state, prompt, prompt_length)
    fixed, carry = initial_carry(state, token, prompt, prompt_length, max_tokens, options, limit=limit)
    length = ops.convert_to_numpy(carry["length"])
    while not np.all(ops.convert_to_numpy(carry["finished"])):
        carry = advance(fixed, carry)
        new_length = ops.convert_to_numpy(carry["length"])
        if np.any(new_length > length):
            yield np.where(new_length > length, ops.convert_to_numpy(carry["token"]), -1).astype("int32")
        length = new_length


def initial_carry(state, token, prompt, prompt_length, max_tokens, options, *, limit: int):
    """What the loop only reads, and what it changes, before its first turn: two dicts of trees of tensors.

    Args:
        state, token: as `read_prompt` gives them.
    """
    prompt = ops.cast(prompt, "int32")  # [B, P]
    in_prompt = ops.arange(ops.shape(prompt)[1], dtype="int32") < ops.expand_dims(prompt_length, -1)  # [B, P]
    in_prompt = in_prompt | (ops.arange(ops.shape(prompt)[1], dtype="int32") < 1)  # a prompt has at least one token
    max_tokens = ops.minimum(ops.cast(max_tokens, "int32"), limit)  # [B]
    # The prompt and, after its padding, the tokens generated; -1 where there is none.
    seen = ops.pad(ops.where(in_prompt, prompt, -1), ((0, 0), (0, limit)), constant_values=-1)  # [B, P + L]
    carry = {
        "time": ops.zeros((), "int32"),
        "seen": seen,
        "token": token,
        "finished": max_tokens < 1,
        "length": ops.zeros_like(token),
        "log_prob": ops.zeros_like(token, dtype="float32"),
        "token_log_probs": ops.repeat(ops.zeros_like(prompt[:, :1], dtype="float32"), limit, axis=1),  # [B, L]
        "state": state,
    }
    return {"max_tokens": max_tokens, "options": options}, carry


def make_advance(step, *, end_token: int, forbidden=(), stop_at_end: bool = True):
    """The loop's body, `advance(fixed, carry) -> carry` on the dicts of `initial_carry`: one token for every row."""

    def advance(fixed, carry):
        time, seen, finished = carry["time"], carry["seen"], carry["finished"]
        limit = ops.shape(carry["token_log_probs"])[1]
        logits, state = step(carry["token"], carry["state"])  # [B, V]
        logits = ops.cast(logits, "float32")
        # The end token stands before every document: penalised like what was read, no text would ever end.
        read = ops.where(seen == end_token, -1, seen)  # [B, P + L]
        token = choose(logits, fixed["options"], ops.zeros_like(carry["length"]) + time, read, forbidden)  # [B]
        log_prob = ops.where(finished, 0.0, take_per_row(ops.log_softmax(logits), token))  # [B]
        here = ops.arange(limit, dtype="int32") == time  # [L]
        column = ops.arange(ops.shape(seen)[1], dtype="int32") == ops.shape(seen)[1] - limit + time  # [P + L]
        ends = time + 1 >= fixed["max_tokens"]
        if stop_at_end:
            ends = ends | (token == end_token)
        chosen = ops.where(finished, -1, token)  # [B]
        return {
            "time": time + 1,
            "seen": ops.where(column, ops.expand_dims(chosen, -1), seen),
            "token": ops.maximum(chosen, 0),  # a finished row reads token 0, and what follows is dropped
            "finished": finished | ends,
            "length": carry["length"] + ops.cast(ops.logical_not(finished), "int32"),
            "log_prob": carry["log_prob"] + log_prob,
            "token_log_probs": ops.where(here, ops.expand_dims(log_prob, -1), carry["token_log_probs"]),
            "state": state,
        }

    return advance
