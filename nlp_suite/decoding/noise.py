"""Gumbel noise as a function of (seed, step, token): the same on every backend, in every batch and process."""

import numpy as np
from keras import ops

# Odd, so that (seed, step) -> (first key, second key) is one-to-one: no two steps of any two seeds share their noise.
_SEED_KEYS = np.array([0x9E3779B1, 0x85EBCA77], "uint32").astype("int32")
_STEP_KEYS = np.array([0xC2B2AE3D, 0x27D4EB2E], "uint32").astype("int32")
_OFFSETS = np.array([0x165667B1, 0x2C1B3C6D], "uint32").astype("int32")
_TOKEN_KEY = np.uint32(0x9E3779B9)
_FACTOR_1, _FACTOR_2 = (int(np.uint32(c).astype("int32")) for c in (0x21F0AAAD, 0xD35A2D97))


def gumbel(seeds, step, vocabulary_size: int):
    """Standard Gumbel noise for every token of the vocabulary, by a counter-based hash in 32-bit integers.

    `argmax(log_probs + gumbel(...))` is a sample from `exp(log_probs)` (Gumbel-max; Maddison et al. 2014). There is no
    generator state: the noise of a row depends only on its seed, its step and the token. The hash is the two-
    multiplication finaliser of Wellons (2018), keyed by (seed, step) before and between its rounds; integer overflow
    wraps. The upper 24 bits become a uniform number in (0, 1).

    Args:
        seeds: int32 [B].
        step: int32 [B] or scalar, the number of tokens that the row has generated so far.
        vocabulary_size: int, V.

    Returns:
        float32 [B, V], between -2.9 and 16.7. The bits it comes from are equal on all backends; the logarithms
        differ in their last digit.

    Example:
        >>> noise = gumbel(ops.convert_to_tensor([7, 8]), 0, 10000)  # [2, 10000]
    """
    bits = ops.cast(uniform_bits(seeds, step, vocabulary_size), "float32")  # [B, V]
    uniform = ops.maximum(bits, 0.5) * 2.0**-24
    return -ops.log(-ops.log(uniform))


def uniform_bits(seeds, step, vocabulary_size: int):
    """The hash that `gumbel` uses: int32 [B, V], uniform in [0, 2^24)."""
    seeds = ops.expand_dims(ops.cast(seeds, "int32"), -1)  # [B, 1]
    step = ops.expand_dims(ops.cast(step, "int32"), -1)  # [B, 1] or [1]
    keys = _mix(
        ops.multiply(seeds, _SEED_KEYS) + ops.multiply(step, _STEP_KEYS) + ops.convert_to_tensor(_OFFSETS)
    )  # [B, 2]
    tokens = (np.arange(vocabulary_size, dtype="uint32") * _TOKEN_KEY).astype("int32")  # [V]
    return _shift(_mix(ops.add(keys[:, :1], tokens), keys[:, 1:]), 8)


def _mix(x, key=0):
    x = ops.bitwise_xor(x, _shift(x, 16)) * _FACTOR_1 + key
    x = ops.bitwise_xor(x, _shift(x, 15)) * _FACTOR_2
    return ops.bitwise_xor(x, _shift(x, 15))


def _shift(x, bits: int):
    """Logical shift to the right; the sign bit of an int32 would be copied without the mask."""
    return ops.bitwise_and(ops.right_shift(x, bits), (1 << (32 - bits)) - 1)
