"""Batched beam search over any step function, with a length penalty, n-best lists and an exact stop."""

import keras
import numpy as np
from keras import ops


def beam_search(
    step,
    state,
    prompt,
    prompt_length,
    max_tokens,
    *,
    limit: int,
    beam_size: int,
    end_token: int,
    forbidden=(),
    length_penalty=0.0,
    min_tokens: int = 0,
    n_best: int = 1,
    stop_at_end: bool = True,
) -> dict:
    """Finds each row's most probable continuations by beam search, in one `while_loop`.

    At every step the K best continuations of a row's live hypotheses are taken: those that end are finished, the others
    live on. The N best finished ones are kept, and a row stops as soon as no live hypothesis can beat the worst of them,
    never earlier: log-probabilities only fall, so a live one scores at most what it would at full length without
    falling further. With K = 1 this is greedy decoding; with K at least the number of prefixes it is exhaustive search.

    A finished hypothesis of n tokens (the end token counts) is scored by `log_prob / ((5 + n) / 6) ** length_penalty`
    (Wu et al. 2016, equation 14). One that reaches `max_tokens` is finished there, with or without an end.

    Args:
        step: `step(tokens int32 [B*K], state) -> (log_probs float32 [B*K, V], state)`, with V known when traced; row
            b*K + k is hypothesis k of row b.
        state: any tree of tensors with the batch B in dim 0 of every leaf. It is repeated for the K hypotheses and
            reordered at every step; what all of them share unchanged, such as a translation's source, is cheaper in the
            closure of `step`.
        prompt: int32 [B, P], right-padded with anything; P is at least 1.
        prompt_length: int32 [B], 1 to P.
        max_tokens: int32 [B], how many tokens a hypothesis has at most; 0 gives none. Above `limit` it is `limit`.
        limit: int, the width L of the answer.
        beam_size: int, K.
        end_token: id that ends a hypothesis where `stop_at_end`.
        forbidden: ids that are never generated.
        length_penalty: alpha, a number or float32 [B], at least 0 (a tensor's negative value counts as 0).
        min_tokens: a hypothesis ends only after this many other tokens.
        n_best: int, N, 1 to K.
        stop_at_end: whether `end_token` ends a hypothesis; otherwise it is a token like any other.

    Returns:
        `tokens` int32 [B, N, L], 0 after the end; `length` int32 [B, N], with the end token; `log_prob` float32 [B, N];
        `score` float32 [B, N], falling along N. Where fewer than N hypotheses exist the last have length 0 and -inf.

    Raises:
        ValueError: `beam_size` below 1, `n_best` not in 1 to `beam_size`, or a negative number as `length_penalty`.

    Example:
        >>> best = beam_search(step, state, starts, ones, [50], limit=50, beam_size=4, end_token=3, length_penalty=0.6)
        >>> best["tokens"][:, 0]  # [1, 50]
    """
    if beam_size < 1:
        raise ValueError(f"beam_size is {beam_size}; allowed: 1 or more")
    if not 1 <= n_best <= beam_size:
        raise ValueError(f"n_best is {n_best}; allowed: 1 to beam_size ({beam_size})")
    if isinstance(length_penalty, (int, float)) and length_penalty < 0:
        raise ValueError(
            f"length_penalty is {length_penalty}; allowed: 0 or above, or the search could not stop in time"
        )
    width = ops.shape(prompt)[1]
    prompt = ops.cast(prompt, "int32")  # [B, P]
    prompt_length = ops.clip(ops.cast(prompt_length, "int32"), 1, width)  # [B]
    max_tokens = ops.clip(ops.cast(max_tokens, "int32"), 0, limit)  # [B]
    alpha = ops.maximum(ops.cast(length_penalty, "float32"), 0.0)  # [] or [B]
    barred_early = (end_token,) if stop_at_end and min_tokens > 0 else ()

    def body(time, hypotheses, best):
        state, texts, tokens, live = (hypotheses[name] for name in ("state", "texts", "tokens", "live"))
        log_probs, state = step(ops.reshape(tokens, (-1,)), state)  # [B*K, V]
        time = time + 1
        count = time - prompt_length  # [B], tokens generated before this one; below 0 in the prompt
        searching = ops.expand_dims(count >= 0, -1)  # [B, 1]
        values, parents, chosen = ops.cond(
            ops.any(searching),
            lambda: _expand(log_probs, live, count < min_tokens, forbidden, barred_early),
            lambda: (live, ops.zeros_like(tokens), tokens),
        )
        forced = ops.take(prompt, ops.minimum(time, width - 1), axis=1)  # [B]
        live = ops.where(searching, values, live)  # [B, K]
        tokens = ops.where(searching, chosen, ops.expand_dims(forced, -1))  # [B, K]
        if beam_size > 1:
            parents = ops.where(searching, parents, ops.arange(beam_size, dtype="int32"))
            state, texts = keras.tree.map_structure(lambda x: _gather(x, parents, beam_size), (state, texts))
        slot = ops.arange(limit, dtype="int32") == ops.reshape(count, (-1, 1, 1))  # [B, 1, L]
        texts = ops.where(slot, ops.expand_dims(tokens, -1), ops.reshape(texts, (-1, beam_size, limit)))  # [B, K, L]

        ends = ops.expand_dims(count + 1 >= max_tokens, -1)  # [B, 1]
        if stop_at_end:
            ends = ends | (tokens == end_token)
        ends = ends & searching & (live > -np.inf)  # [B, K]
        length = ops.maximum(count + 1, 1)  # [B]
        best = ops.cond(ops.any(ends), lambda: _keep(best, ends, live, length, alpha, texts), lambda: best)
        live = ops.where(ends, -np.inf, live)
        reachable = _score(ops.max(live, axis=1), max_tokens, alpha)  # [B]
        live = ops.where(ops.expand_dims(reachable > best["score"][:, -1], -1), live, -np.inf)
        texts = ops.reshape(texts, (-1, limit))
        return time, {"state": state, "texts": texts, "tokens": tokens, "live": live}, best

    def unfinished(time, hypotheses, best):
        return ops.any(hypotheses["live"] > -np.inf)

    nothing = ops.expand_dims(max_tokens < 1, -1)  # [B, 1]
    hypotheses, best = _begin(state, prompt, nothing, beam_size, n_best, limit)
    best = ops.while_loop(unfinished, body, (ops.zeros((), "int32"), hypotheses, best))[2]
    inside = ops.arange(limit, dtype="int32") < ops.expand_dims(best["length"], -1)  # [B, N, L]
    return {**best, "tokens": ops.where(inside, best["tokens"], 0)}


