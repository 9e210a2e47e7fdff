"""The choice of the next token: greedy or sampled, with separate options for each row of the batch."""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from nlp_suite.decoding.noise import gumbel
from nlp_suite.errors import RequestError

SMALL_TOP_K = 64  # up to here, finding the best tokens is much cheaper than sorting the vocabulary
_INT32 = 2**31


class Options(NamedTuple):
    """How each row chooses its tokens: tensors of shape [B]. `Options.broadcast` makes them from plain values.

    A served graph cannot raise, so values out of range have a meaning here: a temperature that is not above 0 (NaN too)
    is greedy; a penalty that is not above 0, or not finite, is none; `top_k` below 1 or above V is no limit, nor is
    `top_p` at or above 1; `top_p` at or below 0 leaves one token.

    Attributes:
        temperature: float32, divides the logits; 0 chooses the most probable token (greedy).
        top_k: int32, only the k most probable tokens can be sampled; 0 is all.
        top_p: float32, only the nucleus can be sampled: the smallest set of most probable tokens whose probabilities
            reach p (Holtzman et al. 2020); 1 is all.
        repetition_penalty: float32, divides the positive logits of tokens seen before and multiplies the others (Keskar
            et al. 2019, as Transformers and CTranslate2 do): above 1 they become less probable; 1 is none.
        seed: int32, the seed of the row's noise.
    """

    temperature: Any
    top_k: Any
    top_p: Any
    repetition_penalty: Any
    seed: Any

    @classmethod
    def broadcast(cls, batch_size: int, *, temperature=1.0, top_k=0, top_p=1.0, repetition_penalty=1.0, seed=0):
        """Options from one value for all rows, or a sequence of `batch_size` values, one for each row.

        Raises:
            RequestError: a value out of range, or not `batch_size` of them.

        Example:
            >>> Options.broadcast(2, temperature=0.8, top_k=50, seed=[1, 2])
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


def _column(batch_size, name, value, dtype, in_range, range_text):
    values = np.asarray(value)
    if values.ndim > 1 or (values.ndim == 1 and len(values) != batch_size):
        raise RequestError(f"{name} has shape {values.shape}: give one value, or one for each of the {batch_size} rows")
    kinds, allowed = ("iu", "whole numbers") if dtype == "int32" else ("iuf", "finite numbers")
    if values.dtype.kind not in kinds or not np.all(np.isfinite(values) & in_range(values)):
        raise RequestError(f"{name} is {value!r}; allowed: {allowed}, {range_text}")
    return ops.convert_to_tensor(np.broadcast_to(values, (batch_size,)).astype(dtype))  # [B]


def choose(logits, options: Options, step, seen, forbidden=()):
    """Chooses each row's next token.

    In this order: the repetition penalty lowers the logits of tokens seen, forbidden tokens get -inf, the temperature
    divides, top-k and then top-p leave out the rest, and the largest sum with Gumbel noise is a sample. The nucleus is
    that of the renormalised top-k. Of equally probable tokens the one with the smaller id comes first (on PyTorch, top-k
    may take another). Greedy rows skip all but the first two.

    A row's choice depends on that row only. What no row needs is not computed.

    Args:
        logits: float32 [B, V], V known when traced. A constant added to a row changes only what the penalty does.
        options: `Options` of [B].
        step: int32 [B], how many tokens the row has generated so far; every step has its own noise.
        seen: int32 [B, T], the tokens of prompt and continuation that are penalised, -1 where there is none.
        forbidden: ids that are never chosen.

    Returns:
        int32 [B].

    Example:
        >>> choose(logits, Options.broadcast(1, top_k=10), ops.zeros(1, "int32"), prompt, forbidden=(0, 1, 2))
    """
    penalty = options.repetition_penalty
    penalty = ops.where((penalty > 0) & (penalty < np.inf), penalty, 1.0)
    logits = ops.cond(
        ops.any(penalty != 1.0), lambda: _penalise(logits, penalty, seen), lambda: ops.cast(logits, "float32")
    )
    logits = _forbid(logits, forbidden)
    sampled = options.temperature > 0  # [B]
    return ops.cond(ops.any(sampled), lambda: _sample(logits, options, sampled, step), lambda: argmax(logits))


def _forbid(logits, forbidden):
    """`logits` [..., V] with -inf at the forbidden ids."""
    if not forbidden:
        return logits
    mask = np.zeros(logits.shape[-1], "float32")  # [V]
    mask[list(forbidden)] = -np.inf
    return ops.add(logits, mask)


def argmax(scores):
    """Index of the largest of [B, V], int32 [B]. By `top_k`: `ops.argmax` costs four times as much on TensorFlow."""
    return ops.cast(ops.top_k(scores, 1)[1][:, 0], "int32")


def take_per_row(values, columns):
    """`values[b, columns[b]]` of [B, V]: [B], by one gather (`take_along_axis` is some twenty ops on TensorFlow)."""
    rows = ops.arange(ops.shape(values)[0], dtype="int32")
    return ops.take(ops.reshape(values, (-1,)), rows * values.shape[1] + columns)


def _penalise(logits, penalty, seen):
    size, rows = logits.shape[1], ops.shape(logits)[0]
    starts = ops.expand_dims(ops.arange(rows, dtype="int32") * size, -1)  # [B, 1]
    # Where there is none, an extra cell at the end is written; writing a token's value twice does no harm.
    cells = ops.reshape(ops.where(seen < 0, rows * size, starts + seen), (-1, 1))  # [B*T, 1]
    flat = ops.pad(ops.reshape(logits, (-1,)), ((0, 1),))  # [B*V + 1]
    values = ops.reshape(ops.take(flat, cells[:, 0]), (-1, ops.shape(seen)[1]))  # [B, T]
    penalty = ops.expand_dims(penalty, -1)  # [B, 1]
    values = ops.where(values > 0, values / penalty, values * penalty)
    changed = ops.scatter_update(flat, cells, ops.reshape(values, (-1,)))
    return ops.reshape(changed[:-1], (-1, size))  # [B, V]


def _sample(logits, options, sampled, step):
    vocabulary_size = logits.shape[1]
    # Beyond these bounds a quotient could overflow; near the lower one the noise does not matter any more.
    temperature = ops.where(sampled, ops.clip(options.temperature, 1e-6, 1e6), 1.0)
    scores = logits / ops.expand_dims(temperature, -1)  # [B, V]
    noise = gumbel(options.seed, step, vocabulary_size)  # [B, V]
    noise = ops.where(ops.expand_dims(sampled, -1), noise, 0.0)
    token = argmax(scores + noise)  # [B]
    top_k, top_p = options.top_k, options.top_p
    top_k_rows = sampled & (top_k > 0) & (top_k < vocabulary_size)  # [B]
    nucleus_rows = sampled & ~top_k_rows & (top_p < 1)
    small_k_rows = top_k_rows & (top_k <= SMALL_TOP_K)

    def limited():
        # A row alone decides which branch it takes, not its batch: the branches could differ in a last digit.
        branches = [
            (small_k_rows, lambda: _sample_top_k(scores, noise, top_k, top_p, min(SMALL_TOP_K, vocabulary_size)))
        ]
        branches += [(nucleus_rows, lambda: _sample_nucleus(scores, noise, top_p, nucleus_rows))]
        if vocabulary_size > SMALL_TOP_K:
            branches += [
                (top_k_rows & ~small_k_rows, lambda: _sample_top_k(scores, noise, top_k, top_p, vocabulary_size))
            ]
        tokens = token
        for rows, branch in branches:
            tokens = ops.where(rows, ops.cond(ops.any(rows), branch, lambda: token), tokens)
        return tokens

    return ops.cond(ops.any(top_k_rows | nucleus_rows), limited, lambda: token)


def _sample_top_k(scores, noise, top_k, top_p, width: int):
    """The token of the largest score plus noise among the `top_k` best and the nucleus of these; int32 [B].

    Args:
        scores: float32 [B, V], logits.
        noise: float32 [B, V].
        top_k: int32 [B], 1 to `width` in the rows that count.
        top_p: float32 [B].
        width: how many tokens are sorted, C.
    """
    values, order = ops.top_k(scores, width)  # [B, C]
    order = ops.cast(order, "int32")
    mass = ops.cumsum(ops.exp(values - values[:, :1]), axis=1)  # [B, C]
    target = ops.where(top_p < 1, top_p * take_per_row(mass, ops.clip(top_k, 1, width) - 1), np.inf)  # [B]
    before = ops.concatenate([ops.full_like(mass[:, :1], -np.inf), mass[:, :-1]], axis=1)  # [B, C]; keeps the first
    allowed = (before < ops.expand_dims(target, -1)) & (ops.arange(width, dtype="int32") < ops.expand_dims(top_k, -1))
    rows = ops.expand_dims(ops.arange(ops.shape(order)[0], dtype="int32") * scores.shape[1], -1)  # [B, 1]
    noise = ops.reshape(ops.take(ops.reshape(noise, (-1,)), ops.reshape(rows + order, (-1,))), (-1, width))
    return take_per_row(order, argmax(ops.where(allowed, values + noise, -np.inf)))


def _sample_nucleus(scores, noise, top_p, rows):
    """The token of the largest score plus noise in the nucleus; int32 [B], anything where bool `rows` [B] is false.

    Nothing is sorted: if the winner among all tokens is in the nucleus, it wins there too. If it is not, then neither
    is any less probable token, and the winner among the more probable ones is next. A nucleus of 0.9 takes 1.1 turns on
    average.
    """
    ids = ops.arange(scores.shape[1], dtype="int32")
    weights = ops.exp(scores - ops.max(scores, axis=1, keepdims=True))  # [B, V]
    target = top_p * _sum(weights)  # [B]

    def turn(scores, token, done):
        token = argmax(scores + noise)  # [B]
        score = ops.expand_dims(take_per_row(scores, token), -1)  # [B, 1]
        likelier = (scores > score) | ((scores == score) & (ids < ops.expand_dims(token, -1)))  # [B, V]
        done = (_sum(ops.where(likelier, weights, 0.0)) < target) | ~ops.any(likelier, axis=1) | ~rows
        return ops.where(likelier | ops.expand_dims(done, -1), scores, -np.inf), token, done

    start = (scores, ops.zeros_like(top_p, dtype="int32"), ops.zeros_like(rows))
    return ops.while_loop(lambda scores, token, done: ~ops.all(done), turn, start)[1]


def _sum(values):
    """Sums of the rows of [B, V]. A cumulative sum adds in one order for any number of rows; `ops.sum` does not."""
    return ops.cumsum(values, axis=1)[:, -1]
