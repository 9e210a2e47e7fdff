"""The noise: golden integers, uniform, without visible correlation, independent of the batch."""

import numpy as np
from keras import ops

from nlp_suite.decoding.noise import gumbel, uniform_bits

GOLDEN = [
    [10000869, 6603030, 2752237, 423422, 16498372],
    [1723256, 10157233, 8394140, 13879889, 8890900],
    [7171004, 14478465, 15358367, 2896859, 3892913],
    [9585052, 1890283, 8306057, 12263472, 4923847],
]
SEEDS, STEPS = np.array([0, 1, -5, 2**31 - 1], "int32"), np.array([0, 1, 7, 1000], "int32")


def bits(seeds, steps, size):
    return ops.convert_to_numpy(uniform_bits(ops.convert_to_tensor(seeds), ops.convert_to_tensor(steps), size))


def grid(size=1024, seeds=40, steps=40):
    """[seeds, steps, size] of whole numbers below 2^24."""
    s, t = np.meshgrid(np.arange(seeds, dtype="int32"), np.arange(steps, dtype="int32"), indexing="ij")
    return bits(s.ravel(), t.ravel(), size).reshape(seeds, steps, size).astype("int64")


def test_golden_integers():
    assert bits(SEEDS, STEPS, 5).tolist() == GOLDEN


def test_depends_on_seed_step_and_token_only():
    batch = bits(SEEDS, STEPS, 50)
    for row in range(4):
        np.testing.assert_array_equal(bits(SEEDS[row : row + 1], STEPS[row : row + 1], 20), batch[row : row + 1, :20])
    np.testing.assert_array_equal(bits(SEEDS, np.int32(7), 5), bits(SEEDS, np.full(4, 7, "int32"), 5))


def test_gumbel_is_the_double_logarithm_and_finite():
    noise = ops.convert_to_numpy(gumbel(ops.convert_to_tensor(SEEDS), ops.convert_to_tensor(STEPS), 5))
    assert noise.dtype == np.float32
    np.testing.assert_allclose(noise, -np.log(-np.log(np.array(GOLDEN) / 2.0**24)), rtol=1e-4, atol=1e-5)
    many = ops.convert_to_numpy(gumbel(ops.arange(200, dtype="int32"), 0, 5000))
    assert np.isfinite(many).all() and many.min() > -2.9 and many.max() < 16.7
    np.testing.assert_allclose([many.mean(), many.var()], [0.5772, np.pi**2 / 6], atol=0.01)


def test_uniform():
    """Chi-square over 256 cells of the upper, middle and lower byte: 255 ± 22.6."""
    values = grid().ravel()
    for shift in (16, 8, 0):
        counts = np.bincount(values >> shift & 255, minlength=256)
        expected = values.size / 256
        assert 175 < ((counts - expected) ** 2 / expected).sum() < 350


def test_neighbours_do_not_correlate():
    values = grid()
    centred = values / 2**24 - 0.5
    pairs = {
        "seed": (np.s_[1:], np.s_[:-1]),
        "step": (np.s_[:, 1:], np.s_[:, :-1]),
        "token": (np.s_[:, :, 1:], np.s_[:, :, :-1]),
        "seed and step": (np.s_[1:, 1:], np.s_[:-1, :-1]),
        "seed against step": (np.s_[1:, :-1], np.s_[:-1, 1:]),
    }
    for name, (one, other) in pairs.items():
        correlation = (centred[one] * centred[other]).mean() * 12 * np.sqrt(centred[one].size)
        assert abs(correlation) < 4.5, name  # standard deviations
        cells = np.bincount(((values[one] >> 20) * 16 + (values[other] >> 20)).ravel(), minlength=256)
        expected = values[one].size / 256
        assert ((cells - expected) ** 2 / expected).sum() < 350, name