def _begin(state, prompt, nothing, beam_size, n_best, limit):
    """The live hypotheses, of which only the first of each row exists, and the empty list of finished ones."""
    first = ops.expand_dims(prompt[:, 0], -1)  # [B, 1]
    tokens = ops.repeat(first, beam_size, axis=1)  # [B, K]
    live = ops.where(nothing | (ops.arange(beam_size) > 0), -np.inf, 0.0)  # [B, K]
    kept = ops.repeat(ops.zeros_like(first), n_best, axis=1)  # [B, N]
    score = ops.where(nothing & (ops.arange(n_best) == 0), 0.0, -np.inf)  # [B, N]
    hypotheses = {
        "state": keras.tree.map_structure(lambda x: ops.repeat(x, beam_size, axis=0), state),
        "texts": ops.repeat(ops.reshape(ops.zeros_like(tokens), (-1, 1)), limit, axis=1),  # [B*K, L]
        "tokens": tokens,
        "live": ops.cast(live, "float32"),
    }
    best = {
        "tokens": ops.repeat(ops.expand_dims(kept, -1), limit, axis=2),  # [B, N, L]
        "length": kept,
        "log_prob": ops.cast(score, "float32"),
        "score": ops.cast(score, "float32"),
    }
    return hypotheses, best


def _expand(log_probs, live, early, forbidden, barred_early):
    """The K best continuations: their log-probabilities, the hypotheses that they continue, their tokens; [B, K] each.

    Args:
        log_probs: float32 [B*K, V].
        live: float32 [B, K], the hypotheses' log-probabilities so far.
        early: bool [B], where `barred_early` is forbidden too.
        forbidden: ids.
        barred_early: ids.
    """
    beam_size = live.shape[1]
    # The K best of a hypothesis are among these, whichever ids are forbidden; so nothing else has the size of V.
    width = min(beam_size + len(set(forbidden) | set(barred_early)), log_probs.shape[-1])
    values, ids = ops.top_k(ops.cast(log_probs, "float32"), width)  # [B*K, W]
    values = ops.reshape(values, (-1, beam_size, width)) + ops.expand_dims(live, -1)  # [B, K, W]
    ids = ops.reshape(ops.cast(ids, "int32"), (-1, beam_size, width))
    for token in forbidden:
        values = ops.where(ids == token, -np.inf, values)
    for token in barred_early:
        values = ops.where((ids == token) & ops.reshape(early, (-1, 1, 1)), -np.inf, values)
    values, places = ops.top_k(ops.reshape(values, (-1, beam_size * width)), beam_size)  # [B, K]
    places = ops.cast(places, "int32")
    return (
        values,
        places // width,
        ops.reshape(_gather(ops.reshape(ids, (-1,)), places, beam_size * width), (-1, beam_size)),
    )


def _keep(best, ends, log_prob, length, alpha, texts):
    """The N best of those kept and those that end now; of equal ones the earlier."""
    n_best, beam_size = best["score"].shape[1], ends.shape[1]
    now = {
        "tokens": texts,
        "length": ops.where(ends, ops.expand_dims(length, -1), 0),
        "log_prob": ops.where(ends, log_prob, -np.inf),
    }
    score = _score(now["log_prob"], length, alpha)  # [B, K]
    score, places = ops.top_k(ops.concatenate([best["score"], score], axis=1), n_best)  # [B, N]
    places = ops.cast(places, "int32")
    kept = {"score": score}
    for name, value in now.items():
        both = ops.concatenate([best[name], value], axis=1)  # [B, N + K, ...]
        flat = ops.reshape(both, (-1, *both.shape[2:]))
        kept[name] = ops.reshape(_gather(flat, places, n_best + beam_size), (-1, n_best, *both.shape[2:]))
    return kept


def _score(log_prob, length, alpha):
    """`log_prob / ((5 + length) / 6) ** alpha`; log_prob [B] or [B, K], length [B], alpha [] or [B]."""
    penalty = ((5.0 + ops.cast(length, "float32")) / 6.0) ** alpha  # [B]
    return log_prob / (penalty if len(log_prob.shape) == 1 else ops.expand_dims(penalty, -1))


def _gather(x, places, size: int):
    """Entries of x [B*size, ...] by their places [B, J] within each row's `size`: [B*J, ...]."""
    rows = ops.expand_dims(ops.arange(ops.shape(places)[0], dtype="int32") * size, -1)  # [B, 1]
    return ops.take(x, ops.reshape(rows + places, (-1,)), axis=0)
