"""Hashed n-grams of token ids, computed in the graph."""

from keras import ops

_FACTORS = (2_862_933, 3_935_559, 1_442_695, 3_037_000, 2_685_821)  # by position in the n-gram, below 2^22


def ngram_ids(tokens, order: int, buckets: int):
    """Bucket of the n-gram that starts at every token (Joulin et al. 2016, with their hashing trick).

    The hash is the sum of the ids, each times a large factor for its position, modulo a prime. It is computed in 32-bit
    integers that never overflow, so every backend gives the same buckets.

    Args:
        tokens: int32 `[B, T]`, right-padded with 0; ids below 2^22.
        order: n of the n-gram, 1 to 5.
        buckets: number of buckets, at most 2^22; ids are in `[1, buckets)` and 0 is padding.

    Returns:
        int32 `[B, T]`; 0 where the n-gram would reach beyond the row's last token.
    """
    prime = _prime_below(buckets)
    hashed, last = _times(tokens, _FACTORS[0], prime), tokens
    for distance in range(1, order):
        later, ended = tokens[:, distance:], ops.zeros_like(tokens[:, :distance])
        last = ops.concatenate([later, ended], axis=1)[:, : ops.shape(tokens)[1]]
        hashed = (hashed + _times(last, _FACTORS[distance], prime)) % prime
    return ops.where(ops.not_equal(last, 0), hashed % (prime - 1) + 1, 0)


def _times(ids, factor: int, prime: int):
    """`ids · factor mod prime`, eight bits of the factor at a time: no product exceeds 2^22 · 2^8 · 2 = 2^31."""
    factor %= prime
    ids = ids % prime
    product = ids * (factor >> 16) % prime
    for shift in (8, 0):
        product = (product * 256 + ids * (factor >> shift & 255)) % prime
    return product


def _prime_below(number: int) -> int:
    """The largest prime below `number`."""
    return next(p for p in range(number - 1, 1, -1) if all(p % d for d in range(2, int(p**0.5) + 1)))
