"""Batched beam search over any step function, with length and coverage penalties, n-best lists and an exact stop."""

import keras
import numpy as np
from keras import ops

from nlp_suite.decoding import history
from nlp_suite.decoding.continuations import Continuations
from nlp_suite.decoding.drop_finished_rows import can_narrow, narrowing_loop
from nlp_suite.decoding.gather import gather
from nlp_suite.decoding.hypothesis_score import HypothesisScore
from nlp_suite.decoding.ngram_blocking import block_repeats
from nlp_suite.decoding.prefix import read_prompt


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
    shared=None,
    forbidden=(),
    length_penalty=0.0,
    coverage=None,
    coverage_penalty=0.0,
    no_repeat_ngram: int = 0,
    min_tokens=0,
    n_best: int = 1,
    stop_at_end: bool = True,
) -> dict:
    """Finds each row's most probable continuations by beam search, in a `while_loop`.

    At every step the K most probable continuations of a row's live hypotheses are taken: those that end are finished,
    the others live on. The N best finished ones are kept, and a row stops as soon as no live hypothesis can beat the
    worst of them, never earlier: log-probabilities only fall, so a live one scores at most what it would at full length
    without falling further, everything covered. With K = 1 this is greedy decoding; with K at least the number of
    prefixes it is exhaustive search.

    A finished hypothesis of n tokens (the end token counts) is scored by

        log_prob / ((5 + n) / 6) ** length_penalty + coverage_penalty * sum_s log(min(sum_t a_ts, 1))

    (Wu et al. 2016, equation 14), a_ts being the attention of token t to source token s. One that reaches `max_tokens`
    is finished there, with or without an end.

    Where a loop may change its shapes (TensorFlow without XLA, the batch unknown when traced), finished rows are dropped on
    the way, so that a batch costs little more than its rows do.

    Args:
        step: `step(tokens int32 [B*K], state) -> (log_probs float32 [B*K, V], state)`, with V known when traced; row
            b*K + k is hypothesis k of row b. Where `shared` is given: `step(tokens, state, shared)`.
        state: any tree of tensors with the batch B in dim 0 of every leaf. It is repeated for the K hypotheses and
            reordered at every step.
        prompt: int32 [B, P], right-padded with anything; P is at least 1. Where P is 1, `step` need only take B*K rows.
        prompt_length: int32 [B], 1 to P.
        max_tokens: int32 [B], how many tokens a hypothesis has at most; 0 gives none. Above `limit` it is `limit`.
        limit: int, the width L of the answer.
        beam_size: int, K; it may be larger than V.
        end_token: id that ends a hypothesis where `stop_at_end`.
        shared: any tree of tensors with the batch B in dim 0 of every leaf: what all hypotheses of a row read and none
            changes, such as a translation's source. It is not repeated.
        forbidden: ids that are never generated.
        length_penalty: alpha, a number or float32 [B], at least 0 (a tensor's negative value counts as 0).
        coverage: `coverage(state) -> (float32 [B*K, S], bool [B, S])`: the attention that every source token has
            received since the first token generated, and which source tokens exist. Asked only where there is a penalty.
            Where `shared` is given: `coverage(state, shared)`.
        coverage_penalty: beta, as `length_penalty`.
        no_repeat_ngram: n; a hypothesis never contains the same n generated tokens in a row twice. 0: it may.
        min_tokens: a hypothesis ends only after this many other tokens; int or int32 [B].
        n_best: int, N, 1 to K.
        stop_at_end: whether `end_token` ends a hypothesis; otherwise it is a token like any other.

    Returns:
        `tokens` int32 [B, N, L], 0 after the end; `length` int32 [B, N], with the end token; `log_prob` float32 [B, N];
        `score` float32 [B, N], falling along N. Where fewer than N hypotheses exist the last have length 0 and -inf.

    Raises:
        ValueError: `beam_size` below 1, `n_best` not in 1 to `beam_size`, a negative number as penalty or n-gram, or a
            coverage penalty without `coverage`.

    Example:
        >>> best = beam_search(step, state, starts, ones, [50], limit=50, beam_size=4, end_token=3, length_penalty=0.6)
        >>> best["tokens"][:, 0]  # [1, 50]
    """
    if beam_size < 1:
        raise ValueError(f"beam_size is {beam_size}; allowed: 1 or more")
    if not 1 <= n_best <= beam_size:
        raise ValueError(f"n_best is {n_best}; allowed: 1 to beam_size ({beam_size})")
    if no_repeat_ngram < 0:
        raise ValueError(f"no_repeat_ngram is {no_repeat_ngram}; allowed: 0 (off) or more")
    score = HypothesisScore(length_penalty, limit, coverage, coverage_penalty)
    max_tokens = ops.clip(ops.cast(max_tokens, "int32"), 0, limit)  # [B]
    early = stop_at_end and not (isinstance(min_tokens, int) and min_tokens <= 0)
    min_tokens = ops.zeros_like(max_tokens) + ops.cast(min_tokens, "int32")  # [B]

    def read(tokens, state):
        return step(tokens, state) if shared is None else step(tokens, state, shared)

    state, last = read_prompt(read, state, prompt, prompt_length)
    penalties = {"alpha": length_penalty, "beta": coverage_penalty}
    penalties = {k: v if isinstance(v, (int, float)) else ops.cast(v, "float32") for k, v in penalties.items()}
    rows = {name: value for name, value in penalties.items() if len(getattr(value, "shape", ()))}  # of [B]
    rows |= {"most": max_tokens, "least": min_tokens, "shared": () if shared is None else shared}

    def loop(go_on, rows, time, h):
        """Decodes from step `time` on; of `rows` it only reads."""
        of = penalties | rows
        extra = () if shared is None else (of["shared"],)
        score = HypothesisScore(of["alpha"], limit, coverage and (lambda state: coverage(state, *extra)), of["beta"])
        most = ops.expand_dims(of["most"], -1)  # [b, 1]
        offsets = ops.expand_dims(ops.arange(ops.shape(of["most"])[0], dtype="int32") * beam_size, -1)  # [b, 1]

        def body(time, h):
            log_probs, state = step(h["tokens"], h["state"], *extra)  # [b*K, V]
            if no_repeat_ngram:
                log_probs = block_repeats(ops.cast(log_probs, "float32"), h["texts"], time, no_repeat_ngram)
            choose = Continuations(beam_size, log_probs.shape[-1], forbidden, (end_token,) if early else ())
            log_prob, parents, tokens = choose(log_probs, h["live"], time < of["least"] if early else None)  # [b, K]
            new = {"state": state, "tokens": ops.reshape(tokens, (-1,))}
            if no_repeat_ngram:
                new["texts"] = h["texts"]
            if beam_size > 1:
                places = ops.reshape(parents + offsets, (-1,))  # [b*K]
                carried = {name: new[name] for name in ("state", "texts") if name in new}
                new.update(keras.tree.map_structure(lambda x: gather(x, places), carried))
            if no_repeat_ngram:
                here = ops.arange(limit, dtype="int32") == time
                new["texts"] = ops.where(here, ops.expand_dims(new["tokens"], -1), new["texts"])  # [b*K, L]

            ends = time + 1 >= most  # [b, 1]
            if stop_at_end:
                ends = ends | (tokens == end_token)
            covered = score.by_coverage(new["state"], beam_size) if score.covers else None  # [b, K]
            live = ops.where(ends, -np.inf, log_prob)
            if beam_size > 1:
                now = score.by_length(log_prob, time)
                now = ops.where(ends, now + covered if score.covers else now, -np.inf)
                new["kept"] = ops.top_k(ops.concatenate([h["kept"], now], axis=1), n_best)[0]  # [b, N]
                hopeful = score.at_best(ops.max(live, axis=1), of["most"]) > new["kept"][:, -1]  # [b]
                live = ops.where(ops.expand_dims(hopeful, -1), live, -np.inf)
            new["live"] = live
            entries = {"tokens": tokens, "log_prob": log_prob, "parents": parents, "covered": covered}
            new["past"] = {name: history.record(past, time, entries[name]) for name, past in h["past"].items()}
            return time + 1, new

        return ops.while_loop(go_on, body, (time, h))

    first = ops.repeat(ops.expand_dims(last, -1), beam_size, axis=1)  # [B, K]
    nothing = max_tokens < 1  # [B]
    live = ops.where(ops.expand_dims(nothing, -1) | (ops.arange(beam_size) > 0), -np.inf, 0.0)  # [B, K]
    live = ops.cast(live, "float32")
    empty = history.empty(limit, live)  # [L, B, K]
    past = {"tokens": ops.cast(empty, "int32"), "log_prob": empty - np.inf}
    if beam_size > 1:
        past["parents"] = past["tokens"]
    if score.covers:
        past["covered"] = empty
    h = {"tokens": ops.reshape(first, (-1,)), "live": live, "past": past, "state": state}
    if beam_size > 1:
        h["state"] = keras.tree.map_structure(lambda x: ops.repeat(x, beam_size, axis=0), state)
        h["kept"] = live[:, :n_best] - np.inf  # [B, N]
    if no_repeat_ngram:
        h["texts"] = ops.repeat(ops.expand_dims(h["tokens"], -1), limit, axis=1)  # [B*K, L]
    if can_narrow([rows, {name: tree for name, tree in h.items() if name != "past"}]):
        wide = dict.fromkeys(("tokens", "state", "texts"), beam_size)
        past = narrowing_loop(loop, lambda h: ops.max(h["live"], axis=1) > -np.inf, rows, h, wide)
    else:
        past = loop(lambda time, h: ops.max(h["live"]) > -np.inf, rows, ops.zeros((), "int32"), h)[1]["past"]
    return _best(past, score, max_tokens, end_token if stop_at_end else -1, n_best)


