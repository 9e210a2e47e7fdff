"""The choice of the next token: greedy or sampled, each row of the batch by options of its own."""

from typing import NamedTuple

import numpy as np
from keras import ops

from nlp_suite.decoding.noise import gumbel

_FEW = 64  # up to this top-k, finding the best tokens is much cheaper than sorting the vocabulary
_INT32 = 2**31


class Options(NamedTuple):
    """How each row chooses its tokens; a tree of tensors, all of shape [B]. `Options.of` makes it from plain values.

    What stands in a served graph cannot raise, so values out of range have a meaning here: a temperature that is not
    above 0 (NaN too) is greedy, a penalty not above 0 or not finite is none, `top_k` below 1 or above V is no limit, `top_p` at or above 1 is no limit, one at or
    below 0 leaves one token.

    Attributes:
        temperature: float32, divides the log-probabilities; 0 chooses the most probable token (greedy).
        top_k: int32, only the k most probable tokens can be sampled; 0 is all.
        top_p: float32, only the nucleus can be sampled: the smallest set of most probable tokens whose probabilities
            reach p (Holtzman et al. 2020); 1 is all.
        repetition_penalty: float32, above 1 makes tokens that were seen less probable (Keskar et al. 2019); 1 is none.
        seed: int32, the seed of the row's noise.
    """

    temperature: object
    top_k: object
    top_p: object
    repetition_penalty: object
    seed: object

    @classmethod
    def of(cls, batch_size: int, *, temperature=1.0, top_k=0, top_p=1.0, repetition_penalty=1.0, seed=0):
        """Options from one value for all rows, or a sequence of `batch_size` values, one a row.

        Raises:
            ValueError: a value out of range, or not `batch_size` of them; the message names what was given.

        Example:
            >>> Options.of(2, temperature=0.8, top_k=50, seed=[1, 2])
        """
        return cls(
            _column(batch_size, "temperature", temperature, "float32", lambda v: v >= 0, "0 (greedy) or above"),
            _column(batch_size, "top_k", top_k, "int32", lambda v: (v >= 0) & (v < _INT32), "0 (all) or above"),
            _column(batch_size, "top_p", top_p, "float32", lambda v: (v >= 0) & (v <= 1), "0 to 1 (all)"),
            _column(batch_size, "repetition_penalty", repetition_penalty, "float32", lambda v: v > 0, "above 0"),
            _column(
                batch_size, "seed", seed, "int32", lambda v: (v >= -_INT32) & (v < _INT32), "an integer of 32 bits"
            ),
        )


def _column(batch_size, name, value, dtype, allowed, range_text):
    given = np.asarray(value)
    if given.ndim > 1 or (given.ndim == 1 and len(given) != batch_size):
        raise ValueError(f"{name} has shape {given.shape}: give one value, or one for each of the {batch_size} rows")
    whole = dtype != "int32" or given.dtype.kind in "iu"
    if given.dtype.kind not in "iuf" or not whole or not np.all(np.isfinite(given) & allowed(given)):
        kind = "whole numbers" if dtype == "int32" else "finite numbers"
        raise ValueError(f"{name} is {value!r}; allowed: {kind}, {range_text}")
    return ops.convert_to_tensor(np.broadcast_to(given, (batch_size,)).astype(dtype))  # [B]


def choose(log_probs, options: Options, step, seen, forbidden=()):
    """Chooses each row's next token.

    In this order: the repetition penalty multiplies the log-probabilities of tokens seen (all are at most 0, so this is
    the CTRL rule), forbidden tokens get none, the temperature divides, top-k and then top-p leave out the rest, and the
    largest sum with Gumbel noise is a sample. The nucleus is measured on what top-k left, made to sum to 1. Of equally
    probable tokens the one with the smaller id goes first (on PyTorch, top-k may take another). Greedy rows skip all but the first two.

    A row's choice depends on that row only. What no row needs is not computed.

    Args:
        log_probs: float32 [B, V], V known when traced.
        options: `Options` of [B].
        step: int32 [B], how many tokens the row has generated so far; it counts the noise.
        seen: int32 [B, T], the tokens of prompt and text, -1 where there is none; column 0 must be a token.
        forbidden: ids that are never chosen.

    Returns:
        int32 [B].

    Example:
        >>> choose(log_probs, Options.of(1, top_k=10), ops.zeros(1, "int32"), prompt, forbidden=(0, 1, 2))
    """
    penalty = options.repetition_penalty
    penalty = ops.where((penalty > 0) & (penalty < np.inf), penalty, 1.0)
    log_probs = ops.cond(
        ops.any(penalty != 1.0), lambda: _penalised(log_probs, penalty, seen), lambda: ops.cast(log_probs, "float32")
    )
    log_probs = without(log_probs, forbidden)
    sampled = options.temperature > 0  # [B]
    return ops.cond(ops.any(sampled), lambda: _sample(log_probs, options, sampled, step), lambda: first_best(log_probs))


def without(log_probs, forbidden):
    """`log_probs` [..., V] with -inf at the forbidden ids."""
    if not forbidden:
        return log_probs
    mask = np.zeros(log_probs.shape[-1], "float32")  # [V]
    mask[list(forbidden)] = -np.inf
    return ops.add(log_probs, mask)


def first_best(scores):
    """Index of the largest of [B, V], int32 [B]. `top_k`, as `ops.argmax` costs four times as much on TensorFlow."""
    return ops.cast(ops.top_k(scores, 1)[1][:, 0], "int32")


