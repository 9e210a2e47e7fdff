"""Hashed n-grams of token ids, computed in the graph."""

from keras import ops


def ngram_ids(tokens, order: int, buckets: int):
    """Bucket of the n-gram that starts at every token (Joulin et al. 2016, with their hashing trick).

    The hash is a polynomial of the ids modulo a prime, in 32-bit arithmetic that never overflows, so that every backend
    gives the same buckets.

    Args:
        tokens: int32 `[B, T]`, right-padded with 0.
        order: n of the n-gram, 1 or more.
        buckets: number of buckets, at most 2^20; ids are in `[1, buckets)` and 0 is padding.

    Returns:
        int32 `[B, T]`; 0 where the n-gram would reach beyond the row's last token.
    """
    prime = _prime_below(buckets)
    hashed = tokens % prime
    last = tokens
    for distance in range(1, order):
        later = tokens[:, distance:]
        last = ops.concatenate([later, ops.zeros_like(tokens[:, :distance])], axis=1)[:, : ops.shape(tokens)[1]]
        hashed = (hashed * 2039 + last % prime) % prime  # below 2^20 · 2^11 = 2^31
    return ops.where(ops.not_equal(last, 0), hashed % (prime - 1) + 1, 0)


def _prime_below(number: int) -> int:
    """The largest prime below `number`."""
    return next(p for p in range(number - 1, 1, -1) if all(p % d for d in range(2, int(p**0.5) + 1)))