def _best(past, score, max_tokens, end_token, n_best):
    """The N best of all hypotheses that ever ended; of equal ones the earlier, then the more probable."""
    tokens, log_prob = past["tokens"], past["log_prob"]  # [L, B, K]
    limit, _, beam_size = tokens.shape
    steps = ops.arange(limit, dtype="int32")  # [L]
    last = ops.reshape(steps, (-1, 1)) + 1 >= max_tokens  # [L, B]
    scores = score.of_all(log_prob) + past.get("covered", 0.0)
    scores = ops.where(ops.expand_dims(last, -1) | (tokens == end_token), scores, -np.inf)  # [L, B, K]
    scores = ops.reshape(ops.transpose(scores, (1, 0, 2)), (-1, limit * beam_size))  # [B, L*K]
    scores, places = ops.top_k(scores, n_best)  # [B, N]
    places = ops.cast(places, "int32")
    time, beam = places // beam_size, places % beam_size
    batch = ops.shape(scores)[0]
    cells = (time * batch + ops.expand_dims(ops.arange(batch, dtype="int32"), -1)) * beam_size + beam  # [B, N]
    exists = scores > -np.inf
    parents = past.get("parents", ops.zeros_like(tokens))
    found = {
        "tokens": ops.where(ops.expand_dims(exists, -1), history.read_back(tokens, parents, time, beam), 0),
        "length": ops.where(exists, time + 1, 0),
        "log_prob": ops.where(exists, gather(ops.reshape(log_prob, (-1,)), cells), -np.inf),
        "score": scores,
    }
    # Where no token was asked for, there is one hypothesis without any.
    empty = ops.expand_dims(max_tokens < 1, -1) & (ops.arange(n_best) == 0)  # [B, N]
    return {**found, **{name: ops.where(empty, 0.0, found[name]) for name in ("log_prob", "score")}}
