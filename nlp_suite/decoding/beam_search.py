"""Batched beam search over any step function, with length and coverage penalties, n-best lists and an exact stop."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from nlp_suite.decoding import history
from nlp_suite.decoding.continuations import Continuations
from nlp_suite.decoding.drop_finished_rows import drop_finished_rows, rows_can_be_dropped
from nlp_suite.decoding.gather import gather
from nlp_suite.decoding.hypothesis_score import HypothesisScore
from nlp_suite.decoding.ngram_blocking import block_repeats
from nlp_suite.decoding.prefix import read_prompt
from nlp_suite.errors import RequestError


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
    read=None,
) -> dict:
    """Finds each row's most probable continuations of its prompt, in a `while_loop`.

    Every step takes the K most probable continuations of a row's live hypotheses; those that end are finished. A row
    stops as soon as no live hypothesis can beat its N best finished ones, never earlier. K = 1 is greedy decoding. The
    score of a hypothesis of n tokens (the end token counts) is that of `HypothesisScore` (Wu et al. 2016):

        log_prob / ((5 + n) / 6) ** length_penalty + coverage_penalty * sum_s log(min(sum_t a_ts, 1))

    Args:
        step: `step(tokens int32 [B*K], state) -> (log_probs float32 [B*K, V], state)`, with V known when traced; row
            b*K + k is hypothesis k of row b. With `shared`: `step(tokens, state, shared)`.
        state: any tree of tensors with the batch B in dim 0 of every leaf; repeated for the K hypotheses.
        prompt: int32 [B, P], right-padded with anything; P is at least 1. Where P is 1, `step` need only take B*K rows.
        prompt_length: int32 [B], 1 to P.
        max_tokens: int32 [B], at most so many tokens a hypothesis, capped at `limit`; 0 gives none.
        limit: int, the width L of the answer.
        beam_size: int, K; it may be larger than V.
        end_token: id that ends a hypothesis where `stop_at_end`.
        shared: any tree of tensors with the batch B in dim 0 of every leaf: what all hypotheses of a row read and none
            changes, such as a translation's source. It is not repeated.
        forbidden: ids that are never generated.
        length_penalty: alpha, a number or float32 [B], at least 0 (a tensor's negative value counts as 0).
        coverage: `coverage(state) -> (float32 [B*K, S], bool [B, S])`: the attention that every source token has
            received since the first token generated, and the source mask. Called only where there is a penalty. With
            `shared`: `coverage(state, shared)`.
        coverage_penalty: beta, as `length_penalty`.
        no_repeat_ngram: n; no hypothesis repeats n generated tokens in a row. 0: repetition is allowed.
        min_tokens: a hypothesis ends only after so many other tokens; int or int32 [B].
        n_best: int, N, 1 to K.
        stop_at_end: whether `end_token` ends a hypothesis; otherwise it is a token like any other.
        read: `read(state, prompt, prompt_length)`, which does what `read_prompt` does; default: by `step`.

    Returns:
        `tokens` int32 [B, N, L], 0 after the end; `length` int32 [B, N], with the end token; `log_prob` float32 [B, N];
        `score` float32 [B, N], falling along N. Where fewer than N hypotheses exist the last have length 0 and -inf.

    Raises:
        RequestError: `beam_size` below 1, `n_best` not in 1 to `beam_size`, a negative number as penalty or n-gram.
        UsageError: a coverage penalty without `coverage`.

    Example:
        >>> best = beam_search(step, state, starts, ones, [50], limit=50, beam_size=4, end_token=3, length_penalty=0.6)
        >>> best["tokens"][:, 0]  # [1, 50]
    """
    if beam_size < 1:
        raise RequestError(f"beam_size is {beam_size}; allowed: 1 or more")
    if not 1 <= n_best <= beam_size:
        raise RequestError(f"n_best is {n_best}; allowed: 1 to beam_size ({beam_size})")
    if no_repeat_ngram < 0:
        raise RequestError(f"no_repeat_ngram is {no_repeat_ngram}; allowed: 0 (off) or more")
    max_tokens = ops.clip(ops.cast(max_tokens, "int32"), 0, limit)  # [B]
    search = _Search(
        step=step,
        limit=limit,
        beam_size=beam_size,
        n_best=n_best,
        end_token=end_token if stop_at_end else None,
        delays_end=stop_at_end and not (isinstance(min_tokens, int) and min_tokens <= 0),
        forbidden=forbidden,
        no_repeat_ngram=no_repeat_ngram,
        coverage=coverage,
        length_penalty=_number_or_tensor(length_penalty),
        coverage_penalty=_number_or_tensor(coverage_penalty),
        max_tokens=max_tokens,
        min_tokens=ops.zeros_like(max_tokens) + ops.cast(min_tokens, "int32"),  # [B]
        shared=shared,
    )
    return search.n_best_of(search.decode(*(read or partial(read_prompt, search.read))(state, prompt, prompt_length)))


def _number_or_tensor(penalty):
    return penalty if isinstance(penalty, (int, float)) else ops.cast(penalty, "float32")


@dataclass(kw_only=True)
class _Search:
    """A search over b rows, all B or those that are left of them; `beam_search` describes the attributes.

    The beams, which change from step to step, are a dict:
        `tokens`: int32 [b*K], read by the next step.
        `state`: of the step function, b*K rows.
        `live`: float32 [b, K], log-probabilities of the live hypotheses, -inf in the place of others.
        `best`: float32 [b, N], the best scores of finished hypotheses, where K > 1.
        `generated`: int32 [b*K, L], the tokens of the hypotheses, for `no_repeat_ngram`.
        `history`: [L, b, K] each: `tokens`, `log_prob`, `parents` (where K > 1), `coverage` (where penalised).
    """

    step: Callable
    limit: int
    beam_size: int
    n_best: int
    end_token: int | None
    delays_end: bool  # whether `min_tokens` may matter
    forbidden: Sequence[int]
    no_repeat_ngram: int
    coverage: Callable | None
    length_penalty: Any
    coverage_penalty: Any
    max_tokens: Any
    min_tokens: Any
    shared: Any

    def __post_init__(self):
        def with_shared(state):
            return self.coverage(state, self.shared)

        coverage = self.coverage if self.coverage is None or self.shared is None else with_shared
        self.score = HypothesisScore(self.length_penalty, self.limit, coverage, self.coverage_penalty)

    def read(self, tokens, state):
        """Log-probabilities [b*K, V] after the tokens int32 [b*K], and the new state."""
        return self.step(tokens, state) if self.shared is None else self.step(tokens, state, self.shared)

    def decode(self, state, last):
        """The history of all hypotheses, from the state before the last token int32 [B] of each prompt."""
        beams, row_inputs = self.first_beams(state, last), self.row_inputs()
        changing = {name: tree for name, tree in beams.items() if name != "history"}
        if not rows_can_be_dropped([row_inputs, changing]):
            any_live = lambda time, beams: ops.max(beams["live"]) > -np.inf  # noqa: E731
            return self.loop(any_live, ops.zeros((), "int32"), beams)[1]["history"]
        return drop_finished_rows(
            lambda go_on, row_inputs, time, beams: replace(self, **row_inputs).loop(go_on, time, beams),
            lambda beams: ops.max(beams["live"], axis=1) > -np.inf,
            row_inputs,
            beams,
            entries_per_row=dict.fromkeys(("tokens", "state", "generated"), self.beam_size),
        )

    def row_inputs(self):
        """The attributes that have a row axis."""
        inputs = {"max_tokens": self.max_tokens, "min_tokens": self.min_tokens}
        if self.shared is not None:
            inputs["shared"] = self.shared
        penalties = {"length_penalty": self.length_penalty, "coverage_penalty": self.coverage_penalty}
        return inputs | {name: value for name, value in penalties.items() if len(getattr(value, "shape", ()))}

    def first_beams(self, state, last):
        """The beams before the first step: of the K equal hypotheses of a row the first is live."""
        tokens = ops.repeat(ops.expand_dims(last, -1), self.beam_size, axis=1)  # [B, K]
        absent = ops.expand_dims(self.max_tokens < 1, -1) | (ops.arange(self.beam_size) > 0)  # [B, K]
        live = ops.cast(ops.where(absent, -np.inf, 0.0), "float32")
        empty = history.empty(self.limit, live)  # [L, B, K]
        past = {"tokens": ops.cast(empty, "int32"), "log_prob": empty - np.inf}
        beams = {"tokens": ops.reshape(tokens, (-1,)), "state": state, "live": live, "history": past}
        if self.score.has_coverage:
            past["coverage"] = empty
        if self.beam_size > 1:
            past["parents"] = past["tokens"]
            beams["state"] = keras.tree.map_structure(lambda x: ops.repeat(x, self.beam_size, axis=0), state)
            beams["best"] = live[:, : self.n_best] - np.inf
        if self.no_repeat_ngram:
            beams["generated"] = ops.repeat(ops.expand_dims(beams["tokens"], -1), self.limit, axis=1)
        return beams

    def loop(self, go_on, time, beams):
        """Steps from `time` on, as long as `go_on(time, beams)`."""
        rows = ops.arange(ops.shape(self.max_tokens)[0], dtype="int32")
        first_entry = ops.expand_dims(rows * self.beam_size, -1)  # [b, 1]
        max_tokens = ops.expand_dims(self.max_tokens, -1)  # [b, 1]

        def body(time, beams):
            log_probs, state = self.read(beams["tokens"], beams["state"])  # [b*K, V]
            log_prob, parents, tokens = self.continuations(log_probs, time, beams)  # [b, K] each
            new = self.continued(beams, state, tokens, time, parents, first_entry)
            ends = time + 1 >= max_tokens  # [b, 1]
            if self.end_token is not None:
                ends = ends | (tokens == self.end_token)  # [b, K]
            coverage = self.score.coverage_term(new["state"], self.beam_size) if self.score.has_coverage else None
            new |= self.finished(beams, log_prob, ends, coverage, time)
            entries = {"tokens": tokens, "log_prob": log_prob, "parents": parents, "coverage": coverage}
            new["history"] = {
                name: history.record(past, time, entries[name]) for name, past in beams["history"].items()
            }
            return time + 1, new

        return ops.while_loop(go_on, body, (time, beams))

    def continuations(self, log_probs, time, beams):
        """The K best continuations of a row: log-probabilities, the hypotheses continued, and tokens, [b, K] each."""
        if self.no_repeat_ngram:
            log_probs = ops.cast(log_probs, "float32")
            log_probs = block_repeats(log_probs, beams["generated"], time, self.no_repeat_ngram)
        end_tokens = (self.end_token,) if self.delays_end else ()
        choose = Continuations(self.beam_size, log_probs.shape[-1], self.forbidden, end_tokens)
        return choose(log_probs, beams["live"], time < self.min_tokens if self.delays_end else None)

    def continued(self, beams, state, tokens, time, parents, first_entry):
        """The hypotheses that `parents` [b, K] name, with their new tokens: `tokens`, `state` and `generated`."""
        inherited = {"state": state}
        if self.no_repeat_ngram:
            inherited["generated"] = beams["generated"]
        if self.beam_size > 1:
            entries = ops.reshape(parents + first_entry, (-1,))  # [b*K]
            inherited = keras.tree.map_structure(lambda x: gather(x, entries), inherited)
        new = {"tokens": ops.reshape(tokens, (-1,)), **inherited}
        if self.no_repeat_ngram:
            here = ops.arange(self.limit, dtype="int32") == time  # [L]
            new["generated"] = ops.where(here, ops.expand_dims(new["tokens"], -1), new["generated"])
        return new

    def finished(self, beams, log_prob, ends, coverage, time):
        """`live` without what ends or can no longer win, and `best` with what ends."""
        live = ops.where(ends, -np.inf, log_prob)  # [b, K]
        if self.beam_size == 1:
            return {"live": live}  # the only hypothesis: nothing to compare it with
        scores = self.score.normalised(log_prob, time)
        scores = ops.where(ends, scores if coverage is None else scores + coverage, -np.inf)
        best = ops.top_k(ops.concatenate([beams["best"], scores], axis=1), self.n_best)[0]  # [b, N]
        # A log-probability only falls: a live hypothesis ends with at most its score at full length, all covered.
        can_win = self.score.upper_bound(ops.max(live, axis=1), self.max_tokens) > best[:, -1]  # [b]
        return {"live": ops.where(ops.expand_dims(can_win, -1), live, -np.inf), "best": best}

    def n_best_of(self, past):
        """The N best of all hypotheses that ever ended; of equal ones the earlier, then the more probable."""
        tokens, log_prob = past["tokens"], past["log_prob"]  # [L, B, K]
        steps = ops.arange(self.limit, dtype="int32")  # [L]
        ends = ops.expand_dims(ops.reshape(steps, (-1, 1)) + 1 >= self.max_tokens, -1)  # [L, B, 1]
        if self.end_token is not None:
            ends = ends | (tokens == self.end_token)
        scores = self.score.normalised_at_all_steps(log_prob) + past.get("coverage", 0.0)
        scores = ops.where(ends, scores, -np.inf)  # [L, B, K]
        scores = ops.reshape(ops.transpose(scores, (1, 0, 2)), (-1, self.limit * self.beam_size))  # [B, L*K]
        scores, indices = ops.top_k(scores, self.n_best)  # [B, N]
        indices = ops.cast(indices, "int32")
        time, beam = indices // self.beam_size, indices % self.beam_size
        batch = ops.shape(scores)[0]
        cells = (time * batch + ops.expand_dims(ops.arange(batch, dtype="int32"), -1)) * self.beam_size + beam
        exists = scores > -np.inf
        parents = past.get("parents", ops.zeros_like(tokens))
        # Where no token was asked for, there is one hypothesis without any, of probability 1.
        empty = ops.expand_dims(self.max_tokens < 1, -1) & (ops.arange(self.n_best) == 0)  # [B, N]
        log_prob = ops.where(exists, gather(ops.reshape(log_prob, (-1,)), cells), -np.inf)
        return {
            "tokens": ops.where(ops.expand_dims(exists, -1), history.read_back(tokens, parents, time, beam), 0),
            "length": ops.where(exists, time + 1, 0),
            "log_prob": ops.where(empty, 0.0, log_prob),
            "score": ops.where(empty, 0.0, scores),
        }