def at(values, columns):
    """`values[b, columns[b]]` of [B, V]: [B], by one gather (`take_along_axis` is some twenty ops on TensorFlow)."""
    rows = ops.arange(ops.shape(values)[0], dtype="int32")
    return ops.take(ops.reshape(values, (-1,)), rows * values.shape[1] + columns)


def _penalised(log_probs, penalty, seen):
    seen = ops.where(seen < 0, seen[:, :1], seen)  # [B, T]; a token twice gets the same value twice
    rows = ops.zeros_like(seen) + ops.expand_dims(ops.arange(ops.shape(seen)[0], dtype="int32"), -1)  # [B, T]
    cells = ops.reshape(rows * log_probs.shape[1] + seen, (-1, 1))  # [B*T, 1]
    flat = ops.reshape(log_probs, (-1,))  # [B*V]
    values = ops.reshape(ops.take(flat, cells[:, 0]), (-1, ops.shape(seen)[1])) * ops.expand_dims(penalty, -1)
    changed = ops.scatter_update(flat, cells, ops.reshape(values, (-1,)))
    return ops.reshape(changed, (-1, log_probs.shape[1]))  # [B, V]


def _sample(log_probs, options, sampled, step):
    vocabulary_size = log_probs.shape[1]
    # Beyond these bounds a quotient could overflow; at the lower one noise has long ceased to matter.
    temperature = ops.where(sampled, ops.clip(options.temperature, 1e-6, 1e6), 1.0)
    scores = log_probs / ops.expand_dims(temperature, -1)  # [B, V]
    noise = gumbel(options.seed, step, vocabulary_size)  # [B, V]
    noise = ops.where(ops.expand_dims(sampled, -1), noise, 0.0)
    token = first_best(scores + noise)  # [B]
    top_k, top_p = options.top_k, options.top_p
    ranked = sampled & (top_k > 0) & (top_k < vocabulary_size)  # [B]
    nucleus = sampled & ~ranked & (top_p < 1)
    few = ranked & (top_k <= _FEW)

    def limited():
        # Which way a row goes is decided by that row alone: the ways could differ in a last digit.
        ways = [(few, lambda: _among_ranked(scores, noise, top_k, top_p, min(_FEW, vocabulary_size)))]
        ways += [(nucleus, lambda: _among_nucleus(scores, noise, top_p, nucleus))]
        if vocabulary_size > _FEW:
            ways += [(ranked & ~few, lambda: _among_ranked(scores, noise, top_k, top_p, vocabulary_size))]
        tokens = token
        for rows, way in ways:
            tokens = ops.where(rows, ops.cond(ops.any(rows), way, lambda: token), tokens)
        return tokens

    return ops.cond(ops.any(ranked | nucleus), limited, lambda: token)


def _among_ranked(scores, noise, top_k, top_p, width: int):
    """The winner, by score plus noise, among the `top_k` best tokens and the nucleus of these; int32 [B].

    Args:
        scores: float32 [B, V], log-probabilities up to a constant.
        noise: float32 [B, V].
        top_k: int32 [B], 1 to `width` in the rows that count.
        top_p: float32 [B].
        width: how many tokens are sorted, C.
    """
    values, order = ops.top_k(scores, width)  # [B, C]
    order = ops.cast(order, "int32")
    mass = ops.cumsum(ops.exp(values - values[:, :1]), axis=1)  # [B, C]
    aim = ops.where(top_p < 1, top_p * at(mass, ops.clip(top_k, 1, width) - 1), np.inf)  # [B]
    ahead = ops.concatenate([ops.full_like(mass[:, :1], -np.inf), mass[:, :-1]], axis=1)  # [B, C]; the first stays
    allowed = (ahead < ops.expand_dims(aim, -1)) & (ops.arange(width, dtype="int32") < ops.expand_dims(top_k, -1))
    rows = ops.expand_dims(ops.arange(ops.shape(order)[0], dtype="int32") * scores.shape[1], -1)  # [B, 1]
    noise = ops.reshape(ops.take(ops.reshape(noise, (-1,)), ops.reshape(rows + order, (-1,))), (-1, width))
    return at(order, first_best(ops.where(allowed, values + noise, -np.inf)))


def _among_nucleus(scores, noise, top_p, wanted):
    """The winner, by score plus noise, among the tokens of the nucleus; int32 [B], anything where not `wanted`.

    Nothing is sorted: if the winner among all tokens is in the nucleus, it wins there too. If it is not, then neither is
    any token behind it, and the winner among those ahead of it is next. A nucleus of 0.9 takes 1.1 turns on average.
    """
    ids = ops.arange(scores.shape[1], dtype="int32")
    weights = ops.exp(scores - ops.max(scores, axis=1, keepdims=True))  # [B, V]
    aim = top_p * _sum(weights)  # [B]

    def turn(scores, token, found):
        token = first_best(scores + noise)  # [B]
        score = ops.expand_dims(at(scores, token), -1)  # [B, 1]
        ahead = (scores > score) | ((scores == score) & (ids < ops.expand_dims(token, -1)))  # [B, V]
        found = (_sum(ops.where(ahead, weights, 0.0)) < aim) | ~ops.any(ahead, axis=1) | ~wanted
        return ops.where(ahead | ops.expand_dims(found, -1), scores, -np.inf), token, found

    start = (scores, ops.zeros_like(top_p, dtype="int32"), ops.zeros_like(wanted))
    return ops.while_loop(lambda scores, token, found: ~ops.all(found), turn, start)[1]


def _sum(values):
    """Sums of the rows of [B, V]. A cumulative sum adds in one order, however many rows there are; `ops.sum` does not."""
    return ops.cumsum(values, axis=1)[:, -1]
